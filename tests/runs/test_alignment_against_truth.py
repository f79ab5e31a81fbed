"""Alignment from HAADF images against the truth: axis within 0.3 degrees, shifts within half a pixel.

The CI case simulates one series without the engine. The campaign does more seeds and stages, and a whole run with
drift during the exposures, live correction and backlash:
`pytest -m campaign -s tests/runs/test_alignment_against_truth.py`
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from cryoctl.reconstruction.align_series import align
from tests.simulated_series import simulate, wire
from tests.true_alignment import LeftOver, left_over

TILT_DEG = np.arange(-60.0, 61.0, 3.0)
AXIS_LIMIT_DEG, SHIFT_LIMIT_PX = 0.3, 0.5


def aligned(seed: int, stage: str = "core-shell", n_x: int = 128, electrons: float = 1e7) -> LeftOver:
    rng = np.random.default_rng([seed, 31])
    shift = np.cumsum(rng.normal(0, 0.4, (TILT_DEG.size, 2)), axis=0)
    shift[:, 0] += rng.uniform(-4, 4) * np.sin(np.deg2rad(TILT_DEG))
    axis = float(rng.uniform(-1.0, 1.0))
    specimen = wire(stage, seed, n_x=n_x, n=96)
    series = simulate(specimen, TILT_DEG, electrons, seed, shift_px=shift, tilt_axis_deg=axis, with_edx=False)
    found = align(series.haadf, TILT_DEG)
    return left_over(found.shift_px, shift, TILT_DEG, found.tilt_axis_deg, axis)


def told(left: LeftOver) -> str:
    across, along = (float(np.abs(one).max()) for one in (left.across_px, left.along_px))
    return f"axis {left.axis_deg:+.3f} deg, across {across:.3f} px, along {along:.3f} px"


def test_one_series_is_aligned() -> None:
    left = aligned(1, n_x=96)
    assert abs(left.axis_deg) < AXIS_LIMIT_DEG
    assert left.worst_px() < SHIFT_LIMIT_PX


@pytest.mark.campaign
@pytest.mark.parametrize("stage", ["pristine", "core-shell", "plum-pudding"])
def test_many_series_are_aligned(stage: str) -> None:
    worst: list[tuple[float, float]] = []
    for seed in range(4):
        left = aligned(seed, stage)
        print(f"{stage} seed {seed}: {told(left)}")
        worst.append((abs(left.axis_deg), left.worst_px()))
    assert max(axis for axis, _ in worst) < AXIS_LIMIT_DEG
    assert max(shift for _, shift in worst) < SHIFT_LIMIT_PX


@pytest.mark.campaign
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_whole_run_is_aligned(seed: int, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "from cryoctl.cli.main import main; main()", "run", "edx-tomography"]
    ran = subprocess.run(
        [*command, "--seed", str(seed), "--out", str(tmp_path), "--quiet"], capture_output=True, text=True, check=True
    )
    with h5py.File(ran.stdout.strip().splitlines()[-1]) as file:
        left = left_over(
            file["reconstruction/alignment/shift_px"][()],
            file["simulation/shift_m"][()] / file["image/pixel_size_m"][()],
            file["image/tilt_deg"][()],
            file["reconstruction/alignment/tilt_axis_deg"][()],
            file["simulation/tilt_axis_deg"][()],
        )
    print(f"run with seed {seed}: {told(left)}")
    assert abs(left.axis_deg) < AXIS_LIMIT_DEG
    assert left.worst_px() < SHIFT_LIMIT_PX
