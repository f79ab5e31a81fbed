"""Runs under bias: steps of the source where they truly were, nothing on over a pause or a resume, nothing lost."""

from __future__ import annotations

import asyncio
import json
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cryoctl
from cryoctl.errors import BadInput
from cryoctl.events import Event
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.resume import resume
from cryoctl.launch.run import carry_through, undertake
from cryoctl.launch.undertaking import RecordedCommand
from cryoctl.runfile.check import check_run
from cryoctl.testing.campaign.playing import GoesOn
from tests.runs.biased_runs import SMALL, play
from tests.runs.killed_runs import die_at_record, in_a_child
from tests.runs.small_runs import run_file

LEVELS_V = (0.5, 2.0, -1.0)


def steps_found(run: Any) -> list[tuple[float, float, float]]:
    """Before, after and true time of each step between levels that a voltage trace shows (s)."""
    trace, truth = run.monitors.bias_voltage, run.truth.bias
    sampled = np.isfinite(trace.source_time_s)
    times, volts = trace.time_s[sampled], trace.value[sampled]
    true_s = [float(time) for time, on in zip(truth.time_s, truth.output_on, strict=True) if on]
    found: list[tuple[float, float, float]] = []
    for (earlier, later), true in zip(pairwise(LEVELS_V), true_s[1:], strict=False):
        at_old, at_new = np.abs(volts - earlier) < 0.02, np.abs(volts - later) < 0.02
        first = int(np.flatnonzero(at_new & (times > true - 5.0))[0])
        last = int(np.flatnonzero(at_old & (times < times[first]))[-1])
        found.append((float(times[last]), float(times[first]), true))
    return found


def check_clock(result: RunResult, offset_s: float, drift: float) -> None:
    with cryoctl.open_run(run_file(result)) as run:
        found = steps_found(run)
        assert len(found) == 2
        interval_s = float(np.median(np.diff(run.monitors.bias_voltage.time_s[-500:])))
        sigma_s = float(np.nanmax(run.monitors.bias_voltage.time_sigma_s))
        assert sigma_s < interval_s
        for before_s, after_s, true_s in found:
            assert before_s - interval_s <= true_s <= after_s + interval_s
            assert after_s - before_s <= 3 * interval_s
        clock = run.entry.bias.clock
        assert clock.drift_rel[0] == pytest.approx(drift, abs=4 * clock.drift_sigma[0])
        at_s = clock.reference_s[0]
        assert clock.offset_s[0] == pytest.approx(offset_s + drift * at_s, abs=4 * clock.offset_sigma_s[0])


def test_a_step_is_found_at_its_true_time_and_frames_carry_voltage_current_and_charge(tmp_path: Path) -> None:
    result = play(tmp_path)
    assert (result.exit_code, result.summary["end_reason"]) == (0, "completed")
    check_clock(result, 3.7, 8e-5)
    with cryoctl.open_run(run_file(result)) as run:
        bias, truth = run.entry.bias, run.truth.bias
        began = np.array(run.exposures.time_s)
        true_v = [np.interp(time, truth.time_s, truth.voltage_v) for time in began]  # between the ends of a level
        levels = np.array([LEVELS_V[k] for k in (np.searchsorted(truth.time_s[:3], began, side="right") - 1)])
        under = np.isfinite(bias.mean_v)
        assert under.sum() >= 8
        assert not under[0], "the picture without bias"
        assert np.allclose(bias.mean_v[under], levels[under], atol=0.01), true_v
        assert np.allclose(bias.mean_a[under], levels[under] / 1e9, atol=2e-11)
        # 15 s each at 0.5, 2 and -1 nA
        last = np.flatnonzero(under)[-1]
        ended = began[last] + run.exposures.duration_s[last] - truth.time_s[0]
        true_c = 7.5e-9 + 30e-9 - 1e-9 * (ended - 30.0)
        assert bias.charge_c[last] == pytest.approx(true_c, abs=2 * bias.charge_sigma_c[last] + 1e-9 * 0.05)
        assert bias.charge_sigma_c[last] < 1e-10
        assert run.truth.final.output_mode == "high-impedance"
    report = check_run(run_file(result))
    assert report.ok, [one for one in report.checks if not one.ok]


