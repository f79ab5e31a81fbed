"""Simultaneous iterative reconstruction: least squares weighted by ray and voxel sums (Gilbert 1972).

v <- v + C A^T(w R (y - b - g A v)) with R = 1 / (g A 1) and C = 1 / A^T(w g), written so that gains cancel in R. The
background is subtracted; every pixel weighs alike, whatever its counts.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryoctl.reconstruction.mlem import Step, reciprocal
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries


def sirt(
    series: TiltSeries, projector: Projector, non_negative: bool = True, start: Stack | None = None
) -> Iterator[Step]:
    """Yield one Step an iteration, for ever. `non_negative` sets negative voxels to 0 after each update."""
    g = projector.geometry
    shape = (g.n_z, g.n_y, series.counts.shape[2])
    rays = series.weight * reciprocal(projector.forward(np.ones(shape, np.float32)))
    voxels = reciprocal(projector.back(series.weight * series.gain[:, None, None]))
    volume = np.zeros(shape, np.float32) if start is None else np.array(start, np.float32)
    projected = projector.forward(volume)
    iteration = 0
    while True:
        iteration += 1
        volume = volume + voxels * projector.back(rays * (series.counts - series.expected(projected)))
        if non_negative:
            volume = np.maximum(volume, np.float32(0.0))
        projected = projector.forward(volume)
        yield Step(iteration, volume, projected)
