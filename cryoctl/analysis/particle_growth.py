"""How far and how fast a particle grew: expansion, rate and their 95 % intervals from areas against time."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float = npt.NDArray[np.float64]

LAST_SHARE = 0.15
BETWEEN = 0.25
"""Relative standard deviation of the half time where the pictures are as far apart as that; it goes with the square of
their distance, as the bend of a course between two pictures does."""
DRAWS = 100
HALF = 1.96
CHANGED = 0.1
"""Growth from which on what neighbours hide is another part of the particle than at first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """`expansion` is final area over that before the onset, `rate_per_s` the mean slope of A/A0 from the onset to half
    of the final expansion (over all pictures where nothing grew beyond its noise), each with its 95 % interval.
    `area0` and its sigma are in the unit of the areas."""

    area0: float
    area0_sigma: float
    expansion: float
    expansion_low: float
    expansion_high: float
    rate_per_s: float
    rate_low: float
    rate_high: float
    half_s: float


def growth(
    time_s: npt.ArrayLike,
    area: npt.ArrayLike,
    sigma: npt.ArrayLike,
    onset_s: float,
    edge: float = 0.0,
    hidden: float = 0.0,
) -> Growth | None:
    """Growth of one particle from areas [t] with sigmas [t] (NaN: not measured).

    A0 is the weighted mean up to the onset (of the first picture where none is before it). The final area is the end
    of a line through the last pictures, or their mean where the line's slope says nothing. Sigmas are widened where
    the areas scatter more than they say. Intervals by redrawing the areas from their sigmas; what is common to all
    pictures is added: `edge`, how well the edge's place is known (a length in the unit of the areas' root), which
    nearly cancels in a ratio, and `hidden`, the relative sigma of each area for what neighbours hide, which does not as
    the outline changes. None with fewer than two pictures, or none after the onset.
    """
    times, areas, sigmas = (np.asarray(values, dtype=np.float64) for values in (time_s, area, sigma))
    good = np.isfinite(times) & np.isfinite(areas) & np.isfinite(sigmas) & (areas > 0)
    times, areas, sigmas = times[good], areas[good], sigmas[good]
    if times.size < 2:
        return None
    before = times <= onset_s
    if not before.any():
        before[0] = True
    if (~before).sum() < 1:
        return None
    sigmas = np.maximum(sigmas, 1e-9 * areas) * _widening(areas, sigmas)
    found = _once(times, areas, sigmas, before, onset_s)
    generator = np.random.default_rng(0)
    drawn = [
        _once(times, areas + sigmas * generator.standard_normal(areas.size), sigmas, before, onset_s, found.grew)
        for _ in range(DRAWS)
    ]
    expansions = np.array([one.expansion for one in drawn])
    rates = np.array([one.rate for one in drawn])
    radius = np.sqrt(found.area0 / np.pi)
    by_edge = 2 * edge * abs(1 / radius - 1 / (radius * np.sqrt(max(found.expansion, 1e-6)))) * found.expansion
    changed = min(1.0, abs(found.expansion - 1) / CHANGED)
    common = float(np.hypot(by_edge, changed * np.sqrt(2) * hidden * found.expansion))
    wide = HALF * float(np.hypot(expansions.std(), common))
    relative = np.hypot(common / abs(found.expansion - 1), found.between) if found.grew else 0.0
    wide_rate = HALF * float(np.hypot(np.nanstd(rates), relative * found.rate))
    return Growth(
        area0=found.area0,
        area0_sigma=float(1 / np.sqrt((1 / sigmas[before] ** 2).sum())),
        expansion=found.expansion,
        expansion_low=found.expansion - wide,
        expansion_high=found.expansion + wide,
        rate_per_s=found.rate,
        rate_low=found.rate - wide_rate,
        rate_high=found.rate + wide_rate,
        half_s=found.half_s,
    )


@dataclass(frozen=True, slots=True)
class _Found:
    area0: float
    expansion: float
    rate: float
    half_s: float
    grew: bool
    between: float = 0.0
    """Relative uncertainty of the half time by where it lies between two pictures."""


def _widening(areas: Float, sigmas: Float) -> float:
    """How much more neighbouring pictures' areas scatter about a smooth course than their sigmas say; at least 1."""
    if areas.size < 6:
        return 1.0
    bend = areas[:-2] - 2 * areas[1:-1] + areas[2:]
    expected = np.sqrt(sigmas[:-2] ** 2 + 4 * sigmas[1:-1] ** 2 + sigmas[2:] ** 2)
    return max(1.0, 1.4826 * float(np.median(np.abs(bend / np.maximum(expected, 1e-300)))))


