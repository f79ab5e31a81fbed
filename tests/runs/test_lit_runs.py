"""Runs with light on the specimen: set and read back, on again after a resume, off at the end, refused beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cryoctl
from cryoctl.errors import BadInput
from cryoctl.launch.request import RunRequest
from cryoctl.launch.resume import resume
from cryoctl.launch.run import run, undertake
from cryoctl.runfile.check import check_run
from cryoctl_simulators.faults import FAULTS
from tests.runs.killed_runs import die_at_record, in_a_child
from tests.runs.small_runs import run_file

SCRIPT = """
from cryoctl.steps import Conclude, MeasureOpenCircuit, SetBiasLimits, SetLight, Wait


def lit(irradiance_w_per_m2: float = 500.0):
    yield from SetBiasLimits(voltage_limit_v=2.0, compliance_a=1e-8)
    light = yield from SetLight(irradiance_w_per_m2=irradiance_w_per_m2)
    for number in range(20):
        yield from Wait(duration_s=5.0, reason="look")
        open_circuit = yield from MeasureOpenCircuit()
    values = {"irradiance_w_per_m2": light.irradiance_w_per_m2, "open_circuit_v": open_circuit.voltage_v}
    yield from Conclude(name="lit", values=values)
"""


def asked(out: Path, *overrides: str, **more: Any) -> RunRequest:
    out.mkdir(parents=True, exist_ok=True)
    script = out.parent / "lit.py"
    script.write_text(SCRIPT, encoding="utf-8")
    more.setdefault("instrument", "chip-holder")
    simulated = () if more["instrument"] is None else ("simulation.specimen.kind=perovskite-cell",)
    return RunRequest(recipe=str(script), out=out, seed=4, overrides=(*simulated, *overrides), **more)


def test_light_is_set_read_back_recorded_and_off_at_the_end(tmp_path: Path) -> None:
    result = run(asked(tmp_path / "out"))
    assert result.exit_code == 0
    with cryoctl.open_run(run_file(result)) as opened:
        error = float(opened.truth.hidden.light_calibration_error)
        assert 0 < abs(error) < 0.02
        values = np.asarray(opened.monitors.light.value)
        assert np.allclose(values[values > 0], 500.0, rtol=2.1e-3)
        assert float(opened.truth.final.light_w_per_m2) == 0.0
        assert [str(one) for one in opened.truth.safe_order][-1] == "light off"
        assert float(opened.results.lit.open_circuit_v) == pytest.approx(1.0, abs=0.05)
    assert check_run(run_file(result)).ok


def test_after_a_kill_the_light_is_on_again(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def dies() -> None:
        die_at_record(40)
        run(asked(out))

    assert in_a_child(dies) == 9
    result = resume(next(out.glob("*.parts")).with_suffix(".nxs"), RunRequest(recipe="", out=out))
    assert result.exit_code == 0
    journal = (run_file(result).with_suffix(".parts") / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in journal]
    session = max(number for number, one in enumerate(told) if one["k"] == "session")
    lights = [one for one in told[session:] if one["k"] == "monitor" and one["name"] == "light"]
    assert lights[-2]["value"] == pytest.approx(500.0, rel=2.1e-3)
    with cryoctl.open_run(run_file(result)) as opened:
        assert float(opened.results.lit.open_circuit_v) == pytest.approx(1.0, abs=0.05)
        assert float(opened.truth.final.light_w_per_m2) == 0.0


FAULTS_OF_LIGHT = (
    ("no-answer", {}, 0),
    ("no-answer", {"for_s": 1e6}, 5),
    ("lost-link", {"forgets": 1, "for_s": 10}, 0),
    ("lost-link", {"for_s": 1e6}, 5),
    ("lost-link", {"swapped": 1, "for_s": 10}, 5),
    ("goes-out", {}, 4),
)
SETTING_FAULTS = (("refuses", {}), ("level-differs", {"rel": 0.2}), ("stays-on", {}))


@pytest.mark.parametrize(("fault", "more", "exit_code"), FAULTS_OF_LIGHT)
def test_a_light_that_fails_is_set_again_or_ends_the_run(
    tmp_path: Path, fault: str, more: dict[str, float], exit_code: int
) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text(json.dumps([{"device": "light", "fault": fault, "at": {"time_s": 30}, **more}]), encoding="utf-8")
    result = run(asked(tmp_path / "out", faults=faults))
    assert result.exit_code == exit_code, result.summary["message"]
    with cryoctl.open_run(run_file(result)) as opened:
        dark = more.get("for_s", 0.0) <= 10
        assert (float(opened.truth.final.light_w_per_m2) == 0.0) is dark, "one that never answers again stays on"
        if exit_code == 0:
            assert float(opened.results.lit.open_circuit_v) == pytest.approx(1.0, abs=0.05)
        else:
            assert result.summary["end_reason"] == ("interlock" if exit_code == 4 else "device")
            assert "light" in result.summary["message"]


@pytest.mark.parametrize(("fault", "more"), SETTING_FAULTS)
def test_a_lamp_that_does_not_obey_ends_the_run_as_a_fault(tmp_path: Path, fault: str, more: dict[str, float]) -> None:
    """It is set at the start, and off at the end; what stays on then is tried again, and told."""
    faults = tmp_path / "faults.yaml"
    lasting = {"for_s": 1e6} if fault == "stays-on" else {}
    at = {"time_s": 60 if lasting else 0}
    faults.write_text(json.dumps([{"device": "light", "fault": fault, "at": at, **more, **lasting}]), encoding="utf-8")
    result = run(asked(tmp_path / "out", faults=faults))
    assert (result.exit_code, result.summary["end_reason"]) == (5, "device")
    assert "light" in result.summary["message"]
    assert "error of its own" not in result.summary["message"]
    with cryoctl.open_run(run_file(result)) as opened:
        assert (float(opened.truth.final.light_w_per_m2) > 0.0) is bool(lasting)
    if lasting:
        assert "switch it off by hand" in result.summary["message"]


def test_every_fault_of_the_light_is_tried() -> None:
    assert {case[0] for case in (*FAULTS_OF_LIGHT, *SETTING_FAULTS)} == {
        one.fault for one in FAULTS if one.device == "light"
    }


@pytest.mark.parametrize(
    ("instrument", "irradiance", "named"),
    [("chip-holder", "2000", "2000 W/m2"), ("chip-holder", "-1", "-1 W/m2"), (None, "500", "no light")],
)
def test_what_can_be_known_is_refused_before_the_start(
    tmp_path: Path, instrument: str | None, irradiance: str, named: str
) -> None:
    request = asked(tmp_path / "out", f"irradiance_w_per_m2={irradiance}", instrument=instrument)
    with pytest.raises(BadInput, match=named) as caught:
        undertake(request)
    assert len(str(caught.value)) <= 300
