"""Room kept back on the disk: a file that is deleted when the disk is full, so that the run's end can be written."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from cryoctl.interfaces.medium import REAL_DISK, Medium
from cryoctl.runfile.raw_io import open_file, reserve, write_at

RESERVE_BYTES = 8 << 20
"""For the last records of a journal, and for the packed file of a small run."""


class Reserve:
    """Made at the start of a session; `release` gives its room back once. Deleted at the end in any case."""

    def __init__(self, path: Path, medium: Medium = REAL_DISK, size: int = RESERVE_BYTES) -> None:
        self._path = path
        self._medium = medium
        self._size = size
        path.unlink(missing_ok=True)
        fd = open_file(path, write=True, create=True)
        try:
            reserve(fd, size)
            if os.fstat(fd).st_size < size:  # this system can't reserve
                write_at(fd, bytes(size), 0)
        finally:
            os.close(fd)
        self._held = True

    def release(self) -> None:
        """May be called twice, and never raises: it is called when the disk is in trouble."""
        if not self._held:
            return
        self._held = False
        with contextlib.suppress(OSError):
            self._path.unlink()
            self._medium.freed(self._size)
