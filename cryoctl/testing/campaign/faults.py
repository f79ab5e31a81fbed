"""Random faults, drawn from whatever catalogue is installed (entry points `cryoctl.faults`)."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Fault = Mapping[str, Any]
"""An entry of a `--faults` file."""

Draw = Callable[[Random], float]


def between(low: float, high: float) -> Draw:
    return lambda chance: chance.uniform(low, high)


def decades(low: float, high: float) -> Draw:
    """Evenly by its logarithm."""
    return lambda chance: math.exp(chance.uniform(math.log(low), math.log(high)))


def one_of(*values: float) -> Draw:
    return lambda chance: chance.choice(values)


RANGES: Mapping[tuple[str, str], Draw] = {
    ("not-at-angle", "error_deg"): between(-2.0, 2.0),
    ("current-drift", "rel_per_s"): between(-0.02 / 60, 0.02 / 60),
    ("current-jump", "rel"): between(-0.1, 0.1),
    ("blank-late", "late_s"): between(0.1, 10.0),
    ("frame-late", "late_s"): between(0.1, 10.0),
    ("saturation", "input_rate_per_s"): decades(3e5, 1e7),
    ("temperature-high", "temperature_k"): between(100.0, 300.0),
    ("nitrogen-low", "level"): between(0.0, 0.2),
    ("refill-shakes", "drift_m_per_s"): decades(1e-11, 2e-9),  # up to the bound that recipes state, drift.unwatched
    ("pressure-high", "pressure_pa"): decades(1e-5, 1.0),
    ("lost-link", "forgets"): one_of(0.0, 0.0, 1.0),
    ("lost-link", "swapped"): one_of(0.0, 0.0, 0.0, 1.0),
    ("short", "ohm"): decades(1.0, 1e6),
    ("not-at-place", "beyond_m"): between(-2e-7, 1e-7),
    ("runs-away", "more_steps"): one_of(1.0, 2.0, 5.0, 20.0),
    ("creeps-away", "away_m_per_s"): decades(1e-10, 1e-7),
    ("drifts", "drift_m_per_s"): decades(1e-10, 2e-9),
    ("jumps", "toward_m"): between(-5e-7, 1e-7),
    ("level-differs", "rel"): between(-0.9, 0.3),
    ("full", "left_bytes"): one_of(0.0, 1e3, 3e4, 1e5, 3e5, 1e6),
    ("kill", "after_s"): between(0.0, 3.0),
    ("kill", "after_writes"): one_of(0.0, 0.0, 1.0, 2.0, 3.0, 5.0, 9.0, 20.0),
    ("step", "step_s"): between(-7200.0, 7200.0),
}
"""By fault and parameter: what a microscope room does. A parameter that is not named here keeps its default."""
KILL = ("process", "kill")
COMPUTER = ("disk", "process", "clock")
"""What faults have that no instrument file names."""
_FOR_S = (0.5, 2000.0)
_HOW_MANY = (0, *[1] * 10, *[2] * 8, *[3] * 5)
_VISITS = (1, 1, 1, 2, 2, 3, 4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a recipe goes through: the states of its chart, its predicted duration and number of exposures."""

    states: tuple[str, ...]
    duration_s: float
    exposures: int


def of_instrument(catalogue: Sequence[Fault], kinds: Collection[str]) -> tuple[Fault, ...]:
    """Those of devices of these kinds, and those of the computer."""
    return tuple(one for one in catalogue if one["device"] in kinds or one["device"] in COMPUTER)


def drawn_faults(chance: Random, catalogue: Sequence[Fault], course: Course) -> tuple[Fault, ...]:
    """None to three faults of the catalogue (entries with device, fault and parameters), each at a moment of the run.

    At most one of them ends the process.
    """
    found: list[Fault] = []
    for _ in range(chance.choice(_HOW_MANY)):
        kind = chance.choice(catalogue)
        if class_of(kind) == KILL and any(class_of(one) == KILL for one in found):
            continue
        found.append(_drawn(chance, kind, course))
    return tuple(found)


def class_of(fault: Fault) -> tuple[str, str]:
    """Device and name, of an entry or of a kind of the catalogue."""
    return (fault["device"], fault["fault"])


def _drawn(chance: Random, kind: Fault, course: Course) -> Fault:
    entry: dict[str, Any] = {"device": kind["device"], "fault": kind["fault"], "at": _moment(chance, course)}
    if chance.random() < 0.5:
        low, high = (math.log(end) for end in _FOR_S)
        entry["for_s"] = float(f"{math.exp(chance.uniform(low, high)):.4g}")
    for name in kind["parameters"]:
        if (kind["fault"], name) in RANGES:
            entry[name] = float(f"{RANGES[kind['fault'], name](chance):.4g}")
    return entry


def _moment(chance: Random, course: Course) -> dict[str, Any]:
    how = chance.choice(("state", "exposure", "time"))
    if how == "state":
        return {"state": chance.choice(course.states), "visit": chance.choice(_VISITS)}
    if how == "exposure":
        return {"exposure": chance.randint(0, course.exposures)}
    return {"time_s": round(chance.uniform(0.0, 1.05 * course.duration_s), 3)}
