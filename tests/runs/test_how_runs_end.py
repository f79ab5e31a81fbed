"""Limits, priors, worlds and the operator: how a run ends, and that what it received is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.errors import BadInput
from cryoctl.events import Event
from cryoctl.launch.request import Follower, RunResult
from cryoctl.runfile.check import check_run
from cryoctl_protocols.tomography_chart import CHART
from tests.runs.small_runs import play, run_file

Ask = Callable[[str, str, str], None]


class Operator(Follower):
    """Asks for `command` when the told event comes the n-th time; in virtual time nobody could be quicker."""

    def __init__(self, command: str, event: str, name: str, visit: int = 1, then: str = "") -> None:
        self.command, self.event_kind, self.name, self.visit, self.then = command, event, name, visit, then
        self.ask: Ask | None = None
        self.seen = 0

    def listen(self, ask: Ask) -> None:
        self.ask = ask

    def begin(self, head: Any, outlook: Any) -> None: ...

    def picture(self, picture: Any) -> None: ...

    def end(self, summary: Any) -> None: ...

    def event(self, event: Event) -> None:
        if event.event != self.event_kind or event.name != self.name:
            return
        self.seen += 1
        if self.seen == self.visit and self.ask is not None:
            self.ask(self.command, "test", "")
            if self.then:
                self.ask(self.then, "test", "")


def operated(out: Path, operator: Operator, *sets: str) -> RunResult:
    return play(out, *sets, followers=(operator,), on_control=operator.listen)


def check(result: RunResult) -> None:
    report = check_run(run_file(result))
    assert report.ok, [one for one in report.checks if not one.ok]


def test_half_of_the_limit_ends_the_series_with_4(tmp_path: Path) -> None:
    result = play(tmp_path, "dose.limit_e_per_a2=600")
    assert (result.exit_code, result.summary["end_reason"]) == (4, "dose")
    assert 0 < result.summary["frames"] < 3
    assert result.summary["warnings"]
    check(result)


def test_limit_reached_counts_what_earlier_runs_left(tmp_path: Path) -> None:
    first = play(tmp_path, "dose.limit_e_per_a2=1000")
    assert first.exit_code == 0
    for specimen in ("nanowire", str(run_file(first))):
        second = play(tmp_path, "dose.limit_e_per_a2=1200", specimen=specimen)
        assert (second.exit_code, second.summary["end_reason"]) == (4, "dose")
        assert second.summary["frames"] < 3
        with open_run(run_file(second)) as run:
            assert run.dose.prior.max() > 590
        run_file(second).rename(tmp_path / "looked-at")  # so that the second way starts from the first run alone
    fresh = play(tmp_path, "dose.limit_e_per_a2=1200")
    assert fresh.exit_code == 0


def test_prior_dose_above_the_limit_is_refused_before_anything(tmp_path: Path) -> None:
    first = play(tmp_path, "dose.limit_e_per_a2=1000")
    there = sorted(path.name for path in tmp_path.iterdir())
    with pytest.raises(BadInput, match="limit"):
        play(tmp_path, "dose.limit_e_per_a2=550", specimen=str(run_file(first)))
    assert sorted(path.name for path in tmp_path.iterdir()) == there


def test_second_run_goes_on_in_the_same_world(tmp_path: Path) -> None:
    world = tmp_path / "world.bin"
    first = play(tmp_path, "dose.limit_e_per_a2=2000", world=world)
    second = play(tmp_path, "dose.limit_e_per_a2=2000", world=world, specimen=str(run_file(first)), seed=5)
    assert first.exit_code == second.exit_code == 0
    with open_run(run_file(first)) as one, open_run(run_file(second)) as two:
        once = float(np.asarray(one.truth.dose_map_e_per_a2).max())
        twice = float(np.asarray(two.truth.dose_map_e_per_a2).max())
        assert twice == pytest.approx(2 * once, rel=0.02)
        assert float(two.dose.map.max()) == pytest.approx(twice, rel=0.03)
        assert two.truth.hidden.backlash_m == one.truth.hidden.backlash_m
    check(second)


def test_until_ends_in_good_order_on_entering_the_state(tmp_path: Path) -> None:
    result = play(tmp_path, until="record")
    assert (result.exit_code, result.summary["end_reason"], result.summary["frames"]) == (0, "condition", 0)
    with pytest.raises(BadInput, match="no such state"):
        play(tmp_path / "not", until="recording")
    assert not (tmp_path / "not").exists()


def test_end_time_of_the_recipe_ends_with_0(tmp_path: Path) -> None:
    result = play(tmp_path, "end.time_s=60")
    assert (result.exit_code, result.summary["end_reason"]) == (0, "time")
    assert result.summary["frames"] < 3


@pytest.mark.parametrize(
    ("policy", "outcomes", "code"), [("skip", ["lost", "completed"], 0), ("end", ["lost"], 4)], ids=["skip", "end"]
)
def test_lost_target_by_policy(policy: str, outcomes: list[str], code: int, tmp_path: Path) -> None:
    """The first target lies 6 um off the wire: nothing is there."""
    targets = "targets=[{name: nowhere, x_m: 0, y_m: 5.0e-6}, {name: wire, x_m: 0, y_m: 0}]"
    result = play(tmp_path, targets, f"on_target_lost={policy}")
    assert [target["outcome"] for target in result.summary["targets"]] == outcomes
    assert result.exit_code == code
    if code:
        assert result.summary["end_reason"] == "target-lost"
    check(result)


def test_only_target_lost_ends_with_4(tmp_path: Path) -> None:
    result = play(tmp_path, "targets=[{name: nowhere, x_m: 0, y_m: 5.0e-6}]")
    assert (result.exit_code, result.summary["end_reason"]) == (4, "target-lost")
    check(result)


def test_stop_after_keeps_what_is_there(tmp_path: Path) -> None:
    result = operated(tmp_path, Operator("stop-after", "state", "record"))
    assert (result.exit_code, result.summary["end_reason"], result.summary["frames"]) == (3, "operator", 1)
    check(result)


def test_skip_goes_on_to_the_next_target(tmp_path: Path) -> None:
    targets = "targets=[{name: one, x_m: -4.5e-6, y_m: 0}, {name: two, x_m: 4.5e-6, y_m: 0}]"
    result = operated(tmp_path, Operator("skip", "state", "record"), targets)
    assert [target["outcome"] for target in result.summary["targets"]] == ["skipped", "completed"]
    assert result.exit_code == 0
    only = operated(tmp_path, Operator("skip", "state", "record"))
    assert (only.exit_code, only.summary["end_reason"]) == (4, "target-lost")


def test_pause_and_go_change_nothing_but_the_record_of_them(tmp_path: Path) -> None:
    plain = play(tmp_path)
    paused = operated(tmp_path, Operator("pause", "state", "record", visit=2, then="go"))
    assert paused.exit_code == 0
    assert paused.summary["frames"] == plain.summary["frames"]
    with open_run(run_file(paused)) as run:
        assert {"pause", "go"} <= set(run.events.name)


EVERY_STATE = (
    "eucentric={enabled: true, rounds: 1}",
    "focus={every: 1, pictures: 4, shape: [32, 48]}",
    "shower={enabled: true, dose_e_per_a2: 5}",
    "current={measure_interval_s: 1, bracket: false}",
    "track.shape=[48, 64]",
    "search.shape=[64, 96]",
    "tilts={scheme: list, list_deg: [0, 10]}",
)
"""Two tilts that go through all states of a series."""


@pytest.mark.parametrize(
    "state", [state for state in CHART.states if state not in ("give_up", "limit_reached", "hold")]
)
def test_abort_in_any_state_is_safe_and_counted(state: str, tmp_path: Path) -> None:
    operator = Operator("abort", "state", state)
    result = operated(tmp_path, operator, *EVERY_STATE)
    assert operator.seen == 1
    assert (result.exit_code, result.summary["end_reason"]) == (3, "operator")
    with open_run(run_file(result)) as run:
        assert run.truth.final.beam_blanked
        assert not run.truth.final.stage_moving
        assert run.status == "aborted"
    check(result)


class AbortBeside(Operator):
    """Asks from another thread's timer while the beam is on: a record exposure takes seconds of virtual time, and
    one to measure the current before."""

    def event(self, event: Event) -> None:
        if event.event == self.event_kind and event.name == self.name and self.ask is not None:
            import asyncio

            asyncio.get_running_loop().call_later(float(self.then), self.ask, self.command, "test", "")


@pytest.mark.parametrize("after_s", [1.3, 2.1, 3.05])
def test_exposure_aborted_half_way_is_charged_for_what_it_did(after_s: float, tmp_path: Path) -> None:
    operator = AbortBeside("abort", "state", "record", then=str(after_s))
    result = operated(tmp_path, operator, "dose.per_tilt_e_per_a2=400", "edx={elements: [Si], scans: 3, dense: false}")
    assert result.exit_code == 3
    with open_run(run_file(result)) as run:
        last = list(run.exposures.kind).index("record")
        assert run.exposures.outcome[last] == "partial"
        assert 0 < run.exposures.dose_e_per_a2[last] < 400
        charged = float(np.asarray(run.dose.by_kind.record).sum())
        truly = float(np.asarray(run.truth.dose_by_kind.record).sum())
        whole = 400.0 * 24 * 32 / 4  # of the planned exposure, in ledger pixels of 20 nm
        # Charged beyond what was done: the line under way, one more, and the blanker's latency over the whole field.
        assert truly <= charged <= truly + 0.05 * whole
        assert run.truth.final.beam_blanked
    check(result)


def test_events_file_has_a_line_an_event_in_order(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    result = play(tmp_path, events=events)
    lines = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    frames = [line for line in lines if line["event"] == "frame"]
    assert [line["frame"] for line in frames] == list(range(int(result.summary["frames"])))
    assert all(len(line["sha256"]) == 64 for line in frames)
    with open_run(run_file(result)) as run:
        assert [line["exposure"] for line in frames] == list(run.image.exposure)
        assert [line["sha256"] for line in frames] == list(run.image.sha256)
