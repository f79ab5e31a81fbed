"""Every fault of the simulated devices in a small run: it ends as contract.md says, safe, with a file that passes."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cryoctl import open_run
from cryoctl.launch.request import RunResult
from cryoctl.runfile.check import check_run
from cryoctl_simulators.faults import FAULTS
from tests.runs.small_runs import play, run_file

QUICK = ("temperature.timeout_s=60", "drift.timeout_s=20")
RECORD = {"state": "record", "visit": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A fault and how a run may end with it: exit code to end reasons."""

    device: str
    fault: str
    ends: dict[int, set[str]]
    at: dict[str, Any] = field(default_factory=lambda: dict(RECORD))
    more: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def name(self) -> str:
        return "-".join([self.device, self.fault, *(f"{key}{value}" for key, value in self.at.items())])


GOES_ON = {0: {"completed"}}
DEVICE = {5: {"device"}}
INTERLOCK = {4: {"interlock"}}
TILT = {"state": "tilt", "visit": 2}

CASES = (
    Case(device="stage", fault="not-at-angle", ends=GOES_ON | DEVICE, at=TILT),
    Case(device="stage", fault="stall", ends=DEVICE, at=TILT),
    Case(device="stage", fault="touch-alarm", ends=DEVICE, at=TILT),
    Case(device="stage", fault="no-answer", ends=DEVICE, at=TILT),
    Case(device="stage", fault="lost-link", ends=DEVICE, at=TILT, more={"for_s": 600}),
    Case(device="stage", fault="lost-link", ends=GOES_ON, at=TILT, more={"for_s": 20}),
    Case(device="stage", fault="lost-link", ends=DEVICE, at=TILT, more={"for_s": 20, "swapped": 1}),
    Case(device="beam", fault="blank-not-acknowledged", ends=DEVICE),
    Case(device="beam", fault="blank-late", ends=GOES_ON),
    Case(device="beam", fault="blank-late", ends=DEVICE, more={"late_s": 500}),
    Case(device="beam", fault="reads-open", ends=DEVICE),
    Case(device="beam", fault="valve-stuck", ends=GOES_ON),
    Case(device="beam", fault="current-drift", ends=GOES_ON, more={"for_s": 1000}),
    Case(device="beam", fault="current-jump", ends=GOES_ON | DEVICE),
    Case(device="beam", fault="beam-lost", ends=GOES_ON | {4: {"target-lost"}, 5: {"device"}}, more={"for_s": 1000}),
    Case(device="beam", fault="valve-closed", ends=INTERLOCK),
    Case(device="beam", fault="no-answer", ends=GOES_ON),
    Case(device="beam", fault="no-answer", ends=DEVICE, at={"exposure": 5}),
    Case(device="beam", fault="lost-link", ends=GOES_ON, more={"for_s": 2}),
    Case(device="beam", fault="lost-link", ends=GOES_ON, at=TILT, more={"for_s": 20, "forgets": 1}),
    Case(device="beam", fault="lost-link", ends=GOES_ON, at={"exposure": 5}, more={"for_s": 3}),
    Case(device="beam", fault="lost-link", ends={6: {"safe-state-unconfirmed"}}, more={"for_s": 6000}, at=TILT),
    Case(device="image_detector", fault="frame-missing", ends=GOES_ON | {4: {"target-lost"}}),
    Case(device="image_detector", fault="frame-duplicated", ends=GOES_ON | {4: {"target-lost"}}),
    Case(device="image_detector", fault="frame-late", ends=GOES_ON),
    Case(device="image_detector", fault="frame-late", ends=GOES_ON, more={"late_s": 1000}),
    Case(device="image_detector", fault="no-answer", ends=GOES_ON),
    Case(device="image_detector", fault="lost-link", ends=GOES_ON, more={"for_s": 20, "forgets": 1}),
    Case(device="edx", fault="drop-out", ends=GOES_ON),
    Case(device="edx", fault="saturation", ends=GOES_ON),
    Case(device="edx", fault="frame-late", ends=GOES_ON),
    Case(device="edx", fault="frame-late", ends=GOES_ON, more={"late_s": 1000}),
    Case(device="edx", fault="no-answer", ends=GOES_ON),
    Case(device="edx", fault="lost-link", ends=GOES_ON, more={"for_s": 20, "forgets": 1}),
    Case(device="holder", fault="temperature-high", ends=INTERLOCK),
    Case(device="holder", fault="temperature-high", ends=GOES_ON, more={"for_s": 10}, at=TILT),
    Case(device="holder", fault="sensor-invalid", ends=GOES_ON, more={"for_s": 10}),
    Case(device="holder", fault="sensor-invalid", ends=INTERLOCK, more={"for_s": 1000}),
    Case(device="holder", fault="nitrogen-low", ends=INTERLOCK),
    Case(device="holder", fault="refill-shakes", ends=GOES_ON),
    Case(device="holder", fault="pressure-high", ends=INTERLOCK),
    Case(device="holder", fault="no-answer", ends=GOES_ON),
    Case(device="holder", fault="lost-link", ends=DEVICE, more={"for_s": 600}),
    Case(device="holder", fault="lost-link", ends=GOES_ON, more={"for_s": 20, "forgets": 1}),
    Case(device="disk", fault="full", ends=DEVICE),
    Case(device="disk", fault="full", ends=DEVICE | INTERLOCK, more={"left_bytes": 300_000}),
    Case(device="disk", fault="write-error", ends=DEVICE),
    Case(device="disk", fault="write-error", ends=DEVICE, at={"exposure": 5}),
    Case(device="process", fault="viewer-dies", ends=GOES_ON),
    Case(device="process", fault="reconstruction-dies", ends=GOES_ON),
    Case(device="clock", fault="step", ends=GOES_ON, more={"step_s": -7200}),
)


