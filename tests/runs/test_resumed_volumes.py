"""A resumed series against the same series without interruption: the same tilts, volumes as good.

python -m pytest -m campaign -s tests/runs/test_resumed_volumes.py
"""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

import cryoctl
from tests.runs.killed_runs import judge, killed, killed_again, resumed
from tests.runs.small_runs import play, run_file

SERIES = (
    "tilts={scheme: dose-symmetric, min_deg: -60, max_deg: 60, step_deg: 8}",
    "image={shape: [48, 64], pixel_size_m: 25 nm}",
    "edx={elements: [Si, O], scans: 3, dense: false}",
    "dose.per_tilt_e_per_a2=1500",
    "dose.limit_e_per_a2=100000",
    "eucentric.enabled=false",
)
SEEDS = range(8)


def errors(run: Path) -> tuple[list[float], dict[str, float]]:
    """Tilts that were recorded, and each volume's error against the truth."""
    with cryoctl.open_run(run) as opened:
        tilts = sorted(float(round(tilt)) for tilt in opened.image.tilt_deg)
        found = opened.results.error_truth
        return tilts, {element: float(found[element].error) for element in ("Si", "O")}


@pytest.mark.campaign
def test_resumed_volumes_are_as_good(tmp_path: Path) -> None:
    ratios: dict[str, list[float]] = {"Si": [], "O": []}
    for seed in SEEDS:
        rng = random.Random(seed)
        tilts, whole = errors(run_file(play(tmp_path / f"whole-{seed}", seed=seed, base=SERIES)))
        out = tmp_path / f"killed-{seed}"
        run = killed(out, rng.randrange(250, 2500), seed=seed, base=SERIES)
        assert run is not None
        while killed_again(run, rng.randrange(300, 1500)):
            pass
        assert judge(run) == []
        if not (run.exists() and cryoctl.open_run(run).packed):
            resumed(run)
        again, interrupted = errors(run)
        assert again == tilts
        for element, error in interrupted.items():
            ratios[element].append(error / whole[element])
        print(
            f"seed {seed}: {len(tilts)} tilts, error resumed over whole", {k: f"{v[-1]:.3f}" for k, v in ratios.items()}
        )
    for element, found in ratios.items():
        print(f"{element}: mean {np.mean(found):.3f}, worst {max(found):.3f}")
        assert max(found) < 1.05
