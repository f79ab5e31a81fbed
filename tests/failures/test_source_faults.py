"""Every fault of the biasing source while it is on: beam blanked, then the source at rest, told, with a file that
passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.launch.replay import replay
from cryoctl.launch.request import RunRequest
from cryoctl.runfile.check import check_run
from cryoctl_simulators.faults import FAULTS
from tests.runs.biased_runs import SMALL, play
from tests.runs.small_runs import run_file

AT = {"time_s": 30}
CASES: tuple[tuple[str, dict[str, Any], int, str, str], ...] = (
    ("compliance-trip", {}, 4, "interlock", "switched its output off by itself"),
    ("short", {"for_s": 1000}, 4, "interlock", "held by its limit"),
    ("restarted", {}, 4, "interlock", "was restarted"),
    ("restarted", {"at": {"state": "switch_on"}}, 4, "interlock", "set them again"),
    ("lost-link", {"for_s": 20}, 4, "target-lost", "its link was lost"),
    ("lost-link", {"for_s": 20, "forgets": 1}, 4, "target-lost", "its link was lost"),
    ("lost-link", {"for_s": 1e6}, 5, "device", "did not come back"),
    ("no-answer", {"for_s": 1e6}, 5, "device", "did not come back"),
)


@pytest.mark.parametrize(
    ("fault", "more", "code", "reason", "said"), CASES, ids=[f"{k}-{c[0]}" for k, c in enumerate(CASES)]
)
def test_fault_ends_at_rest(
    tmp_path: Path, fault: str, more: dict[str, Any], code: int, reason: str, said: str
) -> None:
    result = play(tmp_path, faults=[{"device": "bias", "fault": fault, "at": AT, **more}])
    message = str(result.summary["message"])
    assert (result.exit_code, result.summary["end_reason"]) == (code, reason), message
    assert said in message
    assert len(message) <= 300
    with open_run(run_file(result)) as run:
        final, order = run.truth.final, list(run.truth.safe_order)
        assert final.beam_blanked
        assert not final.output_on
        assert final.output_mode == "high-impedance"
        assert order.index("beam blanked") < order.index("bias at rest" if code == 4 else "source cut off")
        # No more than ten seconds pass between the fault and an output that is off, a short's 5 s included.
        truth = run.truth.bias
        last_on = max((float(time) for time, on in zip(truth.time_s, truth.output_on, strict=True) if on), default=0.0)
        assert last_on < 45.0
        assert not np.isnan(run.exposures.bias_v).any() or code == 5
    report = check_run(run_file(result))
    assert report.ok, [one for one in report.checks if not one.ok]


def test_an_output_that_sticks_is_cut_off(tmp_path: Path) -> None:
    """Shorted, it has to rest and does not switch off."""
    stuck = {"device": "bias", "fault": "output-stuck", "at": AT, "for_s": 1e6}
    result = play(tmp_path, faults=[stuck, {"device": "bias", "fault": "short", "at": AT, "for_s": 1e6}])
    assert (result.exit_code, result.summary["end_reason"]) == (5, "device")
    with open_run(run_file(result)) as run:
        order = list(run.truth.safe_order)
        assert order.index("beam blanked") < order.index("source cut off")
        assert not run.truth.final.output_on


def test_a_dead_source_whose_second_path_fails_is_told_by_exit_6(tmp_path: Path) -> None:
    """It plays on to the end of its waveform, and nobody can know."""
    dead = [{"device": "bias", "fault": name, "at": AT, "for_s": 1e6} for name in ("no-answer", "cut-off-fails")]
    result = play(tmp_path, faults=dead)
    assert (result.exit_code, result.summary["end_reason"]) == (6, "safe-state-unconfirmed")
    assert "could not bias to rest" in result.summary["message"]
    with open_run(run_file(result)) as run:
        assert run.truth.final.beam_blanked
        assert "source cut off" not in list(run.truth.safe_order)


def test_every_fault_of_the_source_is_tried() -> None:
    known = {one.fault for one in FAULTS if one.device == "bias"}
    assert {case[0] for case in CASES} | {"output-stuck", "cut-off-fails"} == known


@pytest.mark.parametrize("fault", [{"fault": "compliance-trip"}, {"fault": "short", "for_s": 1000}])
def test_replayed_it_ends_as_its_source_ended_it(tmp_path: Path, fault: dict[str, Any]) -> None:
    first = play(tmp_path / "first", faults=[{"device": "bias", "at": AT, **fault}])
    request = RunRequest(recipe="biased-series", out=tmp_path / "again", overrides=SMALL[:-1])
    again = replay(request, run_file(first))
    for name in ("exit_code", "end_reason", "message", "frames", "duration_s"):
        assert again.summary[name] == first.summary[name], name
    with open_run(run_file(first)) as one, open_run(run_file(again)) as other:
        assert np.array_equal(one.image.data, other.image.data)


def test_what_is_read_after_a_short_is_a_current_at_its_compliance(tmp_path: Path) -> None:
    result = play(tmp_path, faults=[{"device": "bias", "fault": "short", "at": AT, "for_s": 1e6}])
    with open_run(run_file(result)) as run:
        current = run.monitors.bias_current
        assert np.asarray(current.in_compliance).any()
        held = np.asarray(current.value)[np.asarray(current.in_compliance)]
        assert np.abs(held).max() <= 1.02e-8, "also while it ramps to rest"
        assert np.median(held) == pytest.approx(1e-8, rel=0.01)
