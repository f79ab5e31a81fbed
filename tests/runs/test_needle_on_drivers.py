"""`needle-biasing` on drivers of real instruments, each at the wire of an emulated one, beside the simulated holder."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.launch.request import RunRequest
from cryoctl.launch.run import run
from cryoctl.runfile.check import check_run

SEEDS = range(1, 1 + int(os.environ.get("CRYOCTL_NEEDLES_ON_DRIVERS", "3")))


@pytest.mark.campaign
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("instrument", ["needle-holder", "emulated-needle-holder"])
def test_a_particle_lithiates_alike(tmp_path: Path, instrument: str, seed: int) -> None:
    result = run(RunRequest(recipe="needle-biasing", out=tmp_path, seed=seed, instrument=instrument))
    assert result.run_file is not None
    assert result.exit_code == 0, result
    assert check_run(result.run_file).ok
    with open_run(result.run_file) as made:
        found = made.results["particles"]
        touched = int(np.flatnonzero(~np.asarray(found.control))[0])
        low, high = float(np.asarray(found.expansion_low)[touched]), float(np.asarray(found.expansion_high)[touched])
        really = made.truth.results
        true = float(np.asarray(really.particles.expansion)[np.asarray(really.particles.touched)][0])
        overlap_m = float(really.contact.max_overlap_m)
        print(
            f"\n{instrument} {seed}: A/A0 {low:.3f} to {high:.3f}, truth {true:.3f}, overlap {overlap_m * 1e9:.1f} nm"
        )
        assert low - 0.03 * true <= true <= high + 0.03 * true
        assert overlap_m <= 20e-9
        assert not made.truth.final.output_on
        assert int(made.truth.final.collisions) == 0
