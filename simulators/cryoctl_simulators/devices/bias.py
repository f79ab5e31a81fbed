"""Simulated source-measure unit on an ideal cell behind a resistance, with compliance and a clock of its own."""

from __future__ import annotations

import asyncio
from typing import Any

from cryoctl.errors import OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces.bias import BiasCapabilities, BiasLimits, BiasReading
from cryoctl.interfaces.device import Identity
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import BiasSettings
from cryoctl_simulators.world.noise import generator

_REST_A = 1e-6


class SimulatedBias(SimulatedDevice[BiasSettings]):
    kind = "bias"
    has_own_clock = True

    async def connect(self) -> Identity:
        identity = await super().connect()
        record = self.world.file.record["bias"]
        if not record:
            record |= {"voltage_v": 0.0, "output_on": False, "voltage_limit_v": 10.0, "compliance_a": 1e-7}
        return identity

    @property
    def capabilities(self) -> BiasCapabilities:
        one = self.settings
        return BiasCapabilities(
            voltage_range_v=one.voltage_range_v,
            current_range_a=one.current_range_a,
            has_high_impedance_off=one.has_high_impedance_off,
        )

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        await self._link()
        if self._record["output_on"]:
            raise Refused(f"{self.name}: limits change with the output off only; switch it off first")
        low, high = self.settings.voltage_range_v
        if not 0 < limits.voltage_limit_v <= min(-low, high):
            raise OutOfRange(
                f"{self.name}.voltage_limit_v: {limits.voltage_limit_v:g} V is beyond 0 to {min(-low, high):g} V"
            )
        largest_a = self.settings.current_range_a[1]
        if not 0 < limits.compliance_a <= largest_a:
            raise OutOfRange(f"{self.name}.compliance_a: {limits.compliance_a:g} A is beyond 0 to {largest_a:g} A")
        self._record.update(voltage_limit_v=limits.voltage_limit_v, compliance_a=limits.compliance_a)
        self.world.commit()
        return limits

    async def set_voltage(self, voltage_v: float) -> float:
        await self._link()
        limit = self._record["voltage_limit_v"]
        if not abs(voltage_v) <= limit:
            raise OutOfRange(f"{self.name}.voltage_v: {voltage_v:g} V is beyond its limit of {limit:g} V; unchanged")
        self._record["voltage_v"] = voltage_v
        self.world.commit()
        return voltage_v

    async def output(self, on: bool) -> bool:
        await self._link()
        if not on and self.fault("output-stuck"):
            return bool(self._record["output_on"])
        self._record["output_on"] = on
        self.world.commit()
        return on

    async def read(self) -> BiasReading:
        await self._link()
        await asyncio.sleep(self.settings.read_s)
        voltage, current, limited = self._terminals()
        time_s = self.world.time_s
        noise = float(generator(self.world.seed, "bias", f"{time_s:.6f}").normal()) * self.settings.noise_a
        return BiasReading(
            voltage_v=voltage,
            current_a=current + noise,
            in_compliance=limited,
            output_on=bool(self._record["output_on"]),
            time_s=self.clock_s() + self._offset_s,
        )

    async def make_safe(self) -> None:
        """Ramp to the cell's own voltage or 0 V, output off, read back; a battery rests in high impedance."""
        await self._link()
        if self._record["output_on"]:
            rest = self.settings.cell_voltage_v if self.settings.has_high_impedance_off else 0.0
            await self.set_voltage(max(-self._record["voltage_limit_v"], min(rest, self._record["voltage_limit_v"])))
        if await self.output(False):
            raise ReadBackMismatch(f"{self.name}: told to switch off, the output reads back on; switch it off by hand")
        reading = await self.read()
        if abs(reading.current_a) > _REST_A:
            raise ReadBackMismatch(f"{self.name}: off, yet {reading.current_a:g} A flow; at rest at most {_REST_A:g} A")
        self.world.made_safe("bias at rest")

    async def cut_off(self) -> None:
        """The interlock line of the source has a wire of its own: it works without the link."""
        self._record["output_on"] = False
        self.world.made_safe("source cut off")

    @property
    def _record(self) -> dict[str, Any]:
        return self.world.file.record["bias"]

    @property
    def _offset_s(self) -> float:
        given = self.world.given.get(f"clocks.{self.name}.offset_s", self.settings.clock_offset_s)
        return float(given)

    def _terminals(self) -> tuple[float, float, bool]:
        """Voltage at the terminals, current, and whether compliance limits it."""
        cell, resistance = self.settings.cell_voltage_v, self.settings.cell_resistance_ohm
        if not self._record["output_on"]:
            return (cell if self.settings.has_high_impedance_off else 0.0, 0.0, False)
        wanted = (self._record["voltage_v"] - cell) / resistance
        limit = self._record["compliance_a"]
        current = max(-limit, min(limit, wanted))
        return (cell + current * resistance, current, current != wanted)


FACTORY = SimulatedFactory("bias", BiasSettings, SimulatedBias)
