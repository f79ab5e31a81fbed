"""A solar cell on one page: its current-voltage curves, or the intensities of its facets against dose and bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.viewer.area_page import COLOURS
from cryoctl.viewer.course_panels import nothing, plain
from cryoctl.viewer.palette import FAINT, INK, PAPER

Float = npt.NDArray[np.float64]


def draw_curves(out: Path, name: str, report: Mapping[str, Any]) -> None:
    """Draw what `measure jv` reports into a .png, .pdf or .svg."""
    figure, (axes,) = _page(f"{name}: current-voltage curves", 1)
    curves_against_voltage(axes, report)
    figure.savefig(out, dpi=130, facecolor=PAPER)


def draw_facets(out: Path, name: str, report: Mapping[str, Any]) -> None:
    """Draw what `measure diffraction` reports into a .png, .pdf or .svg."""
    figure, panels = _page(f"{name}: intensity of the facets", 2)
    intensities(panels, report["diffraction"])
    cause: Mapping[str, Any] = report.get("cause") or {}
    if cause.get("found"):
        figure.text(0.98, 0.955, f"cause: {cause['name']} ({max(cause['probability']):.3f})", ha="right", color=INK)
    figure.savefig(out, dpi=130, facecolor=PAPER)


def curves_against_voltage(axes: Any, report: Mapping[str, Any]) -> None:
    """What `measure jv` reports: a colour for the curves on each side of a hold, a line style for each direction."""
    curves: Sequence[Mapping[str, Any]] = report["curves"]
    named = set[str]()
    for one, block in zip(curves, _blocks(curves), strict=True):
        voltage_v, current_pa = np.asarray(one["voltage_v"]), np.asarray(one["current_a"]) * 1e12
        light = float(f"{one['light_w_per_m2']:.2g}")
        for direction, rows in _directions(voltage_v):
            label = f"{_when(block, max(_blocks(curves)))}{direction}, {light:g} W/m$^2$"
            axes.plot(
                voltage_v[rows],
                current_pa[rows],
                lw=0.9,
                color=COLOURS[block % len(COLOURS)],
                linestyle="solid" if direction == "reverse" else (0, (3, 2)),
                label="_" if label in named else label,
            )
            named.add(label)
    if not curves:
        nothing(axes, "no curve in the light")
        return
    columns: Mapping[str, Sequence[Any]] = report["jv"]
    most = [abs(value) for value in columns.get("jsc_a", ()) if np.isfinite(value)]
    if most:
        axes.set_ylim(-1.25e12 * max(most), 1.25e12 * max(most))
    axes.axhline(0.0, color=FAINT, lw=0.8)
    axes.axvline(0.0, color=FAINT, lw=0.8)
    _labelled(axes, "voltage (V)", "current into the cell (pA)")


def _blocks(curves: Sequence[Mapping[str, Any]]) -> list[int]:
    """Which sweeps follow one another without a pause: 0 for the first of them, and so on."""
    found: list[int] = []
    for earlier, later in pairwise((None, *curves)):
        assert later is not None
        if earlier is None:
            found.append(0)
            continue
        lasted_s = later["until_s"] - later["since_s"]
        found.append(found[-1] + (later["since_s"] - earlier["until_s"] > lasted_s))
    return found


def _when(block: int, last: int) -> str:
    if last == 0:
        return ""
    return {0: "before, ", last: "after, "}.get(block, f"{block + 1}., ")


def _directions(voltage_v: Float) -> list[tuple[str, slice]]:
    """Of a sweep there and back: the part that rises (forward) and the part that falls (reverse)."""
    turn = int(voltage_v.argmax())
    parts = (("forward", slice(0, turn + 1)), ("reverse", slice(turn, None)))
    return [(name, rows) for name, rows in parts if len(voltage_v[rows]) > 2]


def intensities(panels: Sequence[Any], regions: Mapping[str, Mapping[str, Any]]) -> None:
    """Of the facets of each region, against dose in the first panel and against time under bias in the second."""
    for axes, quantity, label in zip(
        panels, ("dose_e_per_a2", "bias_s"), ("dose (e\u207b/\u00c5\u00b2)", "time under bias (s)"), strict=True
    ):
        for number, (region, series) in enumerate(regions.items()):
            against = np.asarray(series.get(quantity, np.arange(len(series["intensity"][0]))))
            if quantity == "bias_s" and quantity in series and not against.any():
                continue  # a control has no time under bias
            for row, facet in enumerate(series["name"]):
                values, sigma = np.asarray(series["intensity"][row]), np.asarray(series["intensity_sigma"][row])
                axes.errorbar(
                    against,
                    values / np.nanmean(values[:2]),
                    sigma / np.nanmean(values[:2]),
                    fmt="o" if number == 0 else "s",
                    ms=3,
                    lw=0.6,
                    mfc=COLOURS[row % len(COLOURS)] if number == 0 else PAPER,
                    color=COLOURS[row % len(COLOURS)],
                    label=f"{facet}, {region}",
                )
        _labelled(axes, label, "intensity over that of the first two pictures")


def _page(title: str, panels: int) -> tuple[Any, tuple[Any, ...]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * panels + 1, 5.2), facecolor=PAPER)
    FigureCanvasAgg(figure)
    figure.text(0.03, 0.955, title, fontsize=12, color=INK, fontweight="bold")
    grid = figure.add_gridspec(1, panels, left=0.12 / panels, right=0.98, top=0.90, bottom=0.12, wspace=0.22)
    return figure, tuple(figure.add_subplot(grid[0, k]) for k in range(panels))


def _labelled(axes: Any, along: str, up: str) -> None:
    axes.set_xlabel(along, fontsize=8, color=INK)
    axes.set_ylabel(up, fontsize=8, color=INK)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=7, frameon=False)
    plain(axes)
