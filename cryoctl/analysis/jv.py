"""Current-voltage curves of a cell: open-circuit voltage, short-circuit current, fill factor, power, hysteresis.

The source's sign holds: a current that flows into the cell is positive, so that an illuminated cell has a negative one
at 0 V and gives the power -V I. Rows with the beam open or with a limit of the source holding are left out: what the
beam generates (EBIC) is found by `beam_current` alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.bias_trace import BLANKED, OPEN, BiasTrace
from cryoctl.analysis.blas_threads import one_blas_thread
from cryoctl.analysis.charge import noise_sigma_a

FloatArray = npt.NDArray[np.float64]

DEGREES = (3, 5, 7)
"""Of the polynomials that a curve is taken to be near one of its points: the one that tells most there is used."""
_WINDOWS_V = (0.02, 0.03, 0.045, 0.07, 0.1, 0.15, 0.2, 0.28, 0.4)
"""Half widths; the widest is used in which further powers of the polynomial gain nothing but noise."""
_AROUND_V = 0.15
"""Within which the noise is found."""
_BENT = 8.0
"""By how many variances two further powers may bring down the sum of squares, which noise alone does by two."""
_LEAST_ROWS = 8
_MORE_ROWS = 5
"""Than a polynomial has powers."""
_NOISE_ROWS = 3
"""From which noise is told."""
LEAST_SPAN_V = 0.3
_GAP = 4.0
"""Intervals between rows that make a stop."""
_TURN_ROWS = 12
_LOOKS = 12
"""At a flat maximum, each where the one before had its highest point, until that is in the middle."""
_CENTRED = 0.2
_SMOOTHED = 9
"""Rows over which a first guess is averaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Local:
    """A polynomial about `at_v` in units of `half_v`, its coefficients from the constant on, and their covariance."""

    at_v: float
    half_v: float
    coefficients: FloatArray
    covariance: FloatArray

    def value(self, voltage_v: float) -> tuple[float, float]:
        """Value and its sigma."""
        powers = ((voltage_v - self.at_v) / self.half_v) ** np.arange(len(self.coefficients))
        return float(powers @ self.coefficients), math.sqrt(max(float(powers @ self.covariance @ powers), 0.0))

    def slope(self, voltage_v: float) -> float:
        x = (voltage_v - self.at_v) / self.half_v
        orders = np.arange(1, len(self.coefficients))
        return float((orders * self.coefficients[1:]) @ x ** (orders - 1)) / self.half_v


@one_blas_thread
def dark_current(*, trace: BiasTrace) -> dict[str, Any]:
    """What is read at 0 V without light and without the beam: the source's own offset, and the cell's slope there.

    `offset_a` NaN where the sweep does not pass 0 V.
    """
    rows = trace.blanked()
    near = _local(rows.voltage_v, rows.current_a, 0.0)
    if near is None:
        return {"offset_a": math.nan, "offset_a_sigma": math.nan, "shunt_ohm": math.nan}
    offset_a, sigma_a = near.value(0.0)
    slope = near.slope(0.0)
    return {"offset_a": offset_a, "offset_a_sigma": sigma_a, "shunt_ohm": 1 / slope if slope > 0 else math.inf}


@one_blas_thread
def jv_curves(
    *, trace: BiasTrace, offset_a: float = 0.0, offset_sigma_a: float = 0.0, area_m2: float | None = None
) -> dict[str, Any]:
    """Of a sweep there and back: columns with a row a direction, in their order.

    `hysteresis` is (P reverse - P forward) / P reverse of the maximum powers, in both rows. A quantity that the
    sweep does not reach is NaN.

    Args:
        offset_a: is taken off each current, with `offset_sigma_a` its uncertainty.
        area_m2: of the device; with it the short-circuit current is given as a density as well.
    """
    rows = [_sweep(direction, part, offset_a, offset_sigma_a) for direction, part in _directions(trace)]
    powers = {row["direction"]: (row["mpp_w"], row["mpp_w_noise"]) for row in rows}
    index, sigma = _hysteresis(powers)
    found: dict[str, Any] = {name: [row[name] for row in rows] for name in rows[0]} if rows else {}
    found.pop("mpp_w_noise", None)
    found |= {"hysteresis": [index] * len(rows), "hysteresis_sigma": [sigma] * len(rows)}
    if area_m2 is not None:
        for name in ("jsc_a", "jsc_a_sigma"):
            found[name.replace("jsc_a", "jsc_a_per_m2")] = [value / area_m2 for value in found.get(name, ())]
    return found


