"""A waveform as source-measure units play it: levels held for whole sampling intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cryoctl.errors import OutOfRange, Refused
from cryoctl.interfaces.bias import BiasLimits
from cryoctl.interfaces.waveform import Segment, Waveform

_SLACK = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Stair:
    """Levels (V or A) one after another, each for `ticks` sampling intervals; with `until_v` there is one level, which
    ends at the first tick at which the voltage has passed that (above it where `rising`)."""

    levels: tuple[float, ...]
    ticks: int
    until_v: float | None = None
    rising: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Staircase:
    """`repeats` times all stairs. A ramp is at each moment within half a step of what it should be."""

    control: Literal["voltage", "current"]
    interval_s: float
    stairs: tuple[Stair, ...]
    repeats: int

    @property
    def levels(self) -> tuple[float, ...]:
        return tuple(level for stair in self.stairs for level in stair.levels)


def check_waveform(waveform: Waveform, limits: BiasLimits, name: str) -> None:
    """
    Raises:
        OutOfRange: it goes beyond these limits.
    """
    most_v, most_a = limits.voltage_limit_v * (1 + _SLACK), limits.compliance_a * (1 + _SLACK)
    if waveform.peak_v > most_v or waveform.peak_a > most_a:
        raise OutOfRange(
            f"{name}.waveform: {waveform.form} goes to {waveform.peak_v:g} V and {waveform.peak_a:g} A, its limits are "
            f"{limits.voltage_limit_v:g} V and {limits.compliance_a:g} A; unchanged"
        )


def staircase(waveform: Waveform, interval_s: float, most_levels: int, name: str) -> Staircase:
    """
    Args:
        interval_s: shortest that is allowed; it comes out a little longer, so that a repeat is a whole number of them.
        most_levels: how many the instrument keeps.

    Raises:
        Refused: what no instrument of this kind plays by itself.
    """
    control = _control(waveform, name)
    period_s = waveform.period_s
    ticks = math.floor(period_s / interval_s * (1 + _SLACK))
    spans = _spans(waveform, period_s / max(ticks, 1)) if ticks else []
    if not ticks or min(spans) < 1:
        shortest_s = min(one.duration_s for one in waveform.segments)
        raise Refused(
            f"{name}.waveform: {waveform.form} has a piece of {shortest_s:g} s, a sample takes {interval_s:g} s; make "
            "its pieces longer or settings.integration_cycles shorter"
        )
    held = sum(_is_held(one) for one in waveform.segments)
    swept = [span for one, span in zip(waveform.segments, spans, strict=True) if not _is_held(one)]
    coarse = _coarseness(swept, most_levels - held)
    if coarse is None:
        raise Refused(
            f"{name}.waveform: {waveform.form} has {len(waveform.segments)} pieces, it keeps {most_levels} levels; "
            "make it shorter and repeat it"
        )
    pieces = [stair for one, span in zip(waveform.segments, spans, strict=True) for stair in _stairs(one, span, coarse)]
    return Staircase(
        control=control,
        interval_s=period_s / ticks,
        stairs=tuple(_joined(pieces)),
        repeats=waveform.repeats,
    )


def _control(waveform: Waveform, name: str) -> Literal["voltage", "current"]:
    """No current drawn is a current of 0 A; between voltage and current a source has to switch off."""
    for one in waveform.segments:
        if one.until_v is not None and (one.control != "current" or not _is_held(one) or one.start == 0.0):
            raise Refused(
                f"{name}.waveform: {waveform.form} waits for {one.until_v:g} V in a piece that is no constant current, "
                "this source compares the voltage in such a one only; end the piece by its duration"
            )
    driven = {one.control for one in waveform.segments}
    if "voltage" in driven and len(driven) > 1:
        raise Refused(
            f"{name}.waveform: {waveform.form} has pieces of {' and '.join(sorted(driven))} control, between which "
            "this source switches off; play them one after the other as waveforms of their own"
        )
    return "voltage" if "voltage" in driven else "current"


def _is_held(one: Segment) -> bool:
    return one.start == one.end


def _spans(waveform: Waveform, interval_s: float) -> list[int]:
    """Whole intervals of each piece: its ends are rounded, not its length, so that errors don't add up."""
    ends_s = [0.0]
    for one in waveform.segments:
        ends_s.append(ends_s[-1] + one.duration_s)
    ticks = [round(end_s / interval_s) for end_s in ends_s]
    return [after - before for before, after in pairwise(ticks)]


def _coarseness(swept: list[int], room: int) -> int | None:
    """Least number of intervals a level of a ramp, so that all levels find room."""
    if room < len(swept):
        return None
    coarse = max(1, math.ceil(sum(swept) / max(room, 1)))
    while sum(_count(span, coarse) for span in swept) > room:
        coarse += 1
    return coarse


def _count(span: int, coarse: int) -> int:
    """Levels of a ramp, the last of which may be held shorter."""
    whole, rest = divmod(span, coarse)
    return whole + (rest > 0)


def _stairs(one: Segment, span: int, coarse: int) -> list[Stair]:
    if _is_held(one):
        return [Stair(levels=(one.start,), ticks=span, until_v=one.until_v, rising=one.start > 0)]
    whole, rest = divmod(span, coarse)
    stairs: list[Stair] = []
    if whole:
        stairs.append(Stair(levels=tuple(_at(one, (k + 0.5) * coarse, span) for k in range(whole)), ticks=coarse))
    if rest:
        stairs.append(Stair(levels=(_at(one, span - rest / 2, span),), ticks=rest))
    return stairs


def _at(one: Segment, ticks: float, span: int) -> float:
    return one.start + (one.end - one.start) * ticks / span


def _joined(stairs: list[Stair]) -> list[Stair]:
    """Neighbours of one length as one stair."""
    found: list[Stair] = []
    for stair in stairs:
        alone = stair.until_v is not None or not found or found[-1].until_v is not None
        if not alone and found[-1].ticks == stair.ticks:
            found[-1] = Stair(levels=(*found[-1].levels, *stair.levels), ticks=stair.ticks)
        else:
            found.append(stair)
    return found
