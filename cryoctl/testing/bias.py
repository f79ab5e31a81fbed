"""Contract of a biasing source: limits of its own, waveforms that end by themselves, samples by its own clock, rest.

With whatever is connected, an open pair of terminals included.
"""

from __future__ import annotations

import asyncio
import math

import numpy as np

from cryoctl.errors import CryoctlError, OutOfRange
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.bias import BiasLimits, BiasRest, BiasSource, OffMode
from cryoctl.testing.device import DeviceContract, acts, refused


class BiasContract(DeviceContract[BiasSource]):
    limits = BiasLimits(voltage_limit_v=5.0, compliance_a=1e-8)
    test_voltage_v = 1.0
    tolerance_v = 0.01
    largest_off_a = 1e-10
    stamp_tolerance_rel = 1e-3
    """How regular its time stamps are, relative to the sampling interval."""

    async def prepare(self, device: BiasSource) -> None:
        await device.set_limits(self.limits)

    def test_output_is_off_at_first(self) -> None:
        async def check(source: BiasSource) -> None:
            assert not (await source.read()).output_on

        self.checked(check)

    @acts("switches the output on with 1 V")
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

    @acts("switches the output on with 5 V and at most 0.1 nA")
    def test_compliance_holds_the_current(self) -> None:
        async def check(source: BiasSource) -> None:
            least_a = max(1e-10, source.capabilities.least_compliance_a)
            await source.set_limits(BiasLimits(voltage_limit_v=5.0, compliance_a=least_a))
            await source.set_voltage(5.0)
            await source.output(True)
            reading = await source.read()
            assert abs(reading.current_a) <= 1.2 * least_a
            assert reading.in_compliance or abs(reading.current_a) < 0.8 * least_a

        self.checked(check)

    @acts("switches the output on with 1 V")
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

    @acts("switches the output on with 0 V")
    def test_limits_change_with_the_output_off_only(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.output(True)
            await refused(CryoctlError, source.set_limits(self.limits))

        self.checked(check)

    @acts("switches the output on with 1 V")
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

    def test_limits_and_off_mode_are_read_back(self) -> None:
        async def check(source: BiasSource) -> None:
            assert await source.set_limits(self.limits) == self.limits
            modes = [
                OffMode.ZERO_VOLTS,
                *([OffMode.HIGH_IMPEDANCE] if source.capabilities.has_high_impedance_off else []),
            ]
            for mode in modes:
                assert await source.set_rest(BiasRest(off_mode=mode)) is mode
                status = await source.status()
                assert (status.limits, status.off_mode, status.output_on) == (self.limits, mode, False)
                assert not status.restarted

        self.checked(check)

    @acts("switches the output on with 0 V")
    def test_a_rest_that_it_has_not_is_refused(self) -> None:
        async def check(source: BiasSource) -> None:
            if not source.capabilities.has_high_impedance_off:
                await refused(OutOfRange, source.set_rest(BiasRest(off_mode=OffMode.HIGH_IMPEDANCE)))
            await source.output(True)
            await refused(CryoctlError, source.set_rest(BiasRest(off_mode=OffMode.ZERO_VOLTS)))

        self.checked(check)

    @acts("drives 0.5 nA, with up to 0.5 V")
    def test_current_control_is_held_by_the_voltage_limit(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.set_limits(BiasLimits(voltage_limit_v=0.5, compliance_a=1e-9))
            await refused(OutOfRange, source.set_current(2e-9))
            await source.output(True)
            assert await source.set_current(5e-10) == 5e-10
            reading = await source.read()
            assert abs(reading.voltage_v) <= 0.5 * 1.02
            assert reading.in_compliance or abs(reading.current_a - 5e-10) < 1e-10

        self.checked(check)

    @acts("plays 0.4 V and -0.4 V, a second each")
    def test_a_waveform_plays_and_ends_by_itself(self) -> None:
        async def check(source: BiasSource) -> None:
            interval_s = await source.start_waveform(forms.steps([0.4, -0.4], 1.0))
            low_s, high_s = source.capabilities.sample_interval_s
            assert low_s <= interval_s <= high_s
            assert (await source.status()).playing
            await asyncio.sleep(2.5)
            status = await source.status()
            assert (status.output_on, status.playing, status.ended) == (False, False, "complete")
            found = await source.samples(0)
            assert abs(len(found.time_s) - 2.0 / interval_s) <= 3
            half = len(found.time_s) // 2
            free = ~found.in_compliance
            for part, level_v in ((slice(2, half - 2), 0.4), (slice(half + 2, -2), -0.4)):
                voltages = found.voltage_v[part][free[part]]
                assert np.all(np.abs(voltages - level_v) <= self.tolerance_v)

        self.checked(check)

    @acts("plays 0.2 V for two seconds")
    def test_samples_are_numbered_and_stay_until_they_are_overwritten(self) -> None:
        async def check(source: BiasSource) -> None:
            interval_s = await source.start_waveform(forms.constant_voltage(0.2, 5.0))
            await asyncio.sleep(1.0)
            first = await source.samples(0)
            again = await source.samples(0)
            count = len(first.time_s)
            assert count >= 3
            assert np.array_equal(again.time_s[:count], first.time_s)
            assert np.array_equal(again.current_a[:count], first.current_a)
            await asyncio.sleep(1.0)
            rest = await source.samples(count)
            assert rest.first == count
            assert rest.total == count + len(rest.time_s)
            times = np.concatenate([first.time_s, rest.time_s])
            assert np.allclose(np.diff(times), interval_s, rtol=self.stamp_tolerance_rel)
            await source.output(False)

        self.checked(check)

    @acts("plays 0.2 V for a moment")
    def test_a_stopped_waveform_is_off_and_does_not_go_on(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.start_waveform(forms.constant_voltage(0.2, 5.0))
            assert not await source.output(False)
            await asyncio.sleep(1.0)
            status = await source.status()
            assert (status.output_on, status.playing, status.ended) == (False, False, "")

        self.checked(check)

    def test_a_waveform_beyond_the_limits_switches_nothing_on(self) -> None:
        async def check(source: BiasSource) -> None:
            for wrong in (forms.constant_voltage(6.0, 1.0), forms.constant_current(1e-6, 1.0)):
                await refused(OutOfRange, source.start_waveform(wrong))
                assert not (await source.status()).output_on

        self.checked(check)

    def test_its_clock_can_be_bracketed(self) -> None:
        async def check(source: BiasSource) -> None:
            loop = asyncio.get_running_loop()
            before, first_s = loop.time(), await source.clock_s()
            between = loop.time()
            await asyncio.sleep(10.0)
            after, second_s = loop.time(), await source.clock_s()
            drift = source.capabilities.clock_drift_rel
            trips_s = (between - before) + (loop.time() - after)
            assert abs((second_s - first_s) - (after - before)) <= trips_s + 10.0 * drift

        self.checked(check)

    @acts("switches the output on with 0 V")
    def test_open_circuit_voltage_needs_the_output_off(self) -> None:
        async def check(source: BiasSource) -> None:
            assert math.isfinite(await source.open_circuit_voltage())
            await source.output(True)
            await refused(CryoctlError, source.open_circuit_voltage())

        self.checked(check)

    @acts("plays 1 V for a moment")
    def test_safe_ends_a_waveform_in_high_impedance(self) -> None:
        async def check(source: BiasSource) -> None:
            await source.start_waveform(forms.constant_voltage(1.0, min(100.0, source.capabilities.longest_waveform_s)))
            await source.make_safe()
            status = await source.status()
            assert not status.output_on
            assert not status.playing
            if source.capabilities.has_high_impedance_off:
                assert status.off_mode is OffMode.HIGH_IMPEDANCE

        self.checked(check)
