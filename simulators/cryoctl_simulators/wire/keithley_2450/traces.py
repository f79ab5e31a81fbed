"""Reading buffers of an emulated 2450: what of the world's samples lies in the first one, and single readings."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from cryoctl_simulators.wire.scpi import BAD_VALUE, INIT_IGNORED, OUT_OF_RANGE, UNKNOWN, ScpiError, number, short
from cryoctl_simulators.world import World
from cryoctl_simulators.world.source import BIAS_BUFFER, Source

EPOCH_S = 1_700_000_000
"""Its clock goes on while it is off: what the world's source counts since it was switched on is since then."""
_LIMITED, _ON = 32, 128
_FEW = 4
"""More than the samples whose integration is not over."""


class Traces:
    """
    Args:
        own: the instrument's part of the world's record.
    """

    def __init__(self, world: World, own: Callable[[], dict[str, Any]]) -> None:
        self._world = world
        self._get_own = own

    @property
    def _own(self) -> dict[str, Any]:
        return self._get_own()

    @property
    def _source(self) -> Source:
        return self._world.source

    def query(self, header: str, arguments: list[str]) -> str:
        match header:
            case "TRAC:POIN":
                return str(self._own["points"][buffer_of(arguments, 0)])
            case "TRAC:FILL:MODE":
                return "CONT"
            case "TRAC:ACT" | "TRAC:ACT:END" | "TRAC:ACT:STAR":
                buffer_of(arguments, 0)
                first, last = self._ends()
                count = last - first + 1 if last else 0
                return str({"TRAC:ACT": count, "TRAC:ACT:END": last, "TRAC:ACT:STAR": first}[header])
            case "TRAC:DATA":
                first, last = int(number(arguments[0], 1, 1e9)), int(number(arguments[1], 1, 1e9))
                elements = [_element(one) for one in arguments[3:]] or ["READ"]
                if buffer_of(arguments, 2) != '"defbuffer1"':
                    raise ScpiError(OUT_OF_RANGE)
                return ",".join(self._elements(row, elements) for row in self._rows(first, last))
            case "TRAC:STAT:AVER" | "TRAC:STAT:MAX" | "TRAC:STAT:MIN" | "TRAC:STAT:STDD":
                return self.number(self._statistics(header[-4:].lstrip(":")))
            case _:
                raise ScpiError(UNKNOWN)

    def _statistics(self, which: str) -> float:
        rows = self._own["single"].get('"defbuffer1"') or []
        column = 1 if self._own["set"]["SENS:FUNC"] == "VOLT" else 2
        values = np.array([row[column] for row in rows]) if rows else np.zeros(1)
        found = {"AVER": values.mean, "MAX": values.max, "MIN": values.min, "STDD": values.std}[which]()
        return float(found)

    def clear(self) -> None:
        """The numbers of its samples begin anew, those of the world's source do not."""
        self._own["hidden"] = [[0, self._source.record["total"]]]

    def _spans(self) -> list[tuple[int, int]]:
        """Samples of the world's source that are none of the first buffer: [first, behind the last), in their order."""
        return [(a, 10**12 if b is None else b) for a, b in self._own["hidden"]]

    def _ends(self) -> tuple[int, int]:
        """Indices of the oldest and newest sample that is there, 0 where there is none."""
        done = max(0, int(self._source.record["total"]) - _FEW)
        _, total, _ = self._source.samples(done, self._world.time_s)
        oldest = max(0, total - BIAS_BUFFER[0][0])
        hidden_old = sum(min(max(oldest - a, 0), b - a) for a, b in self._spans())
        newest = total - sum(min(max(total - a, 0), b - a) for a, b in self._spans())
        return (oldest - hidden_old + 1, newest) if newest else (0, 0)

    def _number_of(self, index: int) -> int:
        """Of the world's source."""
        at = index - 1
        for a, b in self._spans():
            at += b - a if at >= a else 0
        return at

    def _rows(self, first: int, last: int) -> list[tuple[float, ...]]:
        oldest, newest = self._ends()
        if not max(1, oldest) <= first <= last <= newest:
            raise ScpiError(OUT_OF_RANGE)
        start, _, rows = self._source.samples(self._number_of(first), self._world.time_s)
        wanted = [rows[self._number_of(k) - start] for k in range(first, last + 1)]
        return [self._row(*(float(value) for value in row)) for row in wanted]

    def _row(self, clock_s: float, voltage_v: float, current_a: float, limited: float) -> tuple[float, ...]:
        """Stamped at the end of its integration."""
        return (clock_s + self._source.aperture_s / 2, voltage_v, current_a, _ON + (_LIMITED if limited else 0))

    def read(self, anew: bool, running: bool, arguments: list[str]) -> str:
        buffer = buffer_of(arguments, 0)
        elements = [_element(one) for one in arguments[1:]] or ["READ"]
        if anew:
            if running:
                raise ScpiError(INIT_IGNORED)
            self._own["single"].setdefault(buffer, []).append(self._single())
            del self._own["single"][buffer][:-20]
        rows = self._own["single"].get(buffer)
        if buffer == '"defbuffer2"' and not anew and self._own["hidden"]:
            rows = self._hidden_rows() or rows
        if not rows:
            raise ScpiError((-230, "Data corrupt or stale"))
        return self._elements(tuple(rows[-1]), elements)

    def _hidden_rows(self) -> list[tuple[float, ...]]:
        """The latest that a trigger model put into the second buffer, unless a single reading came after."""
        first, end = self._own["hidden"][-1]
        singles = self._own["single"].get('"defbuffer2"') or []
        start, _, rows = self._source.samples(first, self._world.time_s)
        found = [self._row(*(float(v) for v in row)) for row in rows[: None if end is None else max(0, end - start)]]
        return found if found and not (singles and singles[-1][0] > found[-1][0]) else []

    def _single(self) -> list[float]:
        time_s = self._world.time_s
        voltage, current, limited = self._source.reading(time_s)
        if not self._source.record["output_on"] and self._source.record["off_mode"] == "high-impedance":
            voltage -= self._source.emf_v(time_s)  # its relay is open
        status = (_ON + (_LIMITED if limited else 0)) if self._source.record["output_on"] else 0
        return [float(self._source.clock_s(time_s)), voltage, current, status]

    def _elements(self, row: tuple[float, ...], elements: list[str]) -> str:
        clock_s, voltage, current, status = row
        by_volts = self._own["set"]["SENS:FUNC"] == "VOLT"
        if self._own["set"]["SENS:FUNC"] == "RES":
            voltage = voltage / current if current else 9.9e37
            by_volts = True
        stamp_s = EPOCH_S + clock_s
        told = {
            "SEC": f"{math.floor(stamp_s)}",
            "FRAC": self.number(stamp_s - math.floor(stamp_s)),
            "REL": self.number(clock_s),
            "READ": self.number(voltage if by_volts else current),
            "SOUR": self.number(current if by_volts else voltage),
            "UNIT": "Volt DC" if by_volts else "Amp DC",
            "SOURSTAT": str(int(status)),
            "STAT": "8",
        }
        if any(one not in told for one in elements):
            raise ScpiError(BAD_VALUE)
        return ",".join(told[one] for one in elements)

    def number(self, value: float) -> str:
        digits = int(self._own["set"]["FORM:ASC:PREC"])
        return f"{value:.{(digits or 7) - 1}E}"


def _element(text: str) -> str:
    return "SOURSTAT" if text.upper() in ("SOURSTAT", "SOURSTATUS") else short(text)


def buffer_of(arguments: list[str], at: int) -> str:
    name = '"' + arguments[at].strip("\"'") + '"' if len(arguments) > at else '"defbuffer1"'
    if name not in ('"defbuffer1"', '"defbuffer2"'):
        raise ScpiError(BAD_VALUE)
    return name
