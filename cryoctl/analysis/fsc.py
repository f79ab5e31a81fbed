"""Fourier shell correlation of two half-data volumes, in shells and in cones along x, y and z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Curve:
    """One correlation curve. `frequency_per_m` [shell]; `resolution_m` is where it first falls below the criterion.

    `_low` and `_high` bound it at 95 % (the curve lifted and lowered by its own sampling error); `limited_by_voxel`
    says that the curve stays above to the Nyquist frequency, so that the resolution is at best two voxels.
    """

    frequency_per_m: tuple[float, ...]
    correlation: tuple[float, ...]
    correlation_sigma: tuple[float, ...]
    samples: tuple[float, ...]
    resolution_m: float
    resolution_m_low: float
    resolution_m_high: float
    resolution_half_bit_m: float
    resolution_half_bit_m_low: float
    resolution_half_bit_m_high: float
    limited_by_voxel: bool


@dataclass(frozen=True)
class ShellCorrelation:
    """FSC of all directions and within cones about x (along the wire), y (across) and z (along the beam). `halves` says
    what the two volumes were made of."""

    shell: Curve
    x: Curve
    y: Curve
    z: Curve
    criterion: float
    halves: str = "given"


def fourier_shell_correlation(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    voxel_size_m: float,
    criterion: float = 0.143,
    cone_half_angle_deg: float = 30.0,
) -> ShellCorrelation:
    """Correlate two volumes [z, y, x] from independent halves of the data (scan frames, not tilts).

    A soft Tukey window keeps the box's faces from correlating. Criterion 0.143 (Rosenthal and Henderson, J. Mol. Biol.
    333 (2003) 721) and the half-bit curve (van Heel and Schatz, J. Struct. Biol. 151 (2005) 250), the latter with the
    number of independent samples in a shell. Raises `BadInput` for volumes of unlike shape or without content.
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 3 or min(a.shape) < 8:
        raise BadInput(f"fsc: half volumes have shapes {a.shape} and {b.shape}; two alike of at least 8^3 are needed.")
    if float(np.ptp(a)) == 0 or float(np.ptp(b)) == 0:
        raise BadInput("fsc: a half volume is constant; each half needs counts.")
    window = _tukey(a.shape)
    fa, fb = (np.fft.rfftn((v - float((v * window).sum() / window.sum())) * window) for v in (a, b))
    cross, power_a, power_b = np.real(fa * np.conj(fb)), np.abs(fa) ** 2, np.abs(fb) ** 2
    fz, fy = (np.fft.fftfreq(n)[:, None] for n in a.shape[:2])
    kz, ky, kx = fz[:, :, None], fy[None, :, :], np.fft.rfftfreq(a.shape[2])[None, None, :]
    radius = np.sqrt(kz**2 + ky**2 + kx**2)
    doubled = np.where((kx > 0) & (kx < 0.5), 2.0, 1.0) * np.ones(radius.shape)
    n_shells = max(min(max(a.shape) // 2, 64), 4)
    shell = np.minimum((radius / 0.5 * n_shells).astype(int), n_shells)
    effective = float((window**2).sum() / window.size)
    inverse_radius = 1 / np.maximum(radius, 1e-12)
    cosine_limit = float(np.cos(np.deg2rad(cone_half_angle_deg)))
    curves: dict[str, Curve] = {}
    for name, component in (("shell", None), ("x", kx), ("y", ky), ("z", kz)):
        inside = np.ones(radius.shape, dtype=bool)
        if component is not None:
            inside = np.abs(component) * inverse_radius >= cosine_limit
        inside &= (shell < n_shells) & (radius > 0)
        sums = [
            np.bincount(shell[inside], (w * doubled)[inside], n_shells)[:n_shells] for w in (cross, power_a, power_b)
        ]
        halves = np.bincount(shell[inside], doubled[inside] / 2, n_shells)[:n_shells]
        samples = np.asarray(halves * effective, dtype=np.float64)
        middles = np.bincount(shell[inside], (radius * doubled)[inside], n_shells)[:n_shells]
        frequency = middles * effective / 2 / np.maximum(samples, 1e-9)
        correlation = sums[0] / np.sqrt(np.maximum(sums[1] * sums[2], 1e-300))
        used = samples >= 2
        curves[name] = _curve(frequency[used], correlation[used], samples[used], voxel_size_m, criterion)
    return ShellCorrelation(curves["shell"], curves["x"], curves["y"], curves["z"], criterion)


def _tukey(shape: tuple[int, ...]) -> Float:
    window = np.ones(shape)
    for axis, n in enumerate(shape):
        ramp = max(2, n // 8)
        edge = np.sin(np.pi / 2 * (np.arange(ramp) + 0.5) / ramp) ** 2
        line = np.ones(n)
        line[:ramp], line[n - ramp :] = edge, edge[::-1]
        window = window * line.reshape([-1 if k == axis else 1 for k in range(len(shape))])
    return window


def _curve(frequency: Float, correlation: Float, samples: Float, voxel_m: float, criterion: float) -> Curve:
    error = (1 - correlation**2) / np.sqrt(np.maximum(samples, 1.0)) + 1 / np.maximum(samples, 1.0)
    smooth = _smoothed(correlation, samples)
    sigma = _smoothed_error(error, samples)
    middle, limited = _crossing(frequency, smooth, np.full(len(smooth), criterion))
    best, _ = _crossing(frequency, smooth + 1.96 * sigma, np.full(len(smooth), criterion))
    worst, _ = _crossing(frequency, smooth - 1.96 * sigma, np.full(len(smooth), criterion))
    root = np.sqrt(np.maximum(samples, 1.0))
    half_bit = (0.2071 + 1.9102 / root) / (1.2071 + 0.9102 / root)
    half_bit = np.minimum(half_bit, 0.99)
    bit, best_bit, worst_bit = (
        _crossing(frequency, smooth + share * sigma, half_bit)[0] for share in (0.0, 1.96, -1.96)
    )
    return Curve(
        frequency_per_m=tuple((frequency / voxel_m).tolist()),
        correlation=tuple(correlation.tolist()),
        correlation_sigma=tuple(error.tolist()),
        samples=tuple(samples.tolist()),
        resolution_m=voxel_m / middle,
        resolution_m_low=voxel_m / best,
        resolution_m_high=voxel_m / worst,
        resolution_half_bit_m=voxel_m / bit,
        resolution_half_bit_m_low=voxel_m / best_bit,
        resolution_half_bit_m_high=voxel_m / worst_bit,
        limited_by_voxel=limited,
    )


_KERNEL = np.array([0.25, 0.5, 0.25])


def _smoothed(values: Float, samples: Float) -> Float:
    """Mean over neighbouring shells, weighted by their samples; the first shell stays as it is."""
    top = np.convolve(values * samples, _KERNEL, mode="same")
    mean = top / np.maximum(np.convolve(samples, _KERNEL, mode="same"), 1e-12)
    return np.concatenate([values[:1], mean[1:]])


def _smoothed_error(error: Float, samples: Float) -> Float:
    variance = np.convolve((error * samples) ** 2, _KERNEL**2, mode="same")
    sigma = np.sqrt(variance) / np.maximum(np.convolve(samples, _KERNEL, mode="same"), 1e-12)
    return np.concatenate([error[:1], sigma[1:]])


def _crossing(frequency: Float, curve: Float, threshold: Float) -> tuple[float, bool]:
    """Frequency (per voxel) at which the curve first falls below the threshold for good measure of two shells."""
    below = curve < threshold
    for i in range(len(curve)):
        if below[i] and (i + 1 == len(curve) or below[i + 1]):
            if i == 0:
                return float(frequency[0]), False
            over, under = curve[i - 1] - threshold[i - 1], threshold[i] - curve[i]
            share = float(over / (over + under)) if over + under > 0 else 1.0
            return float(frequency[i - 1] + share * (frequency[i] - frequency[i - 1])), False
    return 0.5, True
