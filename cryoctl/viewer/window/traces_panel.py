"""Bias, current, temperature, tilt and particle areas over the run's clock, one below the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyqtgraph as pg
from PySide6.QtCore import Qt
from PySide6.QtWidgets import QLabel

from cryoctl.viewer.model.known import Known, Particles, Trace
from cryoctl.viewer.window import wording
from cryoctl.viewer.window.panel import Panel
from cryoctl.viewer.window.theme import Theme

pg.setConfigOption("antialias", True)

AREAS = "area"
_TITLES = {
    "bias_voltage": "bias",
    "bias_current": "current",
    AREAS: "particle area",
    "temperature": "temperature",
    "tilt": "tilt",
}
"""In this order, where there is anything to show."""
_TITLE_PX = 20
_OFF_V = 1e-6
_LEAST = {"K": 0.5, "deg": 1.0}
"""A row spans at least this much, so that noise does not look like an event."""


class TracesPanel(Panel):
    """A row each; those without values are left out, so is a bias that was never on."""

    def __init__(self, theme: Theme) -> None:
        super().__init__("Course")
        self._theme = theme
        self._view: Any = pg.GraphicsLayoutWidget()
        self._view.setBackground(theme.panel)
        self._view.ci.layout.setContentsMargins(0, 0, 0, 0)
        self._view.ci.layout.setSpacing(4)
        self.body.addWidget(self._view, 1)
        self.legend = QLabel("")
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setWordWrap(True)
        self.body.addWidget(self.legend)
        self._plots: dict[str, Any] = {}
        self._curves: dict[str, list[Any]] = {}

    @property
    def shown(self) -> list[str]:
        """Names of the rows, from above."""
        return list(self._plots)

    def show_known(self, known: Known) -> None:
        rows = rows_of(known)
        if rows != self.shown:
            self._lay_out(rows)
        per, unit = time_unit(known.time_s)
        for name in rows:
            if name == AREAS and known.particles is not None:
                self._draw_areas(known.particles, per)
            else:
                self._draw(name, known.traces[name], per)
        if rows:
            last = self._plots[rows[-1]]
            last.setLabel("bottom", f"run time ({unit})")
            last.setXRange(0.0, max(known.time_s / per, 1e-3), padding=0.02)
        self.note.setText("" if rows else "nothing measured yet")

    def _lay_out(self, rows: list[str]) -> None:
        self._view.clear()
        self._plots, self._curves = {}, {}
        self.legend.setText("")
        faint = self._theme.faint
        for k, name in enumerate(rows):
            plot: Any = self._view.addPlot(row=k, col=0)
            self._view.ci.layout.setRowStretchFactor(k, 3 if name == AREAS else 2)
            plot.setMenuEnabled(False)
            plot.hideButtons()
            plot.showGrid(x=False, y=True, alpha=0.15)
            for side in ("left", "bottom"):
                axis = plot.getAxis(side)
                axis.setPen(faint)
                axis.setTextPen(faint)
                axis.enableAutoSIPrefix(False)
            plot.getAxis("left").setWidth(52)
            plot.titleLabel.setMaximumHeight(_TITLE_PX)
            plot.layout.setRowFixedHeight(0, _TITLE_PX)
            if k < len(rows) - 1:
                plot.getAxis("bottom").setStyle(showValues=False)
                plot.getAxis("bottom").setHeight(6)
            if k:
                plot.setXLink(self._plots[rows[0]])
            plot.setClipToView(True)
            plot.setDownsampling(auto=True, mode="peak")
            self._plots[name] = plot

    def _draw(self, name: str, trace: Trace, per: float) -> None:
        values, unit = scaled(trace.value, trace.unit)
        if name not in self._curves:
            pen = pg.mkPen(self._theme.curve, width=2)
            if name == "tilt":
                curve = pg.PlotDataItem(pen=None, symbol="o", symbolSize=6, symbolPen=None)
                curve.setSymbolBrush(self._theme.curve)
            else:
                curve = pg.PlotDataItem(pen=pen)
            self._plots[name].addItem(curve)
            self._curves[name] = [curve]
        self._curves[name][0].setData(trace.time_s / per, values)
        latest = float(trace.value[-1]) if len(trace.value) else float("nan")
        self._title(name, unit, wording.si(latest, trace.unit))
        self._span(name, values, _LEAST.get(trace.unit, 0.0))

    def _draw_areas(self, particles: Particles, per: float) -> None:
        plot, curves = self._plots[AREAS], self._curves.setdefault(AREAS, [])
        for number in range(len(curves), len(particles.names)):
            style = Qt.PenStyle.DashLine if particles.control[number] else Qt.PenStyle.SolidLine
            curve = pg.PlotDataItem(pen=pg.mkPen(self._theme.curves(number), width=2, style=style), connect="finite")
            plot.addItem(curve)
            curves.append(curve)
        relative = relative_areas(particles)
        for curve, values in zip(curves, relative, strict=False):
            curve.setData(particles.time_s / per, values)
        latest = [f"{one[np.isfinite(one)][-1]:.3f}" if np.isfinite(one).any() else "-" for one in relative]
        named = enumerate(zip(particles.names, particles.control, latest, strict=True))
        self.legend.setText(" &nbsp; ".join(self._entry(k, name, control, area) for k, (name, control, area) in named))
        self._title(AREAS, "of its first", "")
        self._span(AREAS, relative, 0.02)

    def _entry(self, number: int, name: str, control: bool, latest: str) -> str:
        stroke, what = ("\u254d", f"{name} (control)") if control else ("\u2501", name)
        return f"<span style='color:{self._theme.curves(number)}'>{stroke}</span>&nbsp;{what}&nbsp;<b>{latest}</b>"

    def _title(self, name: str, unit: str, latest: str) -> None:
        said = f"{_TITLES[name]} <span style='color:{self._theme.faint}'>({unit})</span> &nbsp; <b>{latest}</b>"
        self._plots[name].setTitle(said, color=self._theme.ink, size="9pt", justify="left")

    def _span(self, name: str, values: Any, least: float) -> None:
        finite = values[np.isfinite(values)]
        if not finite.size:
            return
        low, high = float(finite.min()), float(finite.max())
        middle, half = (low + high) / 2, max((high - low) / 2, least / 2, 1e-12 + 1e-3 * abs(low + high) / 2)
        self._plots[name].setYRange(middle - half, middle + half, padding=0.12)
        self._plots[name].getAxis("left").setTicks([[(at, f"{at:.6g}") for at in ticks(middle - half, middle + half)]])


def rows_of(known: Known) -> list[str]:
    """What there is to show, in its order."""
    found: list[str] = []
    for name in _TITLES:
        if name == AREAS:
            present = known.particles is not None and known.particles.area_m2.size > 0
        else:
            trace = known.traces.get(name)
            present = trace is not None and bool(np.isfinite(trace.value).any())
            if name.startswith("bias_"):
                present = present and was_on(known.traces.get("bias_voltage"))
            if name == "tilt" and trace is not None and present and found:
                present = bool(np.nanmax(trace.value) - np.nanmin(trace.value) > _LEAST["deg"])
        if present:
            found.append(name)
    return found


def was_on(voltage: Trace | None) -> bool:
    """Whether a source ever gave a voltage; the current of one that never did is noise."""
    return voltage is not None and bool((np.abs(voltage.value[np.isfinite(voltage.value)]) > _OFF_V).any())


def relative_areas(particles: Particles) -> Any:
    """Each particle's area over its first one [particle, time]."""
    area = particles.area_m2
    first = np.array([one[np.isfinite(one)][0] if np.isfinite(one).any() else np.nan for one in area])
    return area / first[:, None]


def scaled(values: Any, unit: str) -> tuple[Any, str]:
    """Values in the unit that an axis shows, and its name."""
    if unit in ("K", "deg") or not len(values):
        return values, "\u00b0" if unit == "deg" else unit
    finite = np.abs(values[np.isfinite(values)])
    power = wording.exponent(float(finite.max()) if finite.size else 0.0)
    return values / 10.0**power, wording.prefixed(unit, power)


def ticks(low: float, high: float) -> list[float]:
    """Two to five round values between, for an axis that is not tall."""
    power = 10.0 ** math.floor(math.log10((high - low) / 2))
    step = max(nice * power for nice in (1, 2, 5) if nice * power <= (high - low) / 2)
    return [step * k for k in range(math.ceil(low / step), math.floor(high / step) + 1)]


def time_unit(run_s: float) -> tuple[float, str]:
    """Seconds a unit, and its name, for an axis that ends at this run time."""
    if run_s < 180:
        return 1.0, "s"
    return (60.0, "min") if run_s < 3 * 3600 else (3600.0, "h")
