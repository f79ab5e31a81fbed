"""Small whole runs of a needle on the simulated half-cut grid, for the tests of what they guarantee."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.run import run
from cryoctl.registry import find

RECIPE = "needle-biasing"
SMALL = (
    "bias.waveform={duration_s: 15}",
    "frame_interval_s=4",
    "before=2",
    "pace.change=null",
    "pictures={shape: [256, 256], dwell_s: 4e-6}",
    "simulation.needle.gap_m=1.2e-5",
)
"""From a needle that is near already, five pictures or so under bias: six seconds of CPU. Later overrides win."""


def play(out: Path, *overrides: str, seed: int = 1, **options: Any) -> RunResult:
    """`options` are those of `RunRequest`."""
    request = RunRequest(
        recipe=RECIPE,
        instrument=Path(str(find("cryoctl.instruments", "needle-holder"))),
        out=out,
        seed=seed,
        overrides=(*SMALL, *overrides),
        **options,
    )
    return run(request)
