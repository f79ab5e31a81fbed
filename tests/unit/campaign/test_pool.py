"""Cases have processes of their own: one that dies or hangs is told, and the next one is played all the same."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from cryoctl.testing.campaign.evidence import copy_sparse
from cryoctl.testing.campaign.pool import Processes, shared


def note(file: Path) -> None:
    file.write_text(str(os.getpid()), encoding="utf-8")


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_a_process_that_dies_or_hangs_takes_nothing_with_it(tmp_path: Path) -> None:
    with Processes(()) as processes:
        assert processes.call(note, tmp_path / "first") == 0
        assert processes.call(note, tmp_path / "again") == 0
        assert processes.call(die) == -signal.SIGKILL
        assert processes.call(note, tmp_path / "after") == 0
        assert processes.call(time.sleep, 60.0, longest_s=0.2) is None
        assert processes.call(note, tmp_path / "last") == 0
    first, again, after, last = ((tmp_path / name).read_text() for name in ("first", "again", "after", "last"))
    assert first == again, "one warm process for case after case"
    assert len({first, after, last, str(os.getpid())}) == 4


def test_tasks_are_shared_and_all_come_back() -> None:
    assert sorted(shared(lambda task: task * task, range(7), 3)) == [(n, n * n) for n in range(7)]
    assert list(shared(lambda task: task, [])) == []


def test_a_sparse_copy_is_the_same_file(tmp_path: Path) -> None:
    source = tmp_path / "world.bin"
    with source.open("wb") as file:
        file.write(b"head")
        file.seek(5 << 20)
        file.write(b"tail")
        file.truncate(9 << 20)
    copy_sparse(source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == source.read_bytes()
