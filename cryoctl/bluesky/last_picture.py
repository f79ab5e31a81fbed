"""What the session last recorded, for whoever reads a detector."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryoctl.events import Event
from cryoctl.launch.request import Follower, Outlook
from cryoctl.streaming.sink import Picture


class LastPicture(Follower):
    """Follows the run: its file's name, and the last picture with the number of its exposure."""

    def __init__(self) -> None:
        self.run_file = Path()
        self._last: Picture | None = None

    def of(self, exposure: int) -> Picture | None:
        """The picture of this exposure, None where another one came after it or it had none."""
        last = self._last
        return last if last is not None and last.exposure == exposure else None

    def named(self, run_file: Path) -> None:
        self.run_file = run_file

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None: ...

    def event(self, event: Event) -> None: ...

    def picture(self, picture: Picture) -> None:
        self._last = picture

    def end(self, summary: Mapping[str, Any]) -> None: ...
