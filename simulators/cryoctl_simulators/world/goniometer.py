"""Where the specimen truly is: encoders plus backlash, drift, runout and the height above the tilt axis."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryoctl_simulators.settings import StageSettings
from cryoctl_simulators.world.noise import cut_normal, generator

_AXES = ("x_m", "y_m", "z_m", "tilt_deg")


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenStage:
    """Drawn once a world; what nobody knows before it is measured."""

    backlash_m: float
    drift_m_per_s: tuple[float, float]
    eucentric_error_m: float
    tilt_axis_deg: float
    runout: tuple[tuple[float, float, float], ...]
    """(amplitude across m, amplitude along m, phase) of the harmonics 1, 2, 3 of the tilt."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TruePosition:
    """Specimen point under the optical axis (m), true tilt (degrees), and what displaces the image content.

    `content_m` (x along, y across the tilt axis, beam-normal) is drift and runout; `height_m` is that of the plane
    z = 0 above the tilt axis.
    """

    x_m: float
    y_m: float
    tilt_deg: float
    content_m: tuple[float, float]
    height_m: float

    def seen_at(self, x_m: float, y_m: float, z_m: float = 0.0) -> tuple[float, float]:
        """Beam-normal place (x, y) of a specimen point relative to the optical axis (m)."""
        a = math.radians(self.tilt_deg)
        u = (y_m - self.y_m) * math.cos(a) + (z_m + self.height_m) * math.sin(a)
        return (x_m - self.x_m + self.content_m[0], u + self.content_m[1])

    def hit_by(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Point of the specimen plane z = 0 under a beam at this beam-normal place; the inverse of `seen_at`."""
        a = math.radians(self.tilt_deg)
        across = y_m - self.content_m[1] - self.height_m * math.sin(a)
        return (self.x_m + x_m - self.content_m[0], self.y_m + across / math.cos(a))

    def depth_of(self, y_m: float, z_m: float = 0.0) -> float:
        """Height along the beam of a specimen point above the tilt axis (m)."""
        a = math.radians(self.tilt_deg)
        return -(y_m - self.y_m) * math.sin(a) + (z_m + self.height_m) * math.cos(a)


def draw(settings: StageSettings, seed: int, hidden: bool, given: Mapping[str, Any]) -> HiddenStage:
    """Hidden properties of a goniometer; `given` are the recipe's `simulation.stage` fields."""
    rng = generator(seed, "hidden", "stage")
    on = 1.0 if hidden else 0.0
    backlash = max(0.0, settings.backlash_m + on * cut_normal(rng, settings.backlash_sigma_m))
    speed = max(0.0, settings.drift_m_per_s + on * cut_normal(rng, settings.drift_sigma_m_per_s))
    direction = float(rng.uniform(0, 2 * math.pi)) if hidden else math.pi / 4
    height = on * cut_normal(rng, settings.eucentric_sigma_m)
    axis = on * cut_normal(rng, settings.tilt_axis_sigma_deg)
    runout = tuple(
        (
            on * settings.runout_m * float(rng.uniform(0.5, 1.0)) / k**1.5,
            on * 0.4 * settings.runout_m * float(rng.uniform(0.5, 1.0)) / k**1.5,
            float(rng.uniform(0, 2 * math.pi)),
        )
        for k in (1, 2, 3)
    )
    speed = float(given.get("drift_m_per_s", speed))
    return HiddenStage(
        backlash_m=float(given.get("backlash_m", backlash)),
        drift_m_per_s=(speed * math.cos(direction), speed * math.sin(direction)),
        eucentric_error_m=float(given.get("eucentric_error_m", height)),
        tilt_axis_deg=axis,
        runout=runout,
    )


class Goniometer:
    """True motion; `record` is its part of the world's record (plain numbers)."""

    def __init__(self, settings: StageSettings, hidden: HiddenStage, record: dict[str, Any], seed: int) -> None:
        self.settings = settings
        self.hidden = hidden
        self.record = record
        self._seed = seed
        if not record:
            record |= dict.fromkeys(_AXES, 0.0)
            record |= {"slack_x_m": 0.0, "slack_y_m": 0.0, "slack_tilt_deg": 0.0, "noise_x_m": 0.0, "noise_y_m": 0.0}
            record |= {"drift_since_s": 0.0, "drift_x_m": 0.0, "drift_y_m": 0.0, "moving": False, "visits": {}}
            record["kicks"] = {"tilt": [0.0, 0.0], "refill": [0.0, 0.0]}

    @property
    def encoders(self) -> tuple[float, float, float, float]:
        """x, y, z in m and tilt in degrees, as the encoders have it."""
        return tuple(float(self.record[axis]) for axis in _AXES)  # type: ignore[return-value]

    def advance(self, targets: Mapping[str, float], time_s: float) -> None:
        """The encoders came to these values: gears take up their slack first, and the movement warms."""
        record = self.record
        self._settle_drift(time_s)
        for axis, slack, width in (
            ("x_m", "slack_x_m", self.hidden.backlash_m),
            ("y_m", "slack_y_m", self.hidden.backlash_m),
            ("tilt_deg", "slack_tilt_deg", self.settings.tilt_backlash_deg),
        ):
            if axis in targets:
                moved = targets[axis] - record[axis]
                record[slack] = min(max(record[slack] - moved, -width / 2), width / 2)
        if "tilt_deg" in targets:
            self._kick("tilt", self.settings.tilt_kick_m_per_s_per_deg * abs(targets["tilt_deg"] - record["tilt_deg"]))
        record |= {axis: float(value) for axis, value in targets.items()}

    def arrive(self) -> None:
        """Repeatability: a little off at each arrival, keyed by the set point and how often it was visited."""
        key = ",".join(f"{value:.9g}" for value in self.encoders)
        visits = self.record["visits"]
        visits[key] = visits.get(key, 0) + 1
        rng = generator(self._seed, "stage", "arrival", key, visits[key])
        for name in ("noise_x_m", "noise_y_m"):
            self.record[name] = cut_normal(rng, self.settings.repeatability_m)

    def sent(self, targets: Mapping[str, float]) -> None:
        """A move begins: its controller brings it to its end by itself, whoever may be there to hear of it."""
        self.record |= {"moving": True, "sent_to": dict(targets)}

    def came(self, reached: Mapping[str, float], time_s: float) -> None:
        """The move is over; these are the encoders."""
        self.advance(reached, time_s)
        self.arrive()
        self.record |= {"moving": False, "sent_to": {}}

    def finish_interrupted_move(self, time_s: float) -> None:
        """Who sent it has died meanwhile."""
        if self.record["moving"]:
            self.came(self.record.get("sent_to", {}), time_s)

    def refill(self, time_s: float, speed_m_per_s: float | None = None) -> None:
        """Nitrogen is poured in: the holder shakes and drifts for a quarter of an hour or more."""
        self._settle_drift(time_s)
        self._kick("refill", self.settings.refill_kick_m_per_s if speed_m_per_s is None else speed_m_per_s)

    def drift_m(self, time_s: float) -> tuple[float, float]:
        """Displacement of the image content by drift since the world began (x, y), beam-normal, in m."""
        record = self.record
        since = max(0.0, time_s - record["drift_since_s"])
        x, y = record["drift_x_m"], record["drift_y_m"]
        steady = self.hidden.drift_m_per_s
        x, y = x + steady[0] * since, y + steady[1] * since
        for name, tau in self._taus():
            reach = tau * (1 - math.exp(-since / tau))
            x, y = x + record["kicks"][name][0] * reach, y + record["kicks"][name][1] * reach
        return (x, y)

    def true_position(self, time_s: float) -> TruePosition:
        record = self.record
        tilt = record["tilt_deg"] + record["slack_tilt_deg"]
        drift = self.drift_m(time_s)
        runout = self._runout_m(tilt)
        return TruePosition(
            x_m=record["x_m"] + record["slack_x_m"] + record["noise_x_m"],
            y_m=record["y_m"] + record["slack_y_m"] + record["noise_y_m"],
            tilt_deg=tilt,
            content_m=(drift[0] + runout[0], drift[1] + runout[1]),
            height_m=self.hidden.eucentric_error_m - record["z_m"],
        )

    def _runout_m(self, tilt_deg: float) -> tuple[float, float]:
        a = math.radians(tilt_deg)
        across = along = 0.0
        for k, (amplitude_y, amplitude_x, phase) in enumerate(self.hidden.runout, start=1):
            wave = math.sin(k * a + phase) - math.sin(phase)
            across += amplitude_y * wave / 2
            along += amplitude_x * wave / 2
        return (along, across)

    def _taus(self) -> tuple[tuple[str, float], ...]:
        return (("tilt", self.settings.tilt_kick_tau_s), ("refill", self.settings.refill_tau_s))

    def _settle_drift(self, time_s: float) -> None:
        record = self.record
        since = max(0.0, time_s - record["drift_since_s"])
        record["drift_x_m"], record["drift_y_m"] = self.drift_m(time_s)
        for name, tau in self._taus():
            record["kicks"][name] = [speed * math.exp(-since / tau) for speed in record["kicks"][name]]
        record["drift_since_s"] = max(time_s, record["drift_since_s"])

    def _kick(self, name: str, speed_m_per_s: float) -> None:
        tilt = self.record["tilt_deg"]
        angle = float(generator(self._seed, "stage", "kick", name, f"{tilt:.4f}").uniform(0, 2 * math.pi))
        x, y = self.record["kicks"][name]
        self.record["kicks"][name] = [x + speed_m_per_s * math.cos(angle), y + speed_m_per_s * math.sin(angle)]
