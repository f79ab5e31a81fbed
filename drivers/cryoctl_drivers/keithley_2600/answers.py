"""What the script says, as numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.bias import BiasLimits, OffMode
from cryoctl_drivers.tsp import Summed

_TIME = r"-?\d+\.\d{6}"
_VALUE = r"[+-]\d\.\d{7}E[+-]\d{2,3}"
_FULL = r"[+-]\d\.\d{9}E[+-]\d{2,3}"
_ROW = rf";{_TIME},{_VALUE},{_VALUE},[01]"
_WORDS = r"(?:bias|waveform|over)?,(?:complete|tripped|unattended|broken)?"
_WHO = r"[^,;*]{2,20},[^,;*]{1,20},[^,;*]{1,20},[56]0"
REPORT = Summed(rf"R,{_WHO},{_WORDS},[01],{_TIME},[01],[012],{_FULL},{_FULL},\d+,\d+(?:{_ROW})*")
ROWS = Summed(rf"P,\d+(?:{_ROW})*")
SINGLE = Summed(rf"M{_ROW}")
ERRORS = Summed(r"E,\d+,.*")
VALUES = Summed(rf"[TL](?:,(?:{_FULL}|[A-Za-z]+))*")
_HIGH_IMPEDANCE = 2

Table = npt.NDArray[np.float64]
"""[n, 4]: time of its clock (s), V, A, limited."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Report:
    """`doing`: bias, waveform, over (a script that only answers) or empty (none runs). Numbers of samples from 0 on."""

    model: str
    serial: str
    firmware: str
    mains_hz: float
    doing: str
    ended: str
    marked: bool
    clock_s: float
    on: bool
    off_mode: OffMode
    limits: BiasLimits
    total: int
    first: int
    rows: Table


def report_of(answer: str) -> Report:
    head, *rows = answer.rpartition("*")[0].split(";")
    _, model, serial, firmware, mains, doing, ended, mark, clock, on, off_mode, volts, amperes, total, first = (
        head.split(",")
    )
    return Report(
        model=model,
        serial=serial,
        firmware=firmware,
        mains_hz=float(mains),
        doing=doing,
        ended=ended,
        marked=mark == "1",
        clock_s=float(clock),
        on=on == "1",
        off_mode=OffMode.HIGH_IMPEDANCE if int(off_mode) == _HIGH_IMPEDANCE else OffMode.ZERO_VOLTS,
        limits=BiasLimits(voltage_limit_v=float(volts), compliance_a=float(amperes)),
        total=int(total),
        first=int(first) - 1,
        rows=_table(rows),
    )


def rows_of(answer: str) -> Table:
    return _table(answer.rpartition("*")[0].split(";")[1:])


def words_of(answer: str) -> list[str]:
    return answer.rpartition("*")[0].split(",")[1:]


def _table(rows: list[str]) -> Table:
    return np.array([[float(one) for one in row.split(",")] for row in rows]).reshape(-1, 4)
