"""The four algorithms behind one set of settings, for this process and for the workers of a cluster alike."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Literal, get_args

from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.mlem import Step, mlem
from cryoctl.reconstruction.osem import osem
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries
from cryoctl.reconstruction.sirt import sirt
from cryoctl.reconstruction.stopping import Fold, errors_by_iteration, prediction_error
from cryoctl.reconstruction.wbp import wbp

Algorithm = Literal["mlem", "osem", "sirt", "wbp"]
ALGORITHMS: tuple[str, ...] = get_args(Algorithm)


@dataclass(frozen=True)
class Settings:
    """All that a worker must know beside the data."""

    algorithm: str
    geometry: TiltGeometry
    subsets: int | None
    non_negative: bool
    threads: int | None


def volume_of(settings: Settings, series: TiltSeries, stop: float) -> Stack:
    """The volume after `stop` iterations, or of WBP at the cut-off `stop`."""
    if settings.algorithm == "wbp":
        return wbp(series, Projector(settings.geometry, settings.threads), stop)
    return iterate(settings, series, int(stop), None)[1]


def steps(settings: Settings, series: TiltSeries) -> Iterator[Step]:
    """The chosen iterative algorithm, one Step an iteration."""
    projector = Projector(settings.geometry, settings.threads)
    if settings.algorithm == "mlem":
        return mlem(series, projector)
    if settings.algorithm == "osem":
        return osem(series, projector, settings.subsets)
    return sirt(series, projector, settings.non_negative)


def iteration_errors(settings: Settings, folds: list[Fold]) -> Iterator[float]:
    """Held-out error of iterations 1, 2, ... for ever."""
    return errors_by_iteration(folds, partial(steps, settings))


def held_out_errors(settings: Settings, folds: list[Fold], candidates: list[float]) -> list[float]:
    """Held-out error of each candidate cut-off, or of iterations 1, 2, ... up to the number of candidates."""
    if settings.algorithm != "wbp":
        return list(islice(iteration_errors(settings, folds), len(candidates)))
    projector = Projector(settings.geometry, settings.threads)
    return [
        sum(prediction_error(f.test, projector.forward(wbp(f.train, projector, c))) for f in folds) for c in candidates
    ]


def iterate(
    settings: Settings, series: TiltSeries, wanted: int, see: Callable[[Step], bool | None] | None
) -> tuple[int, Stack]:
    """Number of iterations done and the volume; `see` ends the run early by returning True."""
    for step in steps(settings, series):
        if (see is not None and see(step)) or step.iteration >= wanted:
            return step.iteration, step.volume
    raise AssertionError("an algorithm ended by itself")