def with_faults(folder: Path, *faults: dict[str, Any], sets: tuple[str, ...] = (), **options: Any) -> RunResult:
    file = folder / "faults.yaml"
    file.write_text(json.dumps(list(faults)), encoding="utf-8")
    return play(folder, *QUICK, *sets, seed=3, faults=file, **options)


def final(result: RunResult) -> dict[str, Any]:
    with open_run(run_file(result)) as run:
        truth = run.truth.final
        return {name: truth[name] for name in ("beam_blanked", "valves_open", "stage_moving")}


def check(result: RunResult) -> None:
    report = check_run(run_file(result))
    assert report.ok, [one for one in report.checks if not one.ok]


@pytest.mark.parametrize("case", CASES, ids=[f"{number}-{case.name}" for number, case in enumerate(CASES)])
def test_fault_ends_as_it_must(case: Case, tmp_path: Path) -> None:
    result = with_faults(tmp_path, {"device": case.device, "fault": case.fault, "at": case.at, **case.more})
    summary = result.summary
    assert result.exit_code in case.ends, summary["message"]
    assert summary["end_reason"] in case.ends[result.exit_code], summary["message"]
    assert len(str(summary["message"])) <= 300
    told = final(result)
    assert told["beam_blanked"] or not told["valves_open"] or result.exit_code == 6
    assert not told["stage_moving"]
    check(result)


def test_every_fault_of_these_devices_is_tried() -> None:
    elsewhere = ("bias", "needle", "light", "vacuum", "wire")
    known = {(one.device, one.fault) for one in FAULTS if one.device not in elsewhere}
    killed = {("process", "kill")}  # below
    assert {(case.device, case.fault) for case in CASES} | killed == known


def test_after_a_refill_the_series_goes_on_and_tracks_again(tmp_path: Path) -> None:
    """The dewar is low while the beam current is measured before the record exposure; the refill shakes the holder."""
    result = with_faults(
        tmp_path,
        {"device": "holder", "fault": "nitrogen-low", "at": RECORD, "for_s": 400},
        {"device": "holder", "fault": "refill-shakes", "at": RECORD},
        sets=("interlocks.patience_s=1800",),
    )
    assert result.exit_code == 0
    (met,) = result.summary["interlocks"]
    assert (met["name"], met["policy"], met["outcome"]) == ("nitrogen", "wait", "cleared")
    with open_run(run_file(result)) as run:
        states = [name for event, name in zip(run.events.event, run.events.name, strict=True) if event == "state"]
        again = [k for k, state in enumerate(states) if state == "record" and states[k + 1] == "track"]
        assert len(again) == 1
        assert len(run.image) == 3
    check(result)