def _hysteresis(powers: Mapping[str, tuple[float, float]]) -> tuple[float, float]:
    if set(powers) != {"forward", "reverse"}:
        return math.nan, math.nan
    (forward, forward_sigma), (reverse, reverse_sigma) = powers["forward"], powers["reverse"]
    if not reverse > 0:
        return math.nan, math.nan
    ratio = forward / reverse
    return 1 - ratio, math.hypot(forward_sigma, ratio * reverse_sigma) / reverse


def find_sweeps(trace: BiasTrace) -> list[tuple[int, int]]:
    """First row and end (the row after the last) of each way up and back, or down and back, through the voltages; of a
    single way where the way back is missing. Ways of less than `LEAST_SPAN_V` are none."""
    ways = _ways(trace)
    found: list[tuple[int, int]] = []
    while ways:
        first, end, rising = ways.pop(0)
        if ways and ways[0][2] is not rising and ways[0][0] - end <= _TURN_ROWS:
            end = ways.pop(0)[1]
        found.append((first, end))
    return found


def _ways(trace: BiasTrace) -> list[tuple[int, int, bool]]:
    """Rows in which the voltage goes one way at an even rate, and whether it rises."""
    if len(trace) < 2 * _LEAST_ROWS:
        return []
    step_s, step_v = np.diff(trace.time_s), np.diff(trace.voltage_v)
    interval_s = float(np.median(step_s))
    noise_v = max(noise_sigma_a(trace.voltage_v), 1e-7)
    apart = _averaged(step_v)
    way = np.where(np.abs(apart) > noise_v, np.sign(apart), 0.0)
    way[step_s > _GAP * interval_s] = 0.0
    edges = np.flatnonzero(np.diff(np.concatenate([[0.0], way, [0.0]])) != 0)
    found: list[tuple[int, int, bool]] = []
    for first, end in pairwise(edges):
        rows = trace.voltage_v[first : end + 1]
        if way[first] and len(rows) >= _LEAST_ROWS and abs(float(rows[-1] - rows[0])) >= LEAST_SPAN_V:
            found.append((int(first), int(end) + 1, bool(way[first] > 0)))
    return found


