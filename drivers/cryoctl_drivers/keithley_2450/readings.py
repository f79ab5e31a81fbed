"""Rows of a 2450's buffer, and times of its clock."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

ELEMENTS = "SEC,FRAC,SOUR,READ,UNIT,SOURSTAT"
_NUMBER = r"[+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?"
_ROW = rf"{_NUMBER},{_NUMBER},{_NUMBER},{_NUMBER},(?:Amp|Volt)[A-Za-z ]{{0,8}},{_NUMBER}"
_LIMITED, _ON = 32, 128
"""Bits of the source's status of a reading."""
_EVENT = re.compile(r'[+-]?\d+,"User: (?P<text>[^;]*);4[;,](?P<time>[^"]*)"')
EVENT = re.compile(r'[+-]?\d+,"[^"]*"')


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Time stamps as the instrument gives them (s)."""

    time_s: npt.NDArray[np.float64]
    voltage_v: npt.NDArray[np.float64]
    current_a: npt.NDArray[np.float64]
    limited: npt.NDArray[np.bool_]
    on: npt.NDArray[np.bool_]


def rows_shape(count: int) -> re.Pattern[str]:
    return re.compile(_ROW if count == 1 else rf"{_ROW}(?:,{_ROW}){{{count - 1}}}")


def rows_of(answer: str) -> Rows:
    """What has the shape of rows, as numbers."""
    fields = np.array(answer.split(","), dtype=object).reshape(-1, 6)
    seconds, parts, source, reading, _, status = (fields[:, column] for column in range(6))
    source, reading = source.astype(np.float64), reading.astype(np.float64)
    volts = np.array([str(unit).startswith("Volt") for unit in fields[:, 4]], dtype=np.bool_)
    flags = status.astype(np.float64).astype(np.int64)
    return Rows(
        time_s=seconds.astype(np.float64) + parts.astype(np.float64),
        voltage_v=np.where(volts, reading, source),
        current_a=np.where(volts, source, reading),
        limited=(flags & _LIMITED) > 0,
        on=(flags & _ON) > 0,
    )


def event_time_s(event: str, text: str) -> float | None:
    """When an own event was posted; None where this is another event.

    The manual shows both forms: a date to the millisecond, and seconds with nanoseconds.
    """
    found = _EVENT.fullmatch(event)
    if found is None or found["text"] != text:
        return None
    told = found["time"].strip()
    parts = re.fullmatch(r"(\d+)[,; ]\s*(\d+)", told)
    if parts is not None:
        return int(parts[1]) + int(parts[2]) * 1e-9
    try:
        return datetime.strptime(told, "%Y/%m/%d %H:%M:%S.%f").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None
