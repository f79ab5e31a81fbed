"""CompuStage of a Thermo Fisher TEM: absolute moves in legs, each read back.

The interface has a call that goes somewhere and comes back when the stage is there, and none that stops it. So a move
is sent in short legs along a straight line, and `stop` sends no further one: it takes as long as a leg. The last leg
approaches from where the whole move comes from, as one call would.
"""

from __future__ import annotations

import asyncio
import math

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, InstrumentError, NotReached, OutOfRange
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.stage import StageLimits, StagePosition, StageSettling
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.identity import identity
from cryoctl_drivers.thermo_fisher.settings import StageSettings

_AXES = {"x_m": "x", "y_m": "y", "z_m": "z", "tilt_deg": "a"}
_POLL_S = 0.05
_LATE_S = 20.0
"""A leg that is not over so much later than it should be never will be."""


class ThermoFisherStage:
    """Construction opens nothing; positions in m and degrees, radians only towards the interface."""

    def __init__(self, name: str, settings: StageSettings) -> None:
        self._name = name
        self.settings = settings
        self._server = ScriptingConnection(name, settings)
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
        )

    async def connect(self) -> Identity:
        version = await self._server.open()
        who = await identity(self._server, version)
        told = await self._server.call("get_stage_limits")
        for axis, short in _AXES.items():
            low, high = (_outward(axis, float(value)) for value in told[short])
            stated = getattr(self.limits, axis)
            rounding = 1e-9 * (abs(low) + abs(high))  # of radians
            if stated[0] < low - rounding or stated[1] > high + rounding:
                raise InstrumentError(
                    f"{self.name}: limits of {axis}: stated are {stated[0]:g} to {stated[1]:g}, the stage allows "
                    f"{low:.6g} to {high:.6g}; narrow them in its settings"
                )
        return who

    async def close(self) -> None:
        self._stop = True
        await self._server.close()

    async def position(self) -> StagePosition:
        """What the encoders read; while it moves, between two legs."""
        told = await self._server.call("get_stage_position", limit_s=self._leg_limit_s)
        return StagePosition(**{axis: _outward(axis, float(told[short])) for axis, short in _AXES.items()})

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
        return self._moving or not await self._ready()

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
        start = await self.position()
        at = start
        for leg in self._legs(start, targets):
            if self._stop:
                raise NotReached(f"{self.name}: stopped at {_told(at, targets)} on the way to {_listed(targets)}")
            sent = {_AXES[axis]: _inward(axis, value) for axis, value in leg.items()}
            await self._server.call("set_stage_position", sent, limit_s=self._leg_limit_s)
            await self._at_rest("a move")
            at = await self.position()
            if not self._is_at(at, leg):
                raise NotReached(f"{self.name}: reads {_told(at, leg)}, was sent to {_listed(leg)}; it ended elsewhere")
        return at

    def _legs(self, start: StagePosition, targets: dict[str, float]) -> list[dict[str, float]]:
        """Places on the way, the last one where it is sent; axes that are there already keep out of it."""
        lasts_s = 0.0
        for axis, value in targets.items():
            speed = self.tilt_speed_deg_per_s if axis == "tilt_deg" else self.speed_m_per_s
            lasts_s = max(lasts_s, abs(value - getattr(start, axis)) / speed)
        count = max(1, math.ceil(lasts_s / self.settings.leg_s))
        way = {axis: value - getattr(start, axis) for axis, value in targets.items()}
        between = [{axis: targets[axis] - way[axis] * (1 - k / count) for axis in targets} for k in range(1, count)]
        return [*between, targets]

    def _is_at(self, at: StagePosition, wanted: dict[str, float]) -> bool:
        one = self.settings
        return all(
            abs(getattr(at, axis) - value) <= (one.tolerance_deg if axis == "tilt_deg" else one.tolerance_m)
            for axis, value in wanted.items()
        )

    async def _at_rest(self, why: str) -> None:
        """Where the interface comes back before the stage is there, wait for it."""
        until_s = now_s() + self._leg_limit_s
        while not await self._ready():
            if now_s() >= until_s:
                raise NotReached(f"{self.name}: is not at rest {self._leg_limit_s:g} s after {why}; see the stage")
            await asyncio.sleep(_POLL_S)

    async def _ready(self) -> bool:
        status = await self._server.call("get_stage_status", limit_s=self._leg_limit_s)
        if status in ("READY", "GOING", "MOVING"):
            return status == "READY"
        raise DeviceError(f"{self.name}: the stage says {status}, nothing moves; look at holder, pole piece and vacuum")

    @property
    def _leg_limit_s(self) -> float:
        return self.settings.leg_s + _LATE_S


def _inward(axis: str, value: float) -> float:
    return math.radians(value) if axis == "tilt_deg" else value


def _outward(axis: str, value: float) -> float:
    return math.degrees(value) if axis == "tilt_deg" else value


def _told(at: StagePosition, targets: dict[str, float]) -> str:
    return _listed({axis: getattr(at, axis) for axis in targets})


def _listed(values: dict[str, float]) -> str:
    return ", ".join(f"{axis} {value:.6g}" for axis, value in values.items())


def _make(name: str, settings: StageSettings, context: DeviceContext) -> ThermoFisherStage:
    del context
    return ThermoFisherStage(name, settings)


FACTORY = SettingsFactory("stage", StageSettings, _make)
