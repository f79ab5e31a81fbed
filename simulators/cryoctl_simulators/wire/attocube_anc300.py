"""Emulated Attocube ANC300: axes 1 to 3 step x, y, z, axes 4 to 6 hold the tube's offsets; what moves is the world's.

Its console greets over TCP and wants a password, echoes until it is told not to, ends each answer with OK or ERROR, and
puts a line break too many after a frequency. Counts nothing; grounding is a jump.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Mapping
from typing import Any

import numpy as np

from cryoctl.units import MetresPerVolt
from cryoctl_simulators.settings import NeedleSettings
from cryoctl_simulators.wire.attocube_axes import AXES, CHANNELS, FINE, STEPPING, AttocubeAxes
from cryoctl_simulators.wire.emulator import EmulatorFactory, Wire
from cryoctl_simulators.wire.needle_emulator import NeedleEmulator

_BANNER = "attocube ANC300 controller version 1.1.0-1304 2013-10-17 08:16\r\nANC150 compatibillity console\r\n"
_NEGOTIATION = "\xff\xfb\x01\xff\xfb\x03"
"""Telnet's: it echoes itself, without going ahead."""
_STEP = re.compile(r"step([ud]) (\d) (c|\d+)")
_GROUNDED, _STEPS, _OFFSET = "gnd", "stp", "off"


class EmulatedAttocubeSettings(NeedleSettings):
    wire: Wire = "tcp"
    password: str = "123456"
    fine_m_per_v: MetresPerVolt = 5e-6 / 150
    """What its tube truly does."""


