"""Simulated piezo needle, free and clear of the specimen: slip-stick steps that scatter, a tube with hysteresis."""

from __future__ import annotations

import asyncio
import math

from cryoctl.errors import OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import NeedleSettings
from cryoctl_simulators.world.noise import generator

_AXES = ("x", "y", "z")
_LARGEST_BURST = 1000


class SimulatedNeedle(SimulatedDevice[NeedleSettings]):
    kind = "needle"
    _stopped = False

    async def connect(self) -> Identity:
        identity = await super().connect()
        record = self.world.file.record["needle"]
        if not record:
            gap = float(self.world.given.get("needle.gap_m", self.settings.gap_m))
            record |= {"steps": [0, 0, 0], "fine_m": [0.0, 0.0, 0.0], "high_voltage_on": False}
            record |= {"apex_m": [0.0, 0.0, gap], "tube_m": [0.0, 0.0, 0.0], "collisions": 0}
        return identity

    @property
    def capabilities(self) -> NeedleCapabilities:
        one = self.settings
        return NeedleCapabilities(
            coarse_step_m=one.coarse_step_m,
            fine_range_m=one.fine_range_m,
            rides_with_stage=True,
            step_s=one.step_s,
            vacuum_limit_pa=one.vacuum_limit_pa,
        )

    async def state(self) -> NeedleState:
        await self._link()
        record = self.world.file.record["needle"]
        return NeedleState(
            coarse_steps=tuple(record["steps"]),
            fine_m=tuple(record["fine_m"]),
            high_voltage_on=bool(record["high_voltage_on"]),
            hold=NeedleHold(record.get("hold", "free")),
        )

    async def step(self, axis: str, steps: int) -> NeedleState:
        await self._link()
        if axis not in _AXES:
            raise OutOfRange(f"{self.name}.axis: found {axis!r}, allowed are x, y, z; nothing moved")
        if abs(steps) > _LARGEST_BURST:
            raise OutOfRange(f"{self.name}.steps: {steps} at once is beyond {_LARGEST_BURST}; nothing moved")
        record = self.world.file.record["needle"]
        index, sign = _AXES.index(axis), int(math.copysign(1, steps))
        self._stopped = False
        for _ in range(abs(steps)):
            await asyncio.sleep(self.settings.step_s)
            if self._stopped:
                break
            record["steps"][index] += sign
            record["apex_m"][index] += sign * self._one_step_m(axis, sign, record["steps"][index])
            self.world.commit()
        return await self.state()

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState:
        await self._link()
        low, high = self.settings.fine_range_m
        wanted = (x_m, y_m, z_m)
        if not all(low <= value <= high for value in wanted):
            raise OutOfRange(f"{self.name}: fine set point {wanted} m is beyond {low:g} to {high:g} m; nothing moved")
        record = self.world.file.record["needle"]
        if not record["high_voltage_on"]:
            raise Refused(f"{self.name}: no high voltage; switch it on below {self.settings.vacuum_limit_pa:g} Pa")
        slack = self.settings.hysteresis_rel * (high - low) / 2
        for index, value in enumerate(wanted):
            moved = value - record["fine_m"][index]
            lag = record["fine_m"][index] - record["tube_m"][index]
            lag = max(-slack / 2, min(slack / 2, lag + self.settings.hysteresis_rel * moved))
            record["tube_m"][index] = value - lag
        record["fine_m"] = list(wanted)
        self.world.commit()
        return await self.state()

    async def high_voltage(self, on: bool) -> NeedleState:
        await self._link()
        self.world.file.record["needle"]["high_voltage_on"] = bool(on)
        if not on:
            # Grounding drops the tube's offset: the apex jumps back.
            self.world.file.record["needle"] |= {"fine_m": [0.0, 0.0, 0.0], "tube_m": [0.0, 0.0, 0.0]}
        self.world.commit()
        return await self.state()

    async def note_hold(self, hold: NeedleHold) -> NeedleState:
        self.world.file.record["needle"]["hold"] = hold.value
        self.world.commit()
        return await self.state()

    async def stop(self) -> None:
        await self._link()
        self._stopped = True

    async def make_safe(self) -> None:
        """Free or in contact: stop, step back, high voltage off. Carrying or bonded: stop."""
        await self.stop()
        state = await self.state()
        if state.hold.is_fast:
            self.world.made_safe("needle held")
            return
        if state.high_voltage_on or state.hold is NeedleHold.CONTACT:
            await self.step("z", self._steps_clear())
            if (await self.high_voltage(False)).high_voltage_on:
                raise ReadBackMismatch(f"{self.name}: the high voltage reads back on; switch it off by hand")
            await self.note_hold(NeedleHold.FREE)
        self.world.made_safe("needle at rest")

    def _steps_clear(self) -> int:
        """Steps that certainly bring the apex clear of the specimen, also with the tube's offset gone."""
        shortest_m = 0.25 * self.settings.step_m
        return min(_LARGEST_BURST, math.ceil((self.settings.clear_m + self.settings.fine_range_m[1]) / shortest_m))

    def gap_m(self) -> float:
        """True distance of the apex from the specimen's plane (m)."""
        record = self.world.file.record["needle"]
        return float(record["apex_m"][2] + record["tube_m"][2])

    def _one_step_m(self, axis: str, sign: int, count: int) -> float:
        rng = generator(self.world.seed, "needle", axis, sign, count)
        cold = 0.5 + 0.5 * min(1.0, self.world.specimen_temperature_k() / 293.0)
        length = self.settings.step_m * cold * (1.0 if sign > 0 else self.settings.direction_ratio)
        return max(0.0, length * (1 + self.settings.scatter_rel * float(rng.normal())))


FACTORY = SimulatedFactory("needle", NeedleSettings, SimulatedNeedle)
