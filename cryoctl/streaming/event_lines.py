"""`--events FILE`: one JSON line an event, at the moment it happens."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from cryoctl.errors import FileProblem
from cryoctl.events import Event
from cryoctl.steps.codec import plain
from cryoctl.streaming.sink import Picture


class EventLines:
    """Unbuffered, so that a line that was written survives the process."""

    def __init__(self, path: Path) -> None:
        self._path, self._new = path, not path.exists()
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise FileProblem(f"--events {path}: can't be written ({error.strerror}); choose another file") from error

    def event(self, event: Event) -> None:
        line = {
            "event": event.event,
            "time_s": event.time_s,
            "level": event.level,
            "name": event.name,
            "message": event.message,
            **plain(event.data),
        }
        os.write(self._fd, (json.dumps(line, ensure_ascii=False) + "\n").encode())

    def picture(self, picture: Picture) -> None:
        """Frames are told as events of kind `frame` once durable."""

    def give_back(self) -> None:
        """Where the run never began: a file that is new and empty goes."""
        if self._new and os.fstat(self._fd).st_size == 0:
            with contextlib.suppress(OSError):
                self._path.unlink()

    def close(self) -> None:
        os.close(self._fd)
