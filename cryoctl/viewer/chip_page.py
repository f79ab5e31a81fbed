"""A chip's run on one page: curves before and after, the hold, facets against dose and time under bias, dose, cause."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.launch.measure_cell import measure_jv
from cryoctl.runfile.reader import Run
from cryoctl.viewer.area_page import COLOURS
from cryoctl.viewer.cell_page import curves_against_voltage, intensities
from cryoctl.viewer.course_panels import dose_map, nothing, plain
from cryoctl.viewer.palette import FAINT, INK

Float = npt.NDArray[np.float64]

SIZE_IN = (17.0, 9.6)


def has_cell(run: Run) -> bool:
    """Whether a run's results hold curves of a cell, its hold or its facets."""
    return "results" in run and any(name in run.results for name in ("jv", "hold", "facets"))


def draw_cell(figure: Any, run: Run) -> None:
    """Fill a figure of SIZE_IN below its header."""
    grid = figure.add_gridspec(2, 3, left=0.045, right=0.965, top=0.88, bottom=0.065, hspace=0.28, wspace=0.27)
    curves, hold, told = (figure.add_subplot(grid[0, k]) for k in range(3))
    _curves(curves, run)
    _hold(hold, run)
    _numbers(told, run)
    panels = tuple(figure.add_subplot(grid[1, k]) for k in range(2))
    regions = _regions(run)
    if regions:
        intensities(panels, regions)
    else:
        for axes in panels:
            nothing(axes, "no facet was measured")
    dose = figure.add_subplot(grid[1, 2])
    if "entry/dose/map_e_per_a2" in run and "exposures" in run.entry and len(run.entry.exposures.kind):
        areas = run.entry.areas if "areas" in run.entry else {}
        dose_map(dose, figure, run.dose, {name: areas[name].to_dict() for name in areas})
    else:
        nothing(dose, "nothing was exposed")


def _curves(axes: Any, run: Run) -> None:
    try:
        curves_against_voltage(axes, measure_jv(run.path))
    except BadInput:
        nothing(axes, "no curve was swept")


def _hold(axes: Any, run: Run) -> None:
    """Power and voltage at each dwell; a stroke at the foot for each exposure."""
    if "hold" not in run.results:
        nothing(axes, "the cell was not held")
        return
    held, table = run.results.hold, run.entry.exposures
    time_s = np.asarray(held.time_s, dtype=np.float64)
    power, sigma = (np.asarray(held[key], dtype=np.float64) * 1e12 for key in ("power_w", "power_w_sigma"))
    since_s = float(time_s[0])
    volts = axes.twinx()
    axes.fill_between(
        time_s - since_s, power - 1.96 * sigma, power + 1.96 * sigma, color=COLOURS[0], alpha=0.2, linewidth=0
    )
    axes.plot(time_s - since_s, power, color=COLOURS[0], linewidth=1.0)
    volts.plot(time_s - since_s, np.asarray(held.voltage_v, dtype=np.float64), color=COLOURS[1], linewidth=0.8)
    began_s = np.asarray(table.time_s, dtype=np.float64)
    lit = began_s[(began_s >= since_s) & (began_s <= time_s[-1])] - since_s
    axes.vlines(lit, 0.0, 0.03, transform=axes.get_xaxis_transform(), color=INK, linewidth=0.6)
    axes.set_xlabel("time of the hold (s); strokes: beam on", fontsize=8)
    axes.set_ylabel("power (pW), band: 95 %", fontsize=8, color=COLOURS[0])
    volts.set_ylabel("voltage (V)", fontsize=8, color=COLOURS[1])
    axes.set_title(f"hold: {held.kind}", fontsize=9, loc="left", pad=4, color=INK)
    for one in (axes, volts):
        plain(one)
    volts.spines["right"].set_visible(True)
    volts.spines["right"].set_color(FAINT)


