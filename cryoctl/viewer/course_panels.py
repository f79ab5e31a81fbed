"""What happened: dose on the specimen, tilt, dose and temperature over time, the spectrum, radial profiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.viewer.palette import FAINT, INK, line_colour

Array = npt.NDArray[np.float64]

_KINDS = {"record": "#1f5fa8", "track": "#d9822b", "focus": "#3a9a5b", "search": "#8a63b8", "shower": "#b23a48"}

_STRAYS = {"Cu L": 930.0, "Cu K": 8046.0, "Fe K": 6404.0, "Al K": 1487.0, "O K": 525.0, "C K": 277.0, "Si K": 1740.0}
"""Lines that grid, holder and pole piece send; named where they stand out and the recipe did not ask for them."""


def plain(axes: Any) -> None:
    """The look of every chart here."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(FAINT)
    axes.tick_params(labelsize=7.5, colors=INK, width=0.6, length=2.5)


def dose_map(axes: Any, figure: Any, dose: Any, areas: Mapping[str, Mapping[str, float]]) -> None:
    """Fluence on the specimen with the areas outlined; logarithmic, since tracking and record differ a hundredfold."""
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import withStroke

    values = np.asarray(dose.map, dtype=np.float64)
    grid = dose.grid
    step = grid.pixel_size_m * 1e6
    left, low = grid.origin_x_m * 1e6 - step / 2, grid.origin_y_m * 1e6 - step / 2
    rows, columns = values.shape
    peak = max(float(values.max()), 1.0)
    shown = axes.imshow(
        np.where(values > 0, values, np.nan),
        norm=LogNorm(max(peak * 1e-5, 0.1), peak),
        cmap="inferno",
        origin="lower",
        extent=(left, left + columns * step, low, low + rows * step),
        interpolation="nearest",
    )
    axes.set_facecolor("#f0f1f4")
    lit_rows, lit_columns = (np.flatnonzero((values > peak * 1e-5).any(axis=axis)) for axis in (1, 0))
    reach_x = [left + lit_columns[0] * step, left + (lit_columns[-1] + 1) * step] if lit_columns.size else [left]
    reach_y = [low + lit_rows[0] * step, low + (lit_rows[-1] + 1) * step] if lit_rows.size else [low]
    for name, area in areas.items():
        width, height = area["width_m"] * 1e6, area["height_m"] * 1e6
        x, y = area["x_m"] * 1e6 - width / 2, area["y_m"] * 1e6 - height / 2
        axes.add_patch(Rectangle((x, y), width, height, fill=False, edgecolor=_KINDS.get(name, INK), linewidth=1.2))
        label = axes.text(x, y + height, f" {name}", fontsize=7, color="white", va="bottom")
        label.set_path_effects([withStroke(linewidth=1.8, foreground=_KINDS.get(name, INK))])
        reach_x += [x, x + width]
        reach_y += [y, y + height]
    margin = 0.03 * (max(reach_x) - min(reach_x))
    axes.set_xlim(min(reach_x) - margin, max(reach_x) + margin)
    axes.set_ylim(min(reach_y) - margin, max(reach_y) + 3 * margin)
    axes.set_anchor("W")
    axes.set_xlabel("x along the tilt axis (\u00b5m)", fontsize=8)
    axes.set_ylabel("y (\u00b5m)", fontsize=8)
    limit = float(dose.limit_e_per_a2)
    of = f" of {limit:,.0f}" if np.isfinite(limit) else ""
    axes.set_title(f"dose: peak {peak:,.0f}{of} e\u207b/\u00c5\u00b2", fontsize=9, loc="left", pad=4)
    bar = figure.colorbar(shown, ax=axes, fraction=0.045, pad=0.02)
    bar.ax.tick_params(labelsize=7)
    bar.outline.set_visible(False)
    plain(axes)


def course(axes: Sequence[Any], exposures: Any, limit: float, monitors: Mapping[str, tuple[Array, Array]]) -> None:
    """Tilt, cumulative dose at the target and temperature over the run, one below the other."""
    kinds = np.array(list(exposures.kind))
    hours = np.asarray(exposures.time_s, dtype=np.float64) / 60.0
    record = kinds == "record"
    tilt_axes, dose_axes, monitor_axes = axes
    for kind in dict.fromkeys(kinds.tolist()):
        chosen = kinds == kind
        tilt = np.asarray(exposures.tilt_deg, dtype=np.float64)[chosen]
        size = 14 if kind == "record" else 4
        tilt_axes.scatter(hours[chosen], tilt, s=size, color=_KINDS.get(kind, FAINT), linewidth=0, label=kind)
    tilt_axes.set_ylabel("tilt (deg)", fontsize=8)
    tilt_axes.legend(fontsize=6.5, frameon=False, ncols=5, loc="lower left", bbox_to_anchor=(0, 1.0), handletextpad=0.1)
    spent = np.asarray(exposures.cumulative_dose_e_per_a2, dtype=np.float64)[record]
    if spent.size and np.isfinite(spent).any():
        dose_axes.step(hours[record], spent, where="post", color=_KINDS["record"], linewidth=1.4)
        if np.isfinite(limit):
            dose_axes.axhline(limit, color="#b23a48", linewidth=1.0, linestyle=(0, (4, 2)))
            dose_axes.text(hours.max(), limit, "limit ", fontsize=7, color="#b23a48", ha="right", va="top")
            dose_axes.set_ylim(0, limit * 1.08)
    dose_axes.set_ylabel("dose (e\u207b/\u00c5\u00b2)", fontsize=8)
    name, unit = ("temperature", "K")
    if name in monitors:
        time_s, value = monitors[name]
        monitor_axes.plot(time_s / 60.0, value, color=INK, linewidth=0.8)
        middle, reach = (
            float(np.nanmedian(value)),
            max(1.0, 1.2 * float(np.nanmax(np.abs(value - np.nanmedian(value))))),
        )
        monitor_axes.set_ylim(middle - reach, middle + reach)
    monitor_axes.set_ylabel(f"{name} ({unit})", fontsize=8)
    monitor_axes.set_xlabel("run time (min)", fontsize=8)
    for place in axes:
        plain(place)
        place.grid(axis="y", color="#e6e8ec", linewidth=0.6)
    for place in axes[:-1]:
        place.tick_params(labelbottom=False)


