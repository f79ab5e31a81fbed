"""`--kill`: real processes, ended by SIGKILL at random moments of their acquisition, recovered, checked and resumed."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cryoctl.errors import CryoctlError
from cryoctl.runfile.summary import summary_of
from cryoctl.testing.campaign.case import Case, CaseFolder, Verdict
from cryoctl.testing.campaign.drawing import Plan, chance
from cryoctl.testing.campaign.playing import judged, prepare_case
from cryoctl.testing.campaign.pool import Processes
from cryoctl.testing.campaign.survival import cryoctl_command, judge_recovered

_LOOK_S = 0.002
_KILLS = (1, 1, 1, 2, 2, 3, 4)
"""Of a run; all but the first are of its resumes."""
_LATEST_S = 0.25
"""A kill comes up to this long (wall time) after the run has come to the place drawn for it."""
_LONGEST_S = 600.0


def play_killed(processes: Processes, folder: CaseFolder, plan: Plan) -> tuple[Case, Verdict] | None:
    """Run, kill, recover and check a copy, resume (killed again up to three times), judge all of it together.

    A process that comes to its end before its moment is not killed. None where the case could not be prepared.
    """
    drawn = chance(plan.seed, plan.protocol, "kills")
    processes.call(prepare_case, folder, plan, ())
    if not folder.case.exists():
        return None
    case = Case.load(folder)
    arguments = [*case.command_line(folder), "--json", "--quiet"]
    kills = 0
    for _ in range(drawn.choice(_KILLS)):
        reached_s = drawn.uniform(_reached_s(folder.events), case.duration_s)
        if not _killed(arguments, folder, reached_s, drawn.uniform(0.0, _LATEST_S)):
            break
        kills += 1
        processes.call(judge_copy, folder, kills)
        arguments = _resuming(folder)
    else:
        _to_its_end(arguments, folder)
    processes.call(judge_survivor, folder, kills)
    return case, Verdict.load(folder)


def judge_copy(folder: CaseFolder, kill: int) -> None:
    """What a copy recovered after this kill lacks, kept in the folder."""
    found = judge_recovered(folder, Case.load(folder))
    _recovered(folder, kill).write_text(json.dumps(found), encoding="utf-8")


def judge_survivor(folder: CaseFolder, kills: int) -> None:
    """The verdict on the run as its last process left it, with what its recovered copies lacked."""
    case = Case.load(folder)
    found: list[str] = []
    for kill in range(1, kills + 1):
        kept = _recovered(folder, kill)
        found += json.loads(kept.read_text(encoding="utf-8")) if kept.exists() else [f"kill {kill}: no copy was judged"]
    verdict = judged(folder, case, _last_words(folder), kills)
    replace(verdict, violations=(*found, *verdict.violations)).save(folder)


def _recovered(folder: CaseFolder, kill: int) -> Path:
    return folder.path / f"recovered_{kill}.json"


def _said(folder: CaseFolder) -> tuple[Path, Path]:
    return folder.path / "stdout.json", folder.path / "stderr.txt"


def _resuming(folder: CaseFolder) -> list[str]:
    files = ["--world", str(folder.world), "--events", str(folder.events)]
    return ["resume", str(folder.run_file()), *files, "--json", "--quiet"]


def _start(arguments: Sequence[str], folder: CaseFolder) -> subprocess.Popen[bytes]:
    out, err = _said(folder)
    with out.open("wb") as stdout, err.open("ab") as stderr:
        return subprocess.Popen(cryoctl_command(*arguments), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr)


def _killed(arguments: Sequence[str], folder: CaseFolder, reached_s: float, after_s: float) -> bool:
    """Start, and kill so long after the run time has been reached; False where the process ended by itself before."""
    process = _start(arguments, folder)
    deadline_s = time.monotonic() + _LONGEST_S
    try:
        while _reached_s(folder.events) < reached_s:
            if process.poll() is not None:
                return False
            if time.monotonic() > deadline_s:
                return True
            time.sleep(_LOOK_S)
        try:
            process.wait(after_s)
        except subprocess.TimeoutExpired:
            return True
        return False
    finally:
        process.kill()
        process.wait()


def _to_its_end(arguments: Sequence[str], folder: CaseFolder) -> None:
    process = _start(arguments, folder)
    try:
        process.wait(_LONGEST_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _reached_s(events: Path) -> float:
    """Run time of the last whole event line, 0 before there is one."""
    if not events.exists():
        return 0.0
    with events.open("rb") as file:
        file.seek(max(0, file.seek(0, 2) - 4096))
        lines = file.read().split(b"\n")[:-1]
    try:
        return float(json.loads(lines[-1])["time_s"]) if lines else 0.0
    except (ValueError, KeyError):
        return 0.0


def _last_words(folder: CaseFolder) -> dict[str, Any]:
    """Exit code, reason and message of the last process, from what it printed."""
    out, err = _said(folder)
    try:
        told: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        last = err.read_text(encoding="utf-8", errors="replace").strip()[-300:] if err.exists() else ""
        return {"exit_code": -1, "end_reason": "", "message": "", "crash": f"its last process said nothing: {last}"}
    if told.get("exit_code") == 2 and (ended := _ended(folder)):
        return ended  # the kill came when the file was whole already, and there was nothing to resume
    return {
        "exit_code": int(told.get("exit_code", -1)),
        "end_reason": str(told.get("end_reason") or ""),
        "message": str(told.get("message") or ""),
    }


def _ended(folder: CaseFolder) -> dict[str, Any]:
    run_file = folder.run_file()
    try:
        told = summary_of(run_file) if run_file is not None else {}
    except (CryoctlError, OSError):
        return {}
    if told.get("exit_code") is None:
        return {}
    return {name: told[name] for name in ("exit_code", "end_reason", "message")}
