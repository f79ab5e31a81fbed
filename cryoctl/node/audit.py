"""A JSON line for everything that the node refused, and for each command that changed something."""

from __future__ import annotations

import contextlib
import json
import os
from collections import deque
from pathlib import Path
from typing import Any

from cryoctl.clock.wall import utc_now
from cryoctl.errors import FileProblem

LATEST = 1000
"""Lines that are kept in memory for whoever asks, and that a new file begins with."""
LARGEST_TEXT = 300
LARGEST_FILE = 20_000_000
"""Bytes; then the file becomes FILE.1, in the place of an older one, and a new one begins."""
OF_FAULTS = frozenset({"failed", "lease", "node", "watchdog"})
"""The latest lines of these go into the new file as well, so that no flood of refused messages carries them away."""


class Audit:
    """Lines go to `file` (none without one) at once; `refused` counts. The file is opened for each line, since node and
    watchdog write into the same one and either may begin a new one.

    Raises:
        FileProblem: the file can't be written.
    """

    def __init__(self, file: Path | None, largest: int = LARGEST_FILE) -> None:
        self.latest: deque[dict[str, Any]] = deque(maxlen=LATEST)
        self.refused = 0
        self.failure = ""
        """Why lines are no longer written; a full disk must not keep the node from stopping a beam."""
        self._file = file
        self._largest = largest
        self._of_faults: deque[str] = deque(maxlen=LATEST)
        if file is not None:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                with file.open("a", encoding="utf-8"):
                    pass
            except OSError as error:
                raise FileProblem(
                    f"--audit {file}: can't be written ({error.strerror}); choose another place"
                ) from error

    def note(self, what: str, who: str, message: str = "", **more: Any) -> None:
        """One line; `what` is refused, done, failed, lease, node or watchdog."""
        self.refused += what == "refused"
        line = {"utc": utc_now().isoformat(), "what": what, "who": who, "message": message[:LARGEST_TEXT], **more}
        self.latest.append(line)
        if self._file is None:
            return
        text = json.dumps(line) + "\n"
        try:
            self._make_room(self._file, len(text))
            _append(self._file, text)
        except (OSError, ValueError) as error:
            self.failure = self.failure or str(error)
        if what in OF_FAULTS:
            self._of_faults.append(text)

    def _make_room(self, file: Path, size: int) -> None:
        if not file.exists() or file.stat().st_size + size <= self._largest:
            return
        with contextlib.suppress(PermissionError):  # Windows, while the other process writes: at the next line then
            os.replace(file, file.with_name(f"{file.name}.1"))
            _append(file, "".join(self._of_faults))


def _append(file: Path, text: str) -> None:
    with file.open("a", encoding="utf-8") as lines:
        lines.write(text)