def _once(
    times: Float, areas: Float, sigmas: Float, before: npt.NDArray[np.bool_], onset_s: float, grew: bool | None = None
) -> _Found:
    weight = 1 / sigmas**2
    area0 = float((areas * weight)[before].sum() / weight[before].sum())
    ratio, spread = areas / area0, sigmas / area0
    after = np.flatnonzero(~before)
    last = after[-max(min(3, after.size), round(LAST_SHARE * after.size)) :]
    expansion, sigma = _end(times[last], ratio[last], spread[last])
    beyond = abs(expansion - 1) > 4 * np.hypot(sigma, 1 / np.sqrt(weight[before].sum()) / area0)
    grown = beyond if grew is None else grew
    if not grown:
        slope = _slope(np.append(onset_s, times[after]), np.append(1.0, ratio[after]), np.append(sigma, spread[after]))
        return _Found(area0, expansion, slope, float("nan"), False)
    whole = expansion - 1
    since, risen = times[after] - onset_s, (ratio[after] - 1) / whole
    half_s = _half_time(since, risen, spread[after] / abs(whole))
    if not half_s > 0:
        return _Found(area0, expansion, float("nan"), half_s, True)
    next_to = np.append(0.0, since)
    k = int(np.clip(np.searchsorted(next_to, half_s), 1, next_to.size - 1))
    between = BETWEEN * (float(next_to[k] - next_to[k - 1]) / half_s) ** 2
    return _Found(area0, expansion, whole / 2 / half_s, half_s, True, between)


def _end(times: Float, ratio: Float, spread: Float) -> tuple[float, float]:
    """Value at the last time with its sigma: of a line where its slope is clear, else the mean."""
    weight = 1 / spread**2
    mean, sigma = float((ratio * weight).sum() / weight.sum()), float(1 / np.sqrt(weight.sum()))
    if times.size < 4:
        return mean, sigma
    middle = float((times * weight).sum() / weight.sum())
    lever = float((weight * (times - middle) ** 2).sum())
    if lever <= 0:
        return mean, sigma
    slope = float((weight * (times - middle) * ratio).sum()) / lever
    if abs(slope) < 2 / np.sqrt(lever):
        return mean, sigma
    arm = float(times[-1]) - middle
    return mean + slope * arm, float(np.hypot(sigma, arm / np.sqrt(lever)))


def _slope(times: Float, ratio: Float, spread: Float) -> float:
    weight = 1 / spread**2
    middle = (times * weight).sum() / weight.sum()
    lever = float((weight * (times - middle) ** 2).sum())
    return float((weight * (times - middle) * ratio).sum()) / lever if lever > 0 else float("nan")


def _half_time(times: Float, risen: Float, spread: Float) -> float:
    """Time after the onset at which half of the growth is reached: the crossing of a parabola through the pictures
    around it and the onset itself, of a line where they are few."""
    t = np.append(0.0, times)
    y = np.append(0.0, risen)
    s = np.append(float(np.median(spread)), spread)
    calm = np.array([float(np.median(y[max(0, i - 1) : i + 2])) for i in range(y.size)])
    over = np.flatnonzero(calm >= 0.5)
    at = int(over[0]) if over.size else y.size - 1
    first, end = at, at
    while first > 0 and calm[first - 1] > 0.15:
        first -= 1
    while end + 1 < y.size and calm[end + 1] < 0.85:
        end += 1
    first, end = max(0, min(first, at - 2)), min(y.size - 1, max(end, at + 1))
    near = slice(first, end + 1)
    degree = min(3, max(1, (end - first + 1) // 2 - 1))
    if end - first < 1:
        return float(t[at]) if t[at] > 0 else float("nan")
    coefficients = np.polyfit(t[near], y[near] - 0.5, degree, w=1 / s[near])
    roots = [float(r.real) for r in np.roots(coefficients) if abs(r.imag) < 1e-9 and t[first] <= r.real <= t[end]]
    if roots:
        return min(roots, key=lambda r: abs(r - float(t[at])))
    if at == 0:
        return float("nan")
    low, high = y[at - 1], y[at]
    share = (0.5 - low) / (high - low) if high > low else 1.0
    return float(t[at - 1] + np.clip(share, 0.0, 1.0) * (t[at] - t[at - 1]))
