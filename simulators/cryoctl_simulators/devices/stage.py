"""Simulated goniometer: moves at finite speed, reports its encoders, and can stall, fall short or touch."""

from __future__ import annotations

import asyncio
import math

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, NotReached, OutOfRange
from cryoctl.interfaces.stage import StageLimits, StagePosition, StageSettling
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import StageSettings

_AXES = ("x_m", "y_m", "z_m", "tilt_deg")


class SimulatedStage(SimulatedDevice[StageSettings]):
    kind = "stage"
    _stop: asyncio.Event | None = None
    _path: tuple[float, float, dict[str, float], dict[str, float]] | None = None

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
            tilt_drift_m_per_s_per_deg=one.tilt_kick_m_per_s_per_deg,
            tilt_drift_decay_s=one.tilt_kick_tau_s,
        )

    async def position(self) -> StagePosition:
        await self._link()
        values = dict(zip(_AXES, self.world.stage.encoders, strict=True))
        if self._path is not None:
            values |= self._reached()
        return StagePosition(**values)

    async def move(
        self,
        *,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
    ) -> StagePosition:
        await self._link()
        wanted = {"x_m": x_m, "y_m": y_m, "z_m": z_m, "tilt_deg": tilt_deg}
        targets = {axis: float(value) for axis, value in wanted.items() if value is not None}
        self._check(targets)
        if self._path is not None:
            raise NotReached(f"{self.name}: still moving; wait for it or stop it first")
        if self.fault("touch-alarm"):
            raise DeviceError(f"{self.name}: touch alarm, nothing moved; look at holder and pole piece")
        short = self.fault("not-at-angle") if "tilt_deg" in targets else False
        aimed = dict(targets)
        if isinstance(short, dict):
            aimed["tilt_deg"] -= math.copysign(short["error_deg"], targets["tilt_deg"] - self.world.stage.encoders[3])
        stalls = bool(self.fault("stall"))
        await self._travel(aimed, share=0.5 if stalls else 1.0)
        reached = await self.position()
        if stalls:
            raise NotReached(f"{self.name}: stalled half-way at {_told(reached, targets)}, sent to {_told_of(targets)}")
        self._confirm(reached, targets)
        return reached

    async def is_moving(self) -> bool:
        await self._link()
        return self._path is not None

    async def stop(self) -> None:
        await self._link()
        if self._stop is not None:
            self._stop.set()
            await asyncio.sleep(self.settings.stop_s)
        elif self.world.second:
            self.world.stage.finish_interrupted_move(self.world.time_s)
        self.world.made_safe("stage stopped")

    async def make_safe(self) -> None:
        await self.stop()
        if await self.is_moving():
            raise DeviceError(f"{self.name}: told to stop, still moves")

    async def close(self) -> None:
        if self._stop is not None:
            self._stop.set()
        await super().close()

    def _check(self, targets: dict[str, float]) -> None:
        for axis, value in targets.items():
            low, high = getattr(self.limits, axis)
            if not low <= value <= high:
                raise OutOfRange(f"{self.name}.{axis}: {value:g} is beyond its limits {low:g} to {high:g}")

    async def _travel(self, targets: dict[str, float], share: float) -> None:
        start = dict(zip(_AXES, self.world.stage.encoders, strict=True))
        lasts_s = self.settings.settle_s
        for axis, value in targets.items():
            speed = self.tilt_speed_deg_per_s if axis == "tilt_deg" else self.speed_m_per_s
            lasts_s = max(lasts_s, abs(value - start[axis]) / speed + self.settings.settle_s)
        self._stop = asyncio.Event()
        self._path = (now_s(), lasts_s, {axis: start[axis] for axis in targets}, targets)
        self.world.stage.sent(targets)
        self.world.commit()
        stopped = False
        try:
            async with asyncio.timeout(lasts_s * share):
                await self._stop.wait()
                stopped = True
        except TimeoutError:
            pass
        finally:
            reached = targets if share >= 1.0 and now_s() >= self._path[0] + lasts_s * (1 - 1e-9) else self._reached()
            self._path = self._stop = None
            self.world.stage.came(reached, self.world.time_s)
            if self.world.contact is not None:
                self.world.contact.shake(self.world.time_s)
            self.world.commit()
        if stopped:
            raise NotReached(f"{self.name}: stopped at {_told_of(reached)} on the way to {_told_of(targets)}")

    def _reached(self) -> dict[str, float]:
        if self._path is None:
            return {}
        began_s, lasts_s, start, targets = self._path
        share = min(1.0, max(0.0, (now_s() - began_s) / lasts_s))
        return {axis: start[axis] + share * (targets[axis] - start[axis]) for axis in targets}

    def _confirm(self, reached: StagePosition, targets: dict[str, float]) -> None:
        for axis, value in targets.items():
            there = getattr(reached, axis)
            if abs(there - value) > (0.05 if axis == "tilt_deg" else 20e-9):
                raise NotReached(f"{self.name}.{axis}: reads {there:g}, was sent to {value:g}; the move fell short")


def _told(reached: StagePosition, targets: dict[str, float]) -> str:
    return _told_of({axis: getattr(reached, axis) for axis in targets})


def _told_of(values: dict[str, float]) -> str:
    return ", ".join(f"{axis} {value:.6g}" for axis, value in values.items())


FACTORY = SimulatedFactory("stage", StageSettings, SimulatedStage)
