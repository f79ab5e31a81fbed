"""How far the reaction of each touched particle was at any time: points between which it went evenly."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

REACTION_LOG = ((65536, 3), "<f8")
_STRAIGHT = 1e-9


class ReactionLog:
    """Rows (time, particle, q) in the order of time; `record["rows"]` says how many count."""

    def __init__(self, rows: npt.NDArray[np.float64], record: dict[str, Any]) -> None:
        self._rows = rows
        self._record = record
        record.setdefault("rows", 0)

    def add(self, particle: int, time_s: float, q: float) -> None:
        """Rows that a process wrote beyond `time_s` before it died, and never committed, give way."""
        count, rows = self._record["rows"], self._rows
        while count and rows[count - 1, 0] > time_s:
            count -= 1
        if count >= 2 and self._goes_on(count, particle, time_s, q):
            count -= 1
        if count < len(rows):
            rows[count] = (time_s, particle, q)
            count += 1
        self._record["rows"] = count

    def q(self, particle: int, times_s: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Of a particle at times of the past; 0 before its first row, as at its last one after that."""
        rows = self._rows[: self._record["rows"]]
        own = rows[rows[:, 1] == particle]
        times = np.asarray(times_s, dtype=np.float64)
        return np.interp(times, own[:, 0], own[:, 2], left=0.0) if len(own) else np.zeros(times.shape)

    def first_reached_s(self, particle: int, q: float) -> float:
        """When it came to q for the first time; NaN where it never did."""
        rows = self._rows[: self._record["rows"]]
        own = rows[rows[:, 1] == particle]
        reached = np.flatnonzero(own[:, 2] >= q)
        if not reached.size or reached[0] == 0:
            return float(own[0, 0]) if reached.size else float("nan")
        (t0, _, q0), (t1, _, q1) = own[reached[0] - 1], own[reached[0]]
        return float(t0 + (t1 - t0) * (q - q0) / (q1 - q0))

    def _goes_on(self, count: int, particle: int, time_s: float, q: float) -> bool:
        """Whether the last row lies on the line from the one before it to this point."""
        (t0, p0, q0), (t1, p1, q1) = self._rows[count - 2], self._rows[count - 1]
        if p0 != particle or p1 != particle or time_s <= t0:
            return False
        return abs(q0 + (q - q0) * (t1 - t0) / (time_s - t0) - q1) < _STRAIGHT
