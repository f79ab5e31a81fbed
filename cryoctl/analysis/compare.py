"""How far a reconstructed volume is from the truth, after the shift and the scale that nobody can know."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ErrorAgainstTruth:
    """`error` = |scale * volume - truth| / |truth| (root mean square, normalised); 0 is perfect, 1 is no better than
    nothing; sigma is its standard error over blocks along x. `correlation` is Pearson's. `shift_px` (dz, dy, dx) is
    what the volume must be moved by."""

    error: float
    error_sigma: float
    correlation: float
    scale: float
    shift_px: tuple[float, float, float]


def error_against_truth(
    volume: npt.ArrayLike, truth: npt.ArrayLike, max_shift_px: float = 3.0, margin_px: int = 0
) -> ErrorAgainstTruth:
    """Compare two volumes [z, y, x] of one grid: best shift within `max_shift_px` in each direction, best scale.

    Only truth's interior (less `margin_px` and the shift's range at the faces) counts. Raises `BadInput` for unlike
    shapes or a truth without content.
    """
    v, t = np.asarray(volume, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if v.shape != t.shape or v.ndim != 3:
        raise BadInput(f"error against truth: volume has shape {v.shape}, truth {t.shape}; both must be one [z, y, x].")
    if not np.any(t):
        raise BadInput("error against truth: the truth is zero everywhere; choose an element that is in the specimen.")
    edge = [min(margin_px + int(np.ceil(max_shift_px)), (n - 1) // 2) for n in t.shape]
    inner = tuple(slice(e, n - e) for e, n in zip(edge, t.shape, strict=True))
    best = _displacement(v, t, max_shift_px) if max_shift_px > 0 else np.zeros(3)
    # The truth is moved, and by Fourier's theorem: linear interpolation would smooth either and flatter half shifts.
    a, b = v[inner], _moved(t, -best)[inner]
    error, scale = _residual(a, b)
    flat = float(a.std() * b.std())
    correlation = float(((a - a.mean()) * (b - b.mean())).mean() / flat) if flat > 0 else 0.0
    return ErrorAgainstTruth(
        error, _error_sigma(a, b, scale), correlation, scale, (float(best[0]), float(best[1]), float(best[2]))
    )


def _residual(volume: Float, truth: Float) -> tuple[float, float]:
    norm, power = float((truth**2).sum()), float((volume**2).sum())
    if norm <= 0:
        return float("inf"), 0.0
    if power <= 0:
        return 1.0, 0.0
    scale = float((volume * truth).sum()) / power
    return float(np.sqrt(((scale * volume - truth) ** 2).sum() / norm)), scale


def _error_sigma(volume: Float, truth: Float, scale: float, blocks: int = 8) -> float:
    """Jackknife over blocks of slices, as |scale * volume - truth| / |truth| is a ratio of sums over slices."""
    wrong = ((scale * volume - truth) ** 2).sum(axis=(0, 1))
    right = (truth**2).sum(axis=(0, 1))
    parts = np.array_split(np.arange(wrong.size), min(blocks, wrong.size))
    sums = np.array([(wrong[part].sum(), right[part].sum()) for part in parts])
    rest = sums.sum(axis=0) - sums
    if len(parts) < 2 or rest[:, 1].min() <= 0:
        return float("nan")
    without = np.sqrt(rest[:, 0] / rest[:, 1])
    return float(np.sqrt((len(parts) - 1) * np.square(without - without.mean()).mean()))


def _displacement(volume: Float, truth: Float, limit: float) -> Float:
    """What the volume must be moved by for the highest correlation within `limit`: whole pixels, then the correlation's
    trigonometric interpolation on ever finer 3 x 3 x 3 points, a paraboloid through each."""
    spectrum = np.conj(np.fft.fftn(volume)) * np.fft.fftn(truth)
    correlation = np.real(np.fft.ifftn(spectrum))
    reach = int(np.floor(limit))
    axes = [np.arange(-reach, reach + 1) for _ in range(3)]
    near = correlation[np.ix_(*axes)]
    top = np.unravel_index(int(np.argmax(near)), near.shape)
    place = np.array([float(a[i]) for a, i in zip(axes, top, strict=True)])
    steps = np.array([-1.0, 0.0, 1.0])
    zyx = np.array([(z, y, x) for z in steps for y in steps for x in steps])
    terms = [np.ones(27), *zyx.T, *(zyx.T**2), zyx[:, 0] * zyx[:, 1], zyx[:, 0] * zyx[:, 2], zyx[:, 1] * zyx[:, 2]]
    design = np.linalg.pinv(np.stack(terms, axis=1))
    for step in (0.7, 0.3, 0.1):
        z, y, x = (
            np.exp(2j * np.pi * np.outer(place[k] + step * steps, np.fft.fftfreq(n))) for k, n in enumerate(truth.shape)
        )
        values = np.einsum("ijk,ck->ijc", spectrum, x)
        values = np.real(np.einsum("bj,ai,ijc->abc", y, z, values, optimize=True))
        c = design @ values.ravel()
        bend = np.array([[2 * c[4], c[7], c[8]], [c[7], 2 * c[5], c[9]], [c[8], c[9], 2 * c[6]]])
        if np.linalg.eigvalsh(bend).max() >= 0:
            break
        place = place + step * np.clip(np.linalg.solve(bend, -c[1:4]), -1.0, 1.0)
    return np.asarray(np.clip(place, -limit, limit), dtype=np.float64)


def _moved(values: Float, shift_px: Float) -> Float:
    """The volume displaced by fractions of a voxel; what leaves at a face comes back at the other."""
    if not shift_px.any():
        return values
    spectrum = np.fft.rfftn(values)
    for axis, n in enumerate(values.shape):
        frequency = np.fft.rfftfreq(n) if axis == 2 else np.fft.fftfreq(n)
        phase = np.exp(-2j * np.pi * frequency * shift_px[axis])
        spectrum = spectrum * phase.reshape([-1 if k == axis else 1 for k in range(3)])
    return np.fft.irfftn(spectrum, s=values.shape, axes=(0, 1, 2))