@pytest.mark.campaign
@pytest.mark.parametrize("seed", range(40))
def test_clocks_that_are_off_by_up_to_5_s_and_100_ppm(tmp_path: Path, seed: int) -> None:
    rng = np.random.default_rng(seed)
    offset_s, drift = float(rng.uniform(-5, 5)), float(rng.uniform(-1e-4, 1e-4))
    result = play(tmp_path, f"simulation.clocks.bias={{offset_s: {offset_s!r}, drift_rel: {drift!r}}}", seed=seed)
    assert result.exit_code == 0
    check_clock(result, offset_s, drift)


class GoesOnAfter(GoesOn):
    """Goes on after a blank as well."""

    def event(self, event: Event) -> None:
        if event.event == "operator" and event.name in ("pause", "blank"):
            loop: Any = asyncio.get_running_loop()
            threading.Thread(target=self._go, args=(loop,), daemon=True).start()


def commanded(out: Path, time_s: float, command: str) -> RunResult:
    operator = GoesOnAfter()
    ahead = undertake(RunRequest(recipe="biased-series", out=out, seed=1, overrides=SMALL))
    ahead = replace(ahead, commands=(RecordedCommand(time_s=time_s, command=command),))
    try:
        return carry_through(ahead, (operator,), operator.listen, 0.0)
    finally:
        operator.close()


def off_since(run: Any, time_s: float) -> bool:
    """Whether the source truly was off from so much later on."""
    truth = run.truth.bias
    last = int(np.flatnonzero(np.asarray(truth.time_s) <= time_s)[-1])
    return not np.asarray(truth.output_on)[last:].any()


@pytest.mark.parametrize("command", ["pause", "blank"])
def test_a_pause_rests_the_source_and_nothing_starts_it_again(tmp_path: Path, command: str) -> None:
    result = commanded(tmp_path, 30.0, command)
    assert (result.exit_code, result.summary["end_reason"]) == (3, "operator")
    assert "went off (pause) and is not switched on again" in str(result.summary["message"])
    with cryoctl.open_run(run_file(result)) as run:
        assert off_since(run, 32.5)  # a picture under way is finished, then the source ramps for a second
        assert list(run.truth.safe_order).index("beam blanked") < list(run.truth.safe_order).index("bias at rest")


def test_an_abort_rests_it_and_a_resume_does_not_go_on_with_it(tmp_path: Path) -> None:
    result = commanded(tmp_path, 30.0, "abort")
    assert result.exit_code == 3
    with cryoctl.open_run(run_file(result)) as run:
        assert off_since(run, 32.0)
    again = resume(run_file(result), RunRequest(recipe="", out=tmp_path))
    assert again.exit_code == 4
    assert "interrupted" in str(again.summary["message"])
    with cryoctl.open_run(run_file(again)) as run:
        assert off_since(run, 32.0)
        assert check_run(run_file(again)).ok


def test_after_a_kill_the_source_rests_first_and_its_own_samples_are_not_lost(tmp_path: Path) -> None:
    """It plays on alone while nobody is there, to its end at the latest, and samples."""

    def dies() -> None:
        die_at_record(90)
        play(tmp_path, "bias.waveform={scheme: constant-voltage, duration_s: 300}")

    assert in_a_child(dies) == 9
    run = next(tmp_path.glob("*.parts")).with_suffix(".nxs")
    journal = (run.with_suffix(".parts") / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    assert '"k":"samples"' in "".join(journal), "what was journaled before the kill"
    result = resume(run, RunRequest(recipe="", out=tmp_path))
    assert result.exit_code == 4
    with cryoctl.open_run(run) as opened:
        trace = opened.monitors.bias_voltage
        sampled = np.isfinite(trace.source_time_s)
        times = np.asarray(trace.time_s)[sampled]
        assert np.diff(times).max() < 0.03, "the gap was sampled by the source and fetched after it"
        resumed_s = float(opened.entry.sessions.start_s[1])
        assert times[-1] > resumed_s - 0.05
        assert off_since(opened, resumed_s + 2.0)
        events = [str(one) for one in opened.events.message if str(one).startswith("output off")]
        assert events == ["output off: the run was interrupted"]
    told = [json.loads(line) for line in (run.with_suffix(".parts") / "journal.jsonl").read_text().splitlines()]
    session = max(k for k, one in enumerate(told) if one["k"] == "session")
    kinds = [one["k"] for one in told[session:]]
    assert kinds.index("bias") < kinds.index("step") if "step" in kinds else True
    assert check_run(run).ok


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("bias.voltage_v=9", "limit_v"),
        ("bias={limit_v: 50, voltage_v: 30}", "bias.limit_v"),
        ("bias.compliance_a=-1e-9", "bias.compliance_a"),
        ("bias.compliance_a=2", "bias.compliance_a"),
        ("bias.waveform={scheme: points, times_s: [0, 2, 1], voltages_v: [0, 1, 2]}", "sort them"),
        ("bias.waveform={scheme: points, times_s: [0, 1], voltages_v: [0, .nan]}", "voltages_v"),
        ("bias.sample_interval_s=1e-4", "bias.sample_interval_s"),
        ("instrument.limits.bias_v=3", "bias.limit_v"),
    ],
)
def test_what_can_be_known_is_refused_before_the_start(tmp_path: Path, override: str, named: str) -> None:
    with pytest.raises(BadInput, match=named) as caught:
        play(tmp_path / "out", override)
    assert len(str(caught.value)) <= 300
    assert not (tmp_path / "out").exists()


