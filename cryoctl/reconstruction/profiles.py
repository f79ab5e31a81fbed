"""Displacement between profiles along the tilt axis."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

Array = npt.NDArray[np.float64]


def profile_displacement(reference: Array, profile: Array, most: float | None = None) -> float:
    """How far the profile's content lies towards higher index than the reference's, in samples.

    Cross-correlation of what varies over a few samples, its peak refined by a parabola. most: largest displacement
    looked for (default: a quarter of the length).
    """
    size = reference.size
    reach = int(size // 4 if most is None else min(most, size // 2))
    a, b = (_without_slow_part(p) for p in (reference, profile))
    padded = 2 * size
    correlation = np.fft.irfft(np.fft.rfft(b, padded) * np.conj(np.fft.rfft(a, padded)), padded)
    lags = np.arange(-reach, reach + 1)
    values = correlation[lags]
    k = int(np.argmax(values))
    if k in (0, lags.size - 1):
        return float(lags[k])
    below, at, above = values[k - 1 : k + 2]
    bend = below - 2 * at + above
    return float(lags[k] + (0.5 * (below - above) / bend if bend < 0 else 0.0))


def _without_slow_part(profile: Array) -> Array:
    """Features of one to a few samples: what a uniform wire lacks and its marks have."""
    band = gaussian_filter1d(profile, 0.8, mode="nearest") - gaussian_filter1d(profile, 4.0, mode="nearest")
    taper = np.clip(8 * np.hanning(profile.size + 2)[1:-1], 0, 1)
    return np.asarray(band * taper, np.float64)


def common_displacements(profiles: Array, most: float = 2.0, rounds: int = 8) -> Array:
    """Displacement of each profile [tilt, x] from the others, median 0: each against the mean of the rest, in turn.

    most: largest displacement looked for in a round; beyond it a uniform wire offers false matches."""
    samples = np.arange(profiles.shape[1], dtype=np.float64)
    found = np.zeros(profiles.shape[0])
    for _ in range(rounds):
        aligned = np.array([np.interp(samples + d, samples, p) for d, p in zip(found, profiles, strict=True)])
        total = aligned.sum(axis=0)
        step = np.array([profile_displacement((total - p) / max(len(profiles) - 1, 1), p, most) for p in aligned])
        found += step - float(np.median(step))
        if np.abs(step).max() < 0.01:
            break
    return found
