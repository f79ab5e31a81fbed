"""Ctrl-C and other signals as commands of the operator: none of them leaves a beam open."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping
from types import FrameType
from typing import Any

from cryoctl.errors import OperatorStop
from cryoctl.events import Event
from cryoctl.launch.request import Follower, Outlook
from cryoctl.streaming.sink import Picture

Ask = Callable[..., None]

TWICE_WITHIN_S = 10.0
ENDING = ("SIGTERM", "SIGHUP", "SIGBREAK")
"""Asked to end by somebody who is not at the keyboard; not every system has all of them."""


class SignalDesk(Follower):
    """Ctrl-C once: pause at the next boundary. Twice within 10 s: blank at once. A third time: abort, as SIGTERM and
    SIGHUP do.

    Before a run listens they end the command. While the file of an ended run is written they are told what goes on,
    kept in `late`, and nothing is torn.

    Args:
        say: tells the person what was understood; called from the signal handler.
        how_to_go_on: the command that lets a paused run go on.
        who: the person, for the journal.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        how_to_go_on: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        who: str = "",
    ) -> None:
        self._say = say
        self._how = how_to_go_on
        self._clock = clock
        self._who = who
        self._pressed: list[float] = []
        self._ask: Ask | None = None
        self._ending = ""
        self._over = False
        self.late: list[str] = []
        """Signals that came when the run was over."""

    def install(self) -> None:
        """In the main thread only, elsewhere Python has no signals."""
        if threading.current_thread() is not threading.main_thread():
            return
        signal.signal(signal.SIGINT, self.interrupt)
        for name in ENDING:
            number: Any = getattr(signal, name, None)
            if number is not None and signal.getsignal(number) is not signal.SIG_IGN:  # nohup asks to go on
                signal.signal(number, self._end)

    def listen(self, ask: Ask) -> None:
        """From now on signals go to the run."""
        self._ask = ask
        self.install()

    def begin(self, head: Mapping[str, Any], outlook: Outlook) -> None: ...

    def event(self, event: Event) -> None:
        """A run that was told to go on is paused, not aborted, by the next Ctrl-C."""
        if event.event == "operator" and event.name == "go":
            self._pressed.clear()
        elif event.event == "operator" and event.name == "abort":
            self._ending = "the safe state is reached; each of its actions has a time limit"
        elif event.event == "end":
            self._over = True
        elif event.event == "note" and event.name == "resume":  # what was told until now was an earlier session's
            self._ending, self._over = "", False

    def picture(self, picture: Picture) -> None: ...

    def end(self, summary: Mapping[str, Any]) -> None:
        self._ask = None

    def interrupt(self, number: int = 0, frame: FrameType | None = None) -> None:
        """One press of Ctrl-C."""
        if self._ask is None:
            raise KeyboardInterrupt
        if self._is_late("Ctrl-C"):
            return
        now = self._clock()
        quickly = bool(self._pressed) and now - self._pressed[-1] <= TWICE_WITHIN_S
        self._pressed.append(now)
        if len(self._pressed) > 2:
            self._ask("abort", "Ctrl-C", "", self._who)
            self._say("aborting: the beam is blanked, safe state follows")
        elif quickly:
            self._ask("blank", "Ctrl-C", "", self._who)
            self._say(f"blanked at once, the run stands paused; {self._how()} goes on, Ctrl-C again aborts")
        else:
            self._ask("pause", "Ctrl-C", "", self._who)
            again = "aborts" if len(self._pressed) == 2 else "within 10 s blanks at once, a third time aborts"
            self._say(f"pausing at the next boundary, blanked; {self._how()} goes on, Ctrl-C again {again}")

    def _end(self, number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        if self._ask is None:
            raise OperatorStop(f"ended by {name} before anything began; nothing was written")
        if not self._is_late(name):
            self._ask("abort", name, "", self._who)
            self._say(f"{name}: aborting, the beam is blanked, safe state follows")

    def _is_late(self, name: str) -> bool:
        if self._over:
            self.late.append(name)
            self._say(f"{name}: the run is over and safe; its file is being written, wait for the last line")
        elif self._ending:
            self._say(f"{name}: already aborting, {self._ending}")
        return self._over or bool(self._ending)


@contextlib.contextmanager
def handlers_restored() -> Generator[None]:
    """Put the process's own handlers back afterwards."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    names = [name for name in ("SIGINT", *ENDING) if hasattr(signal, name)]
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            if handler is not None:
                signal.signal(getattr(signal, name), handler)
