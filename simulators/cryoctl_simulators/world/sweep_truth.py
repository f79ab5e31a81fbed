"""What current-voltage sweeps of a cell would tell without noise and with the beam off it, from its course."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.world.photovoltaic import Photovoltaic

FloatArray = npt.NDArray[np.float64]
Course = Mapping[str, FloatArray]
_LEAST_SPAN_V = 0.3
_LEAST_ROWS = 4
_POINTS = 24
"""Of the curve, in each stretch of the course."""
_GRID = 240
_SAME_S = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """One way through the voltages, in the light from short to open circuit or back; `power_w` is the largest that the
    cell gave. In the dark there is none of all these: NaN."""

    began_s: float
    rising: bool
    light_w_per_m2: float
    voc_v: float
    jsc_a: float
    power_w: float

    @property
    def fill_factor(self) -> float:
        whole = self.voc_v * self.jsc_a
        return self.power_w / whole if whole > 0 else math.nan


def sweeps(cell: Photovoltaic, course: Course, intact: FloatArray) -> list[Sweep]:
    """In the order of time; `intact` [row] is the share of the active layer that no voltage has made amorphous.

    A way that goes past 0 V, and in the light past open circuit, is a sweep; any other is none.
    """
    found: list[Sweep] = []
    for rows in _ways(course):
        voltages, currents = _curve(cell, course, intact, rows)
        power = -voltages * currents
        lit = course["light_w_per_m2"][rows[0]] > 0
        if not _comes_by(voltages) or (lit and not _comes_by(currents)):
            continue
        found.append(
            Sweep(
                began_s=float(course["since_s"][rows[0]]),
                rising=bool(voltages[-1] > voltages[0]),
                light_w_per_m2=float(course["light_w_per_m2"][rows[0]]),
                voc_v=_where(currents, voltages, 0.0) if lit else math.nan,
                jsc_a=-_where(voltages, currents, 0.0) if lit else math.nan,
                power_w=_peak(power)[1] if lit else math.nan,
            )
        )
    return found


def hysteresis(found: Sequence[Sweep]) -> list[float]:
    """Of each: how much less power the rising one of a pair gave than the falling one, relative; NaN without a pair.

    Two that follow each other in the same light, one rising and one falling, are a pair.
    """
    told, paired = [math.nan] * len(found), False
    for number, (one, other) in enumerate(pairwise(found)):
        if paired or one.rising == other.rising or one.light_w_per_m2 != other.light_w_per_m2:
            paired = False
            continue
        rising, falling = (one, other) if one.rising else (other, one)
        told[number] = told[number + 1] = (falling.power_w - rising.power_w) / falling.power_w
        paired = True
    return told


def steady_maximum(cell: Photovoltaic, light_w_per_m2: float, intact: float, time_s: float) -> tuple[float, float]:
    """Voltage (V) and largest power (W) once the ions have followed, the beam off."""
    generated = cell.generated_a(light_w_per_m2, 0.0, (intact, 1.0))
    if generated <= 0:
        return math.nan, 0.0
    highest_v = float(cell.diode(generated, time_s).voltage_v(np.zeros(1))[0])
    voltages = np.linspace(0.0, highest_v, _GRID)
    currents = cell.diode(generated * cell.collects(voltages), time_s).current_a(voltages)
    place, power_w = _peak(-voltages * currents)
    return float(np.interp(place, np.arange(_GRID), voltages)), power_w


def holds(cell: Photovoltaic, course: Course, intact: FloatArray) -> Mapping[str, FloatArray]:
    """Middles and durations (s), voltage, power given with the beam off, and the most that could have been, of what the
    source drove in the light and was no sweep."""
    lasted_s = course["until_s"] - course["since_s"]
    driven = (course["current_a"] != 0) & (course["light_w_per_m2"] > 0)
    for rows in _ways(course):
        driven[rows] = False
    held = np.flatnonzero(driven)
    times = course["since_s"][held] + lasted_s[held] / 2
    power, maximum = np.zeros(held.size), np.zeros(held.size)
    for index, row in enumerate(held):
        voltage, light = course["voltage_v"][row], float(course["light_w_per_m2"][row])
        ions = cell.ions_at(times[index : index + 1], course["since_s"][row], course["ion_v"][row], voltage)
        generated = cell.generated_a(light, 0.0, (float(intact[row]), 1.0)) * cell.collects(ions)
        current = cell.diode(generated, float(times[index])).current_a(np.array([voltage]))
        power[index] = -voltage * current[0]
        maximum[index] = steady_maximum(cell, light, float(intact[row]), float(times[index]))[1]
    return {
        "time_s": times,
        "duration_s": lasted_s[held],
        "voltage_v": course["voltage_v"][held],
        "power_w": power,
        "maximum_w": maximum,
    }


def _ways(course: Course) -> list[npt.NDArray[np.int64]]:
    """Rows of each stretch of time in which a driven voltage went one way, by more than a little."""
    voltage, count = course["voltage_v"], len(course["voltage_v"])
    if count < _LEAST_ROWS:
        return []
    step = np.sign(np.diff(voltage))
    joined = np.abs(course["since_s"][1:] - course["until_s"][:-1]) < _SAME_S
    joined &= course["light_w_per_m2"][1:] == course["light_w_per_m2"][:-1]
    driven = course["current_a"] != 0
    joined &= driven[1:] & driven[:-1] & (step != 0)
    goes_on = np.append(False, joined[:-1] & (step[1:] == step[:-1]))
    found: list[npt.NDArray[np.int64]] = []
    for first in np.flatnonzero(joined & ~goes_on):
        last = first + 1
        while last < count - 1 and joined[last] and step[last] == step[first]:
            last += 1
        rows = np.arange(first, last + 1)
        if rows.size >= _LEAST_ROWS and abs(voltage[last] - voltage[first]) >= _LEAST_SPAN_V:
            found.append(rows)
    return found


def _curve(
    cell: Photovoltaic, course: Course, intact: FloatArray, rows: npt.NDArray[np.int64]
) -> tuple[FloatArray, FloatArray]:
    """Voltages and currents along a way, between the middles of its stretches as a straight line."""
    since, until, middle_v = (course[name][rows] for name in ("since_s", "until_s", "voltage_v"))
    middles = (since + until) / 2
    share = (np.arange(_POINTS) + 0.5) / _POINTS
    times = since[:, None] + (until - since)[:, None] * share
    voltages = np.interp(times, middles, middle_v)
    for end, inner, beyond in ((0, 1, times < middles[0]), (-1, -2, times > middles[-1])):
        slope = (middle_v[end] - middle_v[inner]) / (middles[end] - middles[inner])
        voltages = np.where(beyond, middle_v[end] + slope * (times - middles[end]), voltages)
    currents = np.zeros(times.shape)
    for index, row in enumerate(rows):
        light = float(course["light_w_per_m2"][row])
        ions = cell.ions_at(times[index], course["since_s"][row], course["ion_v"][row], course["voltage_v"][row])
        generated = cell.generated_a(light, 0.0, (float(intact[row]), 1.0)) * cell.collects(ions)
        currents[index] = cell.diode(generated, float(middles[index])).current_a(voltages[index])
    return voltages.ravel(), currents.ravel()


def _comes_by(values: FloatArray) -> bool:
    return bool(values.min() <= 0.0 <= values.max())


def _where(of: FloatArray, wanted: FloatArray, value: float) -> float:
    """`wanted` where `of`, which goes one way, has a value that it comes by."""
    order = np.argsort(of)
    return float(np.interp(value, of[order], wanted[order]))


def _peak(values: FloatArray) -> tuple[float, float]:
    """Place (index, between samples) and height of the maximum, by a parabola through three samples."""
    top = int(np.argmax(values))
    if not 0 < top < len(values) - 1:
        return float(top), float(values[top])
    before, at, after = (float(one) for one in values[top - 1 : top + 2])
    bend = before - 2 * at + after
    off = 0.5 * (before - after) / bend if bend < 0 else 0.0
    return top + off, at - 0.25 * (before - after) * off
