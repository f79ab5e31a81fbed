"""Small whole runs on the simulated microscope, for the tests of what a run guarantees."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cryoctl.launch.request import Follower, OnControl, RunRequest, RunResult
from cryoctl.launch.run import run

RECIPE = "edx-tomography"
SMALL = (
    "tilts={scheme: list, list_deg: [0, 20, -20]}",
    "image.shape=[24, 32]",
    "edx={elements: [Si], scans: 2, dense: false}",
    "dose.per_tilt_e_per_a2=200",
    "focus.every=0",
    "eucentric.enabled=false",
    "live.enabled=false",
)
"""Three tilts of 24 x 32 pixels: a second of CPU. Later overrides win."""


def play(
    out: Path,
    *overrides: str,
    seed: int = 1,
    base: Sequence[str] = SMALL,
    followers: Sequence[Follower] = (),
    on_control: OnControl | None = None,
    **options: Any,
) -> RunResult:
    """One run of the bundled recipe, made small; `options` are those of `RunRequest`."""
    request = RunRequest(recipe=RECIPE, out=out, seed=seed, overrides=(*base, *overrides), **options)
    return run(request, followers, on_control)


def run_file(result: RunResult) -> Path:
    """Of a run that left one, which every run that began does."""
    assert result.run_file is not None
    return result.run_file
