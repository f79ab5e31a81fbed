"""What scripts call in an emulated 2600: attributes, error queue, timer, and what of them acts on the world."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from typing import Any

from cryoctl_simulators.wire.emulator import Emulator
from cryoctl_simulators.wire.keithley_2600.panel import (
    COMMON,
    NO_INTERLOCK,
    NOT_NOW,
    TEXTS,
    Refusal,
    Take,
    channel_table,
    family_of,
)
from cryoctl_simulators.world.source import Source

REVISION = "3.3.5"
_EPOCH_S = 1_700_000_000
_CONTROL = {1: ("voltage", "levelv"), 0: ("current", "leveli")}
_MOST_ERRORS = 64
_COMPLIANCE = 64
"""Bit of a reading's status."""
_SAFE_V = 20.0
"""Above it an interlock has to be closed."""
_TWO = ("2602B", "2604B", "2612B", "2614B", "2634B", "2636B")


class Host:
    """
    Args:
        sweeps: whether a sweep is under way.
        abort: end it.
    """

    def __init__(self, emulator: Emulator[Any], sweeps: Callable[[], bool], abort: Callable[[], None]) -> None:
        self._emulator = emulator
        self.sweeps, self.abort = sweeps, abort
        self.errors: deque[tuple[int, str]] = deque()
        self._power_on = True
        self._timer_s = 0.0
        channel = channel_table(emulator.settings.model)
        self._table: dict[str, tuple[Any, Take | None]] = dict(COMMON)
        for name in ("smua", "smub"):
            self._table |= {f"{name}.{path}": told for path, told in channel.items()}
            self._table[f"display.{name}.measure.func"] = (0, lambda value: value)
        self.values = {path: value for path, (value, _) in self._table.items()}

    @property
    def serial(self) -> str:
        return str(4_000_000 + self._emulator.world.seed % 1_000_000)

    @property
    def _source(self) -> Source:
        return self._emulator.world.source

    @property
    def is_on(self) -> bool:
        return bool(self._source.record["output_on"])

    def _of(self, path: str) -> Any:
        """A setting of the channel that the specimen is connected to."""
        return self.values[f"{self._emulator.settings.channel}.{path}"]

    def get(self, path: str) -> Any:
        channel, _, rest = path.partition(".")
        connected = channel == self._emulator.settings.channel
        match rest if channel.startswith("smu") else path:
            case "source.output" if connected:
                return int(self.is_on)
            case "source.compliance":
                return connected and self.is_on and bool(self._source.now(self._emulator.world.time_s).limited[0])
            case "localnode.linefreq":
                return int(self._emulator.settings.line_hz)
            case "localnode.model":
                return self._emulator.settings.model
            case "localnode.serialno":
                return self.serial
            case "localnode.revision":
                return REVISION
            case "localnode.description":
                return ""
            case "errorqueue.count":
                return len(self.errors)
            case "status.condition":
                return 4 if self.errors else 0
            case "status.operation.sweeping.condition":
                return 2 * int(self.sweeps())
            case "status.standard.event":
                told, self._power_on = 128 if self._power_on else 0, False
                return told
            case _:
                return self.values[path]

    def set(self, path: str, value: Any) -> None:
        take = self._table[path][1]
        assert take is not None
        try:
            value = take(value)
            self._take(path, value)
        except Refusal as refusal:
            self.note(*refusal.code)

    def _take(self, path: str, value: Any) -> None:
        channel, _, rest = path.partition(".")
        if rest.startswith(("source.", "measure.")) and self.sweeps():
            raise Refusal(NOT_NOW)
        if channel == self._emulator.settings.channel and rest == "source.output":
            self._output(bool(value))
            return
        self.values[path] = value
        if rest in ("source.rangev", "source.rangei", "measure.rangev", "measure.rangei"):
            self.values[path.replace("range", "autorange")] = 0
        if rest == "measure.autozero" and value == 1:
            self.values[path] = 0
        if channel != self._emulator.settings.channel:
            return
        self._told_world()
        control, level = _CONTROL[self._of("source.func")]
        if self.is_on and self._is_barred(control):
            self._output(False)
            raise Refusal(NO_INTERLOCK)
        if self.is_on and rest in (f"source.{level}", "source.func"):
            self._drive(control, self._of(f"source.{level}"))

    def _told_world(self) -> None:
        high_impedance = self._of("source.offmode") == 2
        self._source.record |= {
            "compliance_a": self._of("source.limiti"),
            "voltage_limit_v": self._of("source.limitv"),
            "off_mode": "high-impedance" if high_impedance else "zero-volts",
        }

    def _drive(self, control: str, value: float) -> None:
        self._source.drive(control, value, self._emulator.world.time_s)
        self._source.record["due_s"] = math.inf

    def _output(self, on: bool) -> None:
        if on == self.is_on or (not on and self._emulator.fault("output-stuck")):
            return
        if on:
            control, level = _CONTROL[self._of("source.func")]
            if self._is_barred(control):
                raise Refusal(NO_INTERLOCK)
            self._told_world()
            self._drive(control, self._of(f"source.{level}"))
        self._source.switch(on, self._emulator.world.time_s)
        self._source.record["due_s"] = math.inf  # its script samples
        if not on:
            self._emulator.world.made_safe("bias at rest")
        self._emulator.world.commit()

    def _is_barred(self, control: str) -> bool:
        """By an interlock that is open, from the range above on."""
        settings = self._emulator.settings
        needs_v = abs(self._of("source.levelv" if control == "voltage" else "source.limitv"))
        return family_of(settings.model).has_interlock and not settings.interlock_closed and needs_v > _SAFE_V

    def measure(self, channel: str) -> tuple[float, float, float, int]:
        """A, V, what was sourced and the reading's status; at once: a real one takes its time."""
        if channel != self._emulator.settings.channel:
            return 0.0, 0.0, 0.0, 0
        voltage, current, limited = self._source.reading(self._emulator.world.time_s)
        if not self.is_on and self._source.record["off_mode"] == "high-impedance":
            voltage -= self._source.emf_v(self._emulator.world.time_s)  # its relay is open
        sourced = self._of("source." + _CONTROL[self._of("source.func")][1])
        return current, voltage, sourced, _COMPLIANCE if self.is_on and limited else 0

    def drive(self, channel: str, level: float) -> None:
        """A level of a sweep: the idle level stays what it was."""
        if channel == self._emulator.settings.channel and self.is_on:
            self._drive(_CONTROL[self._of("source.func")][0], level)

    def reset(self, channel: str) -> None:
        if channel in ("", self._emulator.settings.channel):
            self._output(False)
        self.abort()
        self.values |= {path: value for path, (value, _) in self._table.items() if path.startswith(channel)}
        self._told_world()

    def attributes(self, path: str) -> str:
        """Names below a path, each with 1 where it can be set, else 0."""
        depth = path.count(".") + 1
        found = [
            f"{name.rpartition('.')[2]}={int(take is not None)}"
            for name, (_, take) in self._table.items()
            if name.startswith(path + ".") and name.count(".") == depth
        ]
        return " ".join(found)

    def has(self, channel: str) -> bool:
        return channel == "smua" or self._emulator.settings.model in _TWO

    def fail(self, code: int) -> None:
        self.note(code, TEXTS[code])

    def note(self, code: int, text: str) -> None:
        if len(self.errors) < _MOST_ERRORS:
            self.errors.append((code, text))

    def next_error(self) -> tuple[int, str, int, int]:
        if not self.errors:
            return 0, "Queue Is Empty", 0, 0
        code, text = self.errors.popleft()
        return code, text, 20, 1

    def clear_errors(self) -> None:
        self.errors.clear()

    def clock(self) -> float:
        return float(self._source.clock_s(self._emulator.world.time_s))

    def utc(self) -> float:
        return _EPOCH_S + self.clock()

    def timer_reset(self) -> None:
        self._timer_s = self.clock()

    def timer(self) -> float:
        return self.clock() - self._timer_s
