"""One call for every algorithm: `reconstruct`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.reconstruction.cluster import Farm
from cryoctl.reconstruction.gain import fit_gain
from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.methods import ALGORITHMS, Settings, held_out_errors, iterate, iteration_errors, volume_of
from cryoctl.reconstruction.mlem import Step
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import Stack, TiltSeries, tilt_series
from cryoctl.reconstruction.stopping import (
    Fold,
    StopChoice,
    best_of,
    first_minimum,
    held_out_tilts,
    parts_of_scan_frames,
    thinned,
    whole_counts,
)
from cryoctl.reconstruction.wbp import CUTOFFS

MAX_ITERATIONS = 300


@dataclass(frozen=True)
class Reconstruction:
    """A volume and how it came about.

    volume: float32 [z, y, x], counts a voxel and tilt at gain 1. iterations: 0 for WBP. cutoff: Hann cut-off in Nyquist
    frequencies, None but for WBP. stop_rule: sentence. curve: (iteration or cut-off, held-out error), empty if the stop
    was given. gain: float32 [tilt] as used.
    """

    volume: Stack
    algorithm: str
    iterations: int
    cutoff: float | None
    stop_rule: str
    curve: tuple[tuple[float, float], ...]
    gain: Stack


def reconstruct(
    projections: npt.ArrayLike,
    tilt_deg: npt.ArrayLike,
    *,
    algorithm: str = "mlem",
    iterations: int | None = None,
    cutoff: float | None = None,
    background: npt.ArrayLike | None = None,
    gain: npt.ArrayLike | Literal["fit"] | None = None,
    weight: npt.ArrayLike | None = None,
    halves: npt.ArrayLike | None = None,
    half_shares: npt.ArrayLike | None = None,
    thickness_px: int | None = None,
    shift_y_px: npt.ArrayLike | None = None,
    subsets: int | None = None,
    non_negative: bool = True,
    max_iterations: int = MAX_ITERATIONS,
    seed: int = 0,
    threads: int | None = None,
    scheduler: str | None = None,
    on_iteration: Callable[[Step], bool | None] | None = None,
) -> Reconstruction:
    """Reconstruct projections [tilt, y, x] at `tilt_deg` into a volume [z, y, x].

    algorithm: mlem, osem, sirt or wbp. iterations (cutoff for wbp): if None, found by `stopping`: from `halves`
    [part, tilt, y, x] (counts of even and odd scan frames; `half_shares`: their part of the exposure), else from
    counts thinned with `seed`, else (no whole counts) from held-out tilts.
    background: expected counts a pixel that are not the element's. gain: one a tilt, or "fit". weight: 0 masks pixels
    or tilts. thickness_px: height of the volume (default: the images' height). shift_y_px: displacement of each image
    along y. non_negative: for sirt. scheduler: address of a dask scheduler over which slices are spread; the result is
    the same. on_iteration: sees each Step of the final run (not with a scheduler), ends it by returning True.
    Raises BadInput for anything that does not fit, and if a scheduler is asked for without the `cluster` extra.
    """
    if algorithm not in ALGORITHMS:
        raise BadInput(f"algorithm: {algorithm!r} is unknown; choose one of {', '.join(ALGORITHMS)}")
    for name, value in (("iterations", iterations), ("max_iterations", max_iterations), ("subsets", subsets)):
        if value is not None and value < 1:
            raise BadInput(f"{name}: {value} is not allowed, at least 1 is needed")
    series = tilt_series(projections, background, None if isinstance(gain, str) else gain, weight)
    geometry = _geometry(series, tilt_deg, thickness_px, shift_y_px)
    projector = Projector(geometry, threads)
    if isinstance(gain, str):
        if gain != "fit":
            raise BadInput(f"gain: {gain!r} is unknown; give 'fit', one number, or one number a tilt")
        series = tilt_series(projections, background, fit_gain(series, projector), weight)
    settings = Settings(algorithm, geometry, subsets, non_negative, threads)
    given = cutoff if algorithm == "wbp" else iterations
    choice: StopChoice | None = None
    rule = "given"
    with Farm(scheduler) if scheduler is not None else nullcontext() as farm:
        if given is None:
            folds, rule = _folds(series, tilt_deg, halves, half_shares, seed)
            choice = _choose(settings, folds, max_iterations, farm)
            rule += ": least held-out squared error" + (" not yet reached at the most allowed" if choice.open else "")
        stop = float(given if given is not None else choice.best if choice else 1)
        if farm is not None:
            done, volume = stop, farm.volume(settings, series, stop)
        elif algorithm == "wbp":
            done, volume = stop, volume_of(settings, series, stop)
        else:
            done, volume = iterate(settings, series, int(stop), on_iteration)
            rule += f"; ended by the caller before {stop:g}" if done < stop else ""
    curve = choice.curve if choice else ()
    if algorithm == "wbp":
        return Reconstruction(volume, algorithm, 0, stop, rule, curve, series.gain)
    return Reconstruction(volume, algorithm, int(done), None, rule, curve, series.gain)


def _choose(settings: Settings, folds: list[Fold], most: int, farm: Farm | None) -> StopChoice:
    if settings.algorithm == "wbp":
        errors = (farm.errors if farm else held_out_errors)(settings, folds, list(CUTOFFS))
        choice = best_of(CUTOFFS, errors)
    elif farm:
        choice = farm.first_minimum(settings, folds, most)
    else:
        choice = first_minimum(iteration_errors(settings, folds), most)
    pixels = max(sum(float(f.test.weight.sum(dtype=np.float64)) for f in folds), 1e-20)
    return replace(choice, curve=tuple((c, e / pixels) for c, e in choice.curve))


def _geometry(
    series: TiltSeries, tilt_deg: npt.ArrayLike, thickness_px: int | None, shift_y_px: npt.ArrayLike | None
) -> TiltGeometry:
    n_tilts, n_rows, _ = series.counts.shape
    angles = np.atleast_1d(np.asarray(tilt_deg, np.float64))
    if angles.shape != (n_tilts,):
        raise BadInput(f"tilt_deg: {angles.size} angles for {n_tilts} projections; give one angle a projection")
    shifts = () if shift_y_px is None else tuple(float(s) for s in np.atleast_1d(np.asarray(shift_y_px, np.float64)))
    return TiltGeometry(
        tuple(float(a) for a in angles), n_rows, n_rows if thickness_px is None else thickness_px, n_rows, shifts
    )


def _folds(
    series: TiltSeries,
    tilt_deg: npt.ArrayLike,
    halves: npt.ArrayLike | None,
    shares: npt.ArrayLike | None,
    seed: int,
) -> tuple[list[Fold], str]:
    if halves is not None:
        return parts_of_scan_frames(series, halves, shares), "half data by scan frames"
    if whole_counts(series.counts):
        return thinned(series, seed), f"half data by thinning with seed {seed}"
    if series.counts.shape[0] < 2:
        raise BadInput("iterations: not given, and one projection of no whole counts can't be split; give iterations")
    return held_out_tilts(series, tilt_deg), "every fifth tilt held out"
