"""MLEM by ordered subsets of tilts: each update uses a few tilts spread over the range (Hudson and Larkin 1994)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from cryoctl.reconstruction.mlem import Step, count_ratio, reciprocal, uniform_start
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries

TILTS_A_SUBSET = 12


def tilt_subsets(tilt_deg: tuple[float, ...], subsets: int | None = None) -> list[tuple[int, ...]]:
    """Indices of each subset: every n-th tilt in order of angle, whatever the order of acquisition."""
    order = np.argsort(np.asarray(tilt_deg), kind="stable")
    number = subsets or max(1, len(tilt_deg) // TILTS_A_SUBSET)
    number = min(number, len(tilt_deg))
    return [tuple(int(i) for i in sorted(order[k::number])) for k in range(number)]


def osem(
    series: TiltSeries, projector: Projector, subsets: int | None = None, start: Stack | None = None
) -> Iterator[Step]:
    """Yield one Step a pass over all subsets, for ever. One subset is MLEM; with several the limit is a small cycle."""
    parts: list[tuple[Projector, TiltSeries, Stack, Stack]] = []
    for indices in tilt_subsets(projector.geometry.tilt_deg, subsets):
        part, data = projector.of_tilts(indices), series.of_tilts(indices)
        weighted_gain = data.weight * data.gain[:, None, None]
        parts.append((part, data, weighted_gain, part.back(weighted_gain)))
    volume = uniform_start(series, projector) if start is None else np.array(start, np.float32)
    iteration = 0
    while True:
        iteration += 1
        for part, data, weighted_gain, sensitivity in parts:
            update = part.back(weighted_gain * count_ratio(data, part.forward(volume))) * reciprocal(sensitivity)
            # a voxel that this subset does not see keeps its value
            volume = volume * np.where(sensitivity > 0, update, np.float32(1.0))
        yield Step(iteration, volume, projector.forward(volume))
