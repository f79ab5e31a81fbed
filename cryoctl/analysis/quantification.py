"""From net counts to composition: Cliff-Lorimer ratios and absolute cross-sections, for spectra, maps and volumes.

Everything takes scalars or arrays of one shape per element. Counting errors and those of factors are propagated to
first order; errors of factors are common to all pixels and so don't average away, which is why they are also given
apart (`systematic`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.constants import atomic_mass, elementary_charge

from cryoctl.analysis.lines import split_name
from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Composition:
    """Per element, arrays of the counts' shape: at% and, from cross-sections, atoms/m2 (maps) or atoms/m3 (volumes).

    `_sigma` joins counting and factors; `systematic` is the factors' part alone. Where nothing was counted at% is NaN.
    """

    atomic_percent: dict[str, Float]
    atomic_percent_sigma: dict[str, Float]
    atomic_percent_systematic: dict[str, Float]
    amount: dict[str, Float]
    amount_sigma: dict[str, Float]
    amount_systematic: dict[str, Float]
    amount_unit: str


def _aligned(counts: Mapping[str, npt.ArrayLike], sigma: Mapping[str, npt.ArrayLike]) -> tuple[list[str], Float, Float]:
    names = list(counts)
    missing = [name for name in names if name not in sigma]
    if not names or missing:
        raise BadInput(f"quantification: no counts or no sigma for {', '.join(missing) or 'any element'}; give both.")
    c = np.stack(np.broadcast_arrays(*[np.asarray(counts[name], dtype=np.float64) for name in names]))
    s = np.stack([np.broadcast_to(np.asarray(sigma[name], dtype=np.float64), c.shape[1:]) for name in names])
    return names, c, s


def _fractions(amount: Float, random: Float, systematic: Float) -> tuple[Float, Float, Float]:
    """Fractions of the sum over the first axis, with counting and factor sigma (independent between elements)."""
    total = amount.sum(axis=0)
    safe = np.where(total > 0, total, np.nan)
    fraction = amount / safe

    def propagated(sigma: Float) -> Float:
        own = (1 - fraction) ** 2 * sigma**2
        others = fraction**2 * ((sigma**2).sum(axis=0) - sigma**2)
        return np.sqrt(own + others) / safe

    return fraction, propagated(random), propagated(systematic)


def _composition(names: list[str], amount: Float, random: Float, systematic: Float, unit: str) -> Composition:
    fraction, counted, common = _fractions(amount, random, systematic)

    def spread(values: Float) -> dict[str, Float]:
        return {name: values[i] for i, name in enumerate(names)}

    return Composition(
        atomic_percent=spread(100 * fraction),
        atomic_percent_sigma=spread(100 * np.hypot(counted, common)),
        atomic_percent_systematic=spread(100 * common),
        amount=spread(amount),
        amount_sigma=spread(np.hypot(random, systematic)),
        amount_systematic=spread(systematic),
        amount_unit=unit,
    )


def cliff_lorimer(
    counts: Mapping[str, npt.ArrayLike],
    counts_sigma: Mapping[str, npt.ArrayLike],
    k_factors: Mapping[str, float],
    k_factors_sigma: Mapping[str, float],
) -> Composition:
    """Composition from count ratios: C_A/C_B = k_AB I_A/I_B with C in weight (Cliff and Lorimer, J. Microsc. 103
    (1975) 203). `k_factors` are against one common reference, whose own is 1 with sigma 0.

    `amount` is the relative weight k*I in arbitrary units divided by atomic mass. Raises `BadInput` for an element
    without k-factor.
    """
    import xraydb

    names, c, s = _aligned(counts, counts_sigma)
    missing = [name for name in names if name not in k_factors or name not in k_factors_sigma]
    if missing:
        raise BadInput(f"k_factors: none for {', '.join(missing)}; give a k-factor and its sigma for each element.")
    mass = np.array([float(xraydb.atomic_mass(split_name(name)[0])) for name in names])
    k = np.array([k_factors[name] for name in names]) / mass
    relative = np.array([k_factors_sigma[name] / k_factors[name] for name in names])
    shape = (-1,) + (1,) * (c.ndim - 1)
    amount = c * k.reshape(shape)
    return _composition(names, amount, s * k.reshape(shape), np.abs(amount) * relative.reshape(shape), "relative atoms")


def from_cross_sections(
    counts: Mapping[str, npt.ArrayLike],
    counts_sigma: Mapping[str, npt.ArrayLike],
    cross_sections_m2: Mapping[str, float],
    relative_sigma: Mapping[str, float],
    dose_e_per_m2: float,
    voxel_size_m: float | None = None,
    pixel_size_m: float | None = None,
) -> Composition:
    """Absolute amounts: atoms in a pixel or voxel = counts / (cross-section * dose).

    `cross_sections_m2` are counts in the detector per atom and electron per area (`ionisation.cross_section`);
    `dose_e_per_m2` is the fluence that gave the counts (of all tilts together for a volume whose voxels hold the
    series' counts; of one tilt where they hold counts a projection). With `voxel_size_m` the amount is in atoms/m3,
    with `pixel_size_m` in atoms/m2, else in atoms. Raises `BadInput` for a missing or non-positive cross-section
    or dose.
    """
    names, c, s = _aligned(counts, counts_sigma)
    missing = [name for name in names if cross_sections_m2.get(name, 0.0) <= 0 or name not in relative_sigma]
    if missing or not dose_e_per_m2 > 0:
        raise BadInput(
            f"quantification: cross-section or its sigma missing for {', '.join(missing) or 'no element'}, "
            f"dose {dose_e_per_m2:g} e-/m2; all must be above zero."
        )
    if voxel_size_m is not None:
        space, unit = voxel_size_m**3, "atoms/m3"
    elif pixel_size_m is not None:
        space, unit = pixel_size_m**2, "atoms/m2"
    else:
        space, unit = 1.0, "atoms"
    shape = (-1,) + (1,) * (c.ndim - 1)
    per_count = np.array([1 / (cross_sections_m2[name] * dose_e_per_m2 * space) for name in names]).reshape(shape)
    relative = np.array([relative_sigma[name] for name in names]).reshape(shape)
    amount = c * per_count
    return _composition(names, amount, s * per_count, np.abs(amount) * relative, unit)


def dose_e_per_m2(beam_current_a: float, time_s: float, area_m2: float) -> float:
    """Beam-normal fluence I t / (e A) in electrons per m2."""
    return beam_current_a * time_s / (elementary_charge * area_m2)


def mass_density_kg_m3(atoms_per_m3: Mapping[str, npt.ArrayLike]) -> Float:
    """Density of what was measured, from atoms/m3 per element: a check against the known (Si: 2330)."""
    import xraydb

    parts = [
        np.asarray(value, dtype=np.float64) * float(xraydb.atomic_mass(split_name(name)[0])) * atomic_mass
        for name, value in atoms_per_m3.items()
    ]
    return np.sum(np.broadcast_arrays(*parts), axis=0)
