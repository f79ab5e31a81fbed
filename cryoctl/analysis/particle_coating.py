"""When a coating broke: from its ring around the particle, and from what swells out of it, in each picture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

CLEAR = 6.0
"""Standard deviations of the change at its sector: noise reaches 4.2 over sixty pictures, all sectors and widths."""
GAP = 0.25
"""Part of the ring's brightness that has to be missing in the sector; a ring that only thins loses it all around."""
SWELLING = 0.05
"""Part of the radius by which the outline has to come out in the sector; growth moves it all around."""
OUTLINE_PX = 0.4
"""Standard deviation of an outline's distance in one sector."""
ABRUPT = 0.5
"""Part of the change that has to happen within two pictures' distance of the break."""
WIDTHS = (1, 2, 4, 8, 16)
AROUND = 6
"""Pictures on either side that a change is judged by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Break:
    """Broken between the pictures before `low_s` and `high_s`, `time_s` their middle (NaN with both: intact). At
    `angle_deg` (from +x towards +y), over `width_deg`, the part `missing` of the ring's brightness, or the part
    `swollen` of the radius by which the outline came out; `clear` is the change in standard deviations."""

    time_s: float
    low_s: float
    high_s: float
    angle_deg: float
    width_deg: float
    missing: float
    clear: float
    swollen: float = 0.0


def broken(time_s: npt.ArrayLike, ring: npt.ArrayLike, sigma: npt.ArrayLike) -> Break | None:
    """Look for a lasting gap that opens in a coating's ring.

    `ring` [t, sector] is the brightness over the surroundings, `sigma` its uncertainty (NaN: not seen). Each picture's
    ring is compared with its own median, so that focus, current and a ring that thins evenly as the particle grows do
    not count; of every sector, width and moment the change is held against its noise. None where too little of the
    ring was seen to say anything.
    """
    found = _opened(time_s, ring, sigma, -1.0, GAP)
    return None if found is None else _break(found, missing=found.step)


def swollen(time_s: npt.ArrayLike, outline: npt.ArrayLike) -> Break | None:
    """Look for what comes out of a particle and stays: `outline` [t, sector] is the distance of its outline from its
    middle in pixels (NaN: not seen), compared with its own median in each picture. None as `broken` says."""
    distance = np.asarray(outline, dtype=np.float64)
    found = _opened(time_s, distance, np.where(np.isfinite(distance), OUTLINE_PX, np.nan), 1.0, SWELLING)
    return None if found is None else _break(found, swells=found.step)


@dataclass(frozen=True, slots=True)
class _Opened:
    """The clearest change, with the times on both sides of it; none where `clear` is 0."""

    clear: float = 0.0
    low_s: float = float("nan")
    high_s: float = float("nan")
    angle_deg: float = float("nan")
    width_deg: float = float("nan")
    step: float = 0.0


def _break(found: _Opened, missing: float = 0.0, swells: float = 0.0) -> Break:
    return Break(
        time_s=(found.low_s + found.high_s) / 2,
        low_s=found.low_s,
        high_s=found.high_s,
        angle_deg=found.angle_deg,
        width_deg=found.width_deg,
        missing=missing,
        clear=found.clear,
        swollen=swells,
    )


def _opened(
    time_s: npt.ArrayLike, ring: npt.ArrayLike, sigma: npt.ArrayLike, sign: float, least: float
) -> _Opened | None:
    """The clearest lasting change of one sign, over the median of its picture; None where too little is seen."""
    times, values, sigmas = (np.asarray(one, dtype=np.float64) for one in (time_s, ring, sigma))
    seen = np.isfinite(values).sum(axis=1) >= values.shape[1] / 4 if values.ndim == 2 and values.size else np.zeros(0)
    rows = np.flatnonzero(seen)
    if rows.size < 4:
        return None
    times, values, sigmas = times[rows], values[rows], sigmas[rows]
    middle = np.nanmedian(values, axis=1, keepdims=True)
    if not (middle > 0).all():
        return None
    relative, spread = sign * values / middle, sigmas / middle
    best = _Opened()
    each = 360.0 / values.shape[1]
    for width in WIDTHS:
        mean, deviation = _blurred(relative, spread, width)
        scatter = _scatter(mean, deviation)
        for at in range(2, times.size - 1):
            step, noise = _step(mean, deviation * scatter, at)
            clear = np.where(noise > 0, step / np.maximum(noise, 1e-300), 0.0)
            clear = np.where(step >= least, np.nan_to_num(clear, nan=0.0), 0.0)
            sector = int(clear.argmax())
            if clear[sector] > max(CLEAR, best.clear) and _is_abrupt(mean[:, sector], at):
                best = _Opened(
                    clear=float(clear[sector]),
                    low_s=float(times[at - 1]),
                    high_s=float(times[at]),
                    angle_deg=(sector + width / 2) * each,
                    width_deg=width * each,
                    step=float(step[sector]),
                )
    return best


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
    """Rise of each sector at picture `at` and its sigma: the least rise of the pictures that follow counts, as a gap
    stays open."""
    first, last = slice(max(0, at - AROUND), at), slice(at, min(mean.shape[0], at + AROUND))
    before, after = mean[first].mean(axis=0), mean[last].mean(axis=0)
    later = np.isfinite(mean[at:])
    rest = np.where(later, mean[at:], 0.0).sum(axis=0) / np.maximum(later.sum(axis=0), 1)
    noise = np.hypot(
        np.sqrt((deviation[first] ** 2).sum(axis=0)) / (first.stop - first.start),
        np.sqrt((deviation[last] ** 2).sum(axis=0)) / (last.stop - last.start),
    )
    return np.minimum(after, rest) - before, noise


def _is_abrupt(course: Float, at: int) -> bool:
    before, after = course[max(0, at - AROUND) : at].mean(), course[at : at + AROUND].mean()
    jump = course[at : at + 2].mean() - course[max(0, at - 2) : at].mean()
    return bool(after - before > 0 and jump >= ABRUPT * (after - before))
