"""Runs under bias, with and without a needle, played back: traces on the recorded clock, the needle's steps as they
were answered, other evaluations on what was recorded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cryoctl.launch.replay import replay
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.run import run
from cryoctl.registry import find
from cryoctl.runfile.check import check_run
from cryoctl.runfile.reader import open_run
from tests.runs.biased_runs import play
from tests.runs.small_runs import run_file

SCRIPT = '''"""A needle is stepped, the stage refused, a small voltage applied and what flowed evaluated."""

from cryoctl.errors import InterlockRefused
from cryoctl.steps import ApplyBias, ComputeTrace, Conclude, MoveStage, NoteGap, NoteHold, PlaceNeedle
from cryoctl.steps import RestBias, SetBiasLimits, SetNeedleVoltage, StepNeedle, UseOptics, Wait, WithdrawNeedle


def probe(offset_a: float = 0.0, tube_m: float = 1e-7, dose_limit_e_per_a2: float = 10.0):
    yield from UseOptics(name="record")
    yield from SetBiasLimits(voltage_limit_v=1.0, compliance_a=1e-9)
    yield from NoteGap(gap_m=1e-5, sigma_m=1e-8)
    moved = yield from StepNeedle(axis="x", steps=-2)
    yield from SetNeedleVoltage(on=True)
    yield from PlaceNeedle(x_m=-tube_m, y_m=0.0, z_m=0.0)
    yield from NoteHold(hold="contact")
    refused = ""
    try:
        yield from MoveStage(x_m=1e-6)
    except InterlockRefused as error:
        refused = str(error)
    on = yield from ApplyBias(voltage_v=0.02, switch_on=True)
    until = yield from Wait(duration_s=5.0, reason="probing")
    held = yield from ComputeTrace(
        function="analysis.jv:held_power", since_s=on.time_s, until_s=until.time_s,
        arguments={"offset_a": offset_a, "settle_s": 0.5},
    )
    yield from RestBias()
    yield from WithdrawNeedle()
    values = {name: float(value) for name, value in held.values.items()}
    yield from Conclude(name="probe", values={**values, "refused": refused, "steps": moved.coarse_steps[0]})
'''


@pytest.fixture(scope="module")
def biased(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    return play(tmp_path_factory.mktemp("biased"))


def test_the_trace_is_the_runs_on_its_clock(biased: RunResult, tmp_path: Path) -> None:
    again = replay(RunRequest(recipe="biased-series", out=tmp_path), run_file(biased))
    assert again.exit_code == 0
    assert check_run(run_file(again)).ok
    with open_run(run_file(biased)) as one, open_run(run_file(again)) as other:
        for name in ("voltage", "current"):
            first, second = one.monitors[f"bias_{name}"], other.monitors[f"bias_{name}"]
            rows, same = (np.isfinite(np.asarray(trace.source_time_s)) for trace in (first, second))
            for column in ("time_s", "time_sigma_s", "source_time_s", "value", "in_compliance", "beam_open"):
                assert np.array_equal(np.asarray(first[column])[rows], np.asarray(second[column])[same]), column
            assert rows.sum() > 1000
        for column in ("mean_v", "mean_a", "charge_c", "charge_sigma_c"):
            assert np.asarray(other.entry.bias[column]) == pytest.approx(
                np.asarray(one.entry.bias[column]), rel=1e-9, nan_ok=True
            )
        assert np.isfinite(np.asarray(other.entry.bias.charge_c)).sum() > 5
        assert np.array_equal(one.dose.map, other.dose.map), "charged as in the run, its last measurement included"
        switched = [
            [
                (float(t), str(m))
                for t, e, m in zip(f.events.time_s, f.events.event, f.events.message, strict=True)
                if e == "bias"
            ]
            for f in (one, other)
        ]
        assert switched[0] == switched[1] != []


def test_without_contact_a_script_applies_no_more_than_a_probe(tmp_path: Path) -> None:
    recipe = tmp_path / "probe.py"
    recipe.write_text(SCRIPT.replace('hold="contact"', 'hold="free"').replace("0.02", "0.06"), encoding="utf-8")
    holder = Path(str(find("cryoctl.instruments", "needle-holder")))
    result = run(RunRequest(recipe=str(recipe), instrument=holder, out=tmp_path, seed=1))
    assert (result.exit_code, result.summary["end_reason"]) == (4, "interlock")
    assert "needle-contact" in result.summary["message"]


def test_a_needles_steps_are_answered_as_they_were(tmp_path: Path) -> None:
    recipe = tmp_path / "probe.py"
    recipe.write_text(SCRIPT, encoding="utf-8")
    holder = Path(str(find("cryoctl.instruments", "needle-holder")))
    first = run(RunRequest(recipe=str(recipe), instrument=holder, out=tmp_path / "first", seed=1))
    assert first.exit_code == 0, first.summary["message"]
    assert "needle is in contact" in first.summary["results"]["probe"]["refused"]
    again = replay(RunRequest(recipe=str(recipe), out=tmp_path / "again"), run_file(first))
    assert again.summary["results"]["probe"] == first.summary["results"]["probe"]
    for name in ("exit_code", "message", "interlocks"):
        assert again.summary[name] == first.summary[name]

    other = RunRequest(recipe=str(recipe), out=tmp_path / "other", overrides=("offset_a=1e-12",))
    evaluated = replay(other, run_file(first)).summary["results"]["probe"]
    assert evaluated["power_w"] == pytest.approx(first.summary["results"]["probe"]["power_w"] + 0.02e-12, rel=1e-2)

    elsewhere = replay(
        RunRequest(recipe=str(recipe), out=tmp_path / "else", overrides=("tube_m=2e-7",)), run_file(first)
    )
    assert elsewhere.exit_code == 5
    assert "PlaceNeedle is asked for with x_m -2e-07" in elsewhere.summary["message"]
    assert len(elsewhere.summary["message"]) <= 300
