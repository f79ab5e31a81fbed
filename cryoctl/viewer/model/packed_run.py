"""Reads a finished run file once: all that a window shows, beside it what only the end computes (net maps, volumes)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.reconstruction.live_slices import LiveSlices, sliced
from cryoctl.runfile.node import Node
from cryoctl.runfile.reader import Run, open_run
from cryoctl.runfile.reconstructions import names_newest_first
from cryoctl.viewer.model.dose_so_far import EARLIER, dose_now
from cryoctl.viewer.model.known import DoseNow, ElementMaps, Happening, Image, Known, Particles, Phase, Shot, Trace
from cryoctl.viewer.model.particle_areas import particles_of

NET_COUNTS = "net counts, this frame"
LINE_COUNTS = "counts in the line's window, this frame"
_STREAMS = ("image", "track", "focus", "search")
_ENDED = ("completed", "limited", "aborted", "faulted", "recovered")


def read_packed(run_file: Path) -> tuple[Known, str]:
    """Everything, and the hash of the journal's record up to which the file was packed (empty: it is not packed yet).

    Raises as `open_run`.
    """
    with open_run(run_file) as run:
        return _known(run), run.journal_head if run.packed else ""


def _known(run: Run) -> Known:
    entry = run.entry
    exit_code, status = int(entry.exit_code), run.status
    predicted: Mapping[str, Any] = entry.predicted.to_dict() if "predicted" in entry else {}
    shots = {stream: shot for stream in _STREAMS if (shot := _shot(run, stream)) is not None}
    slices, voxel_m = _slices(run)
    frames = len(run.image) if "image" in run else 0
    return Known(
        run_file=run.path,
        phase=Phase.ENDED if status in _ENDED else Phase.KILLED,
        status=status,
        end_reason=str(entry.end_reason or ""),
        exit_code=None if exit_code < 0 else exit_code,
        message=str(entry.message or ""),
        title=str(entry.title or ""),
        specimen=str(entry.specimen or ""),
        simulated=bool(entry.simulated) if "simulated" in entry else False,
        progress=1.0 if status == "completed" else 0.0,
        time_s=float(entry.duration_s),
        predicted_s=float(predicted.get("duration_s") or 0.0),
        frames=frames,
        dose=_dose(run),
        shots=shots,
        maps=_maps(run, shots),
        slices=slices,
        voxel_size_m=voxel_m,
        traces=_traces(run),
        particles=_particles(run),
        happenings=_happenings(entry.events),
    )


def _happenings(events: Node) -> tuple[Happening, ...]:
    columns = (events[name] for name in ("time_s", "level", "event", "name", "message"))
    return tuple(
        Happening(float(time_s), level, kind, name, message)
        for time_s, level, kind, name, message in zip(*columns, strict=True)
        if kind != "progress"
    )


def _shot(run: Run, stream: str) -> Shot | None:
    if stream not in run or not len(pictures := getattr(run, stream)):
        return None
    last = len(pictures) - 1
    rows, columns = (int(size) for size in pictures.shape[last])
    exposure = int(pictures.exposure[last])
    row = int(np.flatnonzero(np.asarray(run.exposures.exposure) == exposure)[0])
    return Shot(
        stream=stream,
        index=last,
        exposure=exposure,
        kind=str(run.exposures.kind[row]),
        target=str(pictures.target[last]),
        tilt_deg=float(pictures.tilt_deg[last]),
        time_s=float(pictures.time_s[last]),
        pixel_size_m=float(run.exposures.width_m[row]) / columns,
        image=np.asarray(pictures.data[last, :rows, :columns]),
    )


def _maps(run: Run, shots: Mapping[str, Shot]) -> ElementMaps | None:
    """Net maps of the last frame that has some; counts in windows of a run that was not analysed."""
    shot = shots.get("image")
    if shot is None or "edx" not in run:
        return None
    edx = run.edx
    rows, columns = shot.image.shape
    maps: dict[str, Image] = {}
    if "maps" in edx:
        maps = {
            element: np.asarray(edx.maps[element][shot.index, :rows, :columns])
            for element in edx.elements
            if element in edx.maps
        }
    what = NET_COUNTS
    if not any(np.isfinite(one).any() for one in maps.values()):
        pixel, channel = _events_of(run, shot.index)
        start_ev = edx.energy_ev[np.minimum(channel, len(edx.energy_ev) - 1)] if len(channel) else np.zeros(0)
        for element in edx.elements:
            low_ev, high_ev = (float(edge) for edge in edx.windows_ev[element])
            inside = pixel[(start_ev >= low_ev - 1e-6) & (start_ev < high_ev - 1e-6)]
            maps[element] = np.bincount(inside, minlength=rows * columns)[: rows * columns].reshape(rows, columns)
        what = LINE_COUNTS
    return ElementMaps(frame=shot.index, tilt_deg=shot.tilt_deg, pixel_size_m=shot.pixel_size_m, maps=maps, what=what)


def _events_of(run: Run, frame: int) -> tuple[Any, Any]:
    scans = run.edx.scan_events(frame)
    if not scans:
        return np.zeros(0, np.uint32), np.zeros(0, np.uint16)
    return np.concatenate([pixel for pixel, _ in scans]), np.concatenate([channel for _, channel in scans])


def _dose(run: Run) -> DoseNow:
    dose = run.dose
    limit = float(dose.limit_e_per_a2)
    if "known" in dose and not dose.known:
        return DoseNow(known=False, peak=math.nan, limit=limit)
    maps = {kind: np.asarray(dose.by_kind[kind], dtype=np.float64) for kind in dose.by_kind}
    if dose.prior.any():
        maps[EARLIER] = dose.prior
    planned = run.entry.planned_peak_e_per_a2 if "planned_peak_e_per_a2" in run.entry else math.nan
    return dose_now(maps, limit, float(planned))


def _traces(run: Run) -> dict[str, Trace]:
    monitors: Any = run.entry.monitors if "monitors" in run.entry else {}
    found = {
        name: Trace(
            unit=str(run.root.dataset(f"entry/monitors/{name}/value").attr("units", "")),
            time_s=np.asarray(monitors[name].time_s, dtype=np.float64),
            value=np.asarray(monitors[name].value, dtype=np.float64),
        )
        for name in monitors
    }
    kinds = np.array(list(run.exposures.kind))
    record = kinds == "record"
    if record.any():
        times, tilts = (np.asarray(run.exposures[name], np.float64)[record] for name in ("time_s", "tilt_deg"))
        found["tilt"] = Trace(unit="deg", time_s=times, value=tilts)
    return found


def _slices(run: Run) -> tuple[LiveSlices | None, float]:
    """Through the volumes that were made last."""
    if "reconstruction" not in run:
        return None, math.nan
    groups = run.reconstruction
    for name in names_newest_first(groups):
        made = groups[name]
        elements = [one for one in made if isinstance(made[one], Node) and "volume" in made[one]]
        if elements:
            elements.sort(key=lambda one: one != "HAADF")
            volumes = {element: np.asarray(made[element].volume[()]) for element in elements}
            tilts = len(run.image) if "image" in run else 0
            return sliced(volumes, name, tilts), float(made[elements[0]].voxel_size_m)
    return None, math.nan


def _particles(run: Run) -> Particles | None:
    if "results" not in run or "particles" not in run.results:
        return None
    group = run.results.particles
    return particles_of({name: group[name] for name in group})
