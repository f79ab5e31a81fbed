"""What a source plays by itself: segments of voltage, current or rest, each bounded in time, the whole never endless.

Each form that people speak of (ramp, pulses, cyclic voltammetry ...) is a function below that gives a `Waveform`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cryoctl.errors import RecipeError

LONGEST_S = 30 * 86400.0
"""A month: whatever lasts longer is a slip of the pen."""
MOST_SEGMENTS = 1000

Control = Literal["voltage", "current", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A straight piece from `start` to `end`, in V or A by what is controlled; in `open` nothing is, and both are 0.

    With `until_v` it ends once the voltage at the terminals has passed that, in the direction in which the current
    drives it; else, and at the latest, after `duration_s`.
    """

    duration_s: float
    control: Control
    start: float = 0.0
    end: float = 0.0
    until_v: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Waveform:
    """Segments one after another, all of them `repeats` times. `form` is what people call it.

    Raises:
        RecipeError: endless, empty, or a number that is none; one sentence.
    """

    form: str
    segments: tuple[Segment, ...]
    repeats: int = 1

    def __post_init__(self) -> None:
        if not 1 <= len(self.segments) <= MOST_SEGMENTS:
            raise _wrong(self.form, f"has {len(self.segments)} pieces, allowed are 1 to {MOST_SEGMENTS}")
        for number, one in enumerate(self.segments):
            if not 0.0 < one.duration_s < math.inf:
                raise _wrong(self.form, f"piece {number + 1} takes {one.duration_s:g} s, allowed is any time above 0")
            if not all(math.isfinite(value) for value in (one.start, one.end, one.until_v or 0.0)):
                raise _wrong(self.form, f"piece {number + 1} has a value that is no number; give numbers")
        if not self.repeats >= 1:
            raise _wrong(self.form, f"is played {self.repeats} times, allowed is once or more")
        if not self.duration_s <= LONGEST_S:
            raise _wrong(self.form, f"takes {self.duration_s:.3g} s, allowed are up to {LONGEST_S:.3g} s")

    @property
    def period_s(self) -> float:
        """Of one repeat, at the longest."""
        return math.fsum(one.duration_s for one in self.segments)

    @property
    def duration_s(self) -> float:
        """At the longest: pieces with `until_v` may end earlier."""
        return self.period_s * self.repeats

    @property
    def peak_v(self) -> float:
        """Largest voltage to either side that it asks for, limits of pieces included; 0 where it asks for none."""
        driven = [value for one in self.segments if one.control == "voltage" for value in (one.start, one.end)]
        return max((abs(value) for value in (*driven, *(one.until_v or 0.0 for one in self.segments))), default=0.0)

    @property
    def peak_a(self) -> float:
        """Largest current to either side that it asks for; 0 where it asks for none."""
        return max(
            (abs(value) for one in self.segments if one.control == "current" for value in (one.start, one.end)),
            default=0.0,
        )

    def at(self, time_s: float) -> tuple[Control, float] | None:
        """What is controlled, and its value (V or A), so long after the start; None before it and once it is over.

        As planned: where a piece has ended early by its `until_v` the rest came earlier.
        """
        if not 0.0 <= time_s < self.duration_s:
            return None
        within_s = math.fmod(time_s, self.period_s)
        for one in self.segments:
            if within_s < one.duration_s:
                return one.control, one.start + (one.end - one.start) * within_s / one.duration_s
            within_s -= one.duration_s
        last = self.segments[-1]
        return last.control, last.end


def _wrong(form: str, found: str) -> RecipeError:
    return RecipeError(f"waveform {form[:40]}: {found}")


def constant_voltage(voltage_v: float, duration_s: float) -> Waveform:
    return Waveform(form="constant-voltage", segments=(_held("voltage", voltage_v, duration_s),))


def constant_current(current_a: float, duration_s: float) -> Waveform:
    return Waveform(form="constant-current", segments=(_held("current", current_a, duration_s),))


def open_circuit(duration_s: float) -> Waveform:
    """No current is drawn; the cell's own voltage is sampled."""
    return Waveform(form="open-circuit", segments=(_held("open", 0.0, duration_s),))


def ramp(start_v: float, end_v: float, rate_v_per_s: float, hold_s: float = 0.0) -> Waveform:
    """At a rate above 0 whatever its direction, and held at its end."""
    rise = (_swept("ramp", start_v, end_v, rate_v_per_s),)
    hold = (_held("voltage", end_v, hold_s),) if hold_s else ()
    return Waveform(form="ramp", segments=rise + hold)


