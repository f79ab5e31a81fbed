"""Simulated piezo needle: what its drive knows; where the apex is and what it touches is the world's."""

from __future__ import annotations

import asyncio
import math
from typing import Any

import numpy as np

from cryoctl.errors import OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import NeedleSettings
from cryoctl_simulators.world.needle_contact import NeedleContact
from cryoctl_simulators.world.piezo_needle import AXES

_LARGEST_BURST = 1000
_COLD_SHARE = 0.5
"""Of the shortest step at room temperature: no drive is slower, however cold."""


class SimulatedNeedle(SimulatedDevice[NeedleSettings]):
    """Axes are those of the specimen's frame: x along the needle and the tilt axis, +x withdraws."""

    kind = "needle"
    _halts = 0

    async def connect(self) -> Identity:
        identity = await super().connect()
        self.world.commit()
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
        record = self._record
        return NeedleState(
            coarse_steps=tuple(record["steps"]),
            fine_m=tuple(record["fine_m"]),
            high_voltage_on=bool(record["high_voltage_on"]),
            hold=NeedleHold(record["hold"]),
        )

    async def step(self, axis: str, steps: int) -> NeedleState:
        await self._link()
        if axis not in AXES:
            raise OutOfRange(f"{self.name}.axis: found {axis!r}, allowed are x, y, z; nothing moved")
        if abs(steps) > _LARGEST_BURST:
            raise OutOfRange(f"{self.name}.steps: {steps} at once is beyond {_LARGEST_BURST}; nothing moved")
        sign, halts = int(math.copysign(1, steps)), self._halts
        more = self.fault("runs-away") if steps else False
        count = abs(steps) + (int(more["more_steps"]) if isinstance(more, dict) else 0)
        for number in range(count):
            await asyncio.sleep(self.settings.step_s)
            if self._halts != halts:
                break
            self._record["parked"] = False
            if number >= abs(steps):
                self._contact.record["astray_m"] += self.settings.coarse_step_m[1]
            if self.world.faults.find(self.name, "stuck") is None:
                self._contact.step(axis, sign, self.world.time_s, self.world.specimen_temperature_k())
            else:
                self._contact.needle.stepped(axis, sign, np.zeros(3))
            self.world.commit()
        return await self.state()

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState:
        await self._link()
        low, high = self.settings.fine_range_m
        wanted = (x_m, y_m, z_m)
        if not all(low <= value <= high for value in wanted):
            raise OutOfRange(f"{self.name}: fine set point {wanted} m is beyond {low:g} to {high:g} m; nothing moved")
        if not self._record["high_voltage_on"]:
            raise Refused(f"{self.name}: no high voltage; switch it on below {self.settings.vacuum_limit_pa:g} Pa")
        self._record["parked"] = False
        wrong = self.fault("not-at-place")
        if isinstance(wrong, dict):
            wanted = (min(high, max(low, x_m - wrong["beyond_m"])), y_m, z_m)
            self._contact.record["astray_m"] += max(0.0, wrong["beyond_m"])
        self._contact.fine(wanted, self.world.time_s)
        self.world.commit()
        return await self.state()

    async def high_voltage(self, on: bool) -> NeedleState:
        await self._link()
        if on and not self.fault("voltage-refused"):
            self._record["high_voltage_on"] = True
        if not on:
            self._contact.ground(self.world.time_s)
        self.world.commit()
        return await self.state()

    async def note_hold(self, hold: NeedleHold) -> NeedleState:
        self._record["hold"] = hold.value
        self.world.commit()
        return await self.state()

    async def stop(self) -> None:
        await self._link()
        self._halts += 1

    async def make_safe(self) -> None:
        """Free or in contact: stop, step back, high voltage off. Carrying or bonded: stop."""
        await self.stop()
        state = await self.state()
        if state.hold.is_fast:
            self.world.made_safe("needle held")
            return
        if state.high_voltage_on or state.hold is NeedleHold.CONTACT or not self._record["parked"]:
            self._contact.record["drawn_live"] += bool(self.world.source.record["output_on"])
            await self.step("x", self._steps_clear())
            if (await self.high_voltage(False)).high_voltage_on:
                raise ReadBackMismatch(f"{self.name}: the high voltage reads back on; switch it off by hand")
            await self.note_hold(NeedleHold.FREE)
            self._record["parked"] = True
        self.world.made_safe("needle at rest")

    @property
    def _contact(self) -> NeedleContact:
        contact = self.world.contact
        assert contact is not None, "the world has a needle where its instrument has one"
        return contact

    @property
    def _record(self) -> dict[str, Any]:
        return self._contact.needle.record

    def _steps_clear(self) -> int:
        """Steps that certainly bring the apex clear of the specimen, also with the tube's offset gone."""
        shortest_m = _COLD_SHARE * self.settings.coarse_step_m[0]
        low, high = self.settings.fine_range_m
        return min(_LARGEST_BURST, math.ceil((self.settings.clear_m + max(high, -low)) / shortest_m))


FACTORY = SimulatedFactory("needle", NeedleSettings, SimulatedNeedle)
