"""What stops the hold of a cell: its bias does not come back, nothing is exposed twice, dark and at rest at the end."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cryoctl
from cryoctl.launch.request import RunResult
from cryoctl.launch.run import carry_through, undertake
from cryoctl.runfile.check import check_run
from cryoctl.runfile.journal import Journal
from cryoctl.testing.campaign.playing import GoesOn
from tests.runs.chip_runs import SMALL, play, requested
from tests.runs.killed_runs import in_a_child, resumed
from tests.runs.small_runs import run_file

HELD = (
    *SMALL,
    "bias={hold: maximum-power-point, voltage_v: 0.8, duration_s: 30, dwell_s: 4}",
    "beam_current.dose_e_per_a2=0",
)


def in_the_hold(patch: pytest.MonkeyPatch, act: Callable[[], None], step: str, number: int) -> None:
    """`act` as the hold asks for a step of this kind for the how-manieth time."""
    append = Journal.append
    seen = dict[str, int]()

    def watched(self: Journal, kind: str, fields: Any, **how: Any) -> Any:
        record = append(self, kind, fields, **how)
        if kind == "state" and fields["state"] == "hold":
            seen["hold"] = 0
        if kind == "step" and "hold" in seen and fields["step"]["is"] == step:
            seen["hold"] += 1
            if seen["hold"] == number:
                act()
        return record

    patch.setattr(Journal, "append", watched)


def between_reading_and_changing(patch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """`act` when the source was read as on and before its voltage is changed for the third time."""
    in_the_hold(patch, act, "ComputeTrace", 3)


def commanded(
    out: Path,
    patch: pytest.MonkeyPatch,
    command: str,
    when: Callable[[pytest.MonkeyPatch, Callable[[], None]], None] = between_reading_and_changing,
    overrides: tuple[str, ...] = HELD,
) -> RunResult:
    operator = GoesOn()
    asked: list[Any] = []

    def listen(ask: Any) -> None:
        operator.listen(ask)
        asked.append(ask)

    when(patch, lambda: asked[0](command, "test"))
    try:
        return carry_through(undertake(requested(out, *overrides)), (operator,), listen, 0.0)
    finally:
        operator.close()


def at_rest(path: Path) -> None:
    with cryoctl.open_run(path) as run:
        final = run.truth.final
        assert final.beam_blanked
        assert not final.output_on
        assert str(final.output_mode) == "high-impedance"
        assert float(final.light_w_per_m2) == 0.0
        exposed = Counter(list(np.asarray(run.truth.record_exposure)))
        assert set(exposed.values()) == {1}
        assert len(exposed) == len(run.image)
    assert [one for one in check_run(path).checks if not one.ok] == []


def switched_on(path: Path) -> list[str]:
    """States in which the run switched the output on, in their order."""
    lines = (path.with_suffix(".parts") / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    state, found = "", list[str]()
    for record in map(json.loads, lines):
        if record["k"] == "state":
            state = record["state"]
        elif record["k"] == "bias" and record["on"]:
            found.append(state)
    return found


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("pause", "the bias went off (pause)"),
        pytest.param("stop-after", "stop-after", marks=pytest.mark.campaign),
        pytest.param("abort", "", marks=pytest.mark.campaign),
    ],
)
def test_an_operator_ends_the_hold_and_the_bias_stays_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, told: str
) -> None:
    result = commanded(tmp_path, monkeypatch, command)
    assert (result.exit_code, result.summary["end_reason"]) == (3, "operator")
    assert told in str(result.summary["message"])
    at_rest(run_file(result))
    assert switched_on(run_file(result)) == ["dark", "curves", "hold"]


def test_a_pause_in_the_last_pictures_of_the_hold_ends_it_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing looked at the source any more, and the curves after the hold switched it on again."""
    short = (*HELD, "bias.duration_s=6", "frame_interval_s=100")
    result = commanded(
        tmp_path, monkeypatch, "pause", lambda patch, act: in_the_hold(patch, act, "Expose", 2), overrides=short
    )
    assert (result.exit_code, result.summary["end_reason"]) == (3, "operator")
    assert "the bias went off (pause)" in str(result.summary["message"])
    at_rest(run_file(result))
    assert switched_on(run_file(result)) == ["dark", "curves", "hold"]


def test_a_killed_hold_is_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies() -> None:
        between_reading_and_changing(monkeypatch, lambda: os._exit(9))
        play(tmp_path, *HELD)

    assert in_a_child(dies) == 9
    path = next(one.with_suffix(".nxs") for one in tmp_path.glob("*.parts"))
    result = resumed(path)
    assert (result.exit_code, result.summary["end_reason"]) == (4, "target-lost")
    assert "interrupted" in str(result.summary["message"])
    at_rest(path)
    assert switched_on(path) == ["dark", "curves", "hold"]
    lines = (path.with_suffix(".parts") / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines]
    session = max(number for number, one in enumerate(told) if one["k"] == "session")
    light = [one["value"] for one in told[session:] if one["k"] == "monitor" and one["name"] == "light"]
    assert light[0] > 0, "the lamp goes on burning while nobody is there"
    assert not any(light[1:])


@pytest.mark.campaign
def test_the_dose_limit_ends_the_hold(tmp_path: Path) -> None:
    result = play(tmp_path, *HELD, "dose.limit_e_per_a2=70")
    assert (result.exit_code, result.summary["end_reason"]) == (4, "dose")
    at_rest(run_file(result))
    assert switched_on(run_file(result)) == ["dark", "curves", "hold"]


@pytest.mark.campaign
def test_a_source_that_trips_ends_the_hold(tmp_path: Path) -> None:
    faults = tmp_path / "faults.yaml"
    faults.write_text(
        json.dumps([{"device": "bias", "fault": "compliance-trip", "at": {"state": "hold", "visit": 1}}]), "utf-8"
    )
    result = play(tmp_path / "out", *HELD, faults=faults)
    assert (result.exit_code, result.summary["end_reason"]) == (4, "interlock")
    assert len(str(result.summary["message"])) <= 300
    at_rest(run_file(result))
    assert switched_on(run_file(result))[:3] == ["dark", "curves", "hold"]
