"""A stage whose calls come back when it is there and that no call stops: absolute moves in legs, each read back.

A move is sent in short legs along a straight line, and `stop` sends no further one: it takes as long as a leg. The last
leg approaches from where the whole move comes from, as one call would.
"""

from __future__ import annotations

import asyncio
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, InstrumentError, NotReached, OutOfRange
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.stage import StageLimits, StagePosition, StageSettling
from cryoctl_drivers.by_command.settings import LeggedStageSettings

_POLL_S = 0.05


class LeggedStage(ABC):
    """Construction opens nothing. A driver reads the position, sends a leg and tells whether the stage is at rest."""

    def __init__(self, name: str, settings: LeggedStageSettings) -> None:
        self._name = name
        self.settings = settings
        self._moving = False
        self._stop = False
        self._still = asyncio.Event()
        self._still.set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def limits(self) -> StageLimits:
        one = self.settings
        return StageLimits(x_m=one.limits_m, y_m=one.limits_m, z_m=one.limits_z_m, tilt_deg=one.limits_tilt_deg)

    @property
    def speed_m_per_s(self) -> float:
        return self.settings.speed_m_per_s

    @property
    def tilt_speed_deg_per_s(self) -> float:
        return self.settings.tilt_speed_deg_per_s

    @property
    def settling(self) -> StageSettling:
        one = self.settings
        return StageSettling(
            settle_s=one.settle_s,
            drift_m_per_s=one.drift_m_per_s,
            tilt_drift_m_per_s_per_deg=one.tilt_drift_m_per_s_per_deg,
            tilt_drift_decay_s=one.tilt_drift_decay_s,
            stop_s=self.stop_s,
        )

    @property
    def stop_s(self) -> float:
        """What a stop takes at most."""
        return self.settings.leg_s

    @property
    @abstractmethod
    def leg_limit_s(self) -> float:
        """A leg that is not over by then never will be."""

    @abstractmethod
    async def connect(self) -> Identity: ...

    @abstractmethod
    async def close(self) -> None: ...

    @abstractmethod
    async def position(self) -> StagePosition:
        """What the encoders read; while it moves, between two legs."""

    @abstractmethod
    async def send(self, leg: Mapping[str, float], lasts_s: float) -> None:
        """Go there by the named axes (m, degrees), which should last so long; returns when the call does."""

    @abstractmethod
    async def is_at_rest(self) -> bool:
        """After the leg under way."""

    def hold_limits(self, axis: str, low: float, high: float) -> None:
        """
        Raises:
            InstrumentError: the limits stated for an axis are wider than the stage's own.
        """
        stated = getattr(self.limits, axis)
        rounding = 1e-9 * (abs(low) + abs(high))  # of radians
        if stated[0] < low - rounding or stated[1] > high + rounding:
            raise InstrumentError(
                f"{self.name}: limits of {axis}: stated are {stated[0]:g} to {stated[1]:g}, the stage allows "
                f"{low:.6g} to {high:.6g}; narrow them in its settings"
            )

    def end_move(self) -> None:
        """No further leg; returns at once."""
        self._stop = True

    async def move(
        self,
        *,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
    ) -> StagePosition:
        wanted = {"x_m": x_m, "y_m": y_m, "z_m": z_m, "tilt_deg": tilt_deg}
        targets = {axis: float(value) for axis, value in wanted.items() if value is not None}
        for axis, value in targets.items():
            low, high = getattr(self.limits, axis)
            if not low <= value <= high:
                raise OutOfRange(f"{self.name}.{axis}: {value:g} is beyond its limits {low:g} to {high:g}; not moved")
        if self._moving:
            raise NotReached(f"{self.name}: still moving; wait for it or stop it first")
        self._moving, self._stop = True, False
        self._still.clear()
        try:
            return await self._travel(targets)
        finally:
            self._moving = False
            self._still.set()

    async def is_moving(self) -> bool:
        return self._moving or not await self.is_at_rest()

    async def stop(self) -> None:
        """No further leg; returns when the one under way is over."""
        self._stop = True
        await self._at_rest("a stop")
        await self._still.wait()

    async def make_safe(self) -> None:
        await self.stop()
        if await self.is_moving():
            raise DeviceError(f"{self.name}: told to stop, still moves; see the microscope's own panel")

    async def _travel(self, targets: dict[str, float]) -> StagePosition:
        await self._at_rest("a move")
        at = await self.position()
        legs, lasts_s = self._legs(at, targets)
        for leg in legs:
            if self._stop:
                raise NotReached(f"{self.name}: stopped at {_told(at, targets)} on the way to {_listed(targets)}")
            await self.send(leg, lasts_s)
            await self._at_rest("a move")
            at = await self.position()
            if not self.is_at(at, leg):
                raise NotReached(f"{self.name}: reads {_told(at, leg)}, was sent to {_listed(leg)}; it ended elsewhere")
        return at

    def _legs(self, start: StagePosition, targets: dict[str, float]) -> tuple[list[dict[str, float]], float]:
        """Places on the way, the last one where it is sent, and what a leg lasts (s)."""
        lasts_s = 0.0
        for axis, value in targets.items():
            speed = self.tilt_speed_deg_per_s if axis == "tilt_deg" else self.speed_m_per_s
            lasts_s = max(lasts_s, abs(value - getattr(start, axis)) / speed)
        count = max(1, math.ceil(lasts_s / self.settings.leg_s))
        way = {axis: value - getattr(start, axis) for axis, value in targets.items()}
        between = [{axis: targets[axis] - way[axis] * (1 - k / count) for axis in targets} for k in range(1, count)]
        return [*between, targets], lasts_s / count

    def is_at(self, at: StagePosition, wanted: Mapping[str, float]) -> bool:
        """Within the stated tolerances."""
        one = self.settings
        return all(
            abs(getattr(at, axis) - value) <= (one.tolerance_deg if axis == "tilt_deg" else one.tolerance_m)
            for axis, value in wanted.items()
        )

    async def _at_rest(self, why: str) -> None:
        """Where the interface comes back before the stage is there, wait for it."""
        until_s = now_s() + self.leg_limit_s
        while not await self.is_at_rest():
            if now_s() >= until_s:
                raise NotReached(f"{self.name}: is not at rest {self.leg_limit_s:g} s after {why}; see the stage")
            await asyncio.sleep(_POLL_S)


def _told(at: StagePosition, targets: Mapping[str, float]) -> str:
    return _listed({axis: getattr(at, axis) for axis in targets})


def _listed(values: Mapping[str, float]) -> str:
    return ", ".join(f"{axis} {value:.6g}" for axis, value in values.items())
