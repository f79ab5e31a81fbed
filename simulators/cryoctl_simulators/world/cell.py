"""What a biasing source is connected to: how current and voltage belong together there, and what becomes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]


class Load(Protocol):
    """Current and voltage at two terminals, a value for each of some moments; current that flows in is positive.

    The current never falls as the voltage rises, so that each belongs to one of the other.
    """

    def current_a(self, voltage_v: FloatArray) -> FloatArray:
        """What flows at these voltages."""
        ...

    def voltage_v(self, current_a: FloatArray) -> FloatArray:
        """What it takes to drive these currents; infinite where none can flow."""
        ...

    def behind(self, ohm: float) -> Load:
        """The same with a resistance (of leads) in series."""
        ...


@dataclass(frozen=True, slots=True)
class Straight:
    """A voltage behind a resistance: infinite where there is no contact, 0 for a short."""

    emf_v: float
    ohm: float

    def current_a(self, voltage_v: FloatArray) -> FloatArray:
        return (voltage_v - self.emf_v) / self.ohm

    def voltage_v(self, current_a: FloatArray) -> FloatArray:
        if math.isinf(self.ohm):
            return np.where(current_a == 0.0, self.emf_v, np.copysign(math.inf, current_a))
        return self.emf_v + current_a * self.ohm

    def behind(self, ohm: float) -> Straight:
        return Straight(self.emf_v, self.ohm + ohm)


class Cell(Protocol):
    """What lies between a source's terminals. The source integrates it in time and tells it what it carried."""

    @property
    def step_s(self) -> float:
        """Between so long the source may take its voltage as even (s); infinite where it never changes."""
        ...

    def load(self, times_s: FloatArray) -> Load:
        """What it is at these times of the world, none of them far beyond the last that it was told of."""
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

    def load(self, times_s: FloatArray) -> Straight:
        del times_s
        emf_v = self._emf_v + float(self._record["cell_charge_c"]) / self._capacitance_f
        return Straight(emf_v, self._resistance_ohm)

    def carry(self, since_s: float, until_s: float, voltage_v: float, current_a: float) -> None:
        del voltage_v
        self._record["cell_charge_c"] += current_a * (until_s - since_s)
