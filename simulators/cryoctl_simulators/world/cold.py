"""Temperature of the specimen and filling of the dewar."""

from __future__ import annotations

import math
from typing import Any

from cryoctl_simulators.settings import HolderSettings

_ROOM_K = 293.0
_WARMING_S = 1200.0


class ColdHolder:
    """Approaches its set point exponentially while there is nitrogen, and room temperature without.

    `record` is its part of the world's record.
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
        reached = _approach(record["temperature_k"], record["set_k"], cold_until - since, self.settings.approach_s)
        return _approach(reached, _ROOM_K, time_s - cold_until, _WARMING_S)

    def pressure_pa(self, time_s: float) -> float:
        """Of the column: what froze on a cold holder comes off as it warms; one that was put in warm has nothing on
        it."""
        settings = self.settings
        warm = max(0.0, self.temperature_k(time_s) - max(110.0, settings.temperature_k))
        return settings.pressure_pa * math.exp(min(warm / 25.0, 6.0))

    def set_point(self, temperature_k: float, time_s: float) -> None:
        self.record["temperature_k"] = self.temperature_k(time_s)
        self.record |= {"set_k": temperature_k, "since_s": time_s}

    def refill(self, time_s: float) -> None:
        self.record["temperature_k"] = self.temperature_k(time_s)
        self.record |= {"since_s": time_s, "level": 1.0, "filled_s": time_s}


def _approach(start: float, end: float, after_s: float, tau_s: float) -> float:
    return end + (start - end) * math.exp(-max(0.0, after_s) / tau_s)
