"""Contract of a biasing source: limits of its own, high impedance at rest."""

from __future__ import annotations

import math

from cryoctl.errors import CryoctlError, OutOfRange
from cryoctl.interfaces.bias import BiasLimits, BiasSource
from cryoctl.testing.device import DeviceContract, refused


class BiasContract(DeviceContract[BiasSource]):
    limits = BiasLimits(voltage_limit_v=5.0, compliance_a=1e-8)
    test_voltage_v = 1.0
    tolerance_v = 0.01
    largest_off_a = 1e-10

    async def prepare(self, device: BiasSource) -> None:
        await device.set_limits(self.limits)

    def test_output_is_off_at_first(self) -> None:
        async def check(source: BiasSource) -> None:
            assert not (await source.read()).output_on

        self.checked(check)

    def test_set_voltage_is_read_back(self) -> None:
        async def check(source: BiasSource) -> None:
            assert await source.set_voltage(self.test_voltage_v) == self.test_voltage_v
            assert await source.output(True)
            reading = await source.read()
            assert reading.output_on
            assert abs(reading.current_a) <= self.limits.compliance_a * 1.01
            assert reading.in_compliance or abs(reading.voltage_v - self.test_voltage_v) <= self.tolerance_v
            assert not await source.output(False)
            off = await source.read()
            assert not off.output_on
            assert abs(off.current_a) <= self.largest_off_a

        self.checked(check)

    def test_compliance_holds_the_current(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.set_limits(BiasLimits(voltage_limit_v=5.0, compliance_a=1e-10))
            await source.set_voltage(5.0)
            await source.output(True)
            reading = await source.read()
            assert abs(reading.current_a) <= 1.2e-10
            assert reading.in_compliance or abs(reading.current_a) < 0.8e-10

        self.checked(check)

    def test_beyond_its_limits_nothing_changes(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.set_voltage(self.test_voltage_v)
            for wrong in (self.limits.voltage_limit_v * 1.01, -self.limits.voltage_limit_v * 1.01, math.nan):
                await refused(OutOfRange, source.set_voltage(wrong))
            low, high = source.capabilities.voltage_range_v
            wide = BiasLimits(voltage_limit_v=2 * max(-low, high), compliance_a=1e-9)
            await refused(OutOfRange, source.set_limits(wide))
            _, largest_a = source.capabilities.current_range_a
            for compliance_a in (2 * largest_a, 0.0, -1e-9, math.nan):
                strong = BiasLimits(voltage_limit_v=1.0, compliance_a=compliance_a)
                await refused(OutOfRange, source.set_limits(strong))
            await source.output(True)
            reading = await source.read()
            assert abs(reading.voltage_v) <= self.limits.voltage_limit_v

        self.checked(check)

    def test_limits_change_with_the_output_off_only(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.output(True)
            await refused(CryoctlError, source.set_limits(self.limits))

        self.checked(check)

    def test_safe_is_off(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.set_voltage(self.test_voltage_v)
            await source.output(True)
            await source.make_safe()
            reading = await source.read()
            assert not reading.output_on
            assert abs(reading.current_a) < 1e-9

        self.checked(check)

    def test_its_clock_runs_on(self) -> None:
        async def check(source: BiasSource) -> None:
            first, second = await source.read(), await source.read()
            assert second.time_s > first.time_s

        self.checked(check)
