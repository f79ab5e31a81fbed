"""Speaking to a running run from another process: finds its control file, asks, and says clearly if nobody answers."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any, cast

from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.person import person

PATIENCE_S = 1.0
CONTROL_FILE = "control.json"


class NobodyAnswers(BadInput):
    """The run has ended, was killed, or never began to listen."""


def parts_of(run: Path) -> Path:
    """The belongings of a run, given its file, its `.parts` folder or its name without ending.

    Raises:
        FileProblem: there is no such run.
    """
    if run.suffix == ".parts":
        parts = run
    elif run.suffix == ".nxs":
        parts = run.with_suffix(".parts")
    else:
        parts = run.with_name(run.name + ".parts")
    if parts.is_dir() or run.is_file():
        return parts
    raise FileProblem(f"{run}: no run of this name here; give the path of its .nxs file")


def run_file_of(parts: Path) -> Path:
    return parts.with_suffix(".nxs")


def ask(
    run: Path, command: str, text: str = "", patience_s: float = PATIENCE_S, source: str = "tell"
) -> dict[str, Any]:
    """Send one command and return the run's answer; `source` is how it is journaled.

    Raises:
        FileProblem: there is no such run.
        NobodyAnswers: it has ended or was killed.
        BadInput: it answered and refused.
    """
    file = parts_of(run) / CONTROL_FILE
    said = _read(file)
    name = run_file_of(file.parent).name
    if said is None:
        raise NobodyAnswers(f"{name}: this run does not listen, it has ended; `cryoctl status {run}` says how")
    words = {"token": said["token"], "command": command, "text": text, "source": source, "who": person()}
    line = json.dumps(words).encode() + b"\n"
    try:
        with socket.create_connection(("127.0.0.1", int(said["port"])), timeout=patience_s) as link:
            link.settimeout(patience_s)
            link.sendall(line)
            reply = link.makefile("rb").readline()
        answer: Any = json.loads(reply)
    except (OSError, ValueError):
        where = "" if said.get("host") == socket.gethostname() else f" on {said.get('host')}"
        raise NobodyAnswers(
            f"{name}: its process {said.get('pid')}{where} does not answer; it was killed or hangs, look at it there"
        ) from None
    if not isinstance(answer, dict):
        raise NobodyAnswers(f"{name}: what listens on its port is not this run; it was killed")
    told = cast("dict[str, Any]", answer)
    if not told.get("ok"):
        if "token" in str(told.get("message", "")):
            raise NobodyAnswers(f"{name}: what listens on its port is not this run; it was killed")
        raise BadInput(f"{name}: {told.get('message', 'the command was refused')}")
    return told


def listening(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """Runs of a folder that answer, each with its status."""
    found: list[tuple[Path, dict[str, Any]]] = []
    for file in sorted(folder.glob(f"*.parts/{CONTROL_FILE}")):
        run = run_file_of(file.parent)
        try:
            found.append((run, ask(run, "status")))
        except BadInput:
            continue
    return found


def _read(file: Path) -> dict[str, Any] | None:
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return cast("dict[str, Any]", said) if isinstance(said, dict) and {"port", "token"} <= set(said) else None
