"""A run told as bluesky documents: valid, the same each time, and leading to the pictures where they lie."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import event_model
import h5py
import numpy as np
import pytest

from cryoctl import open_run
from cryoctl.bluesky import documents
from cryoctl.cli.main import call
from cryoctl.runfile.frame_store import FrameReader
from cryoctl.runfile.journal import load_journal
from tests.runs.small_runs import play, run_file

Documents = list[tuple[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three tilts with EDX."""
    return run_file(play(tmp_path_factory.mktemp("finished")))


@pytest.fixture(scope="module")
def told(finished: Path) -> Documents:
    return list(documents(finished))


def killed_after(finished: Path, frames: int, folder: Path) -> Path:
    """As the run would have been left by a kill after so many record frames were durable."""
    copy = folder / finished.name
    parts = copy.with_suffix(".parts")
    shutil.copytree(finished.with_suffix(".parts"), parts)
    kept: list[str] = []
    for line in (parts / "journal.jsonl").read_text(encoding="utf-8").splitlines(keepends=True):
        record = json.loads(line)
        if record["k"] == "frame" and record["stream"] == "image":
            frames -= 1
        if frames < 0:
            break
        kept.append(line)
    (parts / "journal.jsonl").write_text("".join(kept), encoding="utf-8")
    return copy


def events_of(told: Documents, stream: str) -> list[dict[str, Any]]:
    uids = {one["uid"] for name, one in told if name == "descriptor" and one["name"] == stream}
    return [one for name, one in told if name == "event" and one["descriptor"] in uids]


def rows_of(told: Documents, data_key: str, stream: str) -> list[Any]:
    """What the references of a stream lead to, in the order of its events."""
    uids = {one["uid"] for name, one in told if name == "descriptor" and one["name"] == stream}
    resources = {one["uid"]: one for name, one in told if name == "stream_resource"}
    found: list[Any] = []
    for name, datum in told:
        if name != "stream_datum" or datum["descriptor"] not in uids:
            continue
        resource = resources[datum["stream_resource"]]
        if resource["data_key"] == data_key:
            assert datum["seq_nums"]["start"] == len(found) + 1
            with h5py.File(resource["uri"].removeprefix("file://localhost")) as file:
                part = slice(datum["indices"]["start"], datum["indices"]["stop"])
                found += list(file[resource["parameters"]["dataset"]][part])
    return found


def test_every_document_is_valid_and_each_refers_to_one_before_it(told: Documents) -> None:
    known: set[str] = set()
    for name, document in told:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
        for key in ("run_start", "descriptor", "stream_resource"):
            assert document.get(key, next(iter(known), None)) in known | {None}
        assert document["uid"] not in known
        known.add(document["uid"])
    assert (told[0][0], told[-1][0]) == ("start", "stop")


def test_documents_say_what_the_run_file_holds(finished: Path, told: Documents) -> None:
    start, stop = told[0][1], told[-1][1]
    with open_run(finished) as run:
        assert (start["seed"], start["plan_name"], start["sample"]) == (1, "edx-tomography", "nanowire")
        assert start["recipe"] == run.entry.recipe
        assert start["software"]["cryoctl"] == run.entry.software.cryoctl
        primary = events_of(told, "primary")
        assert [one["data"]["tilt_deg"] for one in primary] == list(run.image.tilt_deg)
        assert [one["data"]["dose_e_per_a2"] for one in primary] == list(run.image.dose_e_per_a2)
        assert [one["data"]["window_counts_Si"] for one in primary] == list(run.edx.window_counts.Si)
        assert [one["time"] - start["time"] for one in primary] == pytest.approx(list(run.image.time_s), abs=1e-5)
        assert len(events_of(told, "exposures")) == len(run.exposures.time_s)
        for name in run.monitors:
            values = [one["data"][name] for one in events_of(told, f"monitor_{name}")]
            assert values == list(run.monitors[name].value)
    assert stop["exit_status"] == "success"
    streams = {one["uid"]: one["name"] for name, one in told if name == "descriptor"}
    assert stop["num_events"] == Counter(streams[one["descriptor"]] for name, one in told if name == "event")


def test_references_lead_to_pictures_and_spectra(finished: Path, told: Documents) -> None:
    with open_run(finished) as run:
        for stream, group in (("primary", "image"), ("track", "track"), ("search", "search")):
            assert np.array_equal(rows_of(told, "picture", stream), run.root.dataset(f"{group}/data/data")[:])
        assert np.array_equal(rows_of(told, "spectrum", "primary"), run.edx.spectra)


def test_the_same_run_gives_the_same_documents(finished: Path, told: Documents) -> None:
    assert list(documents(finished)) == told


def test_a_killed_run_is_told_as_far_as_it_went_with_its_scan_frames(finished: Path, tmp_path: Path) -> None:
    told = list(documents(killed_after(finished, 2, tmp_path)))
    for name, document in told:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
    assert told[0][1]["uid"] == next(documents(finished))[1]["uid"]
    stop = told[-1][1]
    assert (stop["exit_status"], "recover" in stop["reason"]) == ("fail", True)
    parts = tmp_path / finished.with_suffix(".parts").name
    reader = FrameReader(parts / "frames")
    journal = load_journal(parts / "journal.jsonl").records
    frames = [one for one in journal if one["k"] == "frame" and one["stream"] == "image"]
    assert len(events_of(told, "primary")) == len(frames) == 2
    found = rows_of(told, "scans", "primary")
    for scans, record in zip(found, frames, strict=True):
        assert np.array_equal(scans, reader.read(record["segment"], record["slot"], record["sha256"]))


def test_a_run_that_goes_on_has_no_stop_yet(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = killed_after(finished, 1, tmp_path)
    monkeypatch.setattr("cryoctl.runfile.reader.is_locked", lambda _: True)
    names = Counter(name for name, _ in documents(path))
    assert (names["start"], names["stop"]) == (1, 0)
    assert names["event"] > 0


def test_export_writes_a_line_a_document(
    finished: Path, told: Documents, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run.jsonl"
    assert call(["export", str(finished), "--to", "bluesky", "--out", str(out)]) == 0
    assert capsys.readouterr().out.splitlines() == [str(out)]

    def refused(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    lines = [json.loads(line, parse_constant=refused) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [name for name, _ in lines] == [name for name, _ in told]
    for name, document in lines:
        event_model.schema_validators[event_model.DocumentNames[name]].validate(document)
    assert lines[0][1] == told[0][1]
    assert not list(tmp_path.glob("*.part"))
