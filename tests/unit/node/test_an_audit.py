"""The audit file stays within its size, and what a fault needs stays in it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cryoctl.errors import FileProblem
from cryoctl.node.audit import Audit


def lines_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_a_flood_of_refused_messages_carries_no_fault_away(tmp_path: Path) -> None:
    file = tmp_path / "made" / "audit.jsonl"
    audit = Audit(file, largest=20_000)
    audit.note("lease", "anna", "lost: no heartbeat", number=3)
    for number in range(2000):
        audit.note("refused", "unknown", f"message {number}")
    audit.note("watchdog", "watchdog", "the node died")
    assert sorted(one.name for one in file.parent.iterdir()) == ["audit.jsonl", "audit.jsonl.1"]
    assert all(one.stat().st_size <= 20_000 for one in file.parent.iterdir())
    lines = lines_of(file)
    assert [one["message"] for one in lines if one["what"] != "refused"] == ["lost: no heartbeat", "the node died"]
    assert audit.refused == 2000
    told = [one["message"] for one in (*lines_of(file.with_name("audit.jsonl.1")), *lines) if one["what"] == "refused"]
    assert told == [f"message {number}" for number in range(2000 - len(told), 2000)], "the latest, none twice"


def test_two_processes_write_one_file_and_either_may_begin_a_new_one(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    node, watchdog = Audit(file, largest=5_000), Audit(file, largest=5_000)
    for number in range(100):
        node.note("refused", "unknown", f"message {number}")
    watchdog.note("watchdog", "watchdog", "the node died")
    assert lines_of(file)[-1]["message"] == "the node died"


def test_an_audit_that_can_not_be_written_is_told_before_and_stops_nothing_later(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileProblem, match=r"--audit .*: can't be written"):
        Audit(tmp_path / "file" / "audit.jsonl")
    file = tmp_path / "audit.jsonl"
    audit = Audit(file)
    file.unlink()
    file.mkdir()
    audit.note("node", "node", "goes on")
    assert audit.failure
    assert audit.latest[-1]["message"] == "goes on"