class EmulatedAttocube(NeedleEmulator[EmulatedAttocubeSettings]):
    def __init__(self, name: str, settings: EmulatedAttocubeSettings, world: Any, wire: Wire) -> None:
        super().__init__(name, settings, world, wire)
        self._axes = AttocubeAxes(self)

    # The console

    def greet(self, session: dict[str, Any]) -> str | None:
        session["in"] = self._wire == "pty"
        session["echo"] = True
        return None if session["in"] else f"{_NEGOTIATION}{_BANNER}\r\nAuthorization code: "

    def answer(self, command: str, session: dict[str, Any]) -> str | Coroutine[Any, Any, str] | None:
        if not session["in"]:
            session["in"] = command == self.settings.password
            stars = "*" * len(command)
            return f"{stars}\r\n" + (
                "Authorization success" if session["in"] else "Authorization failed\r\nAuthorization code: "
            )
        echo = f"> {command}\r\n" if session["echo"] else ""
        if command in ("echo on", "echo off"):
            session["echo"] = command == "echo on"
            return f"{echo}OK"
        words = command.split()
        if words[0] in ("stepw", "capw") and len(words) == 2 and words[1] in CHANNELS:
            return self._when_over(echo, words[0], int(words[1]))
        return echo + self._said(words, command)

    async def _when_over(self, echo: str, command: str, channel: int) -> str:
        await self._axes.over(channel)
        told = self._capacitance(channel) + "\r\n" if command == "capw" else ""
        return f"{echo}{told}OK"

    def _said(self, words: list[str], command: str) -> str:
        name, rest = words[0], words[1:]
        if name == "ver" and not rest:
            return f"{_BANNER}OK"
        if name == "getcser" and not rest:
            return f"ANC300B-C-1514-{3006076 + self.world.seed}\r\nOK"
        if not rest or rest[0] not in CHANNELS:
            return "Unknown command\r\nERROR" if not rest else "Wrong axis type\r\nERROR"
        channel = int(rest[0])
        self._axes.look()
        if name in self._questions and len(rest) == 1:
            told = self._questions[name](self, channel)
            return f"{told}\r\nOK" if told else "Wrong axis type\r\nERROR"
        step = _STEP.fullmatch(command)
        if step is not None:
            return self._step(channel, 1 if step[1] == "u" else -1, step[3])
        if name == "stop" and len(rest) == 1:
            self._axes.stop(channel)
            return "OK"
        if name in self._setters and len(rest) == 2:
            wrong = self._setters[name](self, channel, rest[1])
            return f"{wrong}\r\nERROR" if wrong else "OK"
        return "Unknown command\r\nERROR"

    # Questions: None where that axis has no such thing

    def _serial(self, channel: int) -> str:
        return f"ANM{150 if channel in STEPPING else 200}A-M-1545-{3010040 + channel}"

    def _mode(self, channel: int) -> str:
        return f"mode = {self._axes.mode(channel)}"

    def _frequency(self, channel: int) -> str | None:
        return f"frequency = {self._axes.frequency_hz(channel):.0f} Hz\n" if channel in STEPPING else None

    def _voltage(self, channel: int) -> str | None:
        return f"voltage = {self._axes.voltage_v(channel):.6f} V" if channel in STEPPING else None

    def _offset(self, channel: int) -> str | None:
        return f"voltage = {self._axes.offset_v(channel):.6f} V" if channel in FINE else None

    def _output(self, channel: int) -> str:
        return f"voltage = {self._axes.output_v(channel):.6f} V"

    def _capacitance(self, channel: int) -> str:
        found_nf = self._axes.capacitance_nf(channel)
        return "capacitance = ?" if found_nf is None else f"capacitance = {found_nf:.6f} nF"

    # Commands: what is wrong with them, None where nothing is

    def _step(self, channel: int, sign: int, count: str) -> str:
        if channel not in STEPPING:
            return "Wrong axis type\r\nERROR"
        if self._axes.mode(channel) != _STEPS:
            return "Axis in wrong mode\r\nERROR"
        more = self.fault("runs-away")
        extra = int(more["more_steps"]) if isinstance(more, Mapping) else 0
        self._axes.start(channel, sign, None if count == "c" else int(count), extra)
        return "OK"

    def _set_mode(self, channel: int, mode: str) -> str | None:
        allowed = (_GROUNDED, "cap", _STEPS if channel in STEPPING else _OFFSET)
        if mode not in allowed:
            return "Wrong axis type" if mode in (_STEPS, _OFFSET, "inp", "stp+", "stp-") else "Unknown mode"
        if mode == _OFFSET and self._axes.mode(channel) != _OFFSET and self.fault("voltage-refused"):
            return None
        self._axes.set_mode(channel, mode)
        return None

    def _set_frequency(self, channel: int, value: str) -> str | None:
        if channel not in STEPPING:
            return "Wrong axis type"
        if not re.fullmatch(r"\d{1,5}(\.\d{1,6})?", value) or not 1 <= float(value) <= 10_000:
            return "Frequency out of range"
        self._axes.record["frequency_hz"][str(channel)] = int(float(value))
        return None

    def _set_voltage(self, channel: int, value: str) -> str | None:
        volts = _volts(value)
        if channel not in STEPPING or volts is None:
            return "Wrong axis type" if channel not in STEPPING else "Voltage out of range"
        self._axes.record["voltage_v"][str(channel)] = volts
        return None

    def _set_offset(self, channel: int, value: str) -> str | None:
        volts = _volts(value)
        if channel not in FINE or volts is None:
            return "Wrong axis type" if channel not in FINE else "Voltage out of range"
        wrong = self.fault("not-at-place") if AXES[channel - 4] == "x" else False
        if isinstance(wrong, Mapping):
            self.world.contact.record["astray_m"] += max(0.0, wrong["beyond_m"])
            volts = float(np.clip(volts - wrong["beyond_m"] / self.settings.fine_m_per_v, 0.0, 150.0))
        self._axes.set_offset(channel, volts)
        return None

    _questions: Mapping[str, Callable[[EmulatedAttocube, int], str | None]] = {
        "getser": _serial,
        "getm": _mode,
        "getf": _frequency,
        "getv": _voltage,
        "geta": _offset,
        "geto": _output,
        "getc": _capacitance,
    }
    _setters: Mapping[str, Callable[[EmulatedAttocube, int, str], str | None]] = {
        "setm": _set_mode,
        "setf": _set_frequency,
        "setv": _set_voltage,
        "seta": _set_offset,
    }

    def forget_settings(self) -> None:
        self._axes.switch_on_anew()


def _volts(value: str) -> float | None:
    found = float(value) if re.fullmatch(r"\d{1,3}(\.\d{1,6})?", value) else -1.0
    return found if 0.0 <= found <= 150.0 else None


FACTORY = EmulatorFactory("needle", EmulatedAttocubeSettings, EmulatedAttocube)
