"""The end of a run: net counts, alignment and first results from the durable frames, handed to the writer as arrays.

It reads journal and segments, never what the runner still has in memory, so that `recover` can do the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.analysis.needle_view import Side
from cryoctl.analysis.scan_frames import registered_image
from cryoctl.engine.edx_counts import EdxCounts, count_elements
from cryoctl.engine.particle_results import particle_results
from cryoctl.engine.results import (
    Quoted,
    alignment_of,
    amount_results,
    conclusions_of,
    half_data_results,
    shape_results,
    truth_results,
)
from cryoctl.errors import CryoctlError
from cryoctl.interfaces.medium import REAL_DISK, Medium
from cryoctl.interfaces.truth import MapGrid, TruthSource, VolumeGrid
from cryoctl.reconstruction.align_series import align
from cryoctl.runfile.exposure_table import number as journaled
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import Record, read_journal
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.runfile.writer import pack

Volume = npt.NDArray[np.float32]
Image = npt.NDArray[np.float32]

_LONGEST_UNRECORDED = 128
"""Voxels along the longer side of an area of which only the truth is told, no volume is made."""


@dataclass(slots=True)
class Finished:
    """What was found, and what the summary tells beside what stands in the file: what could not be analysed."""

    results: dict[str, Any] = field(default_factory=dict[str, Any])
    shortfalls: list[str] = field(default_factory=list[str])


@one_blas_thread
def finish(
    run_file: Path,
    parts_folder: Path,
    head: Mapping[str, Any],
    truth: TruthSource | None,
    grid: MapGrid,
    live: Mapping[str, Mapping[str, Volume]],
    remains: Remains | None = None,
    medium: Medium = REAL_DISK,
) -> Finished:
    """Analyse what was recorded and pack the run file.

    An analysis that can't be done (too few tilts, nothing in the field) is told in `shortfalls`; the file is packed
    with what there is.

    Args:
        live: volumes float32 [z, y, x] by target and element.
        remains: of a run that is recovered; `run_file` is then new, the parts are left as they are.
    """
    finished = Finished()
    extras: dict[str, Any] = {}
    told: dict[str, Any] = {}
    parts = RunParts(parts_folder)
    fold = remains.fold if remains is not None else RunFold.of(read_journal(parts.journal))

    def truth_told() -> dict[str, Any]:
        if truth is not None:
            told.update(truth.truth(grid, _box(fold, live)))
        return {f"simulation/{path}": value for path, value in told.items()}

    def measured() -> dict[str, Any]:
        reader = PartsReader(parts, fold)
        try:
            if particles := head.get("particles"):
                return _of_particles(finished, reader, particles["side"])
            series = _series(reader, reader.fold, head)
        finally:
            reader.close()
        extras: dict[str, Any] = {}
        if series.counts is not None:
            extras |= {f"edx/maps/{element}": series.of_all(stack) for element, stack in series.counts.net.items()}
        return extras | _results(finished, series, live, head, told)

    analyses: dict[str, Callable[[], dict[str, Any]]] = {
        "truth": truth_told,
        "live volumes": lambda: _volumes(live, head),
        "analysis": measured,
    }
    for name, analyse in analyses.items():
        try:
            extras |= analyse()
        except Exception as error:  # whatever an analysis meets, the file is packed with what there is
            finished.shortfalls.append(f"{name}: {type(error).__name__}: {' '.join(str(error).split())[:200]}")
    if remains is not None:
        pack(run_file, parts_folder, extras | dict(remains.extras), fold, new=True, medium=medium)
    else:
        pack(run_file, parts_folder, extras, medium=medium)
    return finished


@dataclass(frozen=True, slots=True, kw_only=True)
class Remains:
    """What is left of a run that broke off (`runfile.remains`), and what its file tells beside."""

    fold: RunFold
    extras: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Series:
    """The record frames: one image, tilt, target, dose (e-/m2) and live share each, and what was counted.

    Of a run that has lost the events of some frames it is the others; `frames` are their numbers of `n_frames`.
    """

    images: list[Image]
    tilts_deg: list[float]
    targets: list[str]
    dose_e_per_m2: list[float]
    live: list[float]
    counts: EdxCounts | None
    frames: list[int]
    n_frames: int

    def of_all(self, stack: Volume) -> Volume:
        """Maps [frame, y, x] of all frames, NaN where there are none."""
        if len(self.frames) == self.n_frames:
            return stack
        whole = np.full((self.n_frames, *stack.shape[1:]), np.nan, dtype=stack.dtype)
        whole[self.frames] = stack
        return whole


def _series(reader: PartsReader, fold: RunFold, head: Mapping[str, Any]) -> _Series:
    everything = fold.frame_records("image")
    counted = [record for record in everything if record.get("edx")]
    records = counted or everything
    rows = [fold.exposures[int(record["exposure"])].row for record in records]
    images = [registered_image(reader.read_frame(record), record["shifts_px"]) for record in records]
    counts = None
    if head.get("edx") and counted:
        rows_, columns = images[0].shape
        counts = count_elements(reader, records, (int(rows_), int(columns)), head)
    return _Series(
        images,
        [float(row["tilt_deg"]) for row in rows],
        [str(row["target"]) for row in rows],
        [journaled(row["dose_e_per_a2"]) * 1e20 for row in rows],
        [_live(record) for record in records],
        counts,
        [int(record["index"]) for record in records],
        len(everything),
    )


def _of_particles(finished: Finished, reader: PartsReader, side: Side) -> dict[str, Any]:
    results, labels = particle_results(reader, side)
    finished.results |= results
    return conclusions_of(results) | ({} if labels is None else {"image/labels": labels})


def _live_dose_e_per_m2(series: _Series, chosen: list[int]) -> float:
    """What the live volumes show: the first tilt's dose (`streaming.live_reconstruction`), dead time taken off."""
    return series.dose_e_per_m2[chosen[0]] * float(np.mean([series.live[k] for k in chosen]))


