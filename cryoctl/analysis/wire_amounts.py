"""What a wire's core and shell are made of: atoms/m3 and at% of each element, from volumes of net counts.

No correction for absorption in the specimen: how large it can be is estimated from what was measured and joins sigma.
Elements without a line that can be seen (H, Li) are not in the sum that at% refer to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xraydb
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from cryoctl.analysis.connectivity import phase_threshold
from cryoctl.analysis.ionisation import CrossSection
from cryoctl.analysis.lines import family_of, split_name
from cryoctl.analysis.quantification import cliff_lorimer, from_cross_sections
from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
BLOCKS = 10
COMMON_SIGMA = 0.1
"""What solid angle, collimator and beam current leave open in all elements alike: absolute amounts only."""


@dataclass(frozen=True)
class Amount:
    """One element in one region. `counts_per_voxel` is net counts a voxel and tilt; `absorption` the share of its
    photons that the specimen may keep, `spill` the share of its counts that may be the other region's, or have gone
    there. `atomic_percent` is from cross-sections, `cliff_lorimer_percent` from
    k-factors (the same cross-sections' ratios, so that what they have in common cancels)."""

    counts_per_voxel: float
    counts_per_voxel_sigma: float
    atoms_per_m3: float
    atoms_per_m3_sigma: float
    atomic_percent: float
    atomic_percent_sigma: float
    cliff_lorimer_percent: float
    cliff_lorimer_percent_sigma: float
    absorption: float
    spill: float


def wire_regions(
    core: npt.ArrayLike, whole: npt.ArrayLike, smoothing_px: float = 0.8, away_px: int = 2
) -> dict[str, Mask]:
    """Masks [z, y, x] of core and shell: above the threshold of `core` (Si), and of `whole` (image or sum) but not in
    the core; both kept `away_px` from the surface between them, which the reconstruction blurs (0: they meet there).

    Raises `BadInput` for volumes of unlike shape or without content.
    """
    first, second = (np.nan_to_num(np.asarray(v, dtype=np.float64)) for v in (core, whole))
    if first.shape != second.shape or first.ndim != 3 or not np.ptp(first) > 0 or not np.ptp(second) > 0:
        raise BadInput(f"regions: shapes {first.shape} and {second.shape}; two volumes of one grid with content.")
    inner, outer = (gaussian_filter(v, smoothing_px) for v in (first, second))
    silicon: Mask = np.asarray(inner > phase_threshold(inner), dtype=bool)
    body: Mask = np.asarray(outer > 0.5 * phase_threshold(outer), dtype=bool)
    if away_px == 0:
        return {"core": silicon, "shell": body & ~silicon}
    deep: Mask = np.asarray(binary_erosion(silicon, iterations=away_px, border_value=1), dtype=bool)
    beyond: Mask = np.asarray(binary_dilation(silicon, iterations=away_px), dtype=bool)
    return {"core": deep, "shell": body & ~beyond}


def amounts(
    volumes: Mapping[str, npt.ArrayLike],
    mask: Mask,
    sections: Mapping[str, CrossSection],
    dose_e_per_m2: float,
    voxel_size_m: float,
    path_m: float = 0.0,
    reference: str = "",
    spilled: Mapping[str, float] | None = None,
) -> dict[str, Amount]:
    """Mean amounts in a region of `volumes` [z, y, x] (net counts a voxel and tilt), blocks along x giving sigma.

    dose_e_per_m2: electrons per m2 of one tilt, times the detector's mean relative yield. path_m: length of material of
    the region's composition on the photons' way out, for the size of absorption. reference: element of the k-factors
    (the first by default). spilled: counts a voxel that blur may have brought or taken (`partial_volume.spill`), by
    element; they join sigma. Raises `BadInput` for an empty region, or a missing cross-section.
    """
    names = list(volumes)
    if not mask.any():
        raise BadInput("quantification: the region is empty; the volume shows no core or no shell.")
    counted = {name: _mean_by_blocks(np.asarray(volumes[name], dtype=np.float64), mask) for name in names}
    mean = {name: value for name, (value, _) in counted.items()}
    spilled = spilled or {}
    sigma = {name: float(np.hypot(error, spilled.get(name, 0.0))) for name, (_, error) in counted.items()}
    m2 = {name: sections[name].m2 for name in names if name in sections}
    plain = {name: sections[name].relative_sigma for name in m2}
    first = from_cross_sections(mean, sigma, m2, plain, dose_e_per_m2, voxel_size_m)
    kept = {name: _absorbed(name, {other: float(first.amount[other]) for other in names}, path_m) for name in names}
    relative = {name: float(np.hypot(plain[name], kept[name])) for name in m2}
    absolute = from_cross_sections(mean, sigma, m2, relative, dose_e_per_m2, voxel_size_m)
    base = reference or names[0]
    k, k_sigma = _k_factors(names, sections, relative, base)
    ratio = cliff_lorimer(mean, sigma, k, k_sigma)
    return {
        name: Amount(
            counts_per_voxel=mean[name],
            counts_per_voxel_sigma=sigma[name],
            atoms_per_m3=float(absolute.amount[name]),
            atoms_per_m3_sigma=float(np.hypot(absolute.amount_sigma[name], COMMON_SIGMA * absolute.amount[name])),
            atomic_percent=float(absolute.atomic_percent[name]),
            atomic_percent_sigma=float(absolute.atomic_percent_sigma[name]),
            cliff_lorimer_percent=float(ratio.atomic_percent[name]),
            cliff_lorimer_percent_sigma=float(ratio.atomic_percent_sigma[name]),
            absorption=kept[name],
            spill=spilled.get(name, 0.0) / max(abs(mean[name]), 1e-12),
        )
        for name in names
    }


def _mean_by_blocks(volume: Float, mask: Mask) -> tuple[float, float]:
    """Mean over a mask and its standard error from blocks along x."""
    number = mask.sum(axis=(0, 1)).astype(np.float64)
    total = np.where(mask, volume, 0.0).sum(axis=(0, 1))
    parts = [part for part in np.array_split(np.arange(number.size), BLOCKS) if number[part].sum() > 0]
    mean = float(total.sum() / number.sum())
    if len(parts) < 2:
        return mean, float("nan")
    weights = np.array([number[part].sum() for part in parts])
    means = np.array([total[part].sum() for part in parts]) / weights
    share = weights / weights.sum()
    n = len(parts)
    return mean, float(np.sqrt((share**2 * (means - mean) ** 2).sum() * n / (n - 1)))


def _absorbed(name: str, atoms_per_m3: Mapping[str, float], path_m: float) -> float:
    """Share of a line's photons that do not leave a layer of this composition through which they go `path_m`."""
    energy_ev = family_of(name).energy_ev
    depth = 0.0
    for other, density in atoms_per_m3.items():
        symbol = split_name(other)[0]
        kilograms = max(density, 0.0) * float(xraydb.atomic_mass(symbol)) * 1.66053907e-27
        depth += kilograms * 0.1 * float(xraydb.mu_elam(symbol, energy_ev)) * path_m  # cm2/g is 0.1 m2/kg
    return float(1 + np.expm1(-depth) / depth) if depth > 1e-9 else 0.0


def _k_factors(
    names: list[str], sections: Mapping[str, CrossSection], relative: Mapping[str, float], base: str
) -> tuple[dict[str, float], dict[str, float]]:
    """k against the base: mass over cross-section, relative to the base's; sigma of both joined, none for the base."""
    mass = {name: float(xraydb.atomic_mass(split_name(name)[0])) for name in names}
    k = {name: mass[name] / sections[name].m2 / (mass[base] / sections[base].m2) for name in names}
    sigma = {name: k[name] * float(np.hypot(relative[name], relative[base])) for name in names}
    return k, sigma | {base: 0.0}
