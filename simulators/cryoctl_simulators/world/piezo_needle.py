"""Where the needle's apex truly is: slip-stick steps that scatter, a tube that lags, creeps and drifts.

The needle stands in the holder opposite the specimen and rides with it: places are in the specimen's frame. Its axis
lies nearly along x, the apex points to -x; +x withdraws it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.settings import NeedleSettings
from cryoctl_simulators.world.noise import cut_normal, generator

AXES = ("x", "y", "z")
Place = npt.NDArray[np.float64]
_ROOM_K = 293.0
_CREEP_TAUS_S = (4.0, 60.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenNeedle:
    """Drawn once a world; nobody knows it before it is measured.

    `start_m` is where the apex stands at first, `backward_ratio` (x, y, z) a step towards minus over one towards plus,
    `axis` the unit vector from the apex along the needle.
    """

    start_m: tuple[float, float, float]
    step_m: float
    backward_ratio: tuple[float, float, float]
    scatter_rel: float
    kick_rel: float
    crosstalk_rel: float
    hysteresis_rel: float
    creep_rel: float
    drift_m_per_s: tuple[float, float, float]
    tip_radius_m: float
    lixo_m: float
    half_angle_rad: float
    axis: tuple[float, float, float]

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> HiddenNeedle:
        """From what `asdict` and JSON made of it."""
        return cls(**{name: tuple(one) if isinstance(one, list) else one for name, one in plain.items()})

    @property
    def outer_radius_m(self) -> float:
        """Of the rounded apex with its oxide."""
        return self.tip_radius_m + self.lixo_m


def draw(settings: NeedleSettings, seed: int, hidden: bool, given: Mapping[str, Any]) -> HiddenNeedle:
    """Hidden properties of a needle; `given` are the recipe's `simulation.needle` fields."""
    rng = generator(seed, "hidden", "needle")
    on = 1.0 if hidden else 0.0
    signs = rng.choice((-1.0, 1.0), 2) if hidden else np.ones(2)
    gap = max(settings.gap_m * 0.2, settings.gap_m + on * cut_normal(rng, settings.gap_sigma_m))
    aside = signs[0] * (settings.offset_m + on * cut_normal(rng, settings.offset_sigma_m))
    height = signs[1] * (settings.height_m + on * cut_normal(rng, settings.height_sigma_m))
    step = settings.step_m * (1 + on * cut_normal(rng, settings.step_sigma_rel))
    ratios = [settings.direction_ratio * math.exp(on * cut_normal(rng, settings.ratio_sigma_rel)) for _ in AXES]
    way = rng.standard_normal(3) if hidden else np.array([1.0, 0.0, 0.0])
    speed = float(given.get("drift_m_per_s", settings.drift_m_per_s * (float(rng.uniform(0, 1)) if hidden else 0.5)))
    turn = on * np.radians([cut_normal(rng, settings.axis_sigma_deg) for _ in range(2)])
    axis = np.array([1.0, math.tan(turn[0]), math.tan(turn[1])])
    ratio = given.get("direction_ratio")
    return HiddenNeedle(
        start_m=(
            float(given.get("gap_m", gap)),
            float(given.get("offset_m", aside)),
            float(given.get("height_m", height)),
        ),
        step_m=float(given.get("step_m", step)),
        backward_ratio=tuple(float(one if ratio is None else ratio) for one in ratios),  # type: ignore[arg-type]
        scatter_rel=float(given.get("scatter_rel", settings.scatter_rel)),
        kick_rel=float(given.get("kick_rel", settings.kick_rel)),
        crosstalk_rel=float(given.get("crosstalk_rel", settings.crosstalk_rel)),
        hysteresis_rel=float(given.get("hysteresis_rel", settings.hysteresis_rel)),
        creep_rel=float(given.get("creep_rel", settings.creep_rel)),
        drift_m_per_s=_three(way / np.linalg.norm(way) * speed),
        tip_radius_m=float(given.get("tip_radius_m", settings.tip_radius_m)),
        lixo_m=float(given.get("lixo_m", settings.lixo_m)),
        half_angle_rad=math.radians(settings.half_angle_deg),
        axis=_three(axis / np.linalg.norm(axis)),
    )


