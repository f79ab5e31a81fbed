"""A solar cell on one page: its current-voltage curves, or the intensities of its facets against dose and bias."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.viewer.area_page import COLOURS
from cryoctl.viewer.course_panels import nothing, plain
from cryoctl.viewer.palette import FAINT, INK, PAPER


def draw_curves(out: Path, name: str, report: Mapping[str, Any]) -> None:
    """Draw what `measure jv` reports into a .png, .pdf or .svg."""
    figure, (axes,) = _page(f"{name}: current-voltage curves", 1)
    for number, one in enumerate(report["curves"]):
        label = f"sweep {number + 1}, {one['light_w_per_m2']:.0f} W/m^2"
        current = np.asarray(one["current_a"]) * 1e12
        axes.plot(one["voltage_v"], current, lw=0.8, color=COLOURS[number % len(COLOURS)], label=label)
    if not report["curves"]:
        nothing(axes, "no curve in the light")
    columns: Mapping[str, list[Any]] = report["jv"]
    most = [-value for value in columns.get("jsc_a", ()) if np.isfinite(value)]
    if most:
        axes.set_ylim(1.25e12 * min(most), -1.25e12 * min(most))
    axes.axhline(0.0, color=FAINT, lw=0.8)
    axes.axvline(0.0, color=FAINT, lw=0.8)
    axes.set_xlabel("voltage (V)", color=INK)
    axes.set_ylabel("current into the cell (pA)", color=INK)
    _close(figure, axes, out)


def draw_facets(out: Path, name: str, report: Mapping[str, Any]) -> None:
    """Draw what `measure diffraction` reports into a .png, .pdf or .svg."""
    figure, panels = _page(f"{name}: intensity of the facets", 2)
    regions: Mapping[str, Mapping[str, Any]] = report["diffraction"]
    for axes, quantity, label in zip(
        panels, ("dose_e_per_a2", "bias_s"), ("dose (e-/A^2)", "time under bias (s)"), strict=True
    ):
        for number, (region, series) in enumerate(regions.items()):
            against = np.asarray(series.get(quantity, np.arange(len(series["intensity"][0]))))
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
        axes.set_xlabel(label, color=INK)
        axes.set_ylabel("intensity over that of the first two pictures", color=INK)
    cause: Mapping[str, Any] = report.get("cause") or {}
    if cause.get("found"):
        figure.text(0.98, 0.955, f"cause: {cause['name']} ({max(cause['probability']):.3f})", ha="right", color=INK)
    for axes in panels:
        _close(figure, axes, out)


def _page(title: str, panels: int) -> tuple[Any, tuple[Any, ...]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.5 * panels + 1, 5.2), facecolor=PAPER)
    FigureCanvasAgg(figure)
    figure.text(0.03, 0.955, title, fontsize=12, color=INK, fontweight="bold")
    grid = figure.add_gridspec(1, panels, left=0.12 / panels, right=0.98, top=0.90, bottom=0.12, wspace=0.22)
    return figure, tuple(figure.add_subplot(grid[0, k]) for k in range(panels))


def _close(figure: Any, axes: Any, out: Path) -> None:
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(fontsize=8, frameon=False)
    plain(axes)
    figure.savefig(out, dpi=130, facecolor=PAPER)
