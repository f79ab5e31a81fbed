"""An open beam as it truly was: frame by frame, dose where the scan truly lay, blanking at its true times."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoctl.interfaces.beam import Optics, Scan
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.dose_truth import KINDS, Patch

if TYPE_CHECKING:
    from cryoctl_simulators.settings import BeamSettings
    from cryoctl_simulators.world.world import World


def line_times_s(scan: Scan, settings: BeamSettings) -> tuple[float, float, float]:
    """One line: its duration, and the times with the beam on the field and on the overscan strip (s)."""
    settle_s, field_s = settings.settle_px * scan.dwell_s, scan.shape[1] * scan.dwell_s
    strip_s = settings.latency_s if settings.blanks_flyback else settle_s + settings.flyback_s
    return (settle_s + field_s + settings.flyback_s, field_s, strip_s)


def open_frame(
    world: World, kind: str, exposure: int, index: int, scan: Scan, optics: Optics, shift_m: tuple[float, float]
) -> ScanFrame:
    """The beam opens on a scan frame; what is still to come of it is stored as well, should the process die."""
    at = world.stage.true_position(world.time_s)
    column = world.column
    frame = ScanFrame(
        kind=kind if kind in KINDS else "view",
        exposure=exposure,
        index=index,
        shape=scan.shape,
        lines=float(scan.shape[0]),
        pixel_size_m=scan.pixel_size_m * (1 + column.hidden.pixel_error),
        nominal_pixel_m=scan.pixel_size_m,
        dwell_s=scan.dwell_s,
        current_a=column.emission_a(world.time_s),
        voltage_v=optics.voltage_v,
        convergence_rad=optics.convergence_rad,
        axis_deg=world.stage.hidden.tilt_axis_deg - optics.scan_rotation_deg - scan.rotation_deg,
        centre_m=column.true_shift(*shift_m),
        defocus_m=column.record["defocus_m"] + column.hidden.defocus_error_m,
        dynamic_focus_rad=scan.dynamic_focus_rad if optics.dynamic_focus else 0.0,
        tilt_deg=at.tilt_deg,
        x_m=at.x_m,
        y_m=at.y_m,
        height_m=at.height_m,
        content_start_m=at.content_m,
        content_end_m=at.content_m,
        time_s=world.time_s,
        temperature_k=world.specimen_temperature_k(),
    )
    line_s, field_s, _ = line_times_s(scan, column.settings)
    column.set_blanked(False, world.time_s)
    world.sample.opened(frame, field_s / line_s)
    world.file.record["safe_order"] = []
    column.record["pending"] = asdict(frame)
    world.commit()
    return frame


def close_frame(world: World, frame: ScanFrame, lines: float, current_a: float, *, blank: bool = True) -> ScanFrame:
    """The scan frame ended now after so many lines at this mean current: lay its dose, damage the specimen, blank.

    Returns:
        The frame as it was, current and drift over its time included.
    """
    ended_s = world.time_s  # in real time, laying the dose takes some
    at = world.stage.true_position(ended_s)
    done = replace(frame, lines=lines, current_a=current_a, content_end_m=at.content_m)
    lay_dose(world, done)
    _note(world, done)
    if blank:
        world.column.set_blanked(True, ended_s)
    world.column.record["pending"] = None
    world.commit()
    return done


def finish_pending(world: World) -> None:
    """Nobody was there when the scan frame ended: it ran to its end, then the generator blanked."""
    pending: dict[str, Any] | None = world.column.record.get("pending")
    if pending:
        frame = frame_of(pending)
        scan = Scan(shape=frame.shape, pixel_size_m=frame.pixel_size_m, dwell_s=frame.dwell_s)
        line_s, _, _ = line_times_s(scan, world.column.settings)
        world.sample.closed(min(world.time_s, frame.time_s + frame.shape[0] * line_s))
        lay_dose(world, frame)
        _note(world, frame)
    world.column.record["pending"] = None
    world.column.set_blanked(True, world.time_s)


def cut_pending(world: World, *, blank: bool) -> None:
    """A scan frame that another process opened ends here: over for as long as it has been, or cut off now.

    Args:
        blank: cut it off; else only one that is over by itself has ended.
    """
    pending: dict[str, Any] | None = world.column.record.get("pending")
    if not pending:
        return
    frame = frame_of(pending)
    scan = Scan(shape=frame.shape, pixel_size_m=frame.nominal_pixel_m, dwell_s=frame.dwell_s)
    line_s, _, _ = line_times_s(scan, world.column.settings)
    over_s = frame.time_s + frame.shape[0] * line_s
    if not blank and world.time_s < over_s:
        return
    ended_s = min(world.time_s, over_s)
    world.column.set_blanked(True, ended_s)  # before its dose is laid, which takes some time
    world.column.record["pending"] = None
    world.commit()
    world.pre_image.put_back()  # of a process that died while it laid this very dose
    at = world.stage.true_position(ended_s)
    lines = min(float(frame.shape[0]), max(0.0, ended_s - frame.time_s) / line_s)
    done = replace(frame, lines=lines, content_end_m=at.content_m)
    lay_dose(world, done)
    _note(world, done)
    world.commit()


def _note(world: World, frame: ScanFrame) -> None:
    """It stands in the log, with what the specimen was like half-way through."""
    if world.contact is not None:
        world.contact.look(world.time_s)
    world.sample.note_frame(world.frames.logged, frame.middle_s)
    world.frames.add(frame)


def frame_of(plain: dict[str, Any]) -> ScanFrame:
    """From what `asdict` and JSON made of it."""
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in plain.items()}
    return ScanFrame(**fields)


def lay_dose(world: World, frame: ScanFrame) -> None:
    """Field and overscan strip of the lines that were scanned, by true current, times and places.

    It counts once the world is committed: whoever dies before that leaves the specimen as it was.
    """
    settings = world.column.settings
    scan = Scan(shape=frame.shape, pixel_size_m=frame.pixel_size_m, dwell_s=frame.dwell_s)
    _, field_s, strip_s = line_times_s(scan, settings)
    width_m, height_m = frame.shape[1] * frame.pixel_size_m, frame.lines * frame.pixel_size_m
    strip_m = settings.settle_px * frame.pixel_size_m
    field = _patch(world, frame, (-width_m / 2, width_m / 2), field_s * frame.lines, width_m * height_m)
    if strip_m > 0:
        edges = (-width_m / 2 - strip_m, -width_m / 2)
        strip = _patch(world, frame, edges, strip_s * frame.lines, strip_m * height_m)
    else:
        strip = _patch(world, frame, (-width_m / 2, width_m / 2), strip_s * frame.lines, width_m * height_m)
    patches = [patch for patch in (field, strip) if patch is not None]
    world.pre_image.keep(frame.kind, patches)
    _add(world, frame, patches)
    world.pre_image.forget()


def lay_run_on(world: World, frame: ScanFrame, time_s: float) -> None:
    """The beam would not blank and the scan went on over the field for so long."""
    at = world.stage.true_position(world.time_s)
    late = replace(frame, lines=float(frame.shape[0]), content_start_m=frame.content_end_m, content_end_m=at.content_m)
    width_m = frame.shape[1] * frame.pixel_size_m
    area_m2 = width_m * frame.shape[0] * frame.pixel_size_m
    patch = _patch(world, late, (-width_m / 2, width_m / 2), time_s, area_m2)
    _add(world, late, [patch] if patch is not None else [])


def _add(world: World, frame: ScanFrame, patches: Sequence[Patch]) -> None:
    for patch in patches:
        world.dose.add(frame.kind, patch)
        world.sample.irradiate(frame.kind, patch, frame.temperature_k)


def _patch(world: World, frame: ScanFrame, edges_m: tuple[float, float], time_s: float, area_m2: float) -> Patch | None:
    """The charge I t over the lines between two edges along them; drift bends the rectangle, charge is kept."""
    if area_m2 <= 0:
        return None
    top = -frame.shape[0] * frame.pixel_size_m / 2
    bottom = top + frame.lines * frame.pixel_size_m
    corners = [
        frame.plane_point(edges_m[0], top),
        frame.plane_point(edges_m[1], top),
        frame.plane_point(edges_m[1], bottom, end=True),
        frame.plane_point(edges_m[0], bottom, end=True),
    ]
    quad = np.array(corners)
    on_plane_m2 = _area(quad)
    normal_m2 = on_plane_m2 * math.cos(math.radians(frame.tilt_deg)) if on_plane_m2 > 0 else area_m2
    return world.dose.patch(quad, frame.current_a * time_s, normal_m2)


def _area(quad: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    x, y = quad[:, 0], quad[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2
