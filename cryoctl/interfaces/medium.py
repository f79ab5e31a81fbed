"""Where a run is kept, as far as it can fail: the disk, or what a simulator makes of it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol


class Medium(Protocol):
    """Asked by everything that writes for a run (journal, frames, events, the packed file) before it writes."""

    def free_bytes(self, folder: Path) -> int:
        """Room left on the disk of an existing folder."""
        ...

    def admit(self, size: int) -> None:
        """So many bytes are about to be written. Raises `OSError` where that would fail; nothing is written then."""
        ...

    def freed(self, size: int) -> None:
        """A file of so many bytes was deleted to make room."""
        ...


class RealDisk:
    """Admits everything: the operating system says itself what fails."""

    def free_bytes(self, folder: Path) -> int:
        return shutil.disk_usage(folder).free

    def admit(self, size: int) -> None:
        del size

    def freed(self, size: int) -> None:
        del size


REAL_DISK = RealDisk()
