"""Solar cells on a chip, many seeds, held against the world's truth: curves, hold, order of the facets, cause.

Run: `python -m pytest -m campaign -s tests/runs/test_chip_campaign.py`, some 15 s of CPU a
whole run and 10 s a series.How many of each: CRYOCTL_CHIP_RUNS, CRYOCTL_CHIP_SERIES.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from tests.runs.chip_runs import SERIES, held_share, play, sweep_errors, told_cause, told_order

pytestmark = pytest.mark.campaign

RUNS = int(os.environ.get("CRYOCTL_CHIP_RUNS", "10"))
SERIES_RUNS = int(os.environ.get("CRYOCTL_CHIP_SERIES", "100"))
CAUSES = ("none", "beam", "bias", "both")


def test_curves_and_hold_of_whole_runs(tmp_path: Path) -> None:
    errors: dict[str, list[float]] = {name: [] for name in ("voc", "jsc", "fill_factor", "hysteresis")}
    index: list[float] = []
    shares: list[float] = []
    ordered = caused = 0
    for seed in range(RUNS):
        result = play(tmp_path / str(seed), seed=seed)
        assert result.exit_code == 0, (seed, result)
        assert result.run_file is not None
        found = sweep_errors(result.run_file)
        for name, values in errors.items():
            values.append(getattr(found, name))
        index.append(found.hysteresis_index)
        shares.append(held_share(result.run_file))
        measured, true = told_order(result.run_file)
        name, probability, cause = told_cause(result.run_file)
        ordered += measured == true
        caused += name == cause
        worst = {key: round(100 * float(np.abs(one).max()), 2) for key, one in found.single.items()}
        print(
            f"seed {seed}: {', '.join(f'{key} {100 * one[-1]:+.2f} %' for key, one in errors.items())}, "
            f"worst single sweep {worst}, held {100 * shares[-1]:.2f} %, {measured} "
            f"{'=' if measured == true else '!'}, {name} {'=' if name == cause else '!'} ({max(probability):.3f})"
        )
        shutil.rmtree(tmp_path / str(seed))
    for name, values in errors.items():
        print(f"{name}: worst {100 * np.abs(values).max():.2f} %, median {100 * np.median(np.abs(values)):.2f} %")
    print(f"hysteresis index: worst {np.abs(index).max():.5f}; held: least {100 * min(shares):.2f} %")
    print(f"order right in {ordered} of {RUNS}, cause right in {caused} of {RUNS}")
    for name in ("voc", "jsc", "fill_factor"):
        assert np.abs(errors[name]).max() < 0.02, name
    assert np.abs(index).max() < 0.02
    assert min(shares) >= 0.98
    assert ordered >= 0.95 * RUNS - 1


def test_order_of_facets(tmp_path: Path) -> None:
    right = 0
    for seed in range(SERIES_RUNS):
        result = play(tmp_path / str(seed), *SERIES, seed=1000 + seed)
        assert result.run_file is not None
        measured, true = told_order(result.run_file)
        right += measured == true
        if measured != true:
            print(f"seed {1000 + seed}: {measured}, in truth {true}")
        shutil.rmtree(tmp_path / str(seed))
    print(f"order of the facets right in {right} of {SERIES_RUNS}")
    assert right >= 0.95 * SERIES_RUNS


def test_causes_down_to_a_tenth_of_the_intensity(tmp_path: Path) -> None:
    """An effect is evenly likely in its logarithm from a loss of 10 % to one of 60 %."""
    right = dict.fromkeys(CAUSES, 0)
    asked = dict.fromkeys(CAUSES, 0)
    for seed in range(SERIES_RUNS):
        wanted = CAUSES[seed % 4]
        random = np.random.default_rng([seed, 11])
        loss = {
            name: float(np.exp(random.uniform(np.log(0.10), np.log(0.60)))) if wanted in (name, "both") else 0.0
            for name in ("beam", "bias")
        }
        factors = {"beam": -np.log(1 - loss["beam"]) / 0.40, "bias": -np.log(1 - loss["bias"]) / 0.58}
        given = [f"simulation.specimen.damage.{name}={factor:.5f}" for name, factor in factors.items()]
        result = play(tmp_path / str(seed), *SERIES, *given, seed=2000 + seed)
        assert result.run_file is not None
        name, probability, true = told_cause(result.run_file)
        asked[true] += 1
        right[true] += name == true
        print(
            f"seed {2000 + seed}: beam {100 * loss['beam']:.0f} %, bias {100 * loss['bias']:.0f} %, in truth {true}, "
            f"told {name} ({', '.join(f'{one:.3f}' for one in probability)})" + ("" if name == true else "  WRONG")
        )
        shutil.rmtree(tmp_path / str(seed))
    print(f"cause right in {sum(right.values())} of {SERIES_RUNS}: {right} of {asked}")
    assert sum(right.values()) >= 0.95 * SERIES_RUNS
