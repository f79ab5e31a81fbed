"""What is said before a run begins: how long, how much dose, what could get in the way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryoctl.cli import wording
from cryoctl.launch.request import Outlook


def lines(head: Mapping[str, Any], outlook: Outlook) -> list[str]:
    """A few lines of ASCII text, warnings last."""
    title = str(head.get("title") or head.get("protocol") or "")
    run = str(head.get("run") or "")
    told = [f"{run}: {title}" if run and title else run or title]
    planned = f"  predicted: {wording.duration(outlook.duration_s)}, {wording.many(outlook.frames, 'frame')}"
    told.append(f"{planned}, finished {outlook.finish_time.replace('T', ' ')}")
    share = ""
    if 0 < outlook.limit_e_per_a2 < math.inf and math.isfinite(outlook.peak_dose_e_per_a2):
        share = f" ({100 * outlook.peak_dose_e_per_a2 / outlook.limit_e_per_a2:.0f} %)"
    if math.isfinite(outlook.peak_dose_e_per_a2):
        told.append(
            f"  dose: predicted peak {wording.dose(outlook.peak_dose_e_per_a2)} of "
            f"{wording.dose(outlook.limit_e_per_a2)}{share}"
        )
    told.append(
        f"  disk: a run file of about {wording.size(outlook.bytes)}, {wording.size(outlook.disk_free_bytes)} free"
    )
    if math.isfinite(outlook.nitrogen_left_s):
        told.append(f"  nitrogen: {wording.duration(outlook.nitrogen_left_s)} left")
    told += [f"  warning: {' '.join(warning.split())}" for warning in outlook.warnings]
    return [line for line in told if line]
