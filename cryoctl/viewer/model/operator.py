"""What the window's buttons say to the run: each in a thread of its own, so that STOP never waits behind anything."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryoctl.errors import BadInput
from cryoctl.launch.control_client import ask

SOURCE = "view"


@dataclass(frozen=True, slots=True)
class Answer:
    """`ok` False where the run refused or nobody answered: `message` says what then."""

    command: str
    ok: bool
    message: str


def tell(run_file: Path, command: str, answered: Callable[[Answer], None], patience_s: float = 2.0) -> threading.Thread:
    """Send `pause`, `blank`, `go`, `abort`, `ack` ... and give the answer to `answered`, from the thread."""

    def speak() -> None:
        try:
            said = ask(run_file, command, patience_s=patience_s, source=SOURCE)
            answer = Answer(command, True, str(said.get("message", "")))
        except BadInput as problem:
            answer = Answer(command, False, problem.message)
        answered(answer)

    thread = threading.Thread(target=speak, name=f"cryoctl-view-{command}", daemon=True)
    thread.start()
    return thread