def _regions(run: Run) -> dict[str, dict[str, Any]]:
    """By region, what `intensities` draws; a picture belongs to the region whose facets it has values of."""
    if "facets" not in run.results:
        return {}
    told = run.results.facets
    intensity, sigma = (np.asarray(told[key], dtype=np.float64) for key in ("intensity", "intensity_sigma"))
    found: dict[str, dict[str, Any]] = {}
    for region in dict.fromkeys(str(one) for one in told.region):
        rows = [k for k, one in enumerate(told.region) if str(one) == region]
        own = np.isfinite(intensity[rows]).any(axis=0)
        found[region] = {
            "name": [str(told.name[k]) for k in rows],
            "intensity": intensity[rows][:, own],
            "intensity_sigma": sigma[rows][:, own],
            "dose_e_per_a2": np.asarray(told.dose_e_per_a2, dtype=np.float64)[own],
            "bias_s": np.asarray(told.bias_s, dtype=np.float64)[own],
        }
    return {region: series for region, series in found.items() if series["intensity"].size}


def _numbers(axes: Any, run: Run) -> None:
    axes.set_axis_off()
    lines = [*_of_curves(run), *_of_hold(run), *_of_beam(run), *_of_facets(run), *_of_cause(run)]
    for row, (name, text) in enumerate(lines):
        y = 1.0 - 0.062 * row
        axes.text(0.0, y, name, fontsize=8.5, color=FAINT, va="top", transform=axes.transAxes)
        axes.text(0.30, y, text, fontsize=8.5, color=INK, va="top", transform=axes.transAxes)


def _of_curves(run: Run) -> list[tuple[str, str]]:
    """Means over the sweeps on each side of the hold."""
    if "jv" not in run.results:
        return []
    told = run.results.jv
    when = np.array([str(one) for one in told.when])
    lines: list[tuple[str, str]] = []
    for part in dict.fromkeys(when.tolist()):
        voc, jsc, fill, power, loop = (
            float(np.nanmean(np.asarray(told[key], dtype=np.float64)[when == part]))
            for key in ("voc_v", "jsc_a", "fill_factor", "mpp_w", "hysteresis")
        )
        lines += [
            (f"curves {part}", f"Voc {voc:.4f} V, Jsc {jsc * 1e12:.4g} pA, fill factor {fill:.4f}"),
            ("", f"maximum power {power * 1e12:.4g} pW, hysteresis {loop:+.4f}"),
        ]
    return lines


def _of_hold(run: Run) -> list[tuple[str, str]]:
    if "hold" not in run.results:
        return []
    mean, sigma = (float(run.results.hold[key]) * 1e12 for key in ("mean_power_w", "mean_power_w_sigma"))
    return [("power held", f"{mean:.5g} \u00b1 {sigma:.1g} pW")]


def _of_beam(run: Run) -> list[tuple[str, str]]:
    if "ebic" not in run.results or not run.results.ebic.found:
        return []
    mean, sigma = (float(run.results.ebic[key]) * 1e12 for key in ("ebic_a", "ebic_a_sigma"))
    return [("current by the beam", f"{mean:.4g} \u00b1 {sigma:.1g} pA")]


def _of_facets(run: Run) -> list[tuple[str, str]]:
    if "facets" not in run.results:
        return []
    told = run.results.facets
    ranked = sorted((int(rank), k) for k, rank in enumerate(told.rank) if rank > 0)
    lines = [
        (
            "facets fade as" if number == 0 else "",
            f"{rank}. {told.name[k]}: {1e3 * float(told.rate_per_s[k]):.3g} \u00b1 "
            f"{1e3 * float(told.rate_per_s_sigma[k]):.1g} per 1000 s of bias",
        )
        for number, (rank, k) in enumerate(ranked)
    ]
    dose = [1e3 * float(told[key]) for key in ("dose_rate_a2", "dose_rate_a2_sigma")]
    if np.isfinite(dose).all():
        lines.append(("by the beam", "{:.3g} \u00b1 {:.1g} per 1000 e\u207b/\u00c5\u00b2".format(*dose)))
    return lines


def _of_cause(run: Run) -> list[tuple[str, str]]:
    if "cause" not in run.results:
        return []
    told = run.results.cause
    shares = ", ".join(f"{name} {float(one):.3f}" for name, one in zip(told.names, told.probability, strict=True))
    return [("cause", f"{told.name}"), ("", shares)]
