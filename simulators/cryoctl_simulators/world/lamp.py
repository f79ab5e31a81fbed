"""Light on the specimen as it truly is: regulated by a photodiode of its own, whose calibration is a little off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryoctl_simulators.settings import LightSettings
from cryoctl_simulators.world.noise import cut_normal, generator


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenLamp:
    """Drawn once a world: by how much there is more light than it says, relative."""

    calibration_error: float = 0.0


def draw(settings: LightSettings, seed: int, hidden: bool) -> HiddenLamp:
    """Cut at two of its stated sigmas."""
    rng = generator(seed, "hidden", "light")
    return HiddenLamp(calibration_error=cut_normal(rng, settings.calibration_sigma_rel) if hidden else 0.0)


class Lamp:
    """`record` is its part of the world's record: what it was set to last. It stays on when the process dies.

    Args:
        lit: told how much light truly falls on the specimen from a time on.
    """

    def __init__(
        self,
        settings: LightSettings,
        hidden: HiddenLamp,
        record: dict[str, Any],
        lit: Callable[[float, float], None],
    ) -> None:
        self.settings = settings
        self.hidden = hidden
        self.record = record
        self._lit = lit
        record.setdefault("set_w_per_m2", 0.0)

    @property
    def set_w_per_m2(self) -> float:
        """As its own photodiode has it, without noise."""
        return float(self.record["set_w_per_m2"])

    @property
    def true_w_per_m2(self) -> float:
        return self.set_w_per_m2 * (1 + self.hidden.calibration_error)

    def shine(self, irradiance_w_per_m2: float, time_s: float) -> None:
        self.record["set_w_per_m2"] = irradiance_w_per_m2
        self._lit(self.true_w_per_m2, time_s)

    def reading_w_per_m2(self, seed: int, time_s: float) -> float:
        """Of its photodiode, by which it is regulated."""
        noise = cut_normal(generator(seed, "light", f"{time_s:.6f}"), self.settings.read_sigma_rel)
        return self.set_w_per_m2 * (1 + noise)
