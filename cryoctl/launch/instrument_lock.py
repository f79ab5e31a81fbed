"""One run at a time on an instrument: a lock that dies with its owner.

A simulated instrument is its world file, a real one its name. The locks of a user lie in a folder of their own, so that
nothing is written beside a world or a run file for them.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any, cast

from cryoctl.errors import FileProblem, InstrumentError
from cryoctl.launch.person import user
from cryoctl.runfile.lock import OwnedFile, is_locked, owner_text


class InstrumentInUse(InstrumentError):
    """Another process has it; `pid`, `run_file` and `node` (an address) as far as it tells them."""

    def __init__(self, message: str, pid: int | None, run_file: Path | None, node: str = "") -> None:
        super().__init__(message)
        self.pid = pid
        self.run_file = run_file
        self.node = node


class InstrumentLock(OwnedFile):
    """A context manager; `used_by` tells others which run has the instrument.

    Args:
        told: how the instrument is called in a sentence.
        key: what tells it from any other.
    """

    def __init__(self, told: str, key: str) -> None:
        super().__init__(_folder() / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.lock")
        self._told = told

    @classmethod
    def of_world(cls, world: Path) -> InstrumentLock:
        """The simulated instrument whose truth lives in this file."""
        return cls(f"world {world.name}", f"world {os.path.realpath(world)}")

    @classmethod
    def of_instrument(cls, name: str) -> InstrumentLock:
        """A real one."""
        return cls(f"instrument {name}", f"instrument {name}")

    def acquire(self) -> None:
        """Raises `InstrumentInUse`."""
        try:
            taken = self.take(json.dumps({"pid": os.getpid(), "run": None}))
        except OSError as error:
            raise FileProblem(
                f"{self._told}: its lock {self.path} can't be written ({error.strerror}); see to that folder"
            ) from error
        if not taken:
            raise self.in_use()

    def in_use(self) -> InstrumentInUse:
        """What to raise while another process has it."""
        try:
            said: Any = json.loads(owner_text(self.path))
        except ValueError:
            said = {}
        owner = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
        pid, run = owner.get("pid"), owner.get("run")
        process = f"process {pid}" if pid else "another process"
        if owner.get("node"):
            node = str(owner["node"])
            return InstrumentInUse(
                f"{self._told}: the node {node} ({process}) has it; run with --instrument {node}, or end the node",
                pid,
                None,
                node,
            )
        if not run:
            return InstrumentInUse(f"{self._told}: {process} has it; wait for its end", pid, None)
        name = Path(run).stem
        remedy = f"wait for its end, or end it with `cryoctl tell {run} abort`"
        if len(remedy) > 180:
            remedy = f"wait for its end, or end it with `cryoctl tell` in {Path(run).parent.name[:60]}"
        return InstrumentInUse(f"{self._told}: run {name[:60]} ({process}) has it; {remedy}", pid, Path(run))

    def used_by(self, run_file: Path) -> None:
        self.say(json.dumps({"pid": os.getpid(), "run": os.path.abspath(run_file)}))

    def served_at(self, address: str) -> None:
        self.say(json.dumps({"pid": os.getpid(), "node": address}))

    @property
    def taken(self) -> bool:
        """Whether a living process has it."""
        return is_locked(self.path)

    def __enter__(self) -> InstrumentLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _folder() -> Path:
    """The same for all sessions of a user, also where there is no home that could be written."""
    local = os.environ.get("LOCALAPPDATA")
    try:
        folder = (Path(local) if local else Path.home() / ".cache") / "cryoctl" / "locks"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if os.access(folder, os.W_OK | os.X_OK):
            return folder
    except (OSError, RuntimeError):
        pass
    folder = Path(tempfile.gettempdir()) / f"cryoctl-{user() or 'locks'}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder
