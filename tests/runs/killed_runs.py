"""Small runs in a forked child that dies without any goodbye, and what the world says of all that was exposed."""

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
from cryoctl.errors import BadInput
from cryoctl.launch.request import RunRequest, RunResult
from cryoctl.launch.resume import resume
from cryoctl.runfile.check import check_run
from cryoctl.runfile.journal import Journal
from tests.runs.small_runs import play


def in_a_child(act: Callable[[], Any]) -> int:
    """Exit code of a forked child; its own exceptions end it with 70."""
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            act()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def die_at_record(number: int, *, before: bool = False) -> None:
    """From now on this process dies when that many more records were appended to a journal, or just before the last."""
    append = Journal.append
    left = number

    def counted(self: Journal, kind: str, fields: Any, **how: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and before:
            os._exit(9)
        record = append(self, kind, fields, **how)
        if left == 0:
            os._exit(9)
        return record

    Journal.append = counted  # type: ignore[method-assign]


def killed(out: Path, number: int, *overrides: str, before: bool = False, **options: Any) -> Path | None:
    """Play a small run in a child that dies at a record; the run file, or None where the run came to its end."""

    def act() -> None:
        die_at_record(number, before=before)
        play(out, *overrides, events=out / "events.jsonl", **options)

    out.mkdir(parents=True, exist_ok=True)
    code = in_a_child(act)
    assert code in (0, 9)
    runs = [path.with_suffix(".nxs") for path in out.glob("*.parts")]
    return runs[0] if code == 9 and runs else None


def killed_again(run: Path, number: int) -> bool:
    """Resume it in a child that dies at a record; False where it came to its end."""

    def act() -> None:
        die_at_record(number)
        resumed(run)

    code = in_a_child(act)
    assert code in (0, 9)
    return code == 9


def resumed(run: Path, **options: Any) -> RunResult:
    return resume(run, RunRequest(recipe="", events=run.parent / "events.jsonl", **options))


def judge(run: Path) -> list[str]:
    """What is wrong with a run that was resumed to its end, by the world's truth and what had been acknowledged."""
    wrong = [f"check: {one.name}: {one.detail}" for one in check_run(run).checks if not one.ok]
    acknowledged = [json.loads(line) for line in (run.parent / "events.jsonl").read_text().splitlines()]
    with cryoctl.open_run(run) as opened:
        shas = list(opened.image.sha256) if "image" in opened else []
        for event in acknowledged:
            if event["event"] == "frame" and shas[event["frame"]] != event["sha256"]:
                wrong.append(f"acknowledged frame {event['frame']} is not in the file")
        exposures = opened.exposures
        settled = Counter(
            (target, round(float(tilt), 1))
            for kind, target, tilt, outcome in zip(
                exposures.kind, exposures.target, exposures.tilt_deg, exposures.outcome, strict=True
            )
            if kind == "record" and outcome == "settled"
        )
        wrong += [f"{place} was recorded {count} times" for place, count in settled.items() if count > 1]
        numbers = list(np.asarray(opened.truth.record_exposure))
        wrong += [f"exposure {n} was exposed {c} times" for n, c in Counter(numbers).items() if c > 1]
        if not opened.truth.final.beam_blanked:
            wrong.append("the beam is open")
    return wrong


def refused(act: Callable[[], Any]) -> str:
    """The sentence with which something was refused."""
    with pytest.raises(BadInput) as caught:
        act()
    assert len(caught.value.message) <= 300
    return caught.value.message
