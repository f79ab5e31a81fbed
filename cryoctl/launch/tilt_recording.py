"""What a reconstruction needs of a run: one target's tilts, scan frames and EDX events, as they were recorded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.runfile.reader import Edx, Run

Scans = npt.NDArray[np.uint16]
ScanEvents = tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class EnergyAxis:
    """Channel c starts at offset_ev + scale_ev * c."""

    n_channels: int
    offset_ev: float
    scale_ev: float
    beam_energy_ev: float
    elements: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordedTilt:
    """`scans` uint16 [scan, y, x]; `shifts_px` (dy, dx) of each scan frame against the first; `events` a scan frame
    (empty without EDX)."""

    frame: int
    tilt_deg: float
    scans: Scans
    shifts_px: tuple[tuple[float, float], ...]
    events: tuple[ScanEvents, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TiltRecording:
    """One target's series in order of recording; `truth` holds [z, y, x] by element where the run was simulated."""

    name: str
    target: str
    pixel_size_m: float
    tilts: tuple[RecordedTilt, ...]
    energy: EnergyAxis | None
    tilt_axis_deg: float | None = 0.0
    truth: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict[str, npt.NDArray[Any]])

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self.tilts[0].scans.shape[1:]
        return int(rows), int(columns)

    @property
    def tilt_deg(self) -> tuple[float, ...]:
        return tuple(tilt.tilt_deg for tilt in self.tilts)

    @property
    def thickness_px(self) -> int:
        """Height of the volume: that of the truth where there is one, so that both lie on one grid."""
        return next((int(volume.shape[0]) for volume in self.truth.values()), self.shape[0])


def read_recording(run: Run, target: str = "") -> TiltRecording:
    """Read one target's record frames into memory (the first target where none is named).

    Raises:
        BadInput: the run has no record frame, or none of that target.
    """
    name = run.path.name
    if "image" not in run or len(run.image) == 0:
        raise BadInput(f"{name}: it holds no record frame, so there is nothing to reconstruct")
    image = run.image
    targets = [str(one) for one in image.target]
    chosen = target or targets[0]
    frames = [k for k, one in enumerate(targets) if one == chosen]
    if not frames:
        raise BadInput(f"--target: {target[:40]!r} is not in {name}; it has {', '.join(dict.fromkeys(targets))}")
    shapes = {tuple(int(size) for size in image.shape[k]) for k in frames}
    if len(shapes) > 1:
        raise BadInput(f"{name}: the frames of {chosen} differ in shape; a series of one shape is needed")
    rows, columns = shapes.pop()
    edx = run.edx if "edx" in run else None
    if edx is not None:
        frames = [k for k in frames if _has_events(edx, k)] or frames
    tilts = [_tilt(run, edx, frame, rows, columns) for frame in frames]
    first = targets[0] == chosen
    return TiltRecording(
        name=name,
        target=chosen,
        pixel_size_m=float(image.pixel_size_m),
        tilts=tuple(tilts),
        energy=_energy(run, edx),
        tilt_axis_deg=_axis(float(image.tilt_axis_deg)) if "tilt_axis_deg" in image else None,
        truth=_truth(run) if first else {},
    )


def _has_events(edx: Edx, frame: int) -> bool:
    """A recovered run may have lost the events of a frame: no counts are then no zeros."""
    return bool(np.isfinite(np.asarray(edx.real_time_s)[frame]).any())


def elements_of(run: Run) -> tuple[str, ...]:
    """Elements whose lines the run counted."""
    return run.edx.elements if "edx" in run else ()


def _axis(angle_deg: float) -> float | None:
    """NaN: nothing is known of it."""
    return angle_deg if np.isfinite(angle_deg) else None


def _tilt(run: Run, edx: Edx | None, frame: int, rows: int, columns: int) -> RecordedTilt:
    image = run.image
    count = max(1, int(image.scan_count[frame]))
    scans = np.asarray(image.scans[frame, :count, :rows, :columns], dtype=np.uint16)
    shifts = np.nan_to_num(np.asarray(image.shifts_px[frame], dtype=np.float64))
    padded = np.zeros((max(count, len(shifts)), 2))
    padded[: len(shifts)] = shifts
    return RecordedTilt(
        frame=frame,
        tilt_deg=float(image.tilt_deg[frame]),
        scans=scans,
        shifts_px=tuple((float(dy), float(dx)) for dy, dx in padded),
        events=tuple(edx.scan_events(frame)) if edx is not None else (),
    )


def _energy(run: Run, edx: Edx | None) -> EnergyAxis | None:
    if edx is None:
        return None
    voltage_v = float(run.entry["voltage_v"]) if "voltage_v" in run.entry else float("nan")
    return EnergyAxis(
        n_channels=int(edx.energy_ev.size),
        offset_ev=float(edx.energy_offset_ev),
        scale_ev=float(edx.energy_scale_ev),
        beam_energy_ev=voltage_v if np.isfinite(voltage_v) and voltage_v > 0 else 200e3,
        elements=elements_of(run),
    )


def _truth(run: Run) -> dict[str, npt.NDArray[Any]]:
    if "simulation" not in run or "composition" not in run.truth:
        return {}
    composition = run.truth.composition
    return {name: np.asarray(composition[name][()], dtype=np.float64) for name in composition}
