"""An emulated trigger model: its blocks walked through to what they amount to, segments of levels in time.

Loops that only sample are taken as a whole. A timer ticks evenly: what lies between two ticks has to fit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryoctl_simulators.wire.scpi import CONFLICT, ScpiError
from cryoctl_simulators.wire.stairs import pack

Block = tuple[str, list[str]]
_MOST_STEPS = 200_000


@dataclass(slots=True, kw_only=True)
class Program:
    """`segments` are those of the world's source; endless ones go on sampling at the last level."""

    segments: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    repeats: int = 1
    rest_s: float = 0.0
    buffer: str = '"defbuffer1"'
    ends_off: bool = False
    endless: bool = False
    first_index: int | None = None
    """Of the list, recalled before anything."""


class Walk:
    """
    Args:
        blocks: (name, arguments without the number) by their number.
        levels: of the lists, by their names.
        controls: `voltage` or `current` of the lists.
        tick_s: of timer 1.
    """

    def __init__(
        self,
        blocks: Mapping[int, Block],
        levels: Mapping[str, Sequence[float]],
        controls: Mapping[str, str],
        tick_s: float,
    ) -> None:
        self._blocks = blocks
        self._levels = levels
        self._controls = controls
        self._tick_s = tick_s
        self._index = 0
        self._list = ""
        self._counts: dict[int, int] = {}
        self.program = Program()
        self._begun: dict[int, int] = {}

    def walk(self) -> Program:
        at, steps = 1, 0
        while at in self._blocks:
            steps += 1
            if steps > _MOST_STEPS:
                raise ScpiError(CONFLICT)
            self._begun.setdefault(at, len(self.program.segments))
            at = self._step(at)
            if self.program.endless:
                break
        pack(self.program.segments)
        return self.program

    def _step(self, at: int) -> int:
        name, arguments = self._blocks[at]
        program = self.program
        match name:
            case "CONF:REC":
                self._list, self._index = arguments[0], int(arguments[1]) if len(arguments) > 1 else 1
                program.first_index = program.first_index or self._index
            case "CONF:NEXT":
                self._list = arguments[0]
                self._index = self._index % len(self._levels[self._list]) + 1
            case "SOUR:STAT":
                on = arguments[0].upper() in ("ON", "1")
                program.ends_off = not on
            case "BRAN:ALW":
                return int(arguments[0])
            case "BRAN:COUN":
                return self._count(at, int(arguments[0]), int(arguments[1]))
            case "DEL:CONS" | "MEAS":
                return self._sample(at)
            case "BRAN:COUN:RES":
                self._counts.pop(int(arguments[0]), None)
            case _:
                pass
        return at + 1

    def _count(self, at: int, target: int, to: int) -> int:
        """A loop around all that there was is `repeats`; any other is walked through."""
        whole = self._begun.get(to) == 0 and self.program.segments and self.program.repeats == 1 and target > 1
        if whole and self._blocks.get(to, ("", []))[0] == "CONF:REC":
            self.program.repeats = target
            return at + 1
        count = self._counts.get(at, 0) + 1
        if count >= target:
            self._counts.pop(at, None)
            return at + 1
        self._counts[at] = count
        return to

    def _sample(self, at: int) -> int:
        """A loop of delay, measurement, wait and count."""
        here, rest_s, limit = at, 0.0, None
        measured = False
        while True:
            name, arguments = self._blocks.get(here, ("", []))
            match name:
                case "DEL:CONS":
                    rest_s += float(arguments[0])
                case "MEAS":
                    self.program.buffer = arguments[0] if arguments else '"defbuffer1"'
                    measured = True
                case "WAIT":
                    if arguments[0].upper() not in ("TIM1", "TIMER1"):
                        raise ScpiError(CONFLICT)
                case "BRAN:LIM:CONS":
                    limit = arguments
                case "BRAN:COUN" if int(arguments[1]) == at and measured:
                    self._hold(int(arguments[0]), limit)
                    break
                case "BRAN:ALW" if measured and int(arguments[0]) <= here:
                    self.program.endless = True
                    break
                case _:
                    raise ScpiError(CONFLICT)
            here += 1
        self.program.rest_s = rest_s
        if limit is not None and int(limit[3]) != here + 1:
            raise ScpiError(CONFLICT)
        return here + 1

    def _hold(self, ticks: int, limit: list[str] | None) -> None:
        level = float(self._levels[self._list][self._index - 1])
        until_v = None if limit is None else float(limit[2] if limit[0].upper().startswith("ABOV") else limit[1])
        self.program.segments.append(
            {
                "duration_s": ticks * self._tick_s,
                "control": self._controls[self._list],
                "start": level,
                "end": level,
                "until_v": until_v,
            }
        )