SCRIPT = """
from cryoctl.steps import ReadBias, RestBias, SetBiasLimits, StartWaveform, Wait
from cryoctl.steps.waveform import {form}


def biased(limit_v: float = 5.0):
    yield from SetBiasLimits(voltage_limit_v=limit_v, compliance_a=1e-8)
    yield from StartWaveform(waveform={made})
    yield from Wait(duration_s=3.0, reason="look")
    yield from RestBias()
"""


@pytest.mark.parametrize(
    ("form", "made", "limit", "named"),
    [
        ("constant_voltage", "constant_voltage(6.0, 10.0)", 5.0, "6 V"),
        ("constant_voltage", "constant_voltage(1.0, 10.0)", 25.0, "limit_v"),
        ("points", "points([0, 2, 1], [0, 1, 2], 'voltage')", 5.0, "sort them"),
        ("constant_current", "constant_current(float('nan'), 1.0)", 5.0, "no number"),
    ],
)
def test_a_script_is_looked_through_as_well(tmp_path: Path, form: str, made: str, limit: float, named: str) -> None:
    script = tmp_path / "biased.py"
    script.write_text(SCRIPT.format(form=form, made=made), encoding="utf-8")
    with pytest.raises(BadInput, match=named):
        undertake(RunRequest(recipe=str(script), out=tmp_path / "out", overrides=(f"limit_v={limit}",)))


HELD = """
from cryoctl.errors import StepLost
from cryoctl.steps import ApplyBias, Conclude, ReadBias, RestBias, SetBiasLimits, Wait


def held(unused: int = 0):
    yield from SetBiasLimits(voltage_limit_v=2.0, compliance_a=1e-8)
    yield from ApplyBias(voltage_v=0.5, switch_on=True)
    yield from ApplyBias(voltage_v=0.6)
    on = yield from ReadBias()
    yield from Wait(duration_s=30.0, reason="hold")
    try:
        yield from ApplyBias(voltage_v=0.7)
        told = "changed"
    except StepLost as lost:
        told = str(lost)
    off = yield from ReadBias()
    yield from Conclude(name="held", values={"told": told, "held_v": on.voltage_v, "on_after": off.output_on})
    yield from RestBias()
"""


@pytest.mark.parametrize("paused", [False, True])
def test_a_change_of_voltage_brings_no_bias_back(tmp_path: Path, paused: bool) -> None:
    script = tmp_path / "held.py"
    script.write_text(HELD, encoding="utf-8")
    operator = GoesOnAfter()
    ahead = undertake(RunRequest(recipe=str(script), out=tmp_path / "out", seed=1))
    ahead = replace(ahead, commands=(RecordedCommand(time_s=15.0, command="pause"),) if paused else ())
    try:
        result = carry_through(ahead, (operator,), operator.listen, 0.0)
    finally:
        operator.close()
    assert result.exit_code == 0
    with cryoctl.open_run(run_file(result)) as run:
        told = run.results.held
        assert float(told.held_v) == pytest.approx(0.6, abs=0.01)
        assert bool(told.on_after) is not paused
        assert ("is off (pause)" in str(told.told)) if paused else (str(told.told) == "changed")
        assert not run.truth.final.output_on
