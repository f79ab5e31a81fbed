"""A needle's series on one page: first and last picture with the particles outlined, areas against time and against
dose, and what was applied and flowed."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.runfile.reader import Run
from cryoctl.viewer.area_page import COLOURS, MOST_CURVES, outlined
from cryoctl.viewer.course_panels import nothing, plain
from cryoctl.viewer.palette import FAINT, INK

Float = npt.NDArray[np.float64]

SIZE_IN = (15.0, 9.2)
_MOST_SAMPLES = 2000
"""Drawn of a source: more are averaged."""


def has_particles(run: Run) -> bool:
    """Whether a run's results hold areas over time."""
    return "results" in run and "particles" in run.results and "area_m2" in run.results.particles


def draw_particles(figure: Any, run: Run) -> None:
    """Fill a figure of SIZE_IN below its header."""
    told = run.results.particles
    left = figure.add_gridspec(2, 1, left=0.03, right=0.30, top=0.87, bottom=0.05, hspace=0.13)
    for row, k in enumerate((0, len(run.image) - 1)):
        axes = figure.add_subplot(left[row])
        _picture(axes, run, k)
        axes.set_title(f"frame {k}", fontsize=9, loc="left", pad=3, color=INK)
    right = figure.add_gridspec(
        2, 2, left=0.37, right=0.97, top=0.87, bottom=0.07, hspace=0.3, wspace=0.22, height_ratios=(1.4, 1)
    )
    onset_s = _onset_s(run)
    since_s = np.asarray(told.time_s, dtype=np.float64) - (onset_s if np.isfinite(onset_s) else 0.0)
    axes = figure.add_subplot(right[0, :])
    _curves(axes, run, since_s, "time since the bias came on (s)" if np.isfinite(onset_s) else "run time (s)", True)
    if np.isfinite(onset_s):
        axes.axvline(0.0, color=FAINT, linewidth=0.9, linestyle=(0, (4, 2)))
    _curves(
        figure.add_subplot(right[1, 0]),
        run,
        np.asarray(told.dose_e_per_a2, dtype=np.float64),
        "dose so far (e\u207b/\u00c5\u00b2)",
        False,
    )
    _bias(figure.add_subplot(right[1, 1]), run, onset_s)


def _picture(axes: Any, run: Run, k: int) -> None:
    told, image = run.results.particles, run.image
    rows, columns = (int(size) for size in image.shape[k])
    y, x = np.asarray(told.y_px, dtype=np.float64), np.asarray(told.x_px, dtype=np.float64)
    areas = {
        str(name): {"y_px": y[n], "x_px": x[n], "frame": np.asarray(told.frame)} for n, name in enumerate(told.name)
    }
    labels = np.asarray(image.labels[k, :rows, :columns]) if "labels" in image else None
    picture = np.asarray(image.data[k, :rows, :columns])
    outlined(axes, picture, labels, areas, k, float(image.pixel_size_m), _bright(picture, labels))


def _bright(picture: npt.NDArray[Any], labels: npt.NDArray[np.int32] | None) -> float:
    """Grey value that is drawn white: a needle and a grid are tens of times brighter than particles."""
    particles = picture[labels > 0] if labels is not None else picture[:0]
    return 1.6 * float(np.percentile(particles, 99)) if particles.size else float(np.percentile(picture, 99.7))


def _onset_s(run: Run) -> float:
    events = run.entry.events
    on = [float(t) for t, text in zip(events.time_s, events.message, strict=True) if str(text) == "output on"]
    return on[0] if on else float("nan")


