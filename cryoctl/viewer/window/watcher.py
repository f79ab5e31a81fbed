"""Looks at the run in a thread of its own: neither a slow disk nor a silent run makes the window stand still."""

from __future__ import annotations

import threading

from PySide6.QtCore import QThread, Signal

from cryoctl.viewer.model.known import Known
from cryoctl.viewer.model.watched import Watched

EVERY_S = 0.25


class Watcher(QThread):
    """`seen` gives what is known, when it has changed and the window has drawn what it was given before."""

    seen = Signal(object)

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self._watched = watched
        self._over = threading.Event()
        self._soon = threading.Event()
        self._drawn = threading.Event()
        self._drawn.set()

    def drawn(self) -> None:
        """The window is ready for the next."""
        self._drawn.set()

    def look_now(self) -> None:
        """The run was just told something."""
        self._watched.ask_again()
        self._soon.set()

    def end(self) -> None:
        """Ends the thread; waits for a look that is under way."""
        self._over.set()
        self._soon.set()
        self._drawn.set()
        self.wait()
        self._watched.close()

    def run(self) -> None:
        told = -1
        while not self._over.is_set():
            known: Known = self._watched.look()
            if known.version != told and self._drawn.is_set():
                told = known.version
                self._drawn.clear()
                self.seen.emit(known)
            self._soon.wait(EVERY_S)
            self._soon.clear()
