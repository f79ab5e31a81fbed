"""What is predicted and what the surroundings allow, told before the start."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryoctl.errors import FileProblem
from cryoctl.launch.prepare import Furnished, Prepared
from cryoctl.launch.request import Outlook

_BYTES_PER_FRAME_PIXEL = 2
_EDX_BYTES_PER_COUNT = 8
_COUNTS_GUESS_PER_PIXEL = 200


def look_ahead(prepared: Prepared, furnished: Furnished, out: Path) -> Outlook:
    """From the protocol's own plan (`describe`), without playing it; `rehearse` plays it.

    Raises:
        FileProblem: the disk is too small for the run.
    """
    described = furnished.protocol.describe()
    duration_s = float(described.get("planned_duration_s", math.nan))
    frames = planned_frames(described)
    image = described.get("image", {})
    shape = image.get("shape", (0, 0))
    scans = int((described.get("edx") or {}).get("scans", 1))
    pixels = shape[0] * shape[1]
    size = frames * pixels * (scans * _BYTES_PER_FRAME_PIXEL + _COUNTS_GUESS_PER_PIXEL * _EDX_BYTES_PER_COUNT)
    free = disk_free_bytes(out)
    if 2 * size > free:
        raise FileProblem(
            f"--out {out}: {free / 1e9:.3g} GB are free, the run needs up to {2 * size / 1e9:.3g} GB; "
            "choose another folder or a smaller image.shape"
        )
    limit = furnished.protocol.dose_limit_e_per_a2()
    warnings = list(furnished.warnings)
    nitrogen_left_s = math.nan
    if furnished.devices.holder is not None:
        nitrogen_left_s = furnished.devices.holder.capabilities.hold_time_s
        if duration_s > nitrogen_left_s:
            warnings.append(
                f"nitrogen: a full dewar lasts {nitrogen_left_s / 3600:.1f} h, the run takes "
                f"{duration_s / 3600:.1f} h; plan a refill"
            )
    finish = datetime.now().astimezone() + timedelta(seconds=duration_s if math.isfinite(duration_s) else 0)
    return Outlook(
        duration_s=duration_s,
        peak_dose_e_per_a2=float(described.get("planned_peak_e_per_a2", math.nan)),
        limit_e_per_a2=limit,
        bytes=size,
        disk_free_bytes=free,
        nitrogen_left_s=nitrogen_left_s,
        finish_time=finish.isoformat(timespec="minutes"),
        frames=frames,
        warnings=tuple(warnings),
    )


def planned_frames(described: Mapping[str, Any]) -> int:
    """Record frames of the whole plan: tilts times targets."""
    return int(described.get("tilts", 0)) * max(1, len(described.get("targets", ())))


def disk_free_bytes(folder: Path) -> int:
    """Of the nearest folder above that exists."""
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return shutil.disk_usage(existing).free
