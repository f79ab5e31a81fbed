"""The summary of a run: what stands in its file, and what only this process knows."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoctl.engine.ending import Ending
from cryoctl.launch.request import Outlook
from cryoctl.runfile.summary import summary_of

if TYPE_CHECKING:
    from cryoctl.engine.finish import Finished


def summarise(
    run_file: Path,
    ending: Ending,
    finished: Finished,
    outlook: Outlook,
    *,
    wall_s: float,
    interlocks: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The JSON of contract.md for `run`."""
    summary = dict(summary_of(run_file))
    summary |= {
        "status": ending.status.value,
        "end_reason": ending.reason.value,
        "message": ending.message,
        "exit_code": ending.exit_code,
        "wall_s": wall_s,
        "interlocks": list(interlocks),
        "warnings": [*outlook.warnings, *finished.shortfalls],
    }
    return summary


def predicted(outlook: Outlook) -> dict[str, Any]:
    """What the preflight foretold, for the run's head; None for what it does not know."""
    known = {"duration_s": outlook.duration_s, "peak": outlook.peak_dose_e_per_a2, "bytes": float(outlook.bytes)}
    return {name: value if math.isfinite(value) else None for name, value in known.items()}
