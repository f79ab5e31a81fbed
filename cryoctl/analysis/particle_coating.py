"""When a coating broke, from the brightness of its ring around the particle in each picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

CLEAR = 6.0
"""Standard deviations of the change at its sector: noise reaches 4.2 over sixty pictures, all sectors and widths."""
GAP = 0.25
"""Part of the ring's brightness that has to be missing in the sector; a ring that only thins loses it all around."""
ABRUPT = 0.5
"""Part of the change that has to happen within two pictures' distance of the break."""
WIDTHS = (1, 2, 4, 8, 16)
AROUND = 6
"""Pictures on either side that a change is judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Broken between the pictures before `low_s` and `high_s`, `time_s` their middle (NaN with both: intact). At
    `angle_deg` (from +x towards +y), over `width_deg`, the part `missing` of the ring's brightness; `clear` is the
    change in standard deviations."""

    time_s: float
    low_s: float
    high_s: float
    angle_deg: float
    width_deg: float
    missing: float
    clear: float


def broken(time_s: npt.ArrayLike, ring: npt.ArrayLike, sigma: npt.ArrayLike) -> Break | None:
    """Look for a lasting gap that opens in a coating's ring.

    `ring` [t, sector] is the brightness over the surroundings, `sigma` its uncertainty (NaN: not seen). Each picture's
    ring is compared with its own median, so that focus, current and a ring that thins evenly as the particle grows do
    not count; of every sector, width and moment the change is held against its noise. None where too little of the
    ring was seen to say anything.
    """
    times, values, sigmas = (np.asarray(one, dtype=np.float64) for one in (time_s, ring, sigma))
    seen = np.isfinite(values).sum(axis=1) >= values.shape[1] / 4 if values.ndim == 2 and values.size else np.zeros(0)
    rows = np.flatnonzero(seen)
    if rows.size < 4:
        return None
    times, values, sigmas = times[rows], values[rows], sigmas[rows]
    middle = np.nanmedian(values, axis=1, keepdims=True)
    if not (middle > 0).all():
        return None
    relative, spread = values / middle, sigmas / middle
    best: tuple[float, int, int, int, float] | None = None
    for width in WIDTHS:
        mean, deviation = _blurred(relative, spread, width)
        scatter = _scatter(mean, deviation)
        for at in range(2, times.size - 1):
            step, noise = _step(mean, deviation * scatter, at)
            clear = np.where(noise > 0, step / np.maximum(noise, 1e-300), 0.0)
            clear = np.where(step >= GAP, np.nan_to_num(clear, nan=0.0), 0.0)
            sector = int(clear.argmax())
            if clear[sector] > CLEAR and _is_abrupt(mean[:, sector], at) and (best is None or clear[sector] > best[0]):
                best = (float(clear[sector]), at, sector, width, float(step[sector]))
    if best is None:
        nothing = float("nan")
        return Break(
            time_s=nothing,
            low_s=nothing,
            high_s=nothing,
            angle_deg=nothing,
            width_deg=nothing,
            missing=0.0,
            clear=0.0,
        )
    clear_by, at, sector, width, missing = best
    each = 360.0 / values.shape[1]
    return Break(
        time_s=float(times[at - 1] + times[at]) / 2,
        low_s=float(times[at - 1]),
        high_s=float(times[at]),
        angle_deg=(sector + width / 2) * each,
        width_deg=width * each,
        missing=missing,
        clear=clear_by,
    )


def _blurred(relative: Float, spread: Float, width: int) -> tuple[Float, Float]:
    """Mean and sigma over `width` sectors from each on, around the circle; NaN where less than all was seen."""
    shifted = [np.roll(relative, -k, axis=1) for k in range(width)]
    noise = [np.roll(spread, -k, axis=1) ** 2 for k in range(width)]
    return np.mean(shifted, axis=0), np.sqrt(np.sum(noise, axis=0)) / width


def _scatter(mean: Float, deviation: Float) -> float:
    """How much more neighbouring pictures differ than the sigmas say; at least 1."""
    difference = np.diff(mean, axis=0) / np.maximum(np.hypot(deviation[1:], deviation[:-1]), 1e-300)
    known = difference[np.isfinite(difference)]
    return max(1.0, 1.4826 * float(np.median(np.abs(known)))) if known.size else 1.0


def _step(mean: Float, deviation: Float, at: int) -> tuple[Float, Float]:
    """Fall of each sector at picture `at` and its sigma: the least fall of the pictures that follow counts, as a gap
    stays open."""
    first, last = slice(max(0, at - AROUND), at), slice(at, min(mean.shape[0], at + AROUND))
    before, after = mean[first].mean(axis=0), mean[last].mean(axis=0)
    rest = mean[at:].mean(axis=0)
    noise = np.hypot(
        np.sqrt((deviation[first] ** 2).sum(axis=0)) / (first.stop - first.start),
        np.sqrt((deviation[last] ** 2).sum(axis=0)) / (last.stop - last.start),
    )
    return before - np.maximum(after, rest), noise


def _is_abrupt(course: Float, at: int) -> bool:
    before, after = course[max(0, at - AROUND) : at].mean(), course[at : at + AROUND].mean()
    jump = course[max(0, at - 2) : at].mean() - course[at : at + 2].mean()
    return bool(before - after > 0 and jump >= ABRUPT * (before - after))