def _live(record: Record) -> float:
    """Share of the time in which the X-ray detector could count."""
    edx: Mapping[str, Any] = record.get("edx") or {}
    live, real = (sum(journaled(one) for one in edx.get(name, ())) for name in ("live_time_s", "real_time_s"))
    return live / real if live > 0 and real > 0 else 1.0


def _results(
    finished: Finished,
    series: _Series,
    live: Mapping[str, Mapping[str, Volume]],
    head: Mapping[str, Any],
    told: Mapping[str, Any],
) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    voxel_m = _pixel_m(head)
    for number, target in enumerate(dict.fromkeys(series.targets)):
        chosen = [k for k, name in enumerate(series.targets) if name == target]
        suffix = "" if number == 0 else f"_{target}"
        angles = [series.tilts_deg[k] for k in chosen]
        volumes = live.get(target, {})
        quoted = Quoted()
        shape_results(quoted, volumes, voxel_m)
        if series.counts is not None:
            amount_results(
                quoted,
                volumes,
                series.counts,
                chosen,
                angles,
                dose_e_per_m2=_live_dose_e_per_m2(series, chosen),
                solid_angle_sr=float(head["edx"]["solid_angle_sr"]),
                beam_energy_ev=float(head["voltage_v"]),
                voxel_size_m=voxel_m,
                live_passes=_live_passes(head),
            )
        try:
            if max(angles) - min(angles) <= 0.0:
                continue  # pictures of one tilt are no series to be aligned for a volume
            found = align(np.stack([series.images[k] for k in chosen]), angles, _axis(head))
            extras |= alignment_of(found, f"reconstruction/alignment{suffix}", [series.frames[k] for k in chosen])
            if series.counts is not None:
                half_data_results(quoted, series.counts, chosen, angles, found, voxel_m)
        except CryoctlError as error:
            finished.shortfalls.append(f"alignment of {target}: {error.message}")
        if number == 0:
            truth_results(quoted, volumes, told)
        finished.shortfalls += [f"{target}: {sentence}" for sentence in quoted.missing]
        finished.results |= {f"{name}{suffix}": values for name, values in quoted.results.items()}
    extras |= conclusions_of(finished.results)
    return extras


def _pixel_m(head: Mapping[str, Any]) -> float:
    return float(head["image"].get("pixel_size_m", 1e-8)) if head.get("image") else 1e-8


def _axis(head: Mapping[str, Any]) -> float | None:
    axis = float((head.get("image") or {}).get("tilt_axis_deg", 0.0))
    return axis if np.isfinite(axis) else None


def _live_passes(head: Mapping[str, Any]) -> int:
    return int((head.get("live") or {}).get("passes", 1))


def _volumes(live: Mapping[str, Mapping[str, Volume]], head: Mapping[str, Any]) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    passes = _live_passes(head)
    for number, (target, volumes) in enumerate(live.items()):
        name = "live" if number == 0 else f"live_{target}"
        for element, volume in volumes.items():
            base = f"reconstruction/{name}/{element}"
            extras[f"{base}/volume"] = volume
            extras[f"{base}/voxel_size_m"] = _pixel_m(head)
            extras[f"{base}/algorithm"] = "osem-live"
            extras[f"{base}/iterations"] = passes
            extras[f"{base}/stop_rule"] = "iterations after each tilt, each followed by a slight smoothing"
    return extras


def _box(fold: RunFold, live: Mapping[str, Mapping[str, Volume]]) -> VolumeGrid | None:
    """Where the truth is told: the reconstruction's grid around the first target that was recorded.

    Of a run that records nothing (`calibrate`) its first area, in voxels that keep it small.
    """
    head = fold.head
    image: Mapping[str, Any] = head.get("image") or {}
    areas: Mapping[str, Any] = head.get("areas") or {}
    if not image.get("shape") or not areas:
        return None
    recorded = [str(row.get("target")) for row in fold.rows() if row.get("kind") == "record"]
    target = next(iter([*recorded, *head.get("targets", ())]), "")
    area = areas.get("record") or areas.get(f"record-{target}")
    rows, columns = (int(size) for size in image["shape"])
    voxel_m = float(image["pixel_size_m"])
    depth = next((int(volume.shape[0]) for volume in live.get(target, {}).values()), rows)
    if area is None:
        area = next(iter(areas.values()))
        coarser = math.ceil(max(rows, columns) / _LONGEST_UNRECORDED)
        rows, columns, voxel_m = math.ceil(rows / coarser), math.ceil(columns / coarser), coarser * voxel_m
        depth = rows
    return VolumeGrid(
        shape=(depth, rows, columns), voxel_size_m=voxel_m, x_m=float(area["x_m"]), y_m=float(area["y_m"])
    )
