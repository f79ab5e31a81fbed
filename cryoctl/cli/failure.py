"""What a person reads when something can't be done: one sentence, an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import traceback
from pathlib import Path
from typing import Any

from cryoctl.clock.wall import utc_now
from cryoctl.errors import CryoctlError, OperatorStop

LONGEST = 300

STATUS_OF_EXIT = {1: "failed", 2: "refused", 3: "aborted", 4: "limited", 5: "faulted", 6: "faulted"}

crash_folder: list[Path] = []
"""`.parts` folders of the runs of this process, the latest last; the log of a crash goes there."""


def one_sentence(text: str) -> str:
    """Without line breaks and control characters, at most 300 characters."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else "?" for c in line)
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def explain(error: BaseException) -> tuple[int, str]:
    """Exit code and sentence of whatever was raised."""
    if isinstance(error, CryoctlError):
        return error.exit_code, one_sentence(error.message)
    if isinstance(error, OperatorStop):
        return error.exit_code, one_sentence(str(error))
    if isinstance(error, KeyboardInterrupt):
        return 3, "stopped by Ctrl-C"
    usage: Any = getattr(error, "format_message", None)
    if usage is not None:  # a usage error of typer, whichever click it carries
        return 2, one_sentence(_usage(str(usage()), getattr(error, "ctx", None)))
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return 2, "a file or folder: found a name longer than this computer takes; choose a shorter one"
    if isinstance(error, MemoryError):
        return 5, "memory: this computer has too little for it; make the image or the volume smaller"
    where = _log_crash(error)
    hint = f"details in {where}" if where else "set CRYOCTL_DEBUG=1 to see the details"
    name = type(error).__name__
    return 5, one_sentence(f"cryoctl met an error of its own ({name}: {str(error)[:120]}); {hint}")


def begun_run() -> Path | None:
    """The run file of this process's latest run, if it wrote one."""
    found = crash_folder[-1].with_suffix(".nxs") if crash_folder else None
    return found if found is not None and found.is_file() else None


def refusal(exit_code: int, message: str) -> dict[str, Any]:
    """The JSON object of a command that gave no answer; a run that broke off after its start names its file."""
    return {
        "status": STATUS_OF_EXIT.get(exit_code, "faulted"),
        "exit_code": exit_code,
        "message": message,
        "run_file": str(begun_run()) if exit_code > 2 and begun_run() else None,
    }


def _usage(text: str, ctx: Any) -> str:
    command = getattr(ctx, "command_path", "") or "cryoctl"
    text = " ".join(text.split()).rstrip(".").replace("Value error, ", "")
    return f"{text[:220]} (see `{command} --help`)"


def _log_crash(error: BaseException) -> Path | None:
    if os.environ.get("CRYOCTL_DEBUG"):
        traceback.print_exception(error)
    for folder in reversed(crash_folder):
        path = folder / f"crash_{utc_now():%Y%m%dT%H%M%S}.log"
        try:
            if folder.is_dir():
                with path.open("a", encoding="utf-8") as log:
                    log.write("".join(traceback.format_exception(error)))
                return path
        except OSError:
            continue
    return None
