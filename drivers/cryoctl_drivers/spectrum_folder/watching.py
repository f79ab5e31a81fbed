"""Which file of a folder is the new one, and whether it still grows."""

from __future__ import annotations

import fnmatch
import os
import time
from dataclasses import dataclass
from pathlib import Path

from cryoctl.errors import DeviceError


@dataclass(frozen=True, slots=True)
class Mark:
    """What tells two states of a file apart; `companions_bytes` are those of the same name with other endings."""

    inode: int
    bytes_: int
    written_ns: int
    companions_bytes: int


class Watch:
    """Knows what lay in the folder when it was told to look, and what was read since.

    Args:
        owner: name of the device, with which every message begins.
    """

    def __init__(self, owner: str, folder: Path, pattern: str, clock_slack_s: float) -> None:
        self._owner = owner
        self._folder = folder
        self._pattern = pattern.lower()
        self._slack_s = clock_slack_s
        self._known: dict[str, Mark] = {}
        self._since_s = 0.0

    def look(self) -> None:
        """Whatever lies there now is of the past."""
        self._known = self._marks()
        self._since_s = time.time()

    def now_read(self, path: Path, mark: Mark) -> None:
        self._known[path.name] = mark

    def new(self) -> tuple[Path, Mark] | None:
        """The one file that came or changed since; None where there is none yet.

        Raises:
            DeviceError: there are several, or it was written before.
        """
        fresh = {name: mark for name, mark in self._marks().items() if self._known.get(name) != mark}
        if not fresh:
            return None
        if len(fresh) > 1:
            some = ", ".join(sorted(fresh)[:3])
            raise DeviceError(
                f"{self._owner}: {len(fresh)} new files ({some[:80]}) where one is awaited; narrow settings.pattern"
            )
        ((name, mark),) = fresh.items()
        early_s = self._since_s - self._slack_s - mark.written_ns / 1e9
        if early_s > 0:
            raise DeviceError(
                f"{self._owner}: {name[:60]} was written {early_s + self._slack_s:.0f} s before it was armed; take old "
                "files out of the folder, or set the clocks"
            )
        return self._folder / name, mark

    def _marks(self) -> dict[str, Mark]:
        sizes: dict[str, int] = {}
        found: dict[str, os.stat_result] = {}
        try:
            with os.scandir(self._folder) as entries:
                for entry in entries:
                    try:
                        if not entry.is_file():
                            continue
                        stat = entry.stat()
                    except FileNotFoundError:  # renamed meanwhile
                        continue
                    stem = Path(entry.name).stem
                    sizes[stem] = sizes.get(stem, 0) + stat.st_size
                    if fnmatch.fnmatchcase(entry.name.lower(), self._pattern):
                        found[entry.name] = stat
        except OSError as problem:
            why = problem.strerror or type(problem).__name__
            raise DeviceError(
                f"{self._owner}: the folder {str(self._folder)[-80:]} can't be read ({why}); check the path and share"
            ) from problem
        return {
            name: Mark(stat.st_ino, stat.st_size, stat.st_mtime_ns, sizes[Path(name).stem] - stat.st_size)
            for name, stat in found.items()
        }