def _curves(axes: Any, run: Run, at: Float, label: str, named: bool) -> None:
    told = run.results.particles
    area, sigma = (np.asarray(told[key], dtype=np.float64) for key in ("area_m2", "area_m2_sigma"))
    onset_s = _onset_s(run)
    before = np.asarray(told.time_s, dtype=np.float64) <= (onset_s if np.isfinite(onset_s) else np.inf)
    for n, name in list(enumerate(told.name))[:MOST_CURVES]:
        first = area[n][before & np.isfinite(area[n])]
        known = first if first.size else area[n][np.isfinite(area[n])][:1]
        unit = float(known.mean()) if known.size else float("nan")
        control = bool(told.control[n])
        colour = COLOURS[n % len(COLOURS)]
        text = f"{name}{', control' if control else ''}  {_interval(told, n)}" if named else None
        low, high = ((area[n] + way * 1.96 * sigma[n]) / unit for way in (-1, 1))
        axes.fill_between(at, low, high, color=colour, alpha=0.14, linewidth=0)
        style = (0, (3, 2)) if control else "solid"
        axes.plot(at, area[n] / unit, color=colour, linewidth=1.1, linestyle=style, marker="o", ms=2.2, label=text)
        broken = [float(told[f"broken_s_{side}"][n]) for side in ("low", "high")]
        if named and np.isfinite(broken).all():
            axes.axvspan(*broken, color=colour, alpha=0.25, linewidth=0)
            axes.text(broken[1], unit / unit, " coating broken", fontsize=7, color=colour, va="bottom")
    axes.set_xlabel(label, fontsize=8)
    axes.set_ylabel("area over that before, band: 95 %", fontsize=8)
    if named:
        axes.set_title("final A/A0 and rate with their 95 % intervals", fontsize=9, loc="left", pad=4, color=INK)
        axes.legend(fontsize=7, frameon=False, loc="best")
    plain(axes)


def _interval(told: Any, n: int) -> str:
    values = [float(told[key][n]) for key in ("expansion", "expansion_low", "expansion_high")]
    if not np.isfinite(values).all():
        return ""
    text = "{:.3f} [{:.3f}, {:.3f}]".format(*values)
    rates = [float(told[f"rate_per_s{end}"][n]) for end in ("", "_low", "_high")]
    return text + ("   {:.2g} [{:.2g}, {:.2g}] /s".format(*rates) if np.isfinite(rates).all() else "")


def _bias(axes: Any, run: Run, onset_s: float) -> None:
    monitors = run.entry.monitors if "monitors" in run.entry else {}
    if "bias_voltage" not in monitors or "bias_current" not in monitors or not np.isfinite(onset_s):
        nothing(axes, "no bias was applied")
        return
    for name, target, colour, unit, factor in (
        ("bias_voltage", axes, COLOURS[0], "voltage (V)", 1.0),
        ("bias_current", axes.twinx(), COLOURS[1], "current (pA)", 1e12),
    ):
        time_s, value = (np.asarray(monitors[name][key], dtype=np.float64) for key in ("time_s", "value"))
        kept = time_s >= onset_s - 1.0
        time_s, value = _averaged(time_s[kept]), _averaged(value[kept])
        target.plot(time_s - onset_s, value * factor, color=colour, linewidth=0.8)
        target.set_ylabel(unit, fontsize=8, color=colour)
        low, high = min(0.0, float(np.min(value, initial=0.0))) * factor, float(np.max(value, initial=0.0)) * factor
        target.set_ylim(low - 0.05 * (high - low) - 1e-12, high + 0.05 * (high - low) + 1e-12)
        plain(target)
        if target is not axes:
            target.spines["right"].set_visible(True)
            target.spines["right"].set_color(FAINT)
    axes.set_xlabel("time since the bias came on (s)", fontsize=8)
    if "current" in run.results:
        axes.set_title(f"current: {run.results.current.verdict}", fontsize=9, loc="left", pad=4, color=INK)


def _averaged(values: Float) -> Float:
    """Means of as many neighbours as leave _MOST_SAMPLES."""
    width = max(1, -(-values.size // _MOST_SAMPLES))
    whole = values[: values.size // width * width]
    return whole.reshape(-1, width).mean(axis=1)
