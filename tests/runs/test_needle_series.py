"""Whole runs of a needle whose bias changes its sign, whose contact passes no ions, whose particle's coating breaks.

Run: `pytest -m campaign -s tests/runs/test_needle_series.py`. It takes some minutes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cryoctl
from tests.runs.needle_runs import play

pytestmark = pytest.mark.campaign

FINE = ("pictures.shape=[512,512]", "pictures.dwell_s=1e-6")
"""Half of the usual pixel at the same dose: there a coating is resolved."""


def run_of(tmp_path: Path, *overrides: str, seed: int) -> Any:
    result = play(tmp_path, *overrides, seed=seed)
    assert result.exit_code == 0, result.summary["message"]
    assert result.run_file is not None
    return cryoctl.open_run(result.run_file)


def rows(run: Any) -> tuple[int, int]:
    """Of the particle in contact, in results and truth."""
    told, true = run.results.particles, run.truth.results.particles
    (number,), (real,) = np.flatnonzero(~np.asarray(told.control)), np.flatnonzero(np.asarray(true.touched))
    return int(number), int(real)


@pytest.mark.parametrize(
    ("overrides", "signs"),
    [
        (("bias.waveform={scheme: steps, levels_v: [2, -2], dwell_s: 70}",), (1, -1)),
        (
            (
                "simulation.specimen.ion=sodium",
                "bias.waveform={scheme: cyclic-voltammetry, first_v: 2, second_v: -2, rate_v_per_s: 0.05}",
            ),
            (1, -1),
        ),
    ],
    ids=["lithium", "sodium"],
)
def test_each_half_cycle_is_told(overrides: tuple[str, ...], signs: tuple[int, ...], tmp_path: Path) -> None:
    with run_of(tmp_path, *overrides, "before=3", seed=4) as run:
        number, real = rows(run)
        halves, times = run.results.half_cycles, np.asarray(run.results.particles.time_s)
        true = run.truth.results.particles
        shown = np.asarray(true.area_m2)[real]
        final = float(true.expansion[real]) * float(true.initial_area_m2[real])  # after the last picture it goes on
        times, ratio = np.append(times, halves.end_s[-1]), np.append(shown, final) / shown[0]
        assert np.array_equal(np.sign(np.asarray(halves.voltage_v)), signs)
        for h, (start, end) in enumerate(zip(halves.start_s, halves.end_s, strict=True)):
            change = float(np.diff(np.interp([start, end], times, ratio))[0])
            found = [float(np.asarray(halves[f"change{bound}"])[number, h]) for bound in ("", "_low", "_high")]
            rate = [float(np.asarray(halves[f"rate_per_s{bound}"])[number, h]) for bound in ("", "_low", "_high")]
            print(f"half cycle {h + 1}: change {found}, true {change:.3f}; rate {rate}")
            assert found[1] - 0.01 < change < found[2] + 0.01
            assert np.sign(rate[0]) == signs[h]
        assert run.results.current.verdict == "normal"


def test_a_needle_without_oxide_passes_no_ions_and_no_charge_is_claimed(tmp_path: Path) -> None:
    with run_of(tmp_path, "simulation.needle.lixo_m=0", "bias.waveform={duration_s: 60}", seed=1) as run:
        assert run.results.current.verdict == "thick-oxide-or-lost-contact"
        assert "no charge is told" in run.results.current.message
        assert float(run.results.current.capacity_c_low) <= 0.0, "what flows is leakage"


def test_it_ends_when_the_coating_breaks(tmp_path: Path) -> None:
    broken = ("simulation.specimen.coating_m=10e-9", "simulation.specimen.break_s=40", "end.broken=true")
    with run_of(tmp_path, *FINE, *broken, "before=3", "bias.waveform={duration_s: 100}", seed=1) as run:
        number, real = rows(run)
        assert run.entry.end_reason == "condition"
        true_s = float(np.asarray(run.truth.results.particles.broken_s)[real])
        found_s = float(np.asarray(run.results.particles.broken_s)[number])
        print(
            f"broken after {found_s:.1f} s, true {true_s:.1f}; ended at {float(run.results.particles.time_s[-1]):.0f} s"
        )
        assert abs(found_s - true_s) < 5.0
        assert list(run.results.particles.coating).count("broken") == 1, "no control breaks"


def test_half_of_the_dose_before_the_bias_is_a_control(tmp_path: Path) -> None:
    with run_of(tmp_path, "unbiased_share=0.5", "bias.waveform={duration_s: 60}", seed=1) as run:
        told = run.results.unbiased_in_contact
        assert 0.35 < float(told.dose_e_per_a2) / float(told.biased_dose_e_per_a2) < 0.65
        assert float(told.expansion_low) < 1.0 < float(told.expansion_high)
