"""Emulated PI controller with General Command Set 2: axes 1 to 3 position the needle (mm), 4 to 6 its tube (um).

A command has no answer, what was wrong with it stays latched until ERR? asks; a question that it does not know has none
either. Replies of several lines end with a space and LF but for the last. STP leaves error 10.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from cryoctl_simulators.settings import NeedleSettings
from cryoctl_simulators.wire.emulator import EmulatorFactory, Wire
from cryoctl_simulators.wire.line import Line
from cryoctl_simulators.wire.needle_emulator import NeedleEmulator
from cryoctl_simulators.wire.pi_axes import COARSE, FINE, NAMES, PiAxes

_SINGLE = re.compile(rb"[\x05\x07\x18]")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
_SYNTAX, _UNKNOWN, _NO_SERVO, _LIMITS, _SPEED, _STOPPED, _NO_AXIS = 1, 2, 5, 7, 8, 10, 15
_LARGEST_SPEED = {"1": 10.0, "4": 1e5}


class EmulatedPiSettings(NeedleSettings):
    wire: Wire = "tcp"


class EmulatedPi(NeedleEmulator[EmulatedPiSettings]):
    reply_end = b"\n"

    def __init__(self, name: str, settings: EmulatedPiSettings, world: Any, wire: Wire) -> None:
        super().__init__(name, settings, world, wire)
        self._axes = PiAxes(self)
        self._error = 0

    def close(self) -> None:
        super().close()
        self._axes.close()

    def _received(self, line: Line) -> None:
        """Commands of one character come without a line's end."""
        line.received = _SINGLE.sub(lambda found: b"#%d\n" % found[0][0], line.received)
        super()._received(line)

    def answer(self, command: str, session: dict[str, Any]) -> str | None:
        del session
        self._axes.look()
        name, *rest = command.split()
        name = name.upper()
        if name in self._facts and (not rest or command == "SAI? ALL"):
            return self._facts[name](self)
        if name in self._questions:
            asked = rest or list(NAMES)
            if any(axis not in NAMES for axis in asked):
                return self._wrong(_NO_AXIS)
            return " \n".join(f"{axis}={self._questions[name](self, axis)}" for axis in asked)
        if name in ("STP", "HLT", "#24"):
            self._axes.stop(NAMES if name != "HLT" or not rest else rest)
            return self._wrong(_STOPPED)
        if name in self._commands:
            self._error = self._pairs(rest, self._commands[name]) or self._error
            return None
        return self._wrong(_UNKNOWN)

    def _wrong(self, code: int) -> None:
        self._error = code

    def _pairs(self, rest: list[str], act: Callable[[EmulatedPi, str, float], int]) -> int:
        if not rest or len(rest) % 2 or not all(_NUMBER.fullmatch(value) for value in rest[1::2]):
            return _SYNTAX
        if any(axis not in NAMES for axis in rest[::2]):
            return _NO_AXIS
        for axis, value in zip(rest[::2], rest[1::2], strict=True):
            wrong = act(self, axis, float(value))
            if wrong:
                return wrong
        return 0

    # What it says

    def _identity(self) -> str:
        return f"(c)2015 Physik Instrumente (PI) GmbH & Co. KG, E-712, {115000000 + self.world.seed}, 01.11.00"

    def _told_error(self) -> str:
        error, self._error = self._error, 0
        return str(error)

    def _help(self) -> str:
        known = (*self._facts, "#24", "STP", "HLT", *self._questions, *self._commands)
        return " \n".join(("The following commands are valid:", *sorted(known), "end of help"))

    _facts: Mapping[str, Callable[[EmulatedPi], str]] = {
        "*IDN?": _identity,
        "ERR?": _told_error,
        "HLP?": _help,
        "CSV?": lambda self: "2.0",
        "SAI?": lambda self: " \n".join(NAMES),
        "#5": lambda self: f"{self._axes.moving():X}",
        "#7": lambda self: "\xb1",
    }
    _questions: Mapping[str, Callable[[EmulatedPi, str], str]] = {
        "POS?": lambda self, axis: f"{self._axes.position(axis):.7f}",
        "MOV?": lambda self, axis: f"{self._axes.record[axis]['target']:.9g}",
        "ONT?": lambda self, axis: f"{self._axes.on_target(axis):d}",
        "SVO?": lambda self, axis: f"{self._axes.record[axis]['servo']:d}",
        "SVA?": lambda self, axis: f"{self._axes.record[axis]['volts']:.4f}",
        "VEL?": lambda self, axis: f"{self._axes.record[axis]['speed']:.7g}",
        "TMN?": lambda self, axis: f"{self._axes.limits(axis)[0]:.4f}",
        "TMX?": lambda self, axis: f"{self._axes.limits(axis)[1]:.4f}",
        "FRF?": lambda self, axis: "1",
    }

    # What it is told

    def _move(self, axis: str, target: float) -> int:
        low, high = self._axes.limits(axis)
        if not self._axes.record[axis]["servo"]:
            return _NO_SERVO
        if not low <= target <= high:
            return _LIMITS
        self._axes.go(axis, target)
        return 0

    def _servo(self, axis: str, on: float) -> int:
        if on and axis in FINE and not self._axes.record[axis]["servo"] and self.fault("voltage-refused"):
            return _NO_SERVO
        self._axes.servo(axis, bool(on))
        return 0

    def _open_loop(self, axis: str, volts: float) -> int:
        if self._axes.record[axis]["servo"] or axis in COARSE:
            return _NO_SERVO
        self._axes.open_loop(axis, volts)
        return 0

    def _speed(self, axis: str, speed: float) -> int:
        if not 0 < speed <= _LARGEST_SPEED["1" if axis in COARSE else "4"]:
            return _SPEED
        self._axes.record[axis]["speed"] = speed
        return 0

    _commands: Mapping[str, Callable[[EmulatedPi, str, float], int]] = {
        "MOV": _move,
        "MVR": lambda self, axis, way: self._move(axis, self._axes.record[axis]["target"] + way),
        "SVO": _servo,
        "SVA": _open_loop,
        "VEL": _speed,
    }

    def forget_settings(self) -> None:
        self._axes.switch_on_anew()
        self._error = 0


FACTORY = EmulatorFactory("needle", EmulatedPiSettings, EmulatedPi)
