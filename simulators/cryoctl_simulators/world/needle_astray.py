"""What a needle does by itself where a fault says so: it creeps away, drifts, jumps, and its tube loses its voltage."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.faults import FaultSchedule
from cryoctl_simulators.world.noise import generator

if TYPE_CHECKING:
    from cryoctl_simulators.world.needle_contact import NeedleContact

Place = npt.NDArray[np.float64]


class NeedleAstray:
    """Its faults act when anybody next looks at the needle, and go on until one looks after their end.

    Args:
        name: of the needle in the instrument file.
        seed: draws the way of a drift.
    """

    def __init__(self, contact: NeedleContact, faults: FaultSchedule, name: str, seed: int) -> None:
        self._contact = contact
        self._needle = contact.needle
        self._faults = faults
        self._name = name
        toward = -np.array(self._needle.hidden.axis)
        aside = generator(seed, "needle", "astray").standard_normal(3)
        aside -= (aside @ toward) * toward
        self._toward = toward
        self._way = (toward + aside / np.linalg.norm(aside)) / np.sqrt(2.0)

    def befall(self, time_s: float) -> None:
        """Bring what goes wrong to this time (s of the world)."""
        self._count(time_s)
        velocity = np.zeros(3)
        creeps, drifts = (self._faults.find(self._name, fault) for fault in ("creeps-away", "drifts"))
        if creeps is not None:
            velocity -= creeps["away_m_per_s"] * self._toward
        if drifts is not None:
            velocity += drifts["drift_m_per_s"] * self._way
        if not np.array_equal(velocity, self._needle.record["astray_m_per_s"]):
            self._needle.go_astray(velocity, time_s)
        if self._needle.record["high_voltage_on"] and self._faults.take(self._name, "voltage-trip") is not None:
            self._noted(float(np.linalg.norm(self._needle.record["fine_m"])))
            self._contact.ground(time_s)
        jumps = self._faults.take(self._name, "jumps")
        if jumps is not None:
            self._noted(jumps["toward_m"])
            self._contact.jump(jumps["toward_m"] * self._toward, time_s)

    def _count(self, time_s: float) -> None:
        """What an astray needle came nearer since it was looked at last."""
        record = self._contact.record
        speed = float(np.array(self._needle.record["astray_m_per_s"]) @ self._toward)
        self._noted(speed * (time_s - record["astray_seen_s"]))
        record["astray_seen_s"] = time_s

    def _noted(self, nearer_m: float) -> None:
        self._contact.record["astray_m"] += max(0.0, nearer_m)