class PiezoNeedle:
    """True motion; `record` is its part of the world's record (plain numbers)."""

    def __init__(self, settings: NeedleSettings, hidden: HiddenNeedle, record: dict[str, Any], seed: int) -> None:
        self.settings = settings
        self.hidden = hidden
        self.record = record
        self._seed = seed
        if not record:
            record |= {"steps": [0, 0, 0], "pulses": 0, "fine_m": [0.0, 0.0, 0.0], "high_voltage_on": False}
            record |= {"coarse_m": list(hidden.start_m), "lag_m": [0.0, 0.0, 0.0], "fine_since_s": 0.0}
            record |= {"creep_m": [[0.0, 0.0, 0.0] for _ in _CREEP_TAUS_S], "hold": "free", "parked": True}
            record |= {"astray_m_per_s": [0.0, 0.0, 0.0], "astray_since_s": 0.0}

    def apex_m(self, time_s: float) -> Place:
        """The foremost point, oxide included (x, y, z)."""
        record = self.record
        place = np.array(record["coarse_m"]) + np.array(record["fine_m"]) - np.array(record["lag_m"])
        for tau_s, left in zip(_CREEP_TAUS_S, record["creep_m"], strict=True):
            place -= np.array(left) * math.exp(-max(0.0, time_s - record["fine_since_s"]) / tau_s)
        place += np.array(record["astray_m_per_s"]) * max(0.0, time_s - record["astray_since_s"])
        return place + np.array(self.hidden.drift_m_per_s) * time_s

    def go_astray(self, velocity_m_per_s: Place, time_s: float) -> None:
        """From now on the apex also goes this way, by no doing of the drive."""
        record = self.record
        gone = np.array(record["astray_m_per_s"]) * max(0.0, time_s - record["astray_since_s"])
        record["coarse_m"] = _list(np.array(record["coarse_m"]) + gone)
        record |= {"astray_m_per_s": _list(velocity_m_per_s), "astray_since_s": time_s}

    def displace(self, by_m: Place) -> None:
        """At once, by no doing of the drive."""
        self.record["coarse_m"] = _list(np.array(self.record["coarse_m"]) + by_m)

    def next_step(self, axis: str, sign: int, temperature_k: float) -> tuple[Place, Place]:
        """Displacements (x, y, z) of the apex at the furthest of the next pulse, and when it has slipped back."""
        index, hidden = AXES.index(axis), self.hidden
        rng = generator(self._seed, "needle", "pulse", int(self.record["pulses"]))
        cold = 0.5 + 0.5 * min(1.0, temperature_k / _ROOM_K)
        length = hidden.step_m * cold * (1.0 if sign > 0 else hidden.backward_ratio[index])
        length *= max(0.05, 1 + hidden.scatter_rel * float(rng.normal()))
        moved = hidden.crosstalk_rel * length * np.clip(rng.standard_normal(3), -2, 2)
        moved[index] = sign * length
        return moved * (1 + hidden.kick_rel), moved

    def stepped(self, axis: str, sign: int, moved_m: Place) -> None:
        record = self.record
        record["steps"][AXES.index(axis)] += sign
        record["pulses"] += 1
        record["coarse_m"] = _list(np.array(record["coarse_m"]) + moved_m)

    def set_fine(self, wanted_m: tuple[float, float, float], time_s: float) -> None:
        """The tube follows but for its hysteresis at once, and creeps after."""
        record = self.record
        moved = np.array(wanted_m) - np.array(record["fine_m"])
        low, high = self.settings.fine_range_m
        widest = self.hidden.hysteresis_rel * (high - low) / 4
        lag = np.array(record["lag_m"]) + self.hidden.hysteresis_rel * moved
        self._settle_creep(time_s)
        creeping = [np.array(left) + self.hidden.creep_rel / len(_CREEP_TAUS_S) * moved for left in record["creep_m"]]
        record["creep_m"] = [_list(left) for left in creeping]
        record["lag_m"] = _list(np.clip(lag, -widest, widest))
        record["fine_m"] = [float(value) for value in wanted_m]

    def ground(self, time_s: float) -> None:
        """Without high voltage the tube is where it is without voltage: the apex jumps."""
        self.record |= {"fine_m": [0.0, 0.0, 0.0], "lag_m": [0.0, 0.0, 0.0], "high_voltage_on": False}
        self.record["creep_m"] = [[0.0, 0.0, 0.0] for _ in _CREEP_TAUS_S]
        self.record["fine_since_s"] = time_s

    def shaken_m(self) -> float:
        """How far a stage move makes the apex swing (m)."""
        rng = generator(self._seed, "needle", "shaken", int(self.record.setdefault("shaken", 0)))
        self.record["shaken"] += 1
        return self.settings.shake_m * abs(cut_normal(rng, 1.0, 3.0))

    def _settle_creep(self, time_s: float) -> None:
        since_s = max(0.0, time_s - self.record["fine_since_s"])
        self.record["creep_m"] = [
            [value * math.exp(-since_s / tau_s) for value in left]
            for tau_s, left in zip(_CREEP_TAUS_S, self.record["creep_m"], strict=True)
        ]
        self.record["fine_since_s"] = time_s


def _three(values: Place) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return (x, y, z)


def _list(values: Place) -> list[float]:
    return [float(value) for value in values]
