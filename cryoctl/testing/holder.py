"""Contract of a cryo-holder."""

from __future__ import annotations

import asyncio
import math

from cryoctl.errors import OutOfRange
from cryoctl.interfaces.holder import Holder
from cryoctl.testing.device import DeviceContract, acts, refused


class HolderContract(DeviceContract[Holder]):
    approach_within_s = 3600.0
    tolerance_k = 0.5

    def test_reads_plausibly(self) -> None:
        async def check(holder: Holder) -> None:
            reading = await holder.temperature()
            assert reading.valid
            assert 1.0 < reading.temperature_k < 500.0
            level, pressure_pa = await holder.nitrogen(), await holder.pressure()
            assert math.isnan(level) or 0.0 <= level <= 1.0
            assert math.isnan(pressure_pa) or 0.0 < pressure_pa < 1e5
            low, high = holder.capabilities.tilt_limits_deg
            assert low < high
            assert holder.capabilities.hold_time_s > 0

        self.checked(check)

    @acts("warms the holder by 5 K and waits until it is there")
    def test_goes_to_its_set_point(self) -> None:
        async def check(holder: Holder) -> None:
            start = await holder.temperature()
            target = start.temperature_k + 5.0
            await holder.set_temperature(target)
            await asyncio.sleep(self.approach_within_s)
            assert abs((await holder.temperature()).temperature_k - target) <= self.tolerance_k

        self.checked(check)

    @acts("gives set points that have to be refused, and waits a minute")
    def test_out_of_range_changes_nothing(self) -> None:
        async def check(holder: Holder) -> None:
            low, high = holder.capabilities.temperature_range_k
            before = await holder.temperature()
            for wrong in (low - 1.0, high + 1.0, math.nan):
                await refused(OutOfRange, holder.set_temperature(wrong))
            await asyncio.sleep(60.0)
            assert abs((await holder.temperature()).temperature_k - before.temperature_k) <= self.tolerance_k

        self.checked(check)

    @acts("waits for a tenth of what a dewar lasts")
    def test_nitrogen_is_used_up(self) -> None:
        async def check(holder: Holder) -> None:
            before = await holder.nitrogen()
            await asyncio.sleep(holder.capabilities.hold_time_s / 10)
            assert await holder.nitrogen() < before or before == 0.0 or math.isnan(before)

        self.checked(check)

    @acts("waits a minute")
    def test_safe_stays_cold(self) -> None:
        async def check(holder: Holder) -> None:
            before = await holder.temperature()
            await holder.make_safe()
            await asyncio.sleep(60.0)
            assert (await holder.temperature()).temperature_k <= before.temperature_k + self.tolerance_k

        self.checked(check)