def acknowledged_frames_can_be_read(path: Path, events: Path) -> int:
    told = [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]
    frames = [one for one in told if one["event"] == "frame"]
    with open_run(path) as run:
        for one in frames:
            scans = np.asarray(run.image.scans[one["frame"]], dtype="<u2")
            assert hashlib.sha256(scans.tobytes()).hexdigest() == one["sha256"]
    return len(frames)


FULL = {"device": "disk", "fault": "full", "at": {"exposure": 6}, "for_s": 1e6}


def test_a_full_disk_loses_no_acknowledged_frame_and_the_reserve_lets_the_end_be_written(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    result = with_faults(tmp_path, FULL, events=events)
    assert result.exit_code == 5
    assert "disk" in str(result.summary["message"])
    assert acknowledged_frames_can_be_read(run_file(result), events) >= 1
    check(result)
    with open_run(run_file(result)) as run:
        assert run.packed
        assert run.entry.end_reason == "device"
    assert not (run_file(result).with_suffix(".parts") / "reserve").exists()


def test_a_disk_without_room_for_the_run_file_leaves_the_parts_readable(tmp_path: Path, monkeypatch: Any) -> None:
    from cryoctl.launch import stores
    from cryoctl.runfile.reserve import Reserve

    monkeypatch.setattr(stores, "Reserve", lambda path, medium: Reserve(path, medium, 20_000))
    events = tmp_path / "events.jsonl"
    result = with_faults(tmp_path, FULL, events=events)
    assert (result.exit_code, result.summary["end_reason"]) == (5, "device")
    assert "file can't be written" in str(result.summary["message"])
    path = run_file(result)
    assert acknowledged_frames_can_be_read(path, events) >= 1
    with open_run(path) as run:
        assert not run.packed


def test_blanking_that_fails_both_ways_ends_with_6(tmp_path: Path) -> None:
    """The blanker does not close, and then the column answers no more: nobody could close the valve."""
    result = with_faults(
        tmp_path,
        {"device": "beam", "fault": "reads-open", "at": RECORD, "for_s": 1e6},
        {"device": "beam", "fault": "lost-link", "at": {"state": "record", "visit": 2}, "for_s": 1e6},
    )
    assert result.exit_code == 6
    assert result.summary["end_reason"] == "safe-state-unconfirmed"
    assert str(result.summary["message"]).isascii()
    assert run_file(result).exists()


def test_dose_of_a_beam_that_does_not_blank_is_counted(tmp_path: Path) -> None:
    result = with_faults(tmp_path, {"device": "beam", "fault": "reads-open", "at": RECORD})
    assert result.exit_code == 5
    assert not final(result)["valves_open"]
    check(result)  # the dilated ledger nowhere below the truth


def test_lost_frame_is_repeated_where_the_recipe_says_so(tmp_path: Path) -> None:
    fault = {"device": "image_detector", "fault": "frame-missing", "at": RECORD}
    skipped = with_faults(tmp_path, fault, sets=("on_lost=skip",))
    again = tmp_path / "again"
    again.mkdir()
    repeated = with_faults(again, fault, sets=("on_lost=repeat",))
    assert skipped.summary["frames"] == repeated.summary["frames"] - 1
    assert repeated.summary["frames"] == 3
    assert repeated.summary["dose"]["by_kind"]["record"] > skipped.summary["dose"]["by_kind"]["record"] * 0.99


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        ({"device": "stage", "fault": "blank-not-acknowledged", "at": {"time_s": 1}}, "stage"),
        ({"device": "stag", "fault": "stall", "at": {"time_s": 1}}, "stag"),
        ({"device": "stage", "fault": "stal", "at": {"time_s": 1}}, "stall"),
        ({"device": "stage", "fault": "stall", "at": {"state": "tilt", "exposure": 2}}, "exactly one"),
        ({"device": "stage", "fault": "stall"}, "at"),
        ({"device": "stage", "fault": "stall", "at": {"time_s": "soon"}}, "number"),
    ],
)
def test_fault_that_could_never_act_is_refused(fault: dict[str, Any], named: str, tmp_path: Path) -> None:
    from cryoctl.errors import BadInput

    out = tmp_path / "out"
    file = tmp_path / "faults.yaml"
    file.write_text(yaml.safe_dump([fault]), encoding="utf-8")
    with pytest.raises(BadInput, match=named):
        play(out, faults=file)
    assert not out.exists()
