"""Ctrl-C and other signals as commands of the operator: none of them leaves a beam open."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from types import FrameType
from typing import Any

from cryoctl.events import Event
from cryoctl.launch.request import Follower, Outlook
from cryoctl.streaming.sink import Picture

Ask = Callable[[str, str, str], None]

TWICE_WITHIN_S = 10.0


class SignalDesk(Follower):
    """Once Ctrl-C: pause at the next boundary. Twice within 10 s, or a third time: abort. SIGTERM, SIGHUP: abort.

    Args:
        say: tells the person what was understood; called from the signal handler.
        how_to_go_on: the command that lets a paused run go on.
    """

    def __init__(
        self, say: Callable[[str], None], how_to_go_on: Callable[[], str], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._say = say
        self._how = how_to_go_on
        self._clock = clock
        self._pressed: list[float] = []
        self._ask: Ask | None = None

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None:
        self._pressed.clear()

    def event(self, event: Event) -> None:
        """A run that was told to go on is paused, not aborted, by the next Ctrl-C."""
        if event.event == "operator" and event.name == "go":
            self._pressed.clear()

    def picture(self, picture: Picture) -> None: ...

    def end(self, summary: Mapping[str, Any]) -> None:
        self._ask = None

    def listen(self, ask: Ask) -> None:
        """From now on signals go to the run; in the main thread only, elsewhere Python has no signals."""
        self._ask = ask
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGINT, self.interrupt)
        signal.signal(signal.SIGTERM, self._end)
        hang_up: Any = getattr(signal, "SIGHUP", None)
        if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:  # nohup asks to go on
            signal.signal(hang_up, self._end)

    def interrupt(self, number: int = 0, frame: FrameType | None = None) -> None:
        """One press of Ctrl-C."""
        if self._ask is None:
            raise KeyboardInterrupt
        now = self._clock()
        again = bool(self._pressed) and (now - self._pressed[-1] <= TWICE_WITHIN_S or len(self._pressed) >= 2)
        self._pressed.append(now)
        if again:
            self._ask("abort", "Ctrl-C", "")
            self._say("aborting: the beam is blanked, safe state follows")
        else:
            self._ask("pause", "Ctrl-C", "")
            self._say(f"pausing at the next boundary, blanked; {self._how()} goes on, Ctrl-C again aborts")

    def _end(self, number: int, frame: FrameType | None) -> None:
        if self._ask is not None:
            self._ask("abort", signal.Signals(number).name, "")
            self._say(f"{signal.Signals(number).name}: aborting, the beam is blanked, safe state follows")


@contextlib.contextmanager
def handlers_restored() -> Generator[None]:
    """Put the process's own handlers back afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            if handler is not None:
                signal.signal(getattr(signal, name), handler)
