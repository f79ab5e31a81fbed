"""What the electron beam truly is: current, where a scan really lies, and when it was open."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.settings import BeamSettings
from cryoctl_simulators.world.noise import cut_normal, generator

BLANK_LOG = ((65536, 2), "<f8")
_READ_SHARE = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenColumn:
    """Drawn once a world; relative unless the name says otherwise."""

    current_error: float
    current_drift_per_s: float
    measure_error: float
    pixel_error: float
    shift_matrix: tuple[tuple[float, float], tuple[float, float]]
    """Commanded image shift to true one (x, y)."""
    defocus_error_m: float


def draw(settings: BeamSettings, seed: int, hidden: bool, given: Mapping[str, Any]) -> HiddenColumn:
    """Hidden errors of a column, each cut at two of its stated sigmas; `given` are `simulation.beam` fields."""
    rng = generator(seed, "hidden", "beam")
    on = 1.0 if hidden else 0.0
    current = on * cut_normal(rng, settings.current_error_sigma_rel)
    drift = on * cut_normal(rng, settings.current_drift_rel_per_s / 2)
    measure = on * _READ_SHARE * cut_normal(rng, settings.measure_sigma_rel)
    pixel = on * cut_normal(rng, settings.pixel_size_sigma_rel)
    errors = [on * cut_normal(rng, settings.image_shift_sigma_rel) for _ in range(4)]
    defocus = on * cut_normal(rng, settings.defocus_sigma_m)
    return HiddenColumn(
        current_error=float(given.get("current_error", current)),
        current_drift_per_s=float(given.get("current_drift_rel_per_s", drift)),
        measure_error=measure,
        pixel_error=pixel,
        shift_matrix=((1 + errors[0], errors[1]), (errors[2], 1 + errors[3])),
        defocus_error_m=defocus,
    )


class Column:
    """Optics in use, blanking, valves; `record` is its part of the world's record, `log` the blanking log."""

    def __init__(
        self,
        settings: BeamSettings,
        hidden: HiddenColumn,
        record: dict[str, Any],
        log: npt.NDArray[np.float64],
        seed: int,
    ) -> None:
        self.settings = settings
        self.hidden = hidden
        self.record = record
        self._log = log
        self._seed = seed
        self.when_blanked: Callable[[float], None] = lambda time_s: None
        """Told the time at which a beam that was open is off the specimen."""
        if not record:
            record |= {"blanked": True, "valves_open": True, "logged": 0, "nominal_a": 0.0, "optics": None}
            record |= {"shift_x_m": 0.0, "shift_y_m": 0.0, "defocus_m": 0.0, "jump_rel": 0.0}
            record |= {"drift_rel": 0.0, "emitting": True, "pending": None}

    def emission_a(self, time_s: float) -> float:
        """True current that would reach the specimen were the beam open (A)."""
        record = self.record
        if not record["valves_open"] or not record["emitting"]:
            return 0.0
        grown = 1 + self.hidden.current_drift_per_s * time_s + record["drift_rel"]
        return float(record["nominal_a"] * (1 + self.hidden.current_error) * grown * (1 + record["jump_rel"]))

    def faraday_reading_a(self, time_s: float) -> float:
        """Off by the calibration of the cup and noise, together within two stated sigmas."""
        rng = generator(self._seed, "beam", "faraday", f"{time_s:.6f}")
        noise = cut_normal(rng, (1 - _READ_SHARE) * self.settings.measure_sigma_rel)
        return self.emission_a(time_s) * (1 + self.hidden.measure_error + noise)

    def true_shift(self, x_m: float, y_m: float) -> tuple[float, float]:
        (a, b), (c, d) = self.hidden.shift_matrix
        return (a * x_m + b * y_m, c * x_m + d * y_m)

    def set_blanked(self, blanked: bool, time_s: float) -> None:
        if self.record["blanked"] == blanked:
            return
        self.record["blanked"] = blanked
        index = self.record["logged"]
        if index < len(self._log):
            self._log[index] = (time_s, 0.0 if blanked else 1.0)
            self.record["logged"] = index + 1
        if blanked:
            self.when_blanked(time_s)

    def blanking(self) -> npt.NDArray[np.float64]:
        """[n, 2]: world time (s), 1 where the beam was opened, 0 where it was blanked."""
        return np.array(self._log[: self.record["logged"]])


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFrame:
    """One scan frame as it truly was; what detectors see and dose is laid by.

    `centre_m` is the beam-normal place (x along, y across the tilt axis) of the scan's centre, `axis_deg` the in-plane
    angle of the tilt axis in the picture, `lines` how many lines were scanned, `start` and `end` the true positions at
    the first and last of them.
    """

    kind: str
    exposure: int
    index: int
    shape: tuple[int, int]
    lines: float
    pixel_size_m: float
    nominal_pixel_m: float
    dwell_s: float
    current_a: float
    voltage_v: float
    convergence_rad: float
    axis_deg: float
    centre_m: tuple[float, float]
    defocus_m: float
    dynamic_focus_rad: float
    tilt_deg: float
    x_m: float
    y_m: float
    height_m: float
    content_start_m: tuple[float, float]
    content_end_m: tuple[float, float]
    time_s: float
    temperature_k: float

    @property
    def middle_s(self) -> float:
        """World time of its middle line; what its lines take beside their pixels is left out."""
        return self.time_s + 0.5 * self.lines * self.shape[1] * self.dwell_s

    def directions(self) -> tuple[tuple[float, float], tuple[float, float]]:
        """Unit vectors (along, across the tilt axis) of the scan's columns direction and rows direction."""
        a = math.radians(self.axis_deg)
        return ((math.cos(a), -math.sin(a)), (math.sin(a), math.cos(a)))

    def image_of(self, x_m: float, y_m: float, z_m: float = 0.0, end: bool = False) -> tuple[float, float]:
        """Where the picture shows a specimen point: (dy, dx) from its centre, in true metres."""
        a = math.radians(self.tilt_deg)
        content = self.content_end_m if end else self.content_start_m
        v = x_m - self.x_m + content[0] - self.centre_m[0]
        u = (y_m - self.y_m) * math.cos(a) + (z_m + self.height_m) * math.sin(a) + content[1] - self.centre_m[1]
        columns, rows = self.directions()
        return (v * rows[0] + u * rows[1], v * columns[0] + u * columns[1])

    def plane_point(self, dx_m: float, dy_m: float, end: bool = False) -> tuple[float, float]:
        """Point (x, y) of the specimen plane z = 0 under the place (dx, dy) of the scan."""
        a = math.radians(self.tilt_deg)
        content = self.content_end_m if end else self.content_start_m
        columns, rows = self.directions()
        v = self.centre_m[0] + dx_m * columns[0] + dy_m * rows[0] - content[0]
        u = self.centre_m[1] + dx_m * columns[1] + dy_m * rows[1] - content[1] - self.height_m * math.sin(a)
        return (self.x_m + v, self.y_m + u / math.cos(a))
