"""Maximum likelihood by expectation maximisation for Poisson counts, the background inside the model.

v <- v / A^T(w g) * A^T(w g y / (g A v + b))   (Shepp and Vardi 1982; Lange and Carson 1984; background as in Politte
and Snyder 1991). The likelihood never falls; without background the modelled counts equal the measured ones after each
step.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries


@dataclass(frozen=True)
class Step:
    """State after an iteration: volume [z, y, x] and A v [tilt, y, x] (without gain and background)."""

    iteration: int
    volume: Stack
    projected: Stack


def mlem(series: TiltSeries, projector: Projector, start: Stack | None = None) -> Iterator[Step]:
    """Yield one Step an iteration, for ever; stop by not asking on."""
    weighted_gain = series.weight * series.gain[:, None, None]
    sensitivity = projector.back(weighted_gain)
    volume = uniform_start(series, projector) if start is None else np.array(start, np.float32)
    inverse = reciprocal(sensitivity)
    projected = projector.forward(volume)
    iteration = 0
    while True:
        iteration += 1
        volume = volume * inverse * projector.back(weighted_gain * count_ratio(series, projected))
        projected = projector.forward(volume)
        yield Step(iteration, volume, projected)


def count_ratio(series: TiltSeries, projected: Stack) -> Stack:
    """Measured over expected counts; 0 where nothing is expected (and MLEM can put nothing)."""
    expected = series.expected(projected)
    ratio = np.zeros_like(expected)
    np.divide(np.maximum(series.counts, 0.0), expected, out=ratio, where=expected > 1e-20)
    return ratio


def reciprocal(values: Stack) -> Stack:
    """1 / values, 0 where they vanish beside the largest of their slice (voxels that no ray meets stay 0)."""
    out = np.zeros_like(values)
    floor = np.maximum(1e-4 * values.max(axis=(0, 1), keepdims=True), 1e-20)
    np.divide(np.float32(1.0), values, out=out, where=values > floor)
    return out


def uniform_start(series: TiltSeries, projector: Projector) -> Stack:
    """A constant in each slice whose projections hold as many counts as the data above background (at least a trace).

    Slice by slice, so that a slice's result does not depend on its neighbours.
    """
    g = projector.geometry
    ones = np.ones((g.n_z, g.n_y, series.counts.shape[2]), np.float32)
    seen = _sums(series.weight * series.gain[:, None, None] * projector.forward(ones))
    above, total = _sums(series.weight * series.signal), _sums(series.weight * series.counts)
    level = np.maximum(np.maximum(above, 1e-3 * total), 0.0) / np.maximum(seen, 1e-20)
    return ones * level.astype(np.float32)


def _sums(values: Stack) -> npt.NDArray[np.float64]:
    return np.asarray(values.sum(axis=(0, 1), dtype=np.float64))
