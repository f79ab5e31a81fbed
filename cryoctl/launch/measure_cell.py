"""`measure jv` and `measure diffraction`: curves and facets of a cell, out of what its run recorded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.bias_trace import BiasTrace
from cryoctl.analysis.cause import weigh_causes
from cryoctl.analysis.facet_decline import facet_order
from cryoctl.analysis.facets import facet_series
from cryoctl.analysis.jv import dark_current, find_sweeps, jv_curves
from cryoctl.errors import BadInput
from cryoctl.launch.measure import is_run
from cryoctl.launch.volume_files import read_stack
from cryoctl.recipe.loading import parse_recipe
from cryoctl.runfile.reader import Run, open_run

Float = npt.NDArray[np.float64]

CONTROL = "control"
BIASED_ABOVE_V = 0.05
"""What a source does not reach is no bias."""


def measure_jv(path: Path, *, area_m2: float | None = None) -> dict[str, Any]:
    """Every sweep that a run's source sampled, those in the dark for the offset of its current.

    Raises:
        BadInput: no run, or one without samples or sweeps.
    """
    _check_run(path, "jv")
    with open_run(path) as run:
        trace = trace_of(run)
        light_s, light = _light(run)
    columns: dict[str, list[Any]] = {}
    curves: list[dict[str, Any]] = []
    dark: dict[str, Any] = {}
    for first, end in find_sweeps(trace):
        rows = trace.where((np.arange(len(trace)) >= first) & (np.arange(len(trace)) < end))
        shining = _light_at(light_s, light, float(rows.time_s[0]))
        if shining == 0.0 and len(light_s):
            dark = dark or dark_current(trace=rows)
            continue
        offset_a = float(dark.get("offset_a", 0.0))
        sigma_a = float(dark.get("offset_a_sigma", 0.0))
        found = jv_curves(
            trace=rows,
            offset_a=offset_a if math.isfinite(offset_a) else 0.0,
            offset_sigma_a=sigma_a if math.isfinite(sigma_a) else 0.0,
            area_m2=area_m2,
        )
        if not np.isfinite([*found.get("voc_v", ()), *found.get("jsc_a", ())]).any():
            continue  # on the way to rest
        told = {"light_w_per_m2": [shining] * len(found.get("direction", ())), **found}
        for name, column in told.items():
            columns.setdefault(name, []).extend(column)
        blanked = rows.blanked()
        curves.append(
            {
                "light_w_per_m2": shining,
                "since_s": float(rows.time_s[0]),
                "until_s": float(rows.time_s[-1]),
                "voltage_v": blanked.voltage_v.tolist(),
                "current_a": (blanked.current_a - offset_a).tolist(),
            }
        )
    if not columns and not dark:
        raise BadInput(f"{path.name}: the source swept no voltage over 0.3 V or more; give a run with a curve in it")
    shortfalls = (
        {} if dark else {"offset": f"{path.name}: no sweep in the dark; the source's own offset is not taken off"}
    )
    return {"jv": columns, "dark": dark, "curves": curves, "shortfalls": shortfalls}


def measure_diffraction(
    path: Path, *, facets: Sequence[Mapping[str, Any]] = (), pixel_size_m: float | None = None
) -> dict[str, Any]:
    """Intensity of each facet over the record pictures of a run, by region, with order and cause; of a stack [frame, y,
    x] the intensities alone.

    Args:
        facets: name and spacing_m of each; of a run those of its recipe where none is given.

    Raises:
        BadInput: no facets are named, or none is seen.
    """
    if not is_run(path):
        return _of_stack(path, facets, pixel_size_m)
    with open_run(path) as run:
        wanted = list(facets) or _facets_of_recipe(run)
        if "image" not in run or len(run.image) == 0:
            raise BadInput(f"{path.name}: it holds no record frame, so there is no facet to measure")
        size_m = pixel_size_m if pixel_size_m is not None else float(run.image.pixel_size_m)
        found: dict[str, dict[str, Any]] = {}
        shortfalls: dict[str, str] = {}
        for region in dict.fromkeys(str(one) for one in run.image.target):
            series = _series_of(run, region, wanted, size_m)
            if series["name"]:
                found[region] = series
            if series["missing"]:
                shortfalls[region] = f"not seen in the {region} region: {', '.join(series['missing'])}"
    if not found:
        raise BadInput(f"{path.name}: none of the facets {', '.join(str(one['name']) for one in wanted)} is seen")
    active = next((region for region in found if region != CONTROL), "")
    report: dict[str, Any] = {"diffraction": found, "shortfalls": shortfalls}
    if active:
        both = {"active": _declining(found[active], biased=True)}
        if CONTROL in found:
            both["control"] = _declining(found[CONTROL], biased=False)
        report["order"], report["cause"] = facet_order(**both), weigh_causes(**both)
    return report


def _of_stack(path: Path, facets: Sequence[Mapping[str, Any]], pixel_size_m: float | None) -> dict[str, Any]:
    if not facets:
        raise BadInput("--facet: a stack does not name its facets; give each, like --facet 100=0.628nm")
    stack = read_stack(path, pixel_size_m)
    if stack.data.ndim != 3:
        raise BadInput(f"{path.name}: shape {stack.data.shape}; pictures [frame, y, x] are needed")
    series = facet_series(*stack.data, facets=facets, pixel_size_m=stack.voxel_size_m)
    if not series["name"]:
        raise BadInput(f"{path.name}: none of the facets {', '.join(str(one['name']) for one in facets)} is seen")
    missing = {"stack": f"not seen: {', '.join(series['missing'])}"} if series["missing"] else {}
    return {"diffraction": {path.stem: series}, "shortfalls": missing}


def _series_of(run: Run, region: str, facets: Sequence[Mapping[str, Any]], pixel_size_m: float) -> dict[str, Any]:
    image, table = run.image, run.exposures
    own = [k for k, one in enumerate(image.target) if str(one) == region]
    rows, columns = (int(size) for size in image.shape[own[0]])
    exposure = [int(image.exposure[k]) for k in own]
    number = {int(one): row for row, one in enumerate(table.exposure)}
    at = [number[one] for one in exposure]
    shift = np.stack([np.asarray(table.image_shift_y_m)[at], np.asarray(table.image_shift_x_m)[at]], axis=1)
    series = facet_series(
        *(np.asarray(image.data[k, :rows, :columns], dtype=np.float64) for k in own),
        facets=facets,
        pixel_size_m=pixel_size_m,
        moved_m=(shift - shift[0]).tolist(),
    )
    dose = np.asarray(table.cumulative_dose_e_per_a2)[at] - np.asarray(table.dose_e_per_a2)[at] / 2
    times = np.asarray(table.time_s, dtype=np.float64)[at]
    biased = _biased_s(run, float(np.asarray(image.time_s).min()), times)
    return {
        **series,
        "frame": own,
        "time_s": times.tolist(),
        "dose_e_per_a2": dose.tolist(),
        "bias_s": biased.tolist() if region != CONTROL else [0.0] * len(own),
    }


def _biased_s(run: Run, since_s: float, times_s: Float) -> Float:
    """Seconds from the first picture on in which the source drove a voltage, until each of these times."""
    if "monitors/bias_voltage/beam_open" not in run.entry:
        return np.zeros(len(times_s))
    trace = trace_of(run)
    step_s = np.diff(trace.time_s, append=trace.time_s[-1:])
    step_s = np.where(step_s > 10 * max(float(np.median(step_s)), 1e-9), 0.0, step_s)
    biased = (np.abs(trace.voltage_v) > BIASED_ABOVE_V) & (trace.time_s >= since_s)
    return np.interp(times_s, trace.time_s, np.cumsum(step_s * biased))


def _declining(series: Mapping[str, Any], *, biased: bool) -> dict[str, Any]:
    seconds = series["bias_s"] if biased else [0.0] * len(series["frame"])
    return {
        "name": series["name"],
        "intensity": series["intensity"],
        "sigma": series["intensity_sigma"],
        "dose_e_per_a2": series["dose_e_per_a2"],
        "bias_s": seconds,
    }


def _facets_of_recipe(run: Run) -> list[Mapping[str, Any]]:
    recipe = parse_recipe(str(run.entry.recipe), run.path.name, ())
    found = cast("list[Mapping[str, Any]]", recipe.parameters.get("facets") or [])
    if not found:
        raise BadInput("--facet: the run's recipe names no facets; give each, like --facet 100=0.628nm")
    return list(found)


def trace_of(run: Run) -> BiasTrace:
    """What the source of a run sampled.

    Raises:
        BadInput: nothing, or by a version that did not say when the beam was on.
    """
    if "monitors/bias_voltage/beam_open" not in run.entry:
        raise BadInput(f"{run.path.name}: holds no samples of a source that say whether the beam was on; run it again")
    voltage, current = run.monitors["bias_voltage"], run.monitors["bias_current"]
    sampled = np.isfinite(np.asarray(voltage.source_time_s))
    also = np.isfinite(np.asarray(current.source_time_s))
    return BiasTrace(
        time_s=np.asarray(voltage.time_s, dtype=np.float64)[sampled],
        voltage_v=np.asarray(voltage.value, dtype=np.float64)[sampled],
        current_a=np.asarray(current.value, dtype=np.float64)[also],
        in_compliance=np.asarray(voltage.in_compliance, dtype=np.bool_)[sampled],
        beam_open=np.asarray(voltage.beam_open, dtype=np.float64)[sampled],
    )


def _light(run: Run) -> tuple[Float, Float]:
    if "monitors/light" not in run.entry:
        return np.zeros(0), np.zeros(0)
    monitor = run.monitors["light"]
    return np.asarray(monitor.time_s, dtype=np.float64), np.asarray(monitor.value, dtype=np.float64)


def _light_at(times_s: Float, values: Float, time_s: float) -> float:
    """The last reading until then; NaN where there is none."""
    place = int(np.searchsorted(times_s, time_s, side="right")) - 1
    return float(values[place]) if place >= 0 else math.nan


def _check_run(path: Path, what: str) -> None:
    if not is_run(path):
        raise BadInput(f"{path.name}: is no run file; measure {what} needs a run, whose source has sampled")
