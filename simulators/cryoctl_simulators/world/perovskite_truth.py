"""What became of a solar cell, under the names of the run file's /simulation/results."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.world.sweep_truth import holds, hysteresis, steady_maximum, sweeps

if TYPE_CHECKING:
    from cryoctl_simulators.world.perovskite_cell import PerovskiteCell

FloatArray = npt.NDArray[np.float64]
ONSET_LOSS = 0.1
"""Share of a facet's intensity that has gone at its onset."""


def tell(
    specimen: PerovskiteCell, seen: npt.NDArray[np.float32], times_s: FloatArray, began_s: float
) -> Mapping[str, Any]:
    """`facets/...`, `cause/...`, and of this run `jv/...` (a value a sweep) and `hold/...`.

    Args:
        seen: [frame, facet] crystalline share as the frames at `times_s` saw it.
        times_s: of this run, of the frames' middles.
        began_s: of the world, when the run began.

    `onset_s` counts seconds under bias from the first of these frames on, or from the beginning where there is none,
    until a tenth of the intensity that a facet then had has gone by the bias; NaN where it has not. `rank` is 1 for the
    facet that a voltage takes first, 0 in the control layer. `jsc_a` is what the cell gives at 0 V, above 0.
    """
    facets, course = specimen.lamella.facets, specimen.cell.course.all()
    active = np.array([one.region == "active" for one in facets])
    rates = np.array([one.bias_rate_per_s for one in facets])
    intact = np.exp(-specimen.lost_to_bias(course["drive_v_s"]))[:, active].mean(axis=1)
    first_s = began_s + float(times_s[0]) if len(times_s) else 0.0
    told: dict[str, Any] = {
        "facets/name": [one.name for one in facets],
        "facets/region": [one.region for one in facets],
        "facets/time_s": times_s,
        "facets/intensity": seen.T.astype(np.float64),
        "facets/final_intensity": specimen.crystalline(),
        "facets/onset_s": np.array([_onset_s(rate, course, first_s) for rate in rates]),
        "facets/rank": _ranks(rates, active),
        "facets/rate_per_s": rates,
        "facets/dose_e_per_a2": np.array(specimen.record["dose"]),
        "facets/place_m": np.array([[one.x_m, one.y_m] for one in facets]),
    }
    told |= _cause(specimen, active)
    own = {name: values[course["since_s"] >= began_s - 1e-9] for name, values in course.items()}
    intact = intact[course["since_s"] >= began_s - 1e-9]
    found = sweeps(specimen.cell, own, intact)
    told |= {
        "jv/direction": ["forward" if one.rising else "reverse" for one in found],
        "jv/time_s": np.array([one.began_s - began_s for one in found]),
        "jv/light_w_per_m2": np.array([one.light_w_per_m2 for one in found]),
        "jv/voc_v": np.array([one.voc_v for one in found]),
        "jv/jsc_a": np.array([one.jsc_a for one in found]),
        "jv/fill_factor": np.array([one.fill_factor for one in found]),
        "jv/power_w": np.array([one.power_w for one in found]),
        "jv/hysteresis": np.array(hysteresis(found)),
    }
    held = dict(holds(specimen.cell, own, intact))
    held["time_s"] = held["time_s"] - began_s
    told |= {f"hold/{name}": values for name, values in held.items()}
    lights = np.unique(own["light_w_per_m2"][own["light_w_per_m2"] > 0])
    fresh = [steady_maximum(specimen.cell, float(light), 1.0, began_s) for light in lights]
    told |= {
        "mpp/light_w_per_m2": lights,
        "mpp/voltage_v": np.array([voltage for voltage, _ in fresh]),
        "mpp/power_w": np.array([power for _, power in fresh]),
        "cell/area_m2": specimen.parameters.lamella.area_m2,
    }
    return told


def _onset_s(rate_per_s: float, course: Mapping[str, FloatArray], first_s: float) -> float:
    if rate_per_s <= 0 or not len(course["until_s"]):
        return math.nan
    drive, biased_s = (
        course[name] - np.interp(first_s, course["until_s"], course[name], left=0.0)
        for name in ("drive_v_s", "biased_s")
    )
    wanted = -math.log(1 - ONSET_LOSS) / rate_per_s
    return float(np.interp(wanted, drive, biased_s)) if drive[-1] >= wanted else math.nan


def _ranks(rates: FloatArray, active: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    ranks = np.zeros(len(rates), dtype=np.int64)
    own = np.flatnonzero(active)
    ranks[own[np.argsort(-rates[own], kind="stable")]] = np.arange(1, len(own) + 1)
    return ranks


def _cause(specimen: PerovskiteCell, active: npt.NDArray[np.bool_]) -> Mapping[str, Any]:
    """What made the active facets amorphous; each counts from the loss that the specimen file states."""
    least = specimen.parameters.damage.counts_from
    by_beam = 1 - float(np.exp(-np.array(specimen.record["beam"]))[active].mean())
    by_bias = 1 - float(np.exp(-specimen.lost_to_bias(specimen.record["cell"]["drive_v_s"]))[active].mean())
    names = {(False, False): "none", (True, False): "beam", (False, True): "bias", (True, True): "both"}
    return {
        "cause/name": names[(by_beam >= least and by_beam > 0, by_bias >= least and by_bias > 0)],
        "cause/beam_loss": by_beam,
        "cause/bias_loss": by_bias,
    }
