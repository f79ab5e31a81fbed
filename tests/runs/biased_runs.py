"""Small whole runs under bias on the simulated microscope."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.run import run

SMALL = (
    "bias.waveform={scheme: steps, levels_v: [0.5, 2.0, -1.0], dwell_s: 15}",
    "frame_interval_s=5",
    "before=1",
    "pictures={shape: [16, 24], pixel_size_m: 4e-8, dose_e_per_a2: 1}",
    "simulation.clocks.bias={offset_s: 3.7, drift_rel: 8e-5}",
)
"""A picture without bias and nine or so under three voltages: some tenths of a second of CPU. Later overrides win."""


def play(
    out: Path, *overrides: str, seed: int = 1, faults: list[dict[str, Any]] | None = None, **more: Any
) -> RunResult:
    """One run of the bundled recipe, made small; `more` are `followers`, `on_control`, and fields of `RunRequest`."""
    if faults is not None:
        out.mkdir(parents=True, exist_ok=True)
        more["faults"] = out / "faults.yaml"
        more["faults"].write_text(json.dumps(faults), encoding="utf-8")
    followers, on_control = more.pop("followers", ()), more.pop("on_control", None)
    request = RunRequest(recipe="biased-series", out=out, seed=seed, overrides=(*SMALL, *overrides), **more)
    return run(request, followers, on_control)
