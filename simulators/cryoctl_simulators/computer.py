"""Faults of the computer that runs cryoctl: its disk, its processes and its clock."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path

from cryoctl.clock import wall
from cryoctl.interfaces.medium import REAL_DISK
from cryoctl_simulators.faults import FaultSchedule, Scheduled

KINDS = ("disk", "process", "clock")


class SimulatedDisk:
    """The real disk with less room, or with writes that fail, while a fault says so. A `Medium`."""

    def __init__(self, faults: FaultSchedule, on_write: Callable[[], None]) -> None:
        self._faults = faults
        self._on_write = on_write
        self._left: float | None = None

    def free_bytes(self, folder: Path) -> int:
        free = REAL_DISK.free_bytes(folder)
        left = self._room()
        return free if left is None else min(free, round(left))

    def admit(self, size: int) -> None:
        self._on_write()
        if self._faults.take("disk", "write-error") is not None:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        left = self._room()
        if left is None:
            return
        if size > left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self._left = left - size

    def freed(self, size: int) -> None:
        if self._left is not None:
            self._left += size

    def _room(self) -> float | None:
        """Bytes left where the disk is full or nearly so, None where there is room."""
        full = self._faults.find("disk", "full")
        if full is None:
            self._left = None
        elif self._left is None:
            self._left = full["left_bytes"]
        return self._left


class FailingFollower:
    """Follows the run as a display does, and fails when a fault says so."""

    def __init__(self, faults: FaultSchedule) -> None:
        self._faults = faults

    def event(self, event: object) -> None:
        del event
        if self._faults.take("process", "viewer-dies") is not None:
            raise RuntimeError("the viewer's process ended")

    def picture(self, picture: object) -> None:
        del picture


class Computer:
    """Sets off what happens to processes and the clock; `victims` are child processes by name and how they end."""

    def __init__(self, faults: FaultSchedule, run_time_s: Callable[[], float]) -> None:
        self._faults = faults
        self._run_time_s = run_time_s
        self._writes_left = 0
        self.victims: dict[str, Callable[[], None]] = {}
        self.disk = SimulatedDisk(faults, self._count_write)
        self.follower = FailingFollower(faults)
        for kind in KINDS:
            faults.register(kind, kind)

    def switch_on(self) -> None:
        """The run begins: from now on what is due at a run time happens then."""
        wall.right()
        self._faults.on_begin = self._begun
        loop, now_s = asyncio.get_running_loop(), self._run_time_s()
        for one in self._faults.timed(KINDS):
            assert one.time_s is not None
            if one.time_s >= now_s:
                loop.call_later(one.time_s - now_s, self._due, one)
            else:
                one.spent = True  # it happened before this session began

    def _due(self, one: Scheduled) -> None:
        if one.began_s is None:
            one.began_s = one.time_s
            self._begun(one)

    def _begun(self, one: Scheduled) -> None:
        """A fault was set off; a state of things is looked up by those whom it hits."""
        act = {
            ("process", "kill"): self._kill,
            ("process", "reconstruction-dies"): self._end_reconstruction,
            ("clock", "step"): lambda: wall.step(one.parameters["step_s"]),
        }.get((one.device, one.fault))
        if act is None:
            return
        if one.parameters.get("after_writes", 0.0) >= 1:
            self._writes_left = int(one.parameters["after_writes"])
            return
        one.spent = True
        after_s = one.parameters.get("after_s", 0.0)
        if after_s < 0 or (after_s == 0 and one.exposure is None):
            act()
        else:
            asyncio.get_running_loop().call_later(after_s, act)

    def _count_write(self) -> None:
        if self._writes_left:
            self._writes_left -= 1
            if not self._writes_left:
                self._kill()

    def _kill(self) -> None:
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))

    def _end_reconstruction(self) -> None:
        victim = self.victims.get("reconstruction")
        if victim is not None:
            victim()
