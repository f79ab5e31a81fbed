"""What stands between two steps, and between the slices of long ones: the operator, the monitors, the interlocks."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

from cryoctl.clock import now_s
from cryoctl.engine.interlocks import Interlock, first_tripped
from cryoctl.engine.machine import StatusMachine
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.recorder import Recorder

WATCH_INTERVAL_S = 5.0
"""How often monitors are looked at during an exposure and while an interlock is waited for."""


class Aborted(Exception):
    """The operator asked for the end."""


class Secured(Exception):
    """An interlock ended the run."""


class Boundary:
    """Passed before each step; `met` keeps the interlocks for the summary."""

    def __init__(
        self,
        operator: OperatorDesk,
        monitors: Monitors,
        interlocks: tuple[Interlock, ...],
        recorder: Recorder,
        status: StatusMachine,
    ) -> None:
        self._operator = operator
        self._monitors = monitors
        self._interlocks = interlocks
        self._recorder = recorder
        self._status = status
        self._standing: set[str] = set()
        self.met: list[dict[str, Any]] = []

    async def cross(self) -> None:
        """Returns when nobody wants anything and nothing is tripped.

        Raises:
            Aborted: by the operator.
            Secured: an interlock ended the run.
        """
        while True:
            self._look_up()
            if self._operator.paused:
                await self._stand_still()
                continue
            tripped = first_tripped(self._interlocks, await self._monitors.sample())
            if tripped is None:
                # The operator may have spoken while the monitors were read.
                self._look_up()
                if not self._operator.paused:
                    return
                continue
            await self._answer(*tripped)

    async def alarm(self) -> tuple[Interlock, str]:
        """Watches during an exposure; returns the first interlock tripped that does not wait for a boundary."""
        urgent = tuple(interlock for interlock in self._interlocks if interlock.policy != "wait")
        while True:
            await asyncio.sleep(WATCH_INTERVAL_S)
            tripped = first_tripped(urgent, await self._monitors.sample())
            if tripped is not None:
                return tripped

    def end_by(self, interlock: Interlock, found: str) -> Secured:
        """Tell that an interlock ends the run; raise what this returns."""
        self._meet(interlock, found)["outcome"] = "ended the run"
        return Secured(f"interlock {interlock.name}: {found}; the run was secured")

    def _look_up(self) -> None:
        self._operator.heed()
        if self._operator.aborted:
            raise Aborted

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

    async def _stand_still(self) -> None:
        self.stand("operator")
        await self._operator.until_go()
        self.leave("operator")

    def _meet(self, interlock: Interlock, found: str) -> dict[str, Any]:
        entry = {"time_s": self._recorder.time_s, "name": interlock.name, "policy": interlock.policy, "outcome": ""}
        self.met.append(entry)
        self._recorder.event("interlock", interlock.name, found, "warning", data={"policy": interlock.policy})
        return entry

    async def _answer(self, interlock: Interlock, found: str) -> None:
        if interlock.policy != "wait":
            raise self.end_by(interlock, found)
        entry = self._meet(interlock, found)
        self.stand("interlock")
        entry["outcome"] = "ended the run"
        if not await self._cleared(interlock):
            raise Secured(f"interlock {interlock.name}: {found}; the run was secured")
        self.leave("interlock")
        entry["outcome"] = "cleared"
        self._recorder.event("interlock", interlock.name, "cleared, going on")

    async def _cleared(self, interlock: Interlock) -> bool:
        """Wait, for as long as the interlock's patience; another one that does not wait ends that."""
        deadline_s = now_s() + interlock.patience_s
        urgent = tuple(other for other in self._interlocks if other.policy != "wait")
        while now_s() < deadline_s:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WATCH_INTERVAL_S):
                    await self._operator.until_abort()
            self._look_up()
            readings = await self._monitors.sample()
            worse = first_tripped(urgent, readings)
            if worse is not None:
                raise self.end_by(*worse)
            if interlock.predicate(readings) is None:
                return True
        return False
