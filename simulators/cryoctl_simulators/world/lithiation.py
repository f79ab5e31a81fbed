"""What a voltage does to a coated particle: how far its reaction is, how large it is, whether its coating holds.

A reaction front runs at constant speed from the surface to the middle: after the share q of its time 1 - (1 - q)^3 of
the core has taken up ions, and the projected area has grown by that share of its final expansion. So half of the
expansion is reached at q = 1 - 2^(-1/3), by which `rate_per_s` (to that half) tells how long the front takes. The
front's speed goes with the overvoltage above a threshold; silicon takes up its first ions above another one only. Time
counts, for the front and for the strain that breaks a coating, as time at the nominal voltage.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.specimens.coated_particles import CellParameters, CoatingParameters

Array = npt.NDArray[np.float64]
HALF = 1 - 0.5 ** (1 / 3)
"""q at which half of the core has reacted."""


def reacted(q: npt.ArrayLike) -> Array:
    """Share of the core that has taken up ions."""
    return 1 - (1 - np.clip(np.asarray(q, dtype=np.float64), 0.0, 1.0)) ** 3


def front_time_s(law: CoatingParameters) -> float:
    """What the front takes to the middle at the nominal voltage (s)."""
    return 0.5 * max(law.area_ratio - 1, 1e-6) / law.rate_per_s / HALF


def area_ratio(q: npt.ArrayLike, law: CoatingParameters) -> Array:
    """Projected area over the initial one; beam damage is not in it."""
    return 1 + (law.area_ratio - 1) * reacted(q)


def drive(voltage_v: float, cell: CellParameters, oxide_m: float, begun: bool) -> float:
    """Speed of the front over that at the nominal voltage; below 0 ions are taken out.

    Args:
        voltage_v: at the contact.
        oxide_m: thickness of the LixO; none, no ions.
        begun: whether the particle has taken up ions already.
    """
    if oxide_m <= 0:
        return 0.0
    over_v = voltage_v - cell.open_circuit_v
    needed_v = cell.threshold_v if begun else cell.nucleation_v
    if abs(over_v) <= needed_v or (over_v < 0 and not begun):
        return 0.0
    slower = 1 + (oxide_m / cell.oxide_limit_m) ** 4
    share = (abs(over_v) - cell.threshold_v) / (cell.nominal_v - cell.open_circuit_v - cell.threshold_v)
    return math.copysign(share / slower, over_v)


class Reaction:
    """One particle's; `state` is its part of the world's record.

    It is advanced from one time to the next under a constant voltage; how often makes no difference.
    """

    def __init__(self, law: CoatingParameters, cell: CellParameters, state: dict[str, Any]) -> None:
        self.law = law
        self.cell = cell
        self.state = state
        if not state:
            state |= {"q": 0.0, "largest": 0.0, "strained_s": 0.0, "onset_s": None, "broken_s": None}

    @property
    def begun(self) -> bool:
        return self.state["onset_s"] is not None

    def run(self, from_s: float, to_s: float, voltage_v: float, oxide_m: float) -> list[tuple[float, float]]:
        """Advance it under a constant voltage; returns (time, q) at the ends of pieces in which q changed evenly."""
        return self._piece(from_s, to_s, drive(voltage_v, self.cell, oxide_m, self.begun))

    def _piece(self, from_s: float, to_s: float, speed: float) -> list[tuple[float, float]]:
        state, front_s = self.state, front_time_s(self.law)
        if speed == 0.0 or to_s <= from_s:
            return [(to_s, state["q"])]
        if state["onset_s"] is None:
            state["onset_s"] = from_s
        self._strain(from_s, to_s, speed)
        least = self.least_q() if speed < 0 else 0.0
        end = state["q"] + speed * (to_s - from_s) / front_s
        limited = min(1.0, max(end, min(least, state["q"])))
        ends: list[tuple[float, float]] = []
        if limited != end:
            arrived_s = from_s + (limited - state["q"]) * front_s / speed
            ends.append((min(max(arrived_s, from_s), to_s), limited))
        state["q"] = limited
        state["largest"] = max(state["largest"], limited)
        return [*ends, (to_s, limited)]

    def _strain(self, from_s: float, to_s: float, speed: float) -> None:
        """Time under strain goes on when the front has arrived: a coating may break long after."""
        state, break_s = self.state, self.law.break_s
        before = state["strained_s"]
        state["strained_s"] = before + max(speed, 0.0) * (to_s - from_s)
        if break_s is not None and state["broken_s"] is None and speed > 0 and state["strained_s"] >= break_s:
            state["broken_s"] = from_s + max(break_s - before, 0.0) / speed

    def least_q(self) -> float:
        """Where taking out ends: a share of the largest expansion stays."""
        kept = self.cell.retained_share * float(reacted(self.state["largest"]))
        return 1 - (1 - kept) ** (1 / 3)
