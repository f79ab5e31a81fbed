"""A run that was killed, aborted or stopped by a fault is resumed; the world's own truth says what was exposed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import cryoctl
from cryoctl.engine.replay import replay
from cryoctl.errors import CryoctlError
from cryoctl.launch.prepare import furnish, prepare
from cryoctl.launch.request import RunRequest
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import read_journal
from cryoctl.runfile.parts import RunParts
from cryoctl.steps import Expose
from tests.runs.killed_runs import judge, killed, killed_again, refused, resumed
from tests.runs.small_runs import RECIPE, SMALL, play, run_file

TILTS = [-20.0, 0.0, 20.0]


def tilts_of(run: Path) -> list[float]:
    """Of the record exposures that were settled, in whole degrees."""
    with cryoctl.open_run(run) as opened:
        exposures = opened.exposures
        rows = zip(exposures.kind, exposures.outcome, exposures.tilt_deg, strict=True)
        return sorted(float(round(tilt)) for kind, outcome, tilt in rows if (kind, outcome) == ("record", "settled"))


@pytest.mark.parametrize("record", [5, 150, 249, 300, 420])
def test_a_killed_run_goes_on(tmp_path: Path, record: int) -> None:
    run = killed(tmp_path / "out", record)
    assert run is not None
    result = resumed(run)
    assert (result.exit_code, result.summary["end_reason"]) == (0, "completed")
    assert judge(run) == []
    assert tilts_of(run) == TILTS
    with cryoctl.open_run(run) as opened:
        assert opened.packed
        assert list(opened.entry.sessions.reason) == ["start", "after its process died"]
        starts, ends = np.asarray(opened.entry.sessions.start_s), np.asarray(opened.entry.sessions.end_s)
        assert starts[1] > ends[0]
        assert np.all(np.diff(np.asarray(opened.exposures.time_s)) > 0)


def test_an_exposure_under_way_is_charged_in_full_and_taken_again_where_the_recipe_says_so(tmp_path: Path) -> None:
    found: dict[str, tuple[list[float], list[str]]] = {}
    for policy in ("repeat", "skip"):
        run = killed(tmp_path / policy, _first_record_intent(tmp_path), f"on_lost={policy}")
        assert run is not None
        assert resumed(run).exit_code == 0
        assert judge(run) == []
        with cryoctl.open_run(run) as opened:
            kinds, outcomes = list(opened.exposures.kind), list(opened.exposures.outcome)
            sources = [
                source
                for kind, outcome, source in zip(kinds, outcomes, opened.exposures.dose_source, strict=True)
                if (kind, outcome) == ("record", "charged-in-full")
            ]
            found[policy] = (tilts_of(run), sources)
            if policy == "skip":
                assert "lost at 0.0 deg" in str(opened.entry.targets.reason)
    assert found == {"repeat": (TILTS, ["intended"]), "skip": ([-20.0, 20.0], ["intended"])}


def _first_record_intent(folder: Path) -> int:
    """How many records a journal holds when the beam opens on the first tilt."""
    whole = folder / "whole"
    if not whole.exists():
        play(whole)
    journal = next(whole.glob("*.parts")) / "journal.jsonl"
    kinds = [(one["k"], one.get("row", {}).get("kind")) for one in read_journal(journal)]
    return kinds.index(("intent", "record")) + 1


def test_a_run_that_is_killed_again_and_again_comes_to_its_end(tmp_path: Path) -> None:
    run = killed(tmp_path / "out", 200)
    assert run is not None
    kills = 0
    while killed_again(run, 130):
        kills += 1
    assert kills >= 2
    assert judge(run) == []
    assert tilts_of(run) == TILTS


@pytest.mark.parametrize(
    "second", [3, pytest.param(12, marks=pytest.mark.campaign), 20, pytest.param(26, marks=pytest.mark.campaign)]
)
def test_a_second_kill_while_it_is_driven_back(tmp_path: Path, second: int) -> None:
    run = killed(tmp_path, 300)
    assert run is not None
    assert killed_again(run, second)
    assert resumed(run).exit_code == 0
    assert judge(run) == []
    assert tilts_of(run) == TILTS


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"device": "stage", "fault": "stall", "at": {"state": "tilt", "visit": 2}}, 5),
        ({"device": "beam", "fault": "blank-not-acknowledged", "at": {"state": "record", "visit": 2}}, None),
        ({"device": "beam", "fault": "valve-closed", "at": {"state": "record", "visit": 2}}, 4),
    ],
)
def test_after_a_fault(tmp_path: Path, fault: dict[str, Any], code: int | None) -> None:
    out, file = tmp_path / "out", tmp_path / "faults.yaml"
    file.write_text(yaml.safe_dump([fault]), encoding="utf-8")
    out.mkdir()
    first = play(out, faults=file, events=out / "events.jsonl")
    if code is not None:
        assert first.exit_code == code
    if first.exit_code:
        assert resumed(run_file(first)).exit_code == 0
    assert judge(run_file(first)) == []
    assert tilts_of(run_file(first)) == TILTS


def test_after_an_abort_in_an_exposure(tmp_path: Path) -> None:
    class Aborting:
        ask: Any = None

        def begin(self, head: Any, outlook: Any) -> None: ...
        def picture(self, picture: Any) -> None: ...
        def end(self, summary: Any) -> None: ...

        def event(self, event: Any) -> None:
            import asyncio

            if event.event == "state" and event.name == "record" and event.data.get("visit") == 2:
                asyncio.get_running_loop().call_later(1.2, self.ask, "abort", "test", "")

    follower = Aborting()
    out = tmp_path / "out"
    out.mkdir()
    first = play(
        out,
        followers=(follower,),  # type: ignore[arg-type]
        on_control=lambda ask: setattr(follower, "ask", ask),
        events=out / "events.jsonl",
    )
    assert first.exit_code == 3
    assert resumed(run_file(first)).exit_code == 0
    assert judge(run_file(first)) == []
    assert tilts_of(run_file(first)) == TILTS


def test_every_prefix_of_a_journal_leads_to_the_step_that_comes_next(tmp_path: Path) -> None:
    """Pure: the protocol asks again for what it asked for, wherever the journal ends."""
    run = run_file(play(tmp_path))
    records = read_journal(RunParts.beside(run).journal)
    prepared = prepare(RunRequest(recipe=RECIPE, out=tmp_path, seed=1, overrides=SMALL))
    parameters, facts = prepared.parameters, furnish(prepared, None).facts
    for end in range(1, len(records), 7):
        fold = RunFold.of(records[:end])
        standing = replay(prepared.protocol_class(parameters, facts), fold)
        unanswered = [key for key, step in fold.steps.items() if not step.outcome]
        assert unanswered in ([], [str(standing.key)])
        answered = [step for step in fold.steps.values() if step.outcome]
        assert standing.key == len(answered) or standing.step is None
        pending = fold.steps.get(str(standing.key))
        if isinstance(standing.step, Expose) and pending is not None and pending.exposure is not None:
            done = fold.exposures[pending.exposure].done
            assert isinstance(standing.outcome, CryoctlError) != done
        else:
            assert standing.outcome is None


def test_what_was_exposed_since_the_current_was_measured_is_remembered_at_its_worst(tmp_path: Path) -> None:
    from cryoctl.engine.earlier_session import charge_at_worst, current_before

    run = run_file(play(tmp_path))
    records = read_journal(RunParts.beside(run).journal)
    ends = {
        kind: next(n for n, one in enumerate(records) if (one["k"], _kind(one)) == (kind, "record"))
        for kind in ("intent", "exposed")
    }
    folds = [RunFold.of(records[: ends[kind] + 1]) for kind in ends]
    under_way, settled = (current_before(fold, 0.0)[1] for fold in folds)
    assert len(under_way) == len(settled) == 1, "the current was measured right before it"
    assert under_way[0].unseen_rel == 0.0, "its intent holds it already"
    assert 0.1 < settled[0].unseen_rel < 0.2
    assert sum(one.dose_e_per_a2 for one in under_way[0].deposits) > sum(
        one.dose_e_per_a2 for one in settled[0].deposits
    )
    for fold, (before,) in zip(folds, (under_way, settled), strict=True):
        charge_at_worst(fold)  # as `recover` does: nobody measures any more (campaign, chip-biasing 434)
        after = fold.exposures[before.exposure]
        worst = 1 + before.unseen_rel
        assert after.row["dose_e_per_a2"] == pytest.approx(worst * before.row["dose_e_per_a2"])
        laid = sum(one["dose_e_per_a2"] for one in after.deposits)
        assert laid == pytest.approx(worst * sum(one.dose_e_per_a2 for one in before.deposits))


def _kind(record: dict[str, Any]) -> str:
    return str(record.get("row", {}).get("kind"))


@pytest.mark.campaign
def test_killed_at_every_record(tmp_path: Path) -> None:
    """Before and after every third record of a journal; prints what came of each that went wrong."""
    wrong: list[str] = []
    count = 0
    for before in (False, True):
        for record in range(2, 10_000, 3):
            out = tmp_path / f"{record}-{before}"
            run = killed(out, record, before=before)
            if run is None:
                if record > 10:
                    break
                continue
            count += 1
            try:
                code = resumed(run).exit_code
                found = judge(run) + ([] if tilts_of(run) == TILTS else [f"tilts {tilts_of(run)}"])
            except CryoctlError as error:
                code, found = -1, [error.message]
            if code or found:
                wrong.append(f"record {record}, before {before}: exit {code}, {found}")
    print(f"{count} kills, {len(wrong)} went wrong")
    print("\n".join(wrong))
    assert not wrong


def test_the_journal_of_a_resumed_run_is_one_chain(tmp_path: Path) -> None:
    run = killed(tmp_path / "out", 300)
    assert run is not None
    journal = RunParts.beside(run).journal
    with journal.open("ab") as file:
        file.write(b'{"torn')
    result = resumed(run)
    records = read_journal(journal)
    assert [one["n"] for one in records] == list(range(len(records)))
    assert result.summary["journal_head"] == records[-1]["sha"]
    assert json.loads(journal.read_bytes().splitlines()[-1])["sha"] == records[-1]["sha"]


def test_what_can_not_be_driven_back_is_told_the_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A contact is lost: nothing is exposed any more, and where the chart has no answer the run ends in good order."""
    from cryoctl_protocols.series import TiltSeries

    run = killed(tmp_path / "out", 300)
    assert run is not None
    with cryoctl.open_run(run) as opened:
        before = len(opened.exposures.kind)
    monkeypatch.setattr(TiltSeries, "lost_by_interruption", lambda self: ("the contact",))
    result = resumed(run)
    assert (result.exit_code, result.summary["end_reason"]) == (4, "target-lost")
    assert "the contact can't be driven back" in str(result.summary["message"])
    assert judge(run) == []
    with cryoctl.open_run(run) as opened:
        assert len(opened.exposures.kind) == before
    assert "has ended" in refused(lambda: resumed(run)), "the journal holds what was thrown, and throws it again"


def test_the_chart_answers_an_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import replace

    from cryoctl.protocol import Transition
    from cryoctl_protocols.edx_tomography import EdxTomography

    run = killed(tmp_path / "out", 300)
    assert run is not None
    chart = EdxTomography.chart
    answers = tuple(Transition(trigger="interrupted", source=state, dest="finish") for state in chart.states)
    monkeypatch.setattr(EdxTomography, "chart", replace(chart, transitions=(*chart.transitions, *answers)))
    monkeypatch.setattr(EdxTomography, "lost_by_interruption", lambda self: ("the contact",))
    resumed(run)
    records = read_journal(RunParts.beside(run).journal)
    session = [one["k"] for one in records].index("session", 5)
    assert next(one["state"] for one in records[session:] if one["k"] == "state") == "finish"


def test_a_killed_run_says_what_can_be_done(tmp_path: Path) -> None:
    from cryoctl.runfile.summary import summary_of

    run = killed(tmp_path / "out", 300)
    assert run is not None
    assert "cryoctl resume" in summary_of(run)["message"]
    resumed(run)
    assert "resume" not in str(summary_of(run)["message"])
