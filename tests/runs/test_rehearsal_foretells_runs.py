"""What a rehearsal says against what runs do that have the world's hidden errors: duration, dose, counts.

The campaign plays the bundled recipe with ten seeds and prints the worst case and how much faster than the microscope
a rehearsal is; CI plays two seeds of a small recipe.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from cryoctl.launch.rehearse import rehearse
from cryoctl.launch.request import RunRequest
from tests.runs.small_runs import RECIPE, SMALL, play

DURATION, DOSE, COUNTS, SIGMAS = 0.05, 0.02, 0.05, 3.0
CI = (
    *SMALL,
    "tilts={scheme: bidirectional, min_deg: -24, max_deg: 24, step_deg: 3}",
    "image.shape=[48, 64]",
    "track.every=2",
)
"""Small steps: how long the drift is waited for after a large one scatters by 10 % from seed to seed in a few tilts."""


def rehearsed(overrides: tuple[str, ...], seed: int) -> tuple[Mapping[str, Any], float]:
    """Summary and wall time (s)."""
    began_s = time.perf_counter()
    result = rehearse(RunRequest(recipe=RECIPE, seed=seed, overrides=overrides))
    assert result.exit_code == 0
    return result.summary, time.perf_counter() - began_s


def compare(foretold: Mapping[str, Any], runs: list[Mapping[str, Any]]) -> list[str]:
    """Prints median and worst of each figure; sentences for what is off."""
    wrong: list[str] = []

    def judge(name: str, predicted: float, found: list[float], allowed: float) -> None:
        ratios = [value / predicted for value in found]
        middle, worst = median(ratios), max(ratios, key=lambda ratio: abs(ratio - 1))
        print(f"{name}: rehearsed {predicted:.5g}, median of runs {middle:.4f} of it, worst {worst:.4f}")
        if abs(middle - 1) > allowed:
            wrong.append(f"{name}: median {middle:.4f}")

    judge("duration", foretold["duration_s"], [run["duration_s"] for run in runs], DURATION)
    judge("peak dose", foretold["dose"]["peak"], [run["dose"]["peak"] for run in runs], DOSE)
    kinds = foretold["dose"]["by_kind"]
    judge("record dose", kinds["record"], [run["dose"]["by_kind"]["record"] for run in runs], DOSE)
    for element, counts in foretold["counts"].items():
        allowed = max(COUNTS, SIGMAS / math.sqrt(counts))
        judge(f"counts of {element}", counts, [run["counts"][element] for run in runs], allowed)
    return wrong


def test_small_runs_do_as_was_rehearsed(tmp_path: Path) -> None:
    """Two seeds: their wires hold 5 % more or less silicon, so that counts are left to the campaign."""
    foretold, _ = rehearsed(CI, seed=100)
    runs = [play(tmp_path, seed=seed, base=CI).summary for seed in (1, 2)]
    assert not [sentence for sentence in compare(foretold, runs) if not sentence.startswith("counts")]
    for said, played in (("duration_s", foretold["duration_s"]), ("peak", foretold["dose"]["peak"])):
        print(f"{said}: foretold before a run {runs[0]['predicted'][said]:.5g}, rehearsed {played:.5g}")
        assert runs[0]["predicted"][said] == pytest.approx(played, rel=0.1 if said == "duration_s" else DOSE)
    assert foretold["counts"]["Si"] == pytest.approx(runs[0]["counts"]["Si"], rel=0.25)


def test_a_rehearsal_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    rehearsed(SMALL, seed=0)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.campaign
def test_bundled_recipe_with_ten_seeds(tmp_path: Path) -> None:
    _, cold_s = rehearsed((), seed=100)
    foretold, warm_s = rehearsed((), seed=100)
    predicted_s = foretold["duration_s"]
    print(f"\nrehearsal: {predicted_s:.0f} s predicted in {cold_s:.2f} s cold ({predicted_s / cold_s:.0f} times)")
    print(f"           and in {warm_s:.2f} s warm ({predicted_s / warm_s:.0f} times faster)")
    runs: list[Mapping[str, Any]] = []
    for seed in range(1, 11):
        runs.append(play(tmp_path, "live.enabled=false", "edx.dense=false", seed=seed, base=()).summary)
        print(f"seed {seed}: exit {runs[-1]['exit_code']}, {runs[-1]['duration_s']:.0f} s")
    assert not compare(foretold, runs)


@pytest.mark.benchmark
def test_speed_of_rehearsal() -> None:
    """At least 500 times faster than the time predicted, warm; on an idle machine."""
    rehearsed((), seed=100)
    foretold, warm_s = rehearsed((), seed=100)
    print(f"\n{foretold['duration_s']:.0f} s in {warm_s:.2f} s: {foretold['duration_s'] / warm_s:.0f} times faster")