def steps(levels_v: Sequence[float], dwell_s: float) -> Waveform:
    """One level after the other, each for the same time."""
    return Waveform(form="steps", segments=tuple(_held("voltage", level_v, dwell_s) for level_v in levels_v))


def pulses(base_v: float, pulse_v: float, width_s: float, period_s: float, count: int) -> Waveform:
    """Each period begins with its pulse."""
    if not 0.0 < width_s < period_s:
        raise _wrong("pulses", f"a pulse of {width_s:g} s in a period of {period_s:g} s; make the period longer")
    shape = (_held("voltage", pulse_v, width_s), _held("voltage", base_v, period_s - width_s))
    return Waveform(form="pulses", segments=shape, repeats=count)


def cyclic_voltammetry(start_v: float, first_v: float, second_v: float, rate_v_per_s: float, cycles: int) -> Waveform:
    """From the start to the first vertex, to the second one, and back to the start, `cycles` times."""
    corners = [start_v, first_v, second_v, start_v]
    swept = [_swept("cyclic-voltammetry", a, b, rate_v_per_s) for a, b in pairwise(corners) if a != b]
    return Waveform(form="cyclic-voltammetry", segments=tuple(swept), repeats=cycles)


def galvanostatic_cycling(
    current_a: float, low_v: float, high_v: float, longest_s: float, cycles: int, rest_s: float = 0.0
) -> Waveform:
    """With a current to one voltage limit and with its reverse to the other, resting between.

    A current above 0 goes to the upper limit first. No half cycle lasts longer than `longest_s`.
    """
    form = "galvanostatic-cycling"
    if not low_v < high_v:
        raise _wrong(form, f"low_v {low_v:g} V is not below high_v {high_v:g} V; exchange them")
    if current_a == 0.0:
        raise _wrong(form, "current_a is 0 A, which reaches no limit; give a current")
    limits = (high_v, low_v) if current_a > 0 else (low_v, high_v)
    halves = [
        Segment(duration_s=longest_s, control="current", start=value, end=value, until_v=limit)
        for value, limit in zip((current_a, -current_a), limits, strict=True)
    ]
    pause = (_held("open", 0.0, rest_s),) if rest_s else ()
    return Waveform(form=form, segments=(halves[0], *pause, halves[1], *pause), repeats=cycles)


def points(times_s: Sequence[float], values: Sequence[float], control: Literal["voltage", "current"]) -> Waveform:
    """Straight lines between (time, value); times from 0 on, each later than the one before."""
    if len(times_s) != len(values):
        raise _wrong("points", f"{len(times_s)} times and {len(values)} values; give one value a time")
    if len(times_s) < 2:
        raise _wrong("points", "a list needs at least two points; add one")
    if not all(math.isfinite(one) for one in (*times_s, *values)):
        bad = next(k for k, pair in enumerate(zip(times_s, values, strict=True)) if not all(map(math.isfinite, pair)))
        raise _wrong("points", f"point {bad + 1} is ({times_s[bad]:g} s, {values[bad]:g}); give numbers")
    if times_s[0] != 0.0:
        raise _wrong("points", f"the first point is at {times_s[0]:g} s; begin at 0 s")
    for number, (before, after) in enumerate(pairwise(times_s)):
        if not before < after:
            raise _wrong("points", f"point {number + 2} at {after:g} s is not later than {before:g} s; sort them")
    pieces = zip(pairwise(times_s), pairwise(values), strict=True)
    return Waveform(
        form="points",
        segments=tuple(
            Segment(duration_s=after - before, control=control, start=start, end=end)
            for (before, after), (start, end) in pieces
        ),
    )


def _held(control: Control, value: float, duration_s: float) -> Segment:
    return Segment(duration_s=duration_s, control=control, start=value, end=value)


def _swept(form: str, start_v: float, end_v: float, rate_v_per_s: float) -> Segment:
    if not 0.0 < rate_v_per_s < math.inf:
        raise _wrong(form, f"rate_v_per_s is {rate_v_per_s:g} V/s, allowed is any rate above 0")
    return Segment(duration_s=abs(end_v - start_v) / rate_v_per_s, control="voltage", start=start_v, end=end_v)
