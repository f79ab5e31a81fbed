"""What the axes of an emulated ANC300 do: bursts that go on by themselves, offsets, modes, capacitances."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoctl_simulators.world.needle_contact import NeedleContact
from cryoctl_simulators.world.noise import cut_normal, generator

if TYPE_CHECKING:
    from cryoctl_simulators.wire.attocube_anc300 import EmulatedAttocube

AXES = "xyz"
STEPPING, FINE = (1, 2, 3), (4, 5, 6)
CHANNELS = tuple("123456")
_MEASURES_S = 0.8
_SLIPS_V = 5.0
"""A lower sawtooth does not overcome friction."""
_NOISE_V = 2e-3
_ROUNDS_S = 1e-9


class AttocubeAxes:
    """`record` is its part of the world's record, in which mode, offset_v, frequency_hz ... are by channel."""

    def __init__(self, emulator: EmulatedAttocube) -> None:
        self._of = emulator
        self._bursts: dict[int, _Burst] = {}
        self._measures: dict[int, asyncio.TimerHandle] = {}

    @property
    def record(self) -> dict[str, Any]:
        record = self._of.world.file.record
        if "anc300" not in record:
            record["anc300"] = {
                "mode": {str(one): "gnd" for one in (*STEPPING, *FINE)},
                "offset_v": {str(one): 0.0 for one in FINE},
                "frequency_hz": {str(one): 200 for one in STEPPING},
                "voltage_v": {str(one): 20.0 for one in STEPPING},
                "capacitance_nf": {},
            }
        return record["anc300"]

    @property
    def contact(self) -> NeedleContact:
        contact = self._of.world.contact
        assert contact is not None, "the world has a needle where its instrument has one"
        return contact

    def look(self) -> None:
        """Bring it to now: bursts, and what befell the needle by itself; an output that went off grounds its axes."""
        for burst in tuple(self._bursts.values()):
            burst.catch_up()
        self.contact.look(self._of.world.time_s)
        if not self.contact.needle.record["high_voltage_on"]:
            for channel in FINE:
                if self.mode(channel) == "off":
                    self.record["mode"][str(channel)] = "gnd"
                    self.record["offset_v"][str(channel)] = 0.0

    # What it says

    def mode(self, channel: int) -> str:
        return str(self.record["mode"][str(channel)])

    def frequency_hz(self, channel: int) -> float:
        return float(self.record["frequency_hz"][str(channel)])

    def voltage_v(self, channel: int) -> float:
        return float(self.record["voltage_v"][str(channel)])

    def offset_v(self, channel: int) -> float:
        return float(self.record["offset_v"][str(channel)])

    async def over(self, channel: int) -> None:
        """Returns once a burst or a measurement under way has ended."""
        burst, measuring = self._bursts.get(channel), self._measures.get(channel)
        if burst is not None:
            await burst.over.wait()
        if measuring is not None:
            await asyncio.sleep(max(0.0, measuring.when() - asyncio.get_running_loop().time()))

    def moves(self, channel: int) -> bool:
        return channel in self._bursts

    def output_v(self, channel: int) -> float:
        """Measured: the mean of its sawtooth while it steps, else what stands there; its last digits are noise."""
        rng = generator(self._of.world.seed, "anc300", "output", f"{channel} {self._of.world.time_s:.4f}")
        stands_v = self.offset_v(channel) if channel in FINE and self.mode(channel) == "off" else 0.0
        held_v = 0.5 * self.voltage_v(channel) if channel in STEPPING and self.moves(channel) else stands_v
        return max(0.0, held_v + cut_normal(rng, _NOISE_V))

    def capacitance_nf(self, channel: int) -> float | None:
        found = self.record["capacitance_nf"].get(str(channel))
        return None if found is None else float(found)

    # What it does

    def start(self, channel: int, sign: int, count: int | None, extra: int) -> None:
        self.stop(channel)
        self._bursts[channel] = _Burst(self, channel, sign, count, extra)

    def stop(self, channel: int) -> None:
        burst = self._bursts.pop(channel, None)
        if burst is not None:
            burst.end()

    def pulse(self, channel: int, sign: int, astray: bool) -> None:
        """One slip-stick step; the world knows where it leads."""
        world, contact, axis = self._of.world, self.contact, AXES[channel - 1]
        contact.needle.record["parked"] = False
        if astray:
            contact.record["astray_m"] += self._of.settings.coarse_step_m[1]
        if world.faults.find(self._of.name, "stuck") is None and self.voltage_v(channel) >= _SLIPS_V:
            contact.step(axis, sign, world.time_s, world.specimen_temperature_k())
        else:
            contact.needle.stepped(axis, sign, np.zeros(3))
        world.commit()

    def ended(self, channel: int) -> None:
        self._bursts.pop(channel, None)

    def set_mode(self, channel: int, mode: str) -> None:
        self.stop(channel)
        measuring = self._measures.pop(channel, None)
        if measuring is not None:
            measuring.cancel()
        self.record["mode"][str(channel)] = mode
        if mode == "cap":
            loop = asyncio.get_running_loop()
            self._measures[channel] = loop.call_later(_MEASURES_S, self._measured, channel)
        if channel in FINE:
            self._apply()
        self._of.world.commit()

    def set_offset(self, channel: int, volts: float) -> None:
        self.record["offset_v"][str(channel)] = volts
        self._apply()
        self._of.world.commit()

    def switch_on_anew(self) -> None:
        """After a power cut every axis is grounded, and frequencies and voltages are those of the factory."""
        self.contact.record["astray_m"] += float(np.linalg.norm(self.contact.needle.record["fine_m"]))
        for channel in STEPPING:
            self.stop(channel)
        self._of.world.file.record.pop("anc300", None)
        self._apply()
        self._of.world.commit()

    def _apply(self) -> None:
        """The tube goes where the offsets that are on send it; with none on it is grounded."""
        contact, now_s = self.contact, self._of.world.time_s
        on = [self.mode(channel) == "off" for channel in FINE]
        if not any(on):
            if contact.needle.record["high_voltage_on"]:
                contact.ground(now_s)
            return
        contact.needle.record["high_voltage_on"] = True
        x_m, y_m, z_m = (
            self._of.settings.fine_m_per_v * self.offset_v(channel) if live else 0.0
            for channel, live in zip(FINE, on, strict=True)
        )
        if (x_m, y_m, z_m) != tuple(contact.needle.record["fine_m"]):
            contact.needle.record["parked"] = False
            contact.fine((x_m, y_m, z_m), now_s)

    def _measured(self, channel: int) -> None:
        del self._measures[channel]
        rng = generator(self._of.world.seed, "anc300", "capacitance", str(channel))
        self.record["capacitance_nf"][str(channel)] = 200.0 + 20.0 * cut_normal(rng, 1.0)
        self.record["mode"][str(channel)] = "gnd"
        self._of.world.commit()


class _Burst:
    """Pulses at a frequency until there are enough of them, or somebody stops it; None goes on for ever."""

    def __init__(self, axes: AttocubeAxes, channel: int, sign: int, count: int | None, extra: int) -> None:
        self._axes = axes
        self._channel = channel
        self._sign = sign
        self._count = count
        self._extra = extra
        self._made = 0
        self.over = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._period_s = 1.0 / axes.frequency_hz(channel)
        self._timer = self._next()

    def _next(self) -> asyncio.TimerHandle:
        return self._loop.call_at(self._due_s, self.catch_up)

    @property
    def _due_s(self) -> float:
        return self._began_s + (self._made + 1) * self._period_s

    def catch_up(self) -> None:
        """All pulses that are due: a controller does not wait for the loop that emulates it."""
        self._timer.cancel()
        while self._due_s <= self._loop.time() + _ROUNDS_S:
            beyond = self._count is not None and self._made >= self._count
            self._axes.pulse(self._channel, self._sign, beyond)
            self._made += 1
            if self._count is not None and self._made >= self._count + self._extra:
                self._axes.ended(self._channel)
                self.over.set()
                return
        self._timer = self._next()

    def end(self) -> None:
        self._timer.cancel()
        self.over.set()
