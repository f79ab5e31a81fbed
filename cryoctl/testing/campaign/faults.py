"""Random faults, drawn from whatever catalogue is installed (entry points `cryoctl.faults`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Fault = Mapping[str, Any]
"""An entry of a `--faults` file."""

RANGES: Mapping[tuple[str, str], tuple[float, float]] = {
    ("not-at-angle", "error_deg"): (-2.0, 2.0),
    ("current-drift", "rel_per_s"): (-0.02 / 60, 0.02 / 60),
    ("current-jump", "rel"): (-0.1, 0.1),
    ("saturation", "input_rate_per_s"): (3e5, 1e7),
    ("temperature-high", "temperature_k"): (100.0, 300.0),
    ("nitrogen-low", "level"): (0.0, 0.2),
    ("refill-shakes", "drift_m_per_s"): (1e-10, 5e-9),
}
"""By fault and parameter: what a microscope room does. A parameter that is not named here keeps its default."""
_FOR_S = (0.5, 2000.0)
_HOW_MANY = (0, *[1] * 10, *[2] * 8, *[3] * 5)
_VISITS = (1, 1, 1, 2, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a recipe goes through: the states of its chart, its predicted duration and number of exposures."""

    states: tuple[str, ...]
    duration_s: float
    exposures: int


def drawn_faults(chance: Random, catalogue: Sequence[Fault], course: Course) -> tuple[Fault, ...]:
    """None to three faults of the catalogue (entries with device, fault and parameters), each at a moment of the run.

    At most one of them ends the process.
    """
    found: list[Fault] = []
    for _ in range(chance.choice(_HOW_MANY)):
        kind = chance.choice(catalogue)
        if kind["device"] == "process" and any(one["device"] == "process" for one in found):
            continue
        found.append(_drawn(chance, kind, course))
    return tuple(found)


def _drawn(chance: Random, kind: Fault, course: Course) -> Fault:
    entry: dict[str, Any] = {"device": kind["device"], "fault": kind["fault"], "at": _moment(chance, course)}
    if chance.random() < 0.5:
        low, high = (math.log(end) for end in _FOR_S)
        entry["for_s"] = float(f"{math.exp(chance.uniform(low, high)):.4g}")
    for name in kind["parameters"]:
        if (kind["fault"], name) in RANGES:
            entry[name] = float(f"{chance.uniform(*RANGES[kind['fault'], name]):.4g}")
    return entry


def _moment(chance: Random, course: Course) -> dict[str, Any]:
    how = chance.choice(("state", "exposure", "time"))
    if how == "state":
        return {"state": chance.choice(course.states), "visit": chance.choice(_VISITS)}
    if how == "exposure":
        return {"exposure": chance.randint(0, course.exposures)}
    return {"time_s": round(chance.uniform(0.0, 1.05 * course.duration_s), 3)}
