"""Where the specimen will appear at the next tilt, and how to focus there, from the tilts seen so far.

A point at (y0, z0) off the tilt axis appears at u = y0 cos a + z0 sin a. What is left is smooth runout of the
goniometer, a part of which differs between the two sides of 0 (hysteresis), and drift, which adds up over time and
more so with large tilts. All of these together are one Gaussian process over (tilt, order), so that a tilt on one side
also hears of the drift met on the other (Rasmussen and Williams, Gaussian Processes for Machine Learning, 2.2 and 2.7).
Pure Python: a few dozen numbers.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

MEMORY = 48
"""Observations that count; older ones say little more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A quantity (m) as it was found at a stage tilt (degrees); in the order of time."""

    tilt_deg: float
    value_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreseen:
    value_m: float
    sigma_m: float
    """One standard deviation, by the model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Model:
    """Standard deviations (m) of what a quantity is made of; `walk_per_deg_m` is drift for a degree tilted."""

    cosine_m: float
    sine_m: float
    smooth_m: float
    side_m: float
    walk_m: float
    walk_per_deg_m: float
    noise_m: float
    offset_m: float = 1e-6
    reach_deg: float = 20.0


_ACROSS = _Model(
    cosine_m=300e-9, sine_m=100e-9, smooth_m=60e-9, side_m=40e-9, walk_m=8e-9, walk_per_deg_m=0.7e-9, noise_m=8e-9
)
_ALONG = _Model(
    cosine_m=0.0, sine_m=50e-9, smooth_m=40e-9, side_m=40e-9, walk_m=8e-9, walk_per_deg_m=0.7e-9, noise_m=8e-9
)
_DEFOCUS = _Model(
    cosine_m=100e-9, sine_m=300e-9, smooth_m=30e-9, side_m=10e-9, walk_m=10e-9, walk_per_deg_m=0.0, noise_m=60e-9
)


def predict_across(seen: Sequence[Seen], tilt_deg: float) -> Foreseen:
    """Displacement across the tilt axis."""
    return _predict(_ACROSS, seen, tilt_deg)


def predict_along(seen: Sequence[Seen], tilt_deg: float) -> Foreseen:
    """Displacement along the tilt axis."""
    return _predict(_ALONG, seen, tilt_deg)


def predict_defocus(seen: Sequence[Seen], tilt_deg: float) -> Foreseen:
    """Defocus: a point off the axis by y0 rises by y0 sin a; found by focusing, good to some 60 nm a time."""
    return _predict(_DEFOCUS, seen, tilt_deg)


def _predict(model: _Model, seen: Sequence[Seen], tilt_deg: float) -> Foreseen:
    if not seen:
        return Foreseen(value_m=0.0, sigma_m=model.offset_m)
    known = seen[-MEMORY:]
    tilts = [one.tilt_deg for one in known] + [tilt_deg]
    walked = _walked(model, tilts)
    count = len(known)
    first = known[0].value_m
    matrix = [[_covariance(model, tilts, walked, i, j) for j in range(i + 1)] for i in range(count)]
    for i in range(count):
        matrix[i][i] += model.noise_m**2
    factor = _cholesky(matrix)
    towards = _forward(factor, [_covariance(model, tilts, walked, count, j) for j in range(count)])
    values = _forward(factor, [one.value_m - first for one in known])
    mean = math.fsum(a * b for a, b in zip(towards, values, strict=True))
    left = _covariance(model, tilts, walked, count, count) - math.fsum(a * a for a in towards)
    return Foreseen(value_m=first + mean, sigma_m=math.sqrt(max(left, 0.0)))


def _walked(model: _Model, tilts_deg: Sequence[float]) -> list[float]:
    """Variance of the drift met up to each observation (m^2)."""
    sums = [0.0]
    for before, after in pairwise(tilts_deg):
        sums.append(sums[-1] + model.walk_m**2 + (model.walk_per_deg_m * (after - before)) ** 2)
    return sums


def _covariance(model: _Model, tilts_deg: Sequence[float], walked: Sequence[float], i: int, j: int) -> float:
    a, b = math.radians(tilts_deg[i]), math.radians(tilts_deg[j])
    near = math.exp(-(((tilts_deg[i] - tilts_deg[j]) / model.reach_deg) ** 2) / 2)
    one_side = 1.0 if a * b > 0.0 else 0.0
    return (
        model.offset_m**2
        + model.cosine_m**2 * (math.cos(a) - 1) * (math.cos(b) - 1)
        + model.sine_m**2 * math.sin(a) * math.sin(b)
        + near * (model.smooth_m**2 + one_side * model.side_m**2)
        + walked[min(i, j)]
    )


def _cholesky(lower: Sequence[Sequence[float]]) -> list[list[float]]:
    """L of a positive definite matrix given by its lower triangle."""
    factor: list[list[float]] = []
    for i, line in enumerate(lower):
        row: list[float] = []
        for j in range(i):
            other = factor[j]
            row.append((line[j] - sum(map(_product, row, other))) / other[j])
        row.append(math.sqrt(line[i] - sum(value * value for value in row)))
        factor.append(row)
    return factor


def _forward(factor: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    found: list[float] = []
    for line, value in zip(factor, right, strict=True):
        found.append((value - sum(map(_product, line, found))) / line[len(found)])
    return found


def _product(a: float, b: float) -> float:
    return a * b
