"""What a biasing source is connected to: a small circuit that a specimen may put in the place of this one."""

from __future__ import annotations

import math
from typing import Any, Protocol


class Cell(Protocol):
    """A voltage behind a resistance, as it is now. The source integrates it in time and tells it what it carried."""

    @property
    def step_s(self) -> float:
        """For so long both may be taken as they are (s); infinite where they never change."""
        ...

    def emf_v(self, time_s: float) -> float:
        """Open-circuit voltage at this time of the world."""
        ...

    def resistance_ohm(self, time_s: float) -> float:
        """In series with it; infinite where there is no contact, 0 for a short."""
        ...

    def carry(self, since_s: float, until_s: float, voltage_v: float, current_a: float) -> None:
        """Between these times of the world so much was applied and flowed; called in order, without gaps."""
        ...


class IdealCell:
    """Fixed resistance; a voltage that grows with its charge where a capacitance is given.

    `record` is its part of the world's record.
    """

    def __init__(self, emf_v: float, resistance_ohm: float, capacitance_f: float, record: dict[str, Any]) -> None:
        self._emf_v = emf_v
        self._resistance_ohm = resistance_ohm
        self._capacitance_f = capacitance_f
        self._record = record
        record.setdefault("cell_charge_c", 0.0)

    @property
    def step_s(self) -> float:
        return math.inf if math.isinf(self._capacitance_f) else 0.02 * self._resistance_ohm * self._capacitance_f

    def emf_v(self, time_s: float) -> float:
        del time_s
        return self._emf_v + float(self._record["cell_charge_c"]) / self._capacitance_f

    def resistance_ohm(self, time_s: float) -> float:
        del time_s
        return self._resistance_ohm

    def carry(self, since_s: float, until_s: float, voltage_v: float, current_a: float) -> None:
        del voltage_v
        self._record["cell_charge_c"] += current_a * (until_s - since_s)
