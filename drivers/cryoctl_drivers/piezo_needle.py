"""What the drivers of piezo needles share: one motion at a time, what is remembered, and the way to rest."""

from __future__ import annotations

import asyncio
import math
from typing import Annotated, Literal, TypeVar

from pydantic import Field

from cryoctl.errors import DeviceError, OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl.units import Metres, Pascals
from cryoctl_drivers.link import Link, LinkSettings
from cryoctl_drivers.needle_record import NeedleRecord, Remembered, Three
from cryoctl_drivers.port_device import PortDevice

AXES = "xyz"
LARGEST_BURST = 1000
"""Steps of one call."""


class NeedleDriveSettings(LinkSettings):
    """Three numbers are those of x, y and z in the specimen's frame."""

    withdraw: Literal["+x", "-x", "+y", "-y"] = "+x"
    """Where coarse steps lead away from the specimen."""
    clear_m: Annotated[Metres, Field(gt=0)] = 2e-6
    """What is left between needle and specimen at least when it has been made safe."""
    vacuum_limit_pa: Annotated[Pascals, Field(gt=0)] = 1e-3
    state_file: str | None = None
    """Where steps sent, set point and what the apex holds are kept; null: beside the user's data, a file a device."""


N = TypeVar("N", bound=NeedleDriveSettings)


class PiezoNeedle(PortDevice[N]):
    """A driver defines `capabilities`, `state`, `stop`, `high_voltage`, and what begins with an underscore and raises
    here."""

    kind = "needle"

    def __init__(self, name: str, settings: N, link: Link) -> None:
        super().__init__(name, settings, link)
        self._record = NeedleRecord(name, settings.state_file)
        self._moving = asyncio.Lock()
        self._halts = 0

    @property
    def capabilities(self) -> NeedleCapabilities:
        raise NotImplementedError

    @property
    def remembered(self) -> Remembered:
        """Steps sent, and how many of them may not have been made."""
        return self._record.now

    async def state(self) -> NeedleState:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def high_voltage(self, on: bool) -> NeedleState:
        raise NotImplementedError

    async def _make_steps(self, index: int, steps: int, halts: int) -> None:
        """Along an axis (0 to 2), until they are made or `_halts` is no longer `halts`."""
        raise NotImplementedError

    async def _is_live(self) -> bool:
        """All fine axes are."""
        raise NotImplementedError

    async def _place(self, wanted: Three) -> None:
        raise NotImplementedError

    async def note_hold(self, hold: NeedleHold) -> NeedleState:
        await self._record.keep(hold=hold.value)
        return await self.state()

    async def step(self, axis: str, steps: int) -> NeedleState:
        if axis not in AXES or len(axis) != 1:
            raise OutOfRange(f"{self.name}.axis: found {axis!r}, allowed are x, y, z; nothing moved")
        if abs(steps) > LARGEST_BURST:
            raise OutOfRange(f"{self.name}.steps: {steps} at once is beyond {LARGEST_BURST}; nothing moved")
        halts = self._halts
        async with self._moving:
            if steps and self._halts == halts:
                await self._make_steps(AXES.index(axis), steps, halts)
        return await self.state()

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState:
        capabilities = self.capabilities
        low_m, high_m = capabilities.fine_range_m
        wanted = (x_m, y_m, z_m)
        if not all(low_m <= value <= high_m for value in wanted):
            raise OutOfRange(
                f"{self.name}: fine set point {wanted} m is beyond {low_m:g} to {high_m:g} m; nothing moved"
            )
        async with self._moving:
            if not await self._is_live():
                limit_pa = capabilities.vacuum_limit_pa
                raise Refused(f"{self.name}: no high voltage; switch it on below {limit_pa:g} Pa")
            await self._record.keep(fine_m=wanted, parked=False)
            await self._place(wanted)
        return await self.state()

    async def make_safe(self) -> None:
        await self.stop()
        state = await self.state()
        if state.hold.is_fast:
            return
        if state.high_voltage_on or state.hold is NeedleHold.CONTACT or not self._record.now.parked:
            await self._step_clear(state)
            if (await self.high_voltage(False)).high_voltage_on:
                raise ReadBackMismatch(f"{self.name}: the high voltage reads back on; switch it off by hand")
            await self._record.keep(hold=NeedleHold.FREE.value, parked=True)

    async def _step_clear(self, state: NeedleState) -> None:
        """So many steps back that the apex is certainly clear, also when the tube has jumped."""
        one = self.capabilities
        jump_m = math.dist(state.fine_m, one.grounded_m) * (1.0 + 3.0 * one.fine_sigma_rel)
        count = math.ceil((self.settings.clear_m + jump_m) / one.coarse_step_m[0])
        sign, axis = (1 if self.settings.withdraw[0] == "+" else -1), self.settings.withdraw[1]
        while count:
            burst = min(count, LARGEST_BURST)
            halts = self._halts
            await self.step(axis, sign * burst)
            if self._halts != halts:
                raise DeviceError(f"{self.name}: stopped while it was stepping clear, its tube stays live; try again")
            count -= burst

    def _order(self, now_m: Three, wanted: Three) -> tuple[int, ...]:
        """Axes (0 to 2) one after the other: what leads away from the specimen first, what leads to it last."""
        along = AXES.index(self.settings.withdraw[1])
        away = 1 if self.settings.withdraw[0] == "+" else -1
        across = tuple(axis for axis in range(3) if axis != along)
        return (along, *across) if (wanted[along] - now_m[along]) * away >= 0 else (*across, along)
