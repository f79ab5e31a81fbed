"""A JSON line for everything that the node refused, and for each command that changed something."""

from __future__ import annotations

import json
from collections import deque
from pathlib import Path
from typing import Any

from cryoctl.clock.wall import utc_now
from cryoctl.errors import FileProblem

LATEST = 1000
"""Lines that are kept in memory for whoever asks."""
LARGEST_TEXT = 300


class Audit:
    """Lines go to `file` (none without one) at once; `refused` counts.

    Raises:
        FileProblem: the file can't be written.
    """

    def __init__(self, file: Path | None) -> None:
        self.latest: deque[dict[str, Any]] = deque(maxlen=LATEST)
        self.refused = 0
        self.failure = ""
        """Why lines are no longer written; a full disk must not keep the node from stopping a beam."""
        self._lines = None
        if file is not None:
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                self._lines = file.open("a", encoding="utf-8")
            except OSError as error:
                raise FileProblem(
                    f"--audit {file}: can't be written ({error.strerror}); choose another place"
                ) from error

    def note(self, what: str, who: str, message: str = "", **more: Any) -> None:
        """One line; `what` is refused, done, failed, lease, node or watchdog."""
        self.refused += what == "refused"
        line = {"utc": utc_now().isoformat(), "what": what, "who": who, "message": message[:LARGEST_TEXT], **more}
        self.latest.append(line)
        if self._lines is None:
            return
        try:
            self._lines.write(json.dumps(line) + "\n")
            self._lines.flush()
        except (OSError, ValueError) as error:
            self.failure = self.failure or str(error)

    def close(self) -> None:
        """May be called twice."""
        if self._lines is not None:
            self._lines.close()