def _directions(trace: BiasTrace) -> list[tuple[str, BiasTrace]]:
    """The rows on the way up (forward) and down (reverse), the one at the turn left out."""
    if len(trace) < 2 * _LEAST_ROWS:
        return []
    voltage = trace.voltage_v
    up_first = float(voltage[: len(voltage) // 8 + 2].mean()) < float(voltage.mean())
    turn = int(voltage.argmax() if up_first else voltage.argmin())
    number = np.arange(len(voltage))
    names = ("forward", "reverse") if up_first else ("reverse", "forward")
    parts = (trace.where(number < turn), trace.where(number > turn))
    return [(name, part) for name, part in zip(names, parts, strict=True) if len(part) >= _LEAST_ROWS]


def _sweep(direction: str, trace: BiasTrace, offset_a: float, offset_sigma_a: float) -> dict[str, Any]:
    rows = trace.blanked()
    voltage, current = rows.voltage_v, rows.current_a - offset_a
    found: dict[str, Any] = {"direction": direction, "rows": len(rows), "rows_left_out": len(trace) - len(rows)}
    found["began_s"] = float(trace.time_s[0])
    found["rate_v_per_s"] = _rate(trace)
    jsc_a, jsc_sigma = _at_zero(voltage, current)
    voc_v, voc_sigma, voc_slope = _crossing(voltage, current)
    mpp_v, mpp_w, mpp_noise = _maximum_power(voltage, current)
    jsc_sigma = math.hypot(jsc_sigma, offset_sigma_a)
    voc_sigma = math.hypot(voc_sigma, offset_sigma_a / voc_slope if voc_slope > 0 else math.nan)
    mpp_sigma = math.hypot(mpp_noise, mpp_v * offset_sigma_a)
    fill, fill_sigma = math.nan, math.nan
    if voc_v > 0 and jsc_a > 0 and mpp_w > 0:  # a cell that gives nothing has none
        fill = mpp_w / (voc_v * jsc_a)
        fill_sigma = fill * math.hypot(mpp_sigma / mpp_w, voc_sigma / voc_v, jsc_sigma / jsc_a)
    return found | {
        "voc_v": voc_v,
        "voc_v_sigma": voc_sigma,
        "jsc_a": jsc_a,
        "jsc_a_sigma": jsc_sigma,
        "fill_factor": fill,
        "fill_factor_sigma": fill_sigma,
        "mpp_v": mpp_v,
        "mpp_w": mpp_w,
        "mpp_w_sigma": mpp_sigma,
        "mpp_w_noise": mpp_noise,
    }


def _rate(trace: BiasTrace) -> float:
    lasted_s = float(trace.time_s[-1] - trace.time_s[0])
    return float(trace.voltage_v[-1] - trace.voltage_v[0]) / lasted_s if lasted_s > 0 else math.nan


def _at_zero(voltage_v: FloatArray, current_a: FloatArray) -> tuple[float, float]:
    near = _local(voltage_v, current_a, 0.0)
    if near is None:
        return math.nan, math.nan
    value, sigma = near.value(0.0)
    return -value, sigma


def _crossing(voltage_v: FloatArray, current_a: FloatArray) -> tuple[float, float, float]:
    """Voltage above 0 at which no current flows, its sigma, and the slope of the current there (A/V)."""
    order = np.argsort(voltage_v, kind="stable")
    voltage, current = voltage_v[order], _averaged(current_a[order])
    above = voltage > 0
    through = np.flatnonzero(above[1:] & (current[:-1] < 0) & (current[1:] >= 0))
    if not through.size:
        return math.nan, math.nan, math.nan
    guess = float(voltage[through[-1]])
    near = _local(voltage_v, current_a, guess)
    for _ in range(20):
        if near is None or not near.slope(guess) > 0:
            return math.nan, math.nan, math.nan
        step = near.value(guess)[0] / near.slope(guess)
        guess -= step
        if abs(guess - near.at_v) > near.half_v:
            return math.nan, math.nan, math.nan
        if abs(step) < 1e-9:
            break
    assert near is not None
    slope = near.slope(guess)
    return guess, near.value(guess)[1] / slope, slope


def _maximum_power(voltage_v: FloatArray, current_a: FloatArray) -> tuple[float, float, float]:
    """Voltage and power (W) at the maximum of -V I, and the sigma of the power by noise."""
    power = -voltage_v * current_a
    order = np.argsort(voltage_v, kind="stable")
    smooth = _averaged(power[order])
    if not smooth.size or not smooth.max() > 0:
        return math.nan, math.nan, math.nan
    guess = float(voltage_v[order][int(smooth.argmax())])
    for _ in range(_LOOKS):
        near = _local(voltage_v, power, guess)
        if near is None:
            break
        fine = near.at_v + near.half_v * np.linspace(-1, 1, 2001)
        values = np.polynomial.polynomial.polyval((fine - near.at_v) / near.half_v, near.coefficients)
        top = int(values.argmax())
        guess = float(fine[top])
        if abs(guess - near.at_v) <= _CENTRED * near.half_v:
            return (guess, *near.value(guess))
    return math.nan, math.nan, math.nan


def _averaged(values: FloatArray) -> FloatArray:
    if len(values) < _SMOOTHED:
        return values
    padded = np.pad(values, _SMOOTHED // 2, mode="edge")
    return np.convolve(padded, np.full(_SMOOTHED, 1 / _SMOOTHED), mode="valid")


def _local(voltage_v: FloatArray, values: FloatArray, at_v: float) -> _Local | None:
    """The polynomial through the rows around a voltage that is surest there, in a window that it describes.

    None where the rows don't lie on both sides.
    """
    around = np.abs(voltage_v - at_v) <= _AROUND_V
    voltage_noise, value_noise = noise_sigma_a(voltage_v[around]), noise_sigma_a(values[around])
    best: _Local | None = None
    for degree in DEGREES:
        found: _Local | None = None
        for half_v in _WINDOWS_V:
            chosen = np.abs(voltage_v - at_v) <= half_v
            if chosen.sum() < degree + _MORE_ROWS or not (voltage_v[chosen].min() < at_v < voltage_v[chosen].max()):
                continue
            richer = np.vander((voltage_v[chosen] - at_v) / half_v, degree + 3, increasing=True)
            design = richer[:, : degree + 1]
            inverse = np.linalg.pinv(design)
            coefficients = inverse @ values[chosen]
            scatter = _scatter(design, values[chosen])
            slopes = design[:, :-1] @ (coefficients[1:] * np.arange(1, degree + 1)) / half_v
            variance = value_noise**2 + float(np.mean(slopes**2)) * voltage_noise**2
            if found is not None and scatter - _scatter(richer, values[chosen]) > _BENT * variance:
                break
            variance = max(scatter / (int(chosen.sum()) - degree - 1), variance)
            found = _Local(
                at_v=at_v, half_v=half_v, coefficients=coefficients, covariance=variance * (inverse @ inverse.T)
            )
        if found is not None and (best is None or found.value(at_v)[1] < best.value(at_v)[1]):
            best = found
    return best


def _scatter(design: FloatArray, values: FloatArray) -> float:
    """Sum of squares that the best fit leaves."""
    left = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return float(left @ left)


def held_power(*, trace: BiasTrace, offset_a: float = 0.0, settle_s: float = 0.0) -> dict[str, Any]:
    """Mean V, A and power (W) with the beam blanked, once `settle_s` have passed since the first row; `rows` 0 and NaN
    where there is no such row. The power's sigma is NaN where they are too few to tell their noise."""
    rows = trace.where(trace.time_s >= (trace.time_s[0] + settle_s if len(trace) else 0.0)).blanked()
    nothing = math.nan
    if not len(rows):
        return {"voltage_v": nothing, "current_a": nothing, "power_w": nothing, "power_w_sigma": nothing, "rows": 0}
    voltage_v, current_a = float(rows.voltage_v.mean()), float(rows.current_a.mean()) - offset_a
    power = -rows.voltage_v * (rows.current_a - offset_a)
    sigma = noise_sigma_a(power) / math.sqrt(len(rows)) if len(rows) >= _NOISE_ROWS else nothing
    return {
        "voltage_v": voltage_v,
        "current_a": current_a,
        "power_w": float(power.mean()),
        "power_w_sigma": sigma,
        "rows": len(rows),
    }


@one_blas_thread
def beam_current(*, trace: BiasTrace) -> dict[str, Any]:
    """What the beam adds to the current (EBIC): rows with the beam open all along against rows with it blanked all
    along, a steady drift of the current taken off; at `voltage_v`. Its sign is the source's.

    `found` is false where there are too few of either, or the difference is below two sigma.
    """
    rows = trace.where(~trace.in_compliance & ((trace.beam_open == BLANKED) | (trace.beam_open == OPEN)))
    is_open = rows.beam_open == OPEN
    nothing = {"found": False, "ebic_a": math.nan, "ebic_a_sigma": math.nan, "voltage_v": math.nan}
    counts = {"rows_open": int(is_open.sum()), "rows_blanked": int((~is_open).sum())}
    if min(counts.values()) < 3:
        return nothing | counts
    away_s = rows.time_s - rows.time_s.mean()
    design = np.column_stack([np.ones(len(rows)), away_s / max(float(np.abs(away_s).max()), 1e-9), is_open])
    inverse = np.linalg.pinv(design)
    coefficients = inverse @ rows.current_a
    left = rows.current_a - design @ coefficients
    variance = np.where(is_open, _variance(left[is_open]), _variance(left[~is_open]))
    covariance = (inverse * variance) @ inverse.T
    ebic_a, sigma_a = float(coefficients[2]), math.sqrt(float(covariance[2, 2]))
    told = {"ebic_a": ebic_a, "ebic_a_sigma": sigma_a, "voltage_v": float(rows.voltage_v.mean())}
    return {"found": abs(ebic_a) > 2 * sigma_a, **told, **counts}


def _variance(left: FloatArray) -> float:
    """Of residuals that may go on for a while: what a scan meets line by line counts as often as it is new."""
    if len(left) < 3:
        return float(np.mean(left**2))
    centred = left - left.mean()
    power = float(centred @ centred)
    together = 1.0
    for lag in range(1, len(left) // 3):
        share = float(centred[lag:] @ centred[:-lag]) / power if power > 0 else 0.0
        if share <= 0.05:
            break
        together += 2 * share
    return power / (len(left) - 1) * together
