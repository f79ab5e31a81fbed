"""A lock that dies with its owner: the operating system drops it when the process ends, however it ends."""

from __future__ import annotations

import os
import sys
import threading
import weakref
from pathlib import Path

from cryoctl.errors import FileProblem

if sys.platform == "win32":
    import msvcrt

    def _take(fd: int) -> bool:
        """Windows locks bytes and then nobody can read them: take one far behind the text."""
        os.lseek(fd, 1 << 30, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _is_held(fd: int) -> bool:
        """By an owner; who only looks has it for a moment."""
        for _ in range(5):
            if _take(fd):
                return False
            threading.Event().wait(0.01)
        return True
else:
    import fcntl

    def _take(fd: int) -> bool:
        """Lock the open file for this process; False where another one holds it."""
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True

    def _is_held(fd: int) -> bool:
        """By an owner: those who look share it among them."""
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
        return False


_held: weakref.WeakSet[OwnedFile] = weakref.WeakSet()


class OwnedFile:
    """A file that one process at a time can own. It stays behind, only the lock on it means something."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = -1

    def take(self, text: str) -> bool:
        """Own it and write into it who does; False where another process does, whose text `owner_text` reads."""
        fd = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        for _ in range(5):
            if _take(fd):
                break
            threading.Event().wait(0.01)  # someone may just be looking (`is_locked`)
        else:
            os.close(fd)
            return False
        self._fd = fd
        _held.add(self)
        self.say(text)
        return True

    def say(self, text: str) -> None:
        """What others read of the owner; owned only."""
        os.ftruncate(self._fd, 0)
        os.lseek(self._fd, 0, os.SEEK_SET)
        os.write(self._fd, f"{text}\n".encode())

    def release(self) -> None:
        """May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class RunLock(OwnedFile):
    """Exclusive use of one run; a context manager."""

    def acquire(self) -> None:
        """Raises `FileProblem` where another process has the run."""
        if not self.take(str(os.getpid())):
            name, owner = self.path.parent.name.removesuffix(".parts"), owner_text(self.path)
            raise FileProblem(
                f"run {name} is in use by process {owner}: wait for its end, or use `cryoctl tell` to speak to it"
            )

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Whether a living process holds the lock; however many look at once."""
    try:
        fd = os.open(path, os.O_RDWR)
    except OSError:
        return False
    try:
        return _is_held(fd)
    finally:
        os.close(fd)


def owner_pid(path: Path) -> int | None:
    """Process that holds the lock, None where nobody does."""
    if not is_locked(path):
        return None
    text = owner_text(path)
    return int(text) if text.isdigit() else None


def owner_text(path: Path) -> str:
    """What the owner wrote, "unknown" where that can't be read."""
    try:
        return path.read_text(encoding="utf-8").strip() or "unknown"
    except (OSError, ValueError):
        return "unknown"


def _drop_in_child() -> None:
    """A forked child shares the lock and would keep it alive after its parent's death."""
    for lock in list(_held):
        lock.release()


if sys.platform != "win32":
    os.register_at_fork(after_in_child=_drop_in_child)
