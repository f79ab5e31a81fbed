"""What stands between two steps, and between the slices of long ones: the operator, the monitors, the interlocks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from cryoctl.clock import now_s
from cryoctl.engine.interlocks import ABORT, PAUSE, SECURE, Interlock, first_tripped
from cryoctl.engine.machine import StatusMachine
from cryoctl.engine.monitors import Monitors, Readings
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.recorder import Recorder
from cryoctl.errors import ConnectionLost, InterlockRefused

WATCH_INTERVAL_S = 5.0
"""How often monitors are looked at during an exposure and while an interlock is waited for."""


MOST_MENDED = 3
"""How often a link may be mended without an answer in between."""


ENDED = "ended the run"


class Aborted(Exception):
    """The operator asked for the end."""


class Secured(Exception):
    """An interlock ended the run at once."""


class Boundary:
    """Passed before each step; `met` keeps the interlocks for the summary.

    `on_lost` is awaited with the names of devices that do not answer; it returns once they do, or raises.
    """

    def __init__(
        self,
        operator: OperatorDesk,
        monitors: Monitors,
        interlocks: tuple[Interlock, ...],
        recorder: Recorder,
        status: StatusMachine,
        on_lost: Callable[[tuple[str, ...]], Awaitable[None]],
    ) -> None:
        self._operator = operator
        self._monitors = monitors
        self._interlocks = interlocks
        self._recorder = recorder
        self._status = status
        self._on_lost = on_lost
        self._standing: set[str] = set()
        self._mended = 0
        self._overridden: set[str] = set()
        self.rest_bias: Callable[[str], Awaitable[None]] = _nothing_to_rest
        """Awaited with the reason wherever the run stands still, blanked by then, or is secured."""
        self.secured_by = ""
        """The sentence of the interlock that ends the run in good order: nothing is exposed any more."""
        self.met: list[dict[str, Any]] = []

    async def cross(self, exposes: bool = False) -> None:
        """Returns when nobody wants anything and nothing is tripped.

        Args:
            exposes: the step after it opens a beam.

        Raises:
            Aborted: by the operator.
            Secured: an interlock ended the run at once.
            InterlockRefused: an interlock ends the run in good order; told once, then for exposures only.
            DeviceError: a link did not come back.
        """
        while True:
            self._look_up()
            if self._operator.paused:
                await self._stand_still()
                continue
            if exposes and self.secured_by:
                raise InterlockRefused(self.secured_by)
            readings = await self._monitors.sample()
            if readings.lost:
                await self._mend(readings.lost)
                continue
            self._mended = 0
            tripped = self._tripped(readings)
            if tripped is None:
                # The operator may have spoken while the monitors were read.
                self._look_up()
                if not self._operator.paused:
                    return
                continue
            await self._answer(*tripped)

    async def alarm(self) -> tuple[Interlock, str]:
        """Watches during an exposure; returns the first interlock tripped that does not wait for a boundary."""
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            tripped = self._tripped(await self._monitors.sample(), ABORT)
            if tripped is not None:
                return tripped

    def end_by(self, interlock: Interlock, found: str) -> Secured:
        """Tell that an interlock ends the run; raise what this returns."""
        self.meet(interlock.name, interlock.policy, found, ENDED)
        return Secured(f"interlock {interlock.name}: {found}; the run was secured")

    def meet(self, name: str, policy: str, found: str, outcome: str = "") -> dict[str, Any]:
        """Tell an interlock; what came of it is entered into what this returns."""
        entry = {"time_s": self._recorder.time_s, "name": name, "policy": policy, "outcome": outcome}
        self.met.append(entry)
        data = {"policy": policy} | ({"outcome": outcome} if outcome else {})
        self._recorder.event("interlock", name, found, "warning", data=data)
        return entry

    def refuse(self, name: str, found: str) -> InterlockRefused:
        """A step that an interlock forbids before it is begun; raise what this returns."""
        self.meet(name, "refuse", found, "refused")
        return InterlockRefused(f"interlock {name}: {found}")

    def stand(self, reason: str) -> None:
        """The run counts as paused from now on, until all reasons are gone."""
        if not self._standing:
            self._status.fire("pause")
        self._standing.add(reason)

    def leave(self, reason: str) -> None:
        if reason in self._standing:
            self._standing.discard(reason)
            if not self._standing:
                self._status.fire("go")

    async def _mend(self, lost: tuple[str, ...]) -> None:
        self._mended += 1
        if self._mended > MOST_MENDED:
            found = f"{', '.join(lost)}: connects again and again, yet does not answer"
            self.meet("link", "reconnect", found, ENDED)
            raise ConnectionLost(f"{found}; look at it, the run ends here")
        await self._on_lost(lost)

    def _look_up(self) -> None:
        self._operator.heed()
        if self._operator.aborted:
            raise Aborted

    async def _stand_still(self) -> None:
        self.stand("operator")
        await self.rest_bias("pause")
        await self._operator.until_go()
        self.leave("operator")

    def _tripped(self, readings: Readings, *policies: str) -> tuple[Interlock, str] | None:
        """The first of these policies (none: of all); one that the operator overrode counts again once it cleared."""
        self._overridden = {
            one.name for one in self._interlocks if one.name in self._overridden and one.predicate(readings) is not None
        }
        wanted = policies or ((ABORT,) if self.secured_by else ())
        return first_tripped(
            tuple(
                one
                for one in self._interlocks
                if one.name not in self._overridden and (not wanted or one.policy in wanted)
            ),
            readings,
        )

    async def _answer(self, interlock: Interlock, found: str) -> None:
        if interlock.policy == ABORT:
            raise self.end_by(interlock, found)
        if interlock.policy == SECURE:
            self.meet(interlock.name, interlock.policy, found, ENDED)
            await self.rest_bias(f"interlock {interlock.name}")
        else:
            entry = self.meet(interlock.name, interlock.policy, found)
            entry["outcome"] = ENDED
            self.stand("interlock")
            await self.rest_bias(f"interlock {interlock.name}")
            outcome = await self._outcome(interlock)
            self.leave("interlock")
            told = {"policy": interlock.policy, "outcome": outcome or ENDED}
            if outcome:
                entry["outcome"] = outcome
                self._recorder.event("interlock", interlock.name, f"{outcome}, going on", data=told)
                return
            over = f"not over after {interlock.patience_s:g} s: {found}"
            self._recorder.event("interlock", interlock.name, over, "warning", data=told)
        self.secured_by = f"interlock {interlock.name}: {found}; the run was secured"
        raise InterlockRefused(self.secured_by)

    async def _outcome(self, interlock: Interlock) -> str:
        """Wait, for as long as the interlock's patience, empty when it is over; a more urgent one ends that."""
        deadline_s = now_s() + interlock.patience_s
        self._operator.latch()
        while now_s() < deadline_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(WATCH_INTERVAL_S, deadline_s - now_s())):
                    await (self._operator.until_spoken() if interlock.policy == PAUSE else self._operator.until_abort())
            self._look_up()
            if interlock.policy == PAUSE and self._operator.spoken:
                self._overridden.add(interlock.name)
                return "acknowledged"
            readings = await self._monitors.sample()
            if readings.lost:
                await self._mend(readings.lost)
                continue
            worse = self._tripped(readings, ABORT, SECURE)
            if worse is not None:
                await self._answer(*worse)
            if interlock.policy != PAUSE and interlock.predicate(readings) is None:
                return "cleared"
        return ""


async def _nothing_to_rest(why: str) -> None:
    del why
