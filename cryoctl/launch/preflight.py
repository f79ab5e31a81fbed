"""What is predicted and what the surroundings allow, told before the start."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryoctl.clock.wall import local_now
from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.counting import make_ledger
from cryoctl.launch.foretell import Course, foretell
from cryoctl.launch.prepare import Furnished, Prepared
from cryoctl.launch.prior import EarlierDose, check_room_for_dose
from cryoctl.launch.request import Outlook
from cryoctl.recipe.wording import nearest
from cryoctl.units import quoted

_COUNTS_PER_ELECTRON = 1.8e-6
"""Of 100 nm of silicon on a detector of `_AT_SOLID_ANGLE_SR` (science.md, E1); no better is known of the specimen."""
_AT_SOLID_ANGLE_SR = 0.7
_BYTES_PER_COUNT = 2.5
"""As an event and in the spectrum image, compressed: seen in run files."""
_BYTES_PER_MAP_PIXEL = 5
"""Of an element's net counts and of its volume, compressed: seen in run files."""
_PICTURES_IN_FILE = 1.0
"""Scan frames and their sums, compressed, over what the detectors gave: seen in run files."""
ON_DISK = 3
"""Segments, events, journal and the packed file together, over the packed file: seen in folders of runs."""


def look_ahead(prepared: Prepared, furnished: Furnished, earlier: EarlierDose, out: Path) -> Outlook:
    """The protocol played on what the instrument states (`foretell`); `rehearse` plays it with pictures and physics.

    Raises:
        BadInput: `--until` names no state, or the dose limit and what earlier runs left have no room for one frame.
        FileProblem: the disk is too small for the run.
    """
    until, states = prepared.request.until, furnished.protocol.chart.states
    if until and until not in states:
        near = nearest(until, states, limit=len(states))
        raise BadInput(f"--until {quoted(until)}: {furnished.protocol.name} has no such state: {near}")
    check_room_for_dose(furnished.protocol, make_ledger(furnished.protocol, earlier), earlier)
    described = furnished.protocol.describe()
    course = _course(prepared, furnished, earlier)
    duration_s = course.duration_s
    frames = course.frames or planned_frames(described)
    edx = furnished.devices.edx
    counts = 0.0
    if edx is not None and course.edx_electrons:
        share = edx.capabilities.solid_angle_sr / _AT_SOLID_ANGLE_SR
        counts = course.edx_electrons * _COUNTS_PER_ELECTRON * share
    size = run_file_bytes(described, course.picture_bytes, counts, frames)
    free = disk_free_bytes(out)
    if ON_DISK * size > free:
        raise FileProblem(
            f"--out {out}: {free / 1e9:.3g} GB are free, the run needs up to {ON_DISK * size / 1e9:.3g} GB; "
            "choose another folder or a smaller image.shape"
        )
    limit = furnished.protocol.dose_limit_e_per_a2()
    warnings = list(furnished.warnings)
    if course.end_reason == "dose" and course.frames == 0:
        warnings.append(
            f"dose: not one record exposure will fit below {limit:g} e-/A^2 with what search and tracking take and "
            "what is kept back for a blanker that fails; raise the limit or lower dose.per_tilt_e_per_a2"
        )
    nitrogen_left_s = math.nan
    if furnished.devices.holder is not None:
        nitrogen_left_s = furnished.devices.holder.capabilities.hold_time_s
        if duration_s > nitrogen_left_s:
            warnings.append(
                f"nitrogen: a full dewar lasts {nitrogen_left_s / 3600:.1f} h, the run takes "
                f"{duration_s / 3600:.1f} h; plan a refill"
            )
    finish = local_now() + timedelta(seconds=duration_s if math.isfinite(duration_s) else 0)
    return Outlook(
        duration_s=duration_s,
        peak_dose_e_per_a2=course.peak_e_per_a2,
        limit_e_per_a2=limit,
        bytes=size,
        disk_free_bytes=free,
        nitrogen_left_s=nitrogen_left_s,
        finish_time=finish.isoformat(timespec="minutes"),
        frames=frames,
        warnings=tuple(warnings),
    )


def _course(prepared: Prepared, furnished: Furnished, earlier: EarlierDose) -> Course:
    """Nothing is foretold of recorded data: they take as long as they did."""
    if furnished.replay_of or not furnished.devices.dose_known:
        return Course()
    return foretell(furnished, make_ledger(furnished.protocol, earlier), prepared.request.until)


def run_file_bytes(described: Mapping[str, Any], picture_bytes: int, edx_counts: float, frames: int) -> int:
    """About how large the packed file will be; `described` is the protocol's own description."""
    rows, columns = described.get("image", {}).get("shape", (0, 0))
    elements = len((described.get("edx") or {}).get("elements", ()))
    maps = frames * rows * columns * elements * _BYTES_PER_MAP_PIXEL
    return round(picture_bytes * _PICTURES_IN_FILE + edx_counts * _BYTES_PER_COUNT + maps)


def planned_frames(described: Mapping[str, Any]) -> int:
    """Record frames of the whole plan: tilts times targets."""
    return int(described.get("tilts", 0)) * max(1, len(described.get("targets", ())))


def disk_free_bytes(folder: Path) -> int:
    """Of the nearest folder above that exists."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return shutil.disk_usage(existing).free
