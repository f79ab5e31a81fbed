"""Simulated source-measure unit on whatever the world connects it to, with compliance and a clock of its own."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict

from cryoctl.errors import OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces.bias import (
    BiasCapabilities,
    BiasLimits,
    BiasReading,
    BiasRest,
    BiasSamples,
    BiasStatus,
    OffMode,
)
from cryoctl.interfaces.bias_rest import bring_to_rest
from cryoctl.interfaces.waveform import Waveform
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import BiasSettings
from cryoctl_simulators.world.noise import generator
from cryoctl_simulators.world.source import BIAS_BUFFER, TRIPPED, Source

_LINK_SHARE = (0.2, 1.8)
"""Of the usual time that a message is under way, the shortest and the longest; each way on its own."""
_SLACK = 1e-9


class SimulatedBias(SimulatedDevice[BiasSettings]):
    kind = "bias"
    has_own_clock = True
    _rest_v: float | None = None

    @property
    def capabilities(self) -> BiasCapabilities:
        one = self.settings
        return BiasCapabilities(
            voltage_range_v=one.voltage_range_v,
            current_range_a=one.current_range_a,
            has_high_impedance_off=one.has_high_impedance_off,
            sample_interval_s=(one.integration_cycles / one.line_hz + one.overhead_s, 3600.0),
            buffer_samples=BIAS_BUFFER[0][0],
            clock_drift_rel=max(2 * one.clock_drift_sigma_rel, 2e-4),
            offset_a=one.offset_a,
        )

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        source = await self._source()
        if source.record["output_on"]:
            raise Refused(f"{self.name}: limits change with the output off only; switch it off first")
        if not 0 < limits.voltage_limit_v <= source.widest_v:
            raise OutOfRange(
                f"{self.name}.voltage_limit_v: {limits.voltage_limit_v:g} V is beyond 0 to {source.widest_v:g} V"
            )
        largest_a = self.settings.current_range_a[1]
        if not 0 < limits.compliance_a <= largest_a:
            raise OutOfRange(f"{self.name}.compliance_a: {limits.compliance_a:g} A is beyond 0 to {largest_a:g} A")
        source.record |= {"voltage_limit_v": limits.voltage_limit_v, "compliance_a": limits.compliance_a}
        source.record["restarted"] = False
        self.world.commit()
        return limits

    async def set_rest(self, rest: BiasRest) -> OffMode:
        source = await self._source()
        if source.record["output_on"]:
            raise Refused(f"{self.name}: its off mode changes with the output off only; switch it off first")
        if rest.off_mode is OffMode.HIGH_IMPEDANCE and not self.settings.has_high_impedance_off:
            raise OutOfRange(f"{self.name}.off_mode: it has no high impedance when off; allowed is zero-volts")
        source.advance(self.world.time_s)
        source.record["off_mode"] = rest.off_mode.value
        self._rest_v = rest.voltage_v
        self.world.commit()
        return OffMode(source.record["off_mode"])

    async def set_voltage(self, voltage_v: float) -> float:
        source = await self._source()
        limit_v = source.record["voltage_limit_v"]
        if not abs(voltage_v) <= limit_v * (1 + _SLACK):
            raise OutOfRange(f"{self.name}.voltage_v: {voltage_v:g} V is beyond its limit of {limit_v:g} V; unchanged")
        source.drive("voltage", voltage_v, self.world.time_s)
        self.world.commit()
        return voltage_v

    async def set_current(self, current_a: float) -> float:
        source = await self._source()
        limit_a = source.record["compliance_a"]
        if not abs(current_a) <= limit_a * (1 + _SLACK):
            raise OutOfRange(f"{self.name}.current_a: {current_a:g} A is beyond its limit of {limit_a:g} A; unchanged")
        source.drive("current", current_a, self.world.time_s)
        self.world.commit()
        return current_a

    async def output(self, on: bool) -> bool:
        source = await self._source()
        if not on and self.fault("output-stuck"):
            return bool(source.record["output_on"])
        source.switch(on, self.world.time_s)
        self.world.commit()
        return on

    async def start_waveform(self, waveform: Waveform, sample_interval_s: float | None = None) -> float:
        source = await self._source()
        if source.record["output_on"]:
            raise Refused(f"{self.name}: a waveform begins with the output off; bring it to rest first")
        limit_v, limit_a = source.record["voltage_limit_v"], source.record["compliance_a"]
        if waveform.peak_v > limit_v * (1 + _SLACK) or waveform.peak_a > limit_a * (1 + _SLACK):
            raise OutOfRange(
                f"{self.name}.waveform: {waveform.form} goes to {waveform.peak_v:g} V and {waveform.peak_a:g} A, its "
                f"limits are {limit_v:g} V and {limit_a:g} A; unchanged"
            )
        interval_s = await self.sample_every(sample_interval_s)
        source.play({"segments": [asdict(one) for one in waveform.segments], "repeats": waveform.repeats}, self._now_s)
        self.world.commit()
        return interval_s

    async def sample_every(self, interval_s: float | None) -> float:
        source = await self._source()
        if interval_s is not None and not source.least_interval_s * (1 - _SLACK) <= interval_s < math.inf:
            raise OutOfRange(
                f"{self.name}.sample_interval_s: {interval_s:g} s is shorter than {source.least_interval_s:g} s, its "
                "integration and transfer; unchanged"
            )
        source.advance(self._now_s)
        source.record["interval_s"] = source.least_interval_s if interval_s is None else interval_s
        return float(source.record["interval_s"])

    async def samples(self, since: int) -> BiasSamples:
        source = await self._source()
        await asyncio.sleep(self._under_way_s("samples"))
        source.advance(self._now_s)
        first, total, rows = source.samples(since, self._now_s)
        return BiasSamples(
            first=first,
            total=total,
            time_s=rows[:, 0],
            voltage_v=rows[:, 1],
            current_a=rows[:, 2],
            in_compliance=rows[:, 3] > 0,
        )

    async def clock_s(self) -> float:
        source = await self._source()
        await asyncio.sleep(self._under_way_s("question"))
        answer_s = float(source.clock_s(self._now_s))
        await asyncio.sleep(self._under_way_s("answer"))
        return answer_s

    async def status(self) -> BiasStatus:
        record = (await self._source()).record
        return BiasStatus(
            output_on=bool(record["output_on"]),
            off_mode=OffMode(record["off_mode"]),
            limits=BiasLimits(voltage_limit_v=record["voltage_limit_v"], compliance_a=record["compliance_a"]),
            playing=record["playing"] is not None,
            ended=str(record["ended"]),
            restarted=bool(record["restarted"]),
        )

    async def open_circuit_voltage(self) -> float:
        source = await self._source()
        if source.record["output_on"]:
            raise Refused(f"{self.name}: the open-circuit voltage is measured with the output off; bring it to rest")
        await asyncio.sleep(self.settings.open_circuit_s)
        noise = float(generator(self.world.seed, "bias", "open", f"{self._now_s:.6f}").normal())
        return source.emf_v(self._now_s) + noise * self.settings.noise_v

    async def read(self) -> BiasReading:
        source = await self._source()
        await asyncio.sleep(self.settings.read_s)
        time_s = self._now_s
        source.advance(time_s)
        if source.record["output_on"]:
            self.world.commit()
        voltage, current, limited = source.reading(time_s)
        return BiasReading(
            voltage_v=voltage,
            current_a=current,
            in_compliance=limited,
            output_on=bool(source.record["output_on"]),
            time_s=float(source.clock_s(time_s)),
        )

    async def make_safe(self) -> None:
        """Ramp to the cell's own voltage where that is known, output off, read back; a battery rests in high
        impedance."""
        source = await self._source()
        await bring_to_rest(self, BiasRest(off_mode=OffMode(source.rest_mode), voltage_v=self._rest_v))
        self.world.made_safe("bias at rest")

    async def cut_off(self) -> None:
        """The interlock line of the source has a wire of its own: it works without the link."""
        if self.fault("cut-off-fails"):
            raise ReadBackMismatch(f"{self.name}: its interlock line was opened and reads back closed; switch it off")
        self.world.source.switch(False, self._now_s)
        self.world.made_safe("source cut off")

    def forget_settings(self) -> None:
        self.world.source.restart(self._now_s)
        self.world.commit()

    async def _source(self) -> Source:
        """What every verb begins with: the link, and what happens to the source by itself."""
        await self._link()
        source = self.world.source
        source.advance(self._now_s)
        if self.fault("restarted"):
            self.forget_settings()
        if source.record["output_on"] and self.fault("compliance-trip"):
            source.switch(False, self._now_s, ended=TRIPPED)
            self.world.commit()
        return source

    def _under_way_s(self, what: str) -> float:
        low, high = _LINK_SHARE
        rng = generator(self.world.seed, "bias", what, f"{self._now_s:.6f}")
        return self.settings.link_s / 2 * float(rng.uniform(low, high))

    @property
    def _now_s(self) -> float:
        return self.world.time_s


FACTORY = SimulatedFactory("bias", BiasSettings, SimulatedBias)
