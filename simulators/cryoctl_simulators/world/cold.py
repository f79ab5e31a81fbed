"""Temperature of the specimen and filling of the dewar."""

from __future__ import annotations

import math
from typing import Any

from cryoctl_simulators.settings import HolderSettings

_ROOM_K = 293.0
_WARMING_S = 1200.0


class ColdHolder:
    """Approaches its set point exponentially while there is nitrogen, and room temperature without.

    The set point jumps, or is ramped at a constant rate; both have a closed form, so that it does not matter when one
    looks. `record` is its part of the world's record.
    """

    def __init__(self, settings: HolderSettings, record: dict[str, Any]) -> None:
        self.settings = settings
        self.record = record
        if not record:
            record |= {"temperature_k": settings.temperature_k, "set_k": settings.temperature_k, "since_s": 0.0}
            record |= {"level": settings.nitrogen, "filled_s": 0.0}

    def nitrogen(self, time_s: float) -> float:
        """0 to 1."""
        spent = max(0.0, time_s - self.record["filled_s"]) / self.settings.hold_time_s
        return max(0.0, float(self.record["level"]) - spent)

    def temperature_k(self, time_s: float) -> float:
        record = self.record
        empty_s = record["filled_s"] + record["level"] * self.settings.hold_time_s
        since = record["since_s"]
        cold_until = min(time_s, max(empty_s, since))
        tau_s = self.settings.approach_s
        ramped_s = min(self._ramp_s, max(0.0, cold_until - since))
        reached = _follow(record["temperature_k"], self._from_k, self._slope_k_per_s, ramped_s, tau_s)
        reached = _approach(reached, record["set_k"], cold_until - since - ramped_s, tau_s)
        return _approach(reached, _ROOM_K, time_s - cold_until, _WARMING_S)

    def pressure_pa(self, time_s: float) -> float:
        """Of the column: what froze on a cold holder comes off as it warms; one that was put in warm has nothing on
        it."""
        settings = self.settings
        warm = max(0.0, self.temperature_k(time_s) - max(110.0, settings.temperature_k))
        return settings.pressure_pa * math.exp(min(warm / 25.0, 6.0))

    def set_point_k(self, time_s: float) -> float:
        """Where the set point is now; while it is ramped not yet where it goes to."""
        after_s = time_s - self.record["since_s"]
        if after_s >= self._ramp_s:
            return float(self.record["set_k"])
        return self._from_k + self._slope_k_per_s * max(0.0, after_s)

    def set_point(
        self, temperature_k: float, time_s: float, from_k: float | None = None, ramp_k_per_s: float = 0.0
    ) -> None:
        """
        Args:
            from_k: where a ramp begins; None where the set point is.
            ramp_k_per_s: 0 jumps.
        """
        begins_k = self.set_point_k(time_s) if from_k is None else from_k
        self.record["temperature_k"] = self.temperature_k(time_s)
        self.record |= {"set_k": temperature_k, "since_s": time_s}
        if ramp_k_per_s > 0:
            self.record |= {"from_k": begins_k, "ramp_k_per_s": ramp_k_per_s}
        else:
            self.record.pop("ramp_k_per_s", None)

    def refill(self, time_s: float) -> None:
        begins_k = self.set_point_k(time_s)
        self.record["temperature_k"] = self.temperature_k(time_s)
        self.record |= {"since_s": time_s, "level": 1.0, "filled_s": time_s, "from_k": begins_k}

    @property
    def _from_k(self) -> float:
        return float(self.record.get("from_k", self.record["set_k"]))

    @property
    def _ramp_s(self) -> float:
        """From `since_s` until the set point stands still."""
        rate = self.record.get("ramp_k_per_s", 0.0)
        return abs(self.record["set_k"] - self._from_k) / rate if rate else 0.0

    @property
    def _slope_k_per_s(self) -> float:
        return math.copysign(self.record.get("ramp_k_per_s", 0.0), self.record["set_k"] - self._from_k)


def _approach(start: float, end: float, after_s: float, tau_s: float) -> float:
    return end + (start - end) * math.exp(-max(0.0, after_s) / tau_s)


def _follow(start: float, goal: float, slope_per_s: float, after_s: float, tau_s: float) -> float:
    """Behind a goal that moves at a constant rate from `goal` on: lags by `slope * tau` in the end."""
    if after_s <= 0:
        return start
    lag = slope_per_s * tau_s
    return goal + slope_per_s * after_s - lag + (start - goal + lag) * math.exp(-after_s / tau_s)
