"""Particles and their areas on one page: first and last picture with the particles outlined, areas against time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.viewer.course_panels import nothing, plain
from cryoctl.viewer.palette import FAINT, INK, PAPER
from cryoctl.viewer.picture_panels import scale_bar

COLOURS = ("#1f5fa8", "#d9822b", "#3a9a5b", "#8a63b8", "#b23a48", "#2b8a9a", "#8a6d3b", "#c2569b")
MOST_CURVES = 24


def draw_areas(
    out: Path,
    name: str,
    report: Mapping[str, Any],
    pictures: npt.NDArray[Any],
    labels: npt.NDArray[np.int32] | None,
) -> None:
    """Draw what `measure area` reports into a .png, .pdf or .svg."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13.0, 6.4), facecolor=PAPER)
    FigureCanvasAgg(figure)
    left = figure.add_gridspec(2, 1, left=0.03, right=0.30, top=0.90, bottom=0.06, hspace=0.16)
    chart = figure.add_subplot(figure.add_gridspec(1, 1, left=0.37, right=0.98, top=0.90, bottom=0.10)[0])
    figure.text(0.03, 0.955, f"{name}: particle areas", fontsize=12, color=INK, fontweight="bold")
    areas: Mapping[str, Mapping[str, Any]] = report["area"]
    first = areas if report["sequence"] else {}
    for row, k in enumerate((0, len(pictures) - 1)):
        axes = figure.add_subplot(left[row])
        if row == 1 and len(pictures) == 1:
            nothing(axes, "one picture")
            continue
        shown = {one: values for one, values in areas.items() if report["sequence"] or values["frame"] == k}
        outlined(axes, pictures[k], None if labels is None else labels[k], shown, k, float(report["pixel_size_m"]))
        axes.set_title(f"frame {k}", fontsize=9, loc="left", pad=3, color=INK)
    if not first or len(pictures) < 2:
        _sizes(chart, areas)
    else:
        _curves(chart, first, report)
    plain(chart)
    figure.savefig(out, dpi=130, facecolor=PAPER)


def _colour(name: str, order: Mapping[str, Any]) -> str:
    return COLOURS[list(order).index(name) % len(COLOURS)]


def outlined(
    axes: Any,
    picture: npt.NDArray[Any],
    labels: npt.NDArray[np.int32] | None,
    areas: Mapping[str, Mapping[str, Any]],
    k: int,
    pixel_size_m: float,
    white: float | None = None,
) -> None:
    """Frame `k` with the outlines of its labels and the particles' names; `areas` holds their `y_px x_px frame`, and
    `white` is the grey value that is drawn white (None: nearly the largest)."""
    from matplotlib.patheffects import withStroke

    low, high = np.percentile(picture, [0.5, 99.7])
    high = high if white is None else white
    axes.imshow(picture, cmap="gray", vmin=low, vmax=max(high, low + 1e-9), origin="lower", interpolation="nearest")
    for name, values in areas.items():
        colour = _colour(name, areas)
        y, x = (np.atleast_1d(np.asarray(values[key], dtype=np.float64)) for key in ("y_px", "x_px"))
        at = list(np.atleast_1d(values["frame"])).index(k) if k in np.atleast_1d(values["frame"]) else -1
        if at < 0 or not np.isfinite(y[at]):
            continue
        number = int(name.rsplit("p", 1)[-1]) if labels is not None else 0
        if labels is not None and (labels == number).any():
            axes.contour(labels == number, [0.5], colors=[colour], linewidths=0.9)
        text = axes.text(x[at], y[at], name[name.rfind("p") :] if number else name, color="white", fontsize=7)
        text.set(horizontalalignment="center", verticalalignment="center")
        text.set_path_effects([withStroke(linewidth=1.6, foreground=colour)])
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    scale_bar(axes, picture.shape[1], picture.shape[0], pixel_size_m)


def _curves(axes: Any, areas: Mapping[str, Mapping[str, Any]], report: Mapping[str, Any]) -> None:
    timed = report["onset_s"] is not None
    onset = float(report["onset_s"]) if timed else 0.0
    for name, values in list(areas.items())[:MOST_CURVES]:
        at = np.asarray(values["time_s"] if timed else values["frame"], dtype=np.float64) - onset
        area, sigma = (np.asarray(values[key], dtype=np.float64) * 1e18 for key in ("area_m2", "area_m2_sigma"))
        colour = _colour(name, areas)
        text = name
        if np.isfinite(values["expansion"]):
            text += f"  {values['expansion']:.3f} [{values['expansion_low']:.3f}, {values['expansion_high']:.3f}]"
        axes.fill_between(at, area - 1.96 * sigma, area + 1.96 * sigma, color=colour, alpha=0.15, linewidth=0)
        axes.plot(at, area, color=colour, linewidth=1.1, marker="o", markersize=2.4, label=text)
        if values.get("broken") and timed:
            axes.axvspan(values["broken_s_low"], values["broken_s_high"], color=colour, alpha=0.25, linewidth=0)
            axes.text(
                values["broken_s_high"], np.nanmin(area), " coating broken", fontsize=7, color=colour, va="bottom"
            )
    if timed:
        axes.axvline(0.0, color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
    axes.set_xlabel("time since the bias came on (s)" if timed else "frame", fontsize=8)
    axes.set_ylabel("area (nm$^2$), band: 95 %", fontsize=8)
    more = f", the first {MOST_CURVES} of {len(areas)}" if len(areas) > MOST_CURVES else ""
    axes.set_title(f"final area over that before, with 95 % interval{more}", fontsize=9, loc="left", pad=4, color=INK)
    axes.legend(fontsize=7, frameon=False, ncols=2 if len(areas) > 8 else 1)


def _sizes(axes: Any, areas: Mapping[str, Mapping[str, Any]]) -> None:
    """Of pictures that are no sequence: how many particles have which area."""
    values = np.concatenate([np.atleast_1d(np.asarray(one["area_m2"])) for one in areas.values()] or [np.zeros(0)])
    axes.hist(values * 1e18, bins=min(40, max(8, values.size // 6)), color=COLOURS[0])
    axes.set_xlabel("area (nm$^2$)", fontsize=8)
    axes.set_ylabel("particles", fontsize=8)
    axes.set_title(f"{values.size} particles, each picture by itself", fontsize=9, loc="left", pad=4, color=INK)
