from __future__ import annotations

import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cryoctl.errors import FileProblem, RunFileError
from cryoctl.runfile.journal import Journal, load_journal, parse_journal, parse_journal_start, read_journal

plain_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
OWN = {"n", "t", "k", "prev", "sha"}
fields = st.dictionaries(st.text(min_size=1, max_size=6).filter(lambda key: key not in OWN), plain_values, max_size=4)
many = st.lists(st.tuples(st.sampled_from(["step", "monitor", "event"]), fields), min_size=1, max_size=12)
in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None)


def write(folder, entries) -> bytes:
    path = folder / "journal.jsonl"
    path.unlink(missing_ok=True)
    journal = Journal.create(path)
    for number, (kind, values) in enumerate(entries):
        journal.append(kind, values, t=0.25 * number)
    journal.close()
    return path.read_bytes()


@in_one_folder
@given(many)
def test_what_is_appended_is_read_and_every_record_names_the_one_before(tmp_path, entries):
    data = write(tmp_path, entries)
    records = read_journal(tmp_path / "journal.jsonl")
    assert [record["k"] for record in records] == [kind for kind, _ in entries]
    assert [record["n"] for record in records] == list(range(len(entries)))
    assert [record["prev"] for record in records] == ["", *(record["sha"] for record in records[:-1])]
    for line in data.splitlines():
        assert line == json.dumps(json.loads(line), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@in_one_folder
@given(many, st.data())
def test_a_truncated_journal_loses_only_its_torn_line_and_goes_on(tmp_path, entries, data):
    whole = write(tmp_path, entries)
    kept = data.draw(st.integers(0, len(whole)))
    path = tmp_path / "journal.jsonl"
    path.write_bytes(whole[:kept])
    lines_left = whole[:kept].count(b"\n")
    text = load_journal(path)
    assert len(text.records) == lines_left
    assert text.whole_bytes + text.torn_bytes == kept
    journal, records = Journal.reopen(path)
    assert len(records) == lines_left
    journal.append("session", {"reason": "resumed"}, t=9.0, sync=True)
    journal.close()
    again = read_journal(path)
    assert again[:-1] == text.records
    assert again[-1]["reason"] == "resumed"


@in_one_folder
@given(many, st.data())
def test_a_changed_byte_is_found_and_named(tmp_path, entries, data):
    whole = bytearray(write(tmp_path, entries))
    place = data.draw(st.integers(0, len(whole) - 2))  # the last line feed gone is a torn line, see above
    whole[place] ^= data.draw(st.integers(1, 255))
    broken = bytes(whole)
    number = broken[:place].count(b"\n")
    with pytest.raises(RunFileError, match=f"record {number} "):
        parse_journal(broken)
    text, message = parse_journal_start(broken)
    assert len(text.records) == number
    assert f"record {number} " in message


def test_records_that_change_places_break_the_chain(tmp_path):
    lines = write(tmp_path, [("step", {"i": i}) for i in range(4)]).splitlines(keepends=True)
    with pytest.raises(RunFileError, match="record 1 "):
        parse_journal(b"".join([lines[0], lines[2], lines[1], lines[3]]))
    with pytest.raises(RunFileError, match="record 0 "):
        parse_journal(b"".join(lines[1:]))


def test_own_names_and_numpy_are_refused_and_leave_no_trace(tmp_path):
    import numpy as np

    journal = Journal.create(tmp_path / "journal.jsonl")
    with pytest.raises(ValueError, match="own names"):
        journal.append("step", {"sha": "x"}, t=0.0)
    with pytest.raises(TypeError, match="plain"):
        journal.append("step", {"x": np.float64(1.0)}, t=0.0)
    journal.append("step", {"x": 1.0}, t=0.0)
    journal.close()
    assert [record["n"] for record in read_journal(journal.path)] == [0]


def test_a_full_disk_leaves_the_journal_as_it_was(tmp_path, monkeypatch):
    journal = Journal.create(tmp_path / "journal.jsonl")
    journal.append("step", {"i": 0}, t=0.0)
    real = os.write

    def half(fd, data):
        if len(data) < 20:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[: len(data) // 2])

    monkeypatch.setattr(os, "write", half)
    with pytest.raises(OSError, match="space"):
        journal.append("step", {"i": 1}, t=1.0)
    monkeypatch.undo()
    journal.append("step", {"i": 2}, t=2.0)
    assert [record["i"] for record in read_journal(journal.path)] == [0, 2]


def test_power_syncs_and_process_does_not(tmp_path, monkeypatch):
    synced = []
    monkeypatch.setattr(os, "fdatasync", synced.append, raising=False)
    for durability, expected in (("process", 0), ("power", 1)):
        journal = Journal.create(tmp_path / durability, durability)
        journal.append("step", {}, t=0.0)
        assert not synced
        journal.append("intent", {}, t=0.0, sync=True)
        assert len(synced) == expected
        journal.close()
        synced.clear()


def test_an_absent_journal_is_a_file_problem(tmp_path):
    with pytest.raises(FileProblem):
        read_journal(tmp_path / "none")
