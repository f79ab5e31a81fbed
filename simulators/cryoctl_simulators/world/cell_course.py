"""What a cell has been through, stretch by stretch: from this the truth of sweeps, holds and onsets is worked out."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
_LONGEST_S = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """Between two times of the world one voltage (V) and mean current (A), to which the source had come half-way.

    `ion_v` is where the ions were at its start, `drive_v_s` and `biased_s` what had come together by its end
    (`cryoctl_simulators.world.photovoltaic`).
    """

    since_s: float
    until_s: float
    voltage_v: float
    current_a: float
    ion_v: float
    light_w_per_m2: float
    drive_v_s: float
    biased_s: float


_COLUMNS = tuple(field.name for field in fields(Stretch))
CELL_COURSE = ((65536, len(_COLUMNS)), "<f8")
_SINCE, _UNTIL, _VOLTAGE, _CURRENT, _LIGHT = (
    _COLUMNS.index(name) for name in ("since_s", "until_s", "voltage_v", "current_a", "light_w_per_m2")
)


class CellCourse:
    """Rows in the order of time; `record["rows"]` says how many count. An even voltage takes a row every 2 s."""

    def __init__(self, rows: FloatArray, record: dict[str, Any]) -> None:
        self._rows = rows
        self._record = record
        record.setdefault("rows", 0)

    def add(self, one: Stretch) -> None:
        """What a process wrote beyond `since_s` before it died, and never committed, gives way."""
        row = np.array([getattr(one, name) for name in _COLUMNS])
        count, rows = self._record["rows"], self._rows
        while count and rows[count - 1, _SINCE] >= one.since_s:
            count -= 1
        if count:
            rows[count - 1, _UNTIL] = min(rows[count - 1, _UNTIL], one.since_s)
        if count and self._goes_on(rows[count - 1], row):
            self._lengthen(rows[count - 1], row)
        elif count < len(rows):
            rows[count] = row
            count += 1
        self._record["rows"] = count

    def all(self) -> dict[str, FloatArray]:
        """Columns by the names of `Stretch`."""
        rows = self._rows[: self._record["rows"]].copy()
        return {name: rows[:, index] for index, name in enumerate(_COLUMNS)}

    def _goes_on(self, last: FloatArray, row: FloatArray) -> bool:
        same = last[_VOLTAGE] == row[_VOLTAGE] and last[_LIGHT] == row[_LIGHT] and last[_UNTIL] == row[_SINCE]
        driven = (last[_CURRENT] == 0.0) == (row[_CURRENT] == 0.0)
        return bool(same and driven and row[_UNTIL] - last[_SINCE] <= _LONGEST_S)

    def _lengthen(self, last: FloatArray, row: FloatArray) -> None:
        before_s, added_s = last[_UNTIL] - last[_SINCE], row[_UNTIL] - row[_SINCE]
        mean_a = (last[_CURRENT] * before_s + row[_CURRENT] * added_s) / (before_s + added_s)
        kept = {_SINCE: last[_SINCE], _CURRENT: mean_a, _COLUMNS.index("ion_v"): last[_COLUMNS.index("ion_v")]}
        last[:] = row
        for column, value in kept.items():
            last[column] = value
