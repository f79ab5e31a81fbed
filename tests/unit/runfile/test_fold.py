from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryoctl.errors import RunFileError
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import Journal, read_journal
from cryoctl.runfile.parts import RunParts


def fold_of(path):
    return RunFold.of(read_journal(RunParts.beside(path).journal))


def test_rows_frames_monitors_and_end(tmp_path, synthetic_run):
    fold = fold_of(synthetic_run(tmp_path))
    rows = fold.rows()
    assert [row["kind"] for row in rows] == ["search", *["focus", "record"] * 5]
    assert all(row["outcome"] == "settled" and row["dose_source"] == "measured" for row in rows)
    assert [row["frame"] for row in rows if row["kind"] == "record"] == [0, 1, 2, 3, 4]
    assert len(fold.frame_records("focus")) == 5
    assert fold.monitors["temperature"].values == [95.0] * 11
    assert fold.targets["T1"]["outcome"] == "completed"
    assert fold.conclusions["eucentric"]["grid_z_m"] == 1e-7
    assert fold.end == {"status": "completed", "end_reason": "completed", "exit_code": 0, "message": "5 tilts done."}
    assert fold.sessions[0]["end_s"] == fold.time_s


def test_ledger_holds_the_charge_of_every_exposure(tmp_path, synthetic_run):
    fold = fold_of(synthetic_run(tmp_path))
    maps = fold.dose_by_kind()
    area = fold.grid.pixel_size_m**2
    for kind, dose in maps.items():
        charged = sum(
            rect["dose_e_per_a2"] * rect["width_m"] * rect["height_m"]
            for one in fold.exposures.values()
            if one.row["kind"] == kind
            for rect in one.deposits
        )
        assert dose.sum() * area == pytest.approx(charged, rel=1e-9)
    rows, columns = fold.grid.shape
    assert maps["record"][rows // 2, columns // 2] == pytest.approx(5 * 800.0)
    assert maps["focus"][rows // 2, columns // 2] == 0.0


def test_a_crashed_exposure_is_charged_in_full_from_its_intent(tmp_path, synthetic_run):
    fold = fold_of(synthetic_run(tmp_path, ended=False, crash_in_exposure=True))
    last = fold.rows()[-1]
    assert (last["outcome"], last["dose_source"], last["frame"]) == ("charged-in-full", "intended", -1)
    assert fold.dose_by_kind()["record"].max() == pytest.approx(6 * 800.0)
    assert len(fold.frame_records("image")) == 5


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(st.data())
def test_cut_anywhere_the_ledger_never_forgets_an_intent(tmp_path_factory, synthetic_run, data):
    folder = tmp_path_factory.mktemp("run")
    records = read_journal(RunParts.beside(synthetic_run(folder, n_tilts=3)).journal)
    cut = data.draw(st.integers(1, len(records)))
    fold = RunFold.of(records[:cut])
    intents = {record["exposure"]: record for record in records[:cut] if record["k"] == "intent"}
    assert sorted(fold.exposures) == sorted(intents)
    charged = sum(dose.sum() for dose in fold.dose_by_kind().values()) * fold.grid.pixel_size_m**2
    intended = sum(
        rect["dose_e_per_a2"] * rect["width_m"] * rect["height_m"]
        for record in intents.values()
        for rect in record["deposits"]
    )
    assert charged == pytest.approx(intended, rel=1e-9)
    with_frame = sum(record["k"] == "frame" and record["stream"] == "image" for record in records[:cut])
    named = [row["frame"] for row in fold.rows() if row["kind"] == "record" and row["frame"] >= 0]
    assert named == list(range(with_frame))


def test_non_finite_numbers_and_double_told_states(tmp_path):
    journal = Journal.create(tmp_path / "j")
    journal.append("head", {"dose": {"limit_e_per_a2": float("inf")}}, t=0.0)
    journal.append("monitor", {"name": "pressure", "unit": "Pa", "value": float("nan")}, t=1.0)
    journal.append("state", {"state": "tilting", "label": "Tilt"}, t=2.0)
    told = {"event": "state", "level": "info", "name": "tilting", "message": "Tilt", "data": {}}
    journal.append("event", told, t=2.0)
    fold = RunFold.of(read_journal(journal.path))
    assert fold.limit_e_per_a2 == math.inf
    assert math.isnan(fold.monitors["pressure"].values[0])
    assert [event["name"] for event in fold.events] == ["tilting"]


def test_a_journal_without_head_and_frames_with_a_gap_are_refused(tmp_path):
    journal = Journal.create(tmp_path / "j")
    journal.append("step", {}, t=0.0)
    with pytest.raises(RunFileError, match="head"):
        RunFold.of(read_journal(journal.path))
    fold = RunFold()
    fold.frames["image"] = {0: {}, 2: {}}
    with pytest.raises(RunFileError, match="missing"):
        fold.frame_records("image")


def test_a_second_session_reopens_the_run(tmp_path, synthetic_run):
    path = synthetic_run(tmp_path)
    journal, _ = Journal.reopen(RunParts.beside(path).journal)
    journal.append("session", {"start_s": 100.0, "reason": "resumed"}, t=100.0)
    fold = fold_of(path)
    assert fold.end is None
    assert [session["reason"] for session in fold.sessions] == ["start", "resumed"]
    assert np.isfinite(fold.sessions[0]["end_s"])