def spectrum(axes: Any, energy_ev: Array, counts: Array, lines_ev: Mapping[str, float]) -> None:
    """Sum of all spectra, logarithmic, each element's line marked in its colour."""
    kilo = energy_ev / 1000.0
    axes.fill_between(kilo, np.maximum(counts, 0.5), 0.5, step="post", color="#d5dae2", linewidth=0)
    axes.step(kilo, np.maximum(counts, 0.5), where="post", color=INK, linewidth=0.8)
    axes.set_yscale("log")
    top = max(float(counts.max()), 10.0)
    highest = max([*lines_ev.values(), 2000.0])
    last = float(kilo[np.flatnonzero(counts > 0)[-1]]) if (counts > 0).any() else float(kilo[-1])
    axes.set_xlim(0, min(last, max(2.2 * highest / 1000.0, 4.0)))
    axes.set_ylim(max(0.5, top * 2e-5), top * 4)
    for element, line in lines_ev.items():
        here = float(counts[min(int(np.searchsorted(energy_ev, line)), counts.size - 1)])
        axes.axvline(line / 1000.0, color=line_colour(element), linewidth=1.0, alpha=0.7)
        axes.text(
            line / 1000.0,
            max(here, 1.0) * 1.6,
            element,
            color=line_colour(element),
            fontsize=10,
            fontweight="bold",
            ha="center",
            va="bottom",
        )
    for name, line in _STRAYS.items():
        channel = int(np.searchsorted(energy_ev, line))
        if name.split()[0] in lines_ev or not 12 < channel < counts.size - 12:
            continue
        around = float(np.median(np.r_[counts[channel - 12 : channel - 8], counts[channel + 8 : channel + 12]]))
        if counts[channel] > 3 * around + 10:
            axes.text(line / 1000.0, counts[channel] * 1.5, name, fontsize=7.5, color=FAINT, ha="center", va="bottom")
    axes.set_xlabel("energy (keV)", fontsize=8)
    axes.set_ylabel("counts", fontsize=8)
    axes.set_title(f"sum spectrum: {counts.sum():,.0f} counts", fontsize=9, loc="left", pad=4)
    plain(axes)


def radial(axes: Any, profiles: Mapping[str, tuple[Array, Array, Array]]) -> None:
    """Concentration against the distance from the wire's axis, each element over its own maximum."""
    for element, (radius_m, value, sigma) in profiles.items():
        top = float(np.nanmax(value)) if np.isfinite(value).any() else 0.0
        if top <= 0:
            continue
        colour = line_colour(element)
        x = radius_m * 1e9
        axes.fill_between(x, (value - sigma) / top, (value + sigma) / top, color=colour, alpha=0.18, linewidth=0)
        style = (0, (3, 2)) if element == "HAADF" else "solid"
        axes.plot(x, value / top, color=colour, linewidth=1.5, linestyle=style, label=element)
    axes.set_ylim(-0.05, 1.12)
    axes.set_xlim(0, _last_radius_nm(profiles))
    axes.set_xlabel("distance from the wire's axis (nm)", fontsize=8)
    axes.set_ylabel("relative to maximum", fontsize=8)
    axes.set_title("radial profiles", fontsize=9, loc="left", pad=4)
    axes.legend(fontsize=7.5, frameon=False)
    plain(axes)


def _last_radius_nm(profiles: Mapping[str, tuple[Array, Array, Array]]) -> float:
    """A third beyond the radius where the last element has fallen to a twentieth."""
    reach = [
        float(radius[value > 0.05 * np.nanmax(value)][-1]) for radius, value, _ in profiles.values() if value.any()
    ]
    return 1.33e9 * max(reach, default=100e-9)


def nothing(axes: Any, sentence: str) -> None:
    """An empty panel that says why."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#d5dae2")
    axes.text(
        0.5, 0.5, sentence, transform=axes.transAxes, ha="center", va="center", fontsize=8, color=FAINT, wrap=True
    )
