"""`tell` and `status`: the operator from another shell."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cryoctl.cli import options, wording
from cryoctl.cli.output import put, put_json, say
from cryoctl.errors import BadInput, CryoctlError

app = typer.Typer(rich_markup_mode=None)

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run file, its .parts folder, or its name without ending.")]


class Command(StrEnum):
    PAUSE = "pause"
    BLANK = "blank"
    GO = "go"
    SKIP = "skip"
    STOP_AFTER = "stop-after"
    ABORT = "abort"
    ACK = "ack"
    NOTE = "note"


@app.command("tell")
def tell(
    run: Run,
    command: Annotated[
        Command,
        typer.Argument(metavar="COMMAND", help="pause, blank, go, skip, stop-after, abort, ack or note."),
    ],
    text: Annotated[list[str] | None, typer.Argument(metavar="[TEXT]", help="For note: what to write down.")] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Speak to a running run; it answers within a second."""
    from cryoctl.launch.control_client import ask

    words = " ".join(text or ())
    if command is Command.NOTE and not words.strip():
        raise BadInput("note: no text was given; write cryoctl tell RUN note TEXT")
    if words and command is not Command.NOTE:
        raise BadInput(f"{command.value}: takes no text, found {words[:40]!r}; only note does")
    answer = ask(run, command.value, words)
    if json:
        put_json({"exit_code": 0, "run": str(run), "command": command.value, "message": answer.get("message")})
    elif not quiet:
        put(str(answer.get("message")))


@app.command("status")
def status(
    run: Annotated[
        Path | None, typer.Argument(metavar="[RUN]", help="Default: every run of this folder that answers.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Where a run is: state, progress, dose, frames; of an ended run how it ended."""
    if run is None:
        _of_folder(json, quiet)
        return
    answer = _of_run(run)
    if json:
        put_json({"exit_code": 0, **answer})
    else:
        for line in status_lines(answer):
            put(line)


def _of_folder(json: bool, quiet: bool) -> None:
    from cryoctl.launch.control_client import listening

    found = listening(Path())
    if json:
        put_json({"exit_code": 0, "runs": [answer | {"run_file": str(run)} for run, answer in found]})
        return
    if not found and not quiet:
        say("no run in this folder is running; `cryoctl show .` lists the runs that ended")
    for _, answer in found:
        for line in status_lines(answer):
            put(line)


def _of_run(run: Path) -> dict[str, Any]:
    from cryoctl.launch.control_client import NobodyAnswers, ask, parts_of, run_file_of

    try:
        answer = ask(run, "status")
        return {key: value for key, value in answer.items() if key != "ok"}
    except NobodyAnswers as silent:
        return ended(run_file_of(parts_of(run)), silent)


def ended(run_file: Path, silent: CryoctlError) -> dict[str, Any]:
    """Status of a run that does not answer, from its file."""
    from cryoctl.cli.show import summary_of

    summary = summary_of(run_file)
    known = str(summary.get("status") or "")
    over = known in ("completed", "limited", "aborted", "faulted")
    return {
        "run": run_file.stem,
        "run_file": str(run_file),
        "alive": False,
        "status": known if over else "killed",
        "end_reason": summary.get("end_reason"),
        "exit_code_of_run": summary.get("exit_code"),
        "message": summary.get("message") if over else silent.message,
        "time_s": summary.get("duration_s"),
        "frames": summary.get("frames"),
        "dose": summary.get("dose"),
    }


def status_lines(answer: Mapping[str, Any]) -> list[str]:
    """Three lines for a person."""
    name = answer.get("run") or answer.get("run_file")
    dose: Mapping[str, Any] = answer.get("dose") or {}
    spent = wording.dose(dose.get("peak"))
    limit = f" of {wording.dose(dose['limit'])}" if dose.get("limit") is not None else ""
    if not answer.get("alive"):
        lines = [f"{name}: {answer.get('status')}"]
        if answer.get("message"):
            lines.append(f"  {answer['message']}")
        if answer.get("frames") is not None:
            lines.append(f"  {wording.many(int(answer['frames']), 'frame')}, dose peak {spent}{limit}")
        return lines
    step = answer.get("step") or answer.get("label") or answer.get("state") or ""
    frames = f"frame {answer.get('frames')}"
    frames += f" of {answer['frames_planned']}" if answer.get("frames_planned") else ""
    asked = f" ({answer['asked']} asked)" if answer.get("asked") else ""
    lines = [
        f"{name}: {answer.get('status')}{asked}, {step} ({100 * float(answer.get('progress') or 0):.0f} %)",
        f"  {frames}, dose {spent}{limit}, run time {wording.duration(float(answer.get('time_s') or 0))}",
    ]
    if answer.get("alarm"):
        lines.append(f"  alarm: {answer['alarm']}; `cryoctl tell RUN ack` acknowledges it")
    recent = list(answer.get("recent") or ())
    if recent:
        lines.append(f"  last: {recent[-1]}")
    return lines
