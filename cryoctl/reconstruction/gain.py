"""Yield of the EDX detector tilt by tilt, relative, fitted together with the specimen.

Holder, grid and pole piece shadow the detector at some tilts. With the model y ~ Poisson(g_t (A v)_t + b) volume and
gains are updated in turn: MLEM for v, and for each tilt the same EM step for g_t,

    g_t <- (g_t sum w (A v)_t y / (g_t (A v)_t + b) + k) / (sum w (A v)_t + k),

k pseudo-counts holding tilts with next to no counts at 1. The common factor of g and v is fixed by median(g) = 1 (a
few heavily shadowed tilts don't move it). It is identifiable because a specimen that stays in the field shows the same
total at every tilt; where much material enters the field as it tilts, part of that growth goes into the gain.
Slices are summed into a few groups first: sums of Poisson counts are Poisson counts, nothing is lost for one number a
tilt, and the gains are then fixed, so that slices stay independent of one another.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from cryoctl.reconstruction.mlem import count_ratio, reciprocal, uniform_start
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries

GROUPS = 16
PSEUDO_COUNTS = 10.0
GAIN_RANGE = (0.02, 50.0)


def fit_gain(series: TiltSeries, projector: Projector, iterations: int = 15) -> Stack:
    """Gains [tilt], median 1 over the tilts in use; the gain given in the series is the starting value."""
    data = _grouped(series)
    gain = data.gain.astype(np.float64)
    used = (data.weight > 0).any(axis=(1, 2))
    if not used.any():
        return series.gain
    volume = uniform_start(data, projector)
    for _ in range(iterations):
        projected = projector.forward(volume)
        now = replace(data, gain=gain.astype(np.float32))
        modelled = (now.weight * projected).sum(axis=(1, 2), dtype=np.float64)
        attributed = (now.weight * projected * count_ratio(now, projected)).sum(axis=(1, 2), dtype=np.float64)
        gain = (gain * attributed + PSEUDO_COUNTS) / (modelled + PSEUDO_COUNTS)
        gain = np.clip(np.where(used, gain, 1.0), *GAIN_RANGE)
        middle = float(np.median(gain[used]))
        gain, volume = np.where(used, gain / middle, 1.0), volume * np.float32(middle)
        now = replace(data, gain=gain.astype(np.float32))
        weighted = now.weight * now.gain[:, None, None]
        volume = volume * reciprocal(projector.back(weighted))
        volume = volume * projector.back(weighted * count_ratio(now, projected * np.float32(middle)))
    return gain.astype(np.float32)


def _grouped(series: TiltSeries) -> TiltSeries:
    """Slices summed into at most GROUPS groups; a summed pixel counts only if none of its pixels is masked."""
    n_x = series.counts.shape[2]
    starts = np.unique(np.linspace(0, n_x, min(GROUPS, n_x), endpoint=False).astype(np.int64))
    return TiltSeries(
        np.ascontiguousarray(np.add.reduceat(series.counts, starts, axis=2)),
        np.ascontiguousarray(np.add.reduceat(series.background, starts, axis=2)),
        series.gain,
        np.ascontiguousarray(np.minimum.reduceat(series.weight, starts, axis=2)),
    )
