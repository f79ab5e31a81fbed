"""What a source sampled by itself: batches as the journal keeps them, and traces on the run's clock.

A batch holds, coded by zlib and base64: time stamps of the source's own clock (int64 microseconds since `start_s`, each
less the one before), then voltages and currents (float32), then where a limit held (uint8).
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.bias_trace import BiasTrace, beam_share
from cryoctl.analysis.charge import charge_at
from cryoctl.analysis.clock_fit import ClockFit, ClockReading, fit_clock
from cryoctl.errors import RunFileError

FloatArray = npt.NDArray[np.float64]
_US = 1e6
_ROW_BYTES = 8 + 4 + 4 + 1
_CLOCKS_APART_S = 5.0
"""More than a clock that runs wrong goes astray by the age of a run."""


def batch(
    source: str,
    session: int,
    period: int,
    first: int,
    time_s: FloatArray,
    voltage_v: FloatArray,
    current_a: FloatArray,
    in_compliance: npt.NDArray[np.bool_],
) -> dict[str, Any]:
    """Fields of a `samples` record; at least one sample.

    Args:
        session: counts the times that the source was switched on anew (its clock and numbers begin again).
        period: counts the times that the run switched its output on.
    """
    start_s = float(time_s[0])
    ticks = np.round((time_s - start_s) * _US).astype("<i8")
    payload = b"".join(
        (
            np.diff(ticks, prepend=0).astype("<i8").tobytes(),
            voltage_v.astype("<f4").tobytes(),
            current_a.astype("<f4").tobytes(),
            in_compliance.astype(np.uint8).tobytes(),
        )
    )
    data = base64.b64encode(zlib.compress(payload, 6)).decode("ascii")
    told = {"source": source, "session": session, "period": period, "first": first}
    return {**told, "count": len(time_s), "start_s": start_s, "data": data}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """`clock_s` is the source's own time."""

    clock_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    in_compliance: npt.NDArray[np.bool_]


def unbatch(record: Mapping[str, Any]) -> Samples:
    """The inverse of `batch`. Raises `RunFileError` where it is damaged."""
    count = int(record["count"])
    try:
        payload = zlib.decompress(base64.b64decode(record["data"], validate=True))
    except (zlib.error, binascii.Error) as error:
        raise RunFileError(
            "journal: a batch of the source's samples is damaged; use another copy of the run"
        ) from error
    if len(payload) != count * _ROW_BYTES:
        raise RunFileError("journal: a batch of the source's samples has another length than it says")
    ticks = np.cumsum(np.frombuffer(payload, "<i8", count))
    return Samples(
        clock_s=float(record["start_s"]) + ticks / _US,
        voltage_v=np.frombuffer(payload, "<f4", count, 8 * count).astype(np.float64),
        current_a=np.frombuffer(payload, "<f4", count, 12 * count).astype(np.float64),
        in_compliance=np.frombuffer(payload, np.uint8, count, 16 * count) > 0,
    )


@dataclass(slots=True)
class SourceSession:
    """From one switching-on of a source to the next: its clock and its numbers go on meanwhile."""

    batches: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])
    readings: list[ClockReading] = field(default_factory=list[ClockReading])

    @property
    def following(self) -> int:
        """Number of the first sample that is not here yet."""
        return max((int(one["first"]) + int(one["count"]) for one in self.batches), default=0)


@dataclass(frozen=True, slots=True, eq=False)
class SourceTrace:
    """All samples on the run's clock, in their order; one fit of the clock a session."""

    time_s: FloatArray
    sigma_s: FloatArray
    clock_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    in_compliance: npt.NDArray[np.bool_]
    period: npt.NDArray[np.int64]
    """Which time of its output being on."""
    fits: tuple[ClockFit, ...]

    def where(self, chosen: npt.NDArray[np.bool_]) -> SourceTrace:
        return SourceTrace(
            time_s=self.time_s[chosen],
            sigma_s=self.sigma_s[chosen],
            clock_s=self.clock_s[chosen],
            voltage_v=self.voltage_v[chosen],
            current_a=self.current_a[chosen],
            in_compliance=self.in_compliance[chosen],
            period=self.period[chosen],
            fits=self.fits,
        )


@dataclass(slots=True)
class SampledSource:
    """Everything that a journal holds of what a source sampled."""

    name: str = ""
    sessions: dict[int, SourceSession] = field(default_factory=dict[int, SourceSession])

    def take_samples(self, record: Mapping[str, Any]) -> None:
        self.name = str(record["source"])
        self.sessions.setdefault(int(record["session"]), SourceSession()).batches.append(record)

    def take_clock(self, record: Mapping[str, Any]) -> None:
        self.name = str(record["source"])
        session = self.sessions.setdefault(int(record["session"]), SourceSession())
        times = {name: float(record[name]) for name in ("device_s", "before_s", "after_s")}
        session.readings.append(ClockReading(**times))

    def traced_sessions(self) -> list[tuple[int, SourceSession]]:
        """Those whose samples have a time of the run, in their order."""
        return [(k, one) for k, one in sorted(self.sessions.items()) if one.batches and one.readings]

    def trace(self, since_s: float = -math.inf) -> SourceTrace | None:
        """None where nothing was sampled, or never read its clock. Batches that were over before `since_s` (s of the
        run) are left out."""
        parts: list[tuple[Samples, ClockFit]] = []
        periods: list[npt.NDArray[np.int64]] = []
        for _, session in self.traced_sessions():
            fit = fit_clock(session.readings)
            for one in _not_before(session.batches, float(fit.run_s(0.0)), since_s):
                parts.append((unbatch(one), fit))
                periods.append(np.full(int(one["count"]), int(one["period"])))
        if not parts:
            return None
        clock = np.concatenate([one.clock_s for one, _ in parts])
        times = [np.asarray(fit.run_s(one.clock_s)) for one, fit in parts]
        sigmas = [np.asarray(fit.sigma_s(time)) for (_, fit), time in zip(parts, times, strict=True)]
        return SourceTrace(
            time_s=np.concatenate(times),
            sigma_s=np.concatenate(sigmas),
            clock_s=clock,
            voltage_v=np.concatenate([one.voltage_v for one, _ in parts]),
            current_a=np.concatenate([one.current_a for one, _ in parts]),
            in_compliance=np.concatenate([one.in_compliance for one, _ in parts]),
            period=np.concatenate(periods),
            fits=tuple(dict.fromkeys(fit for _, fit in parts)),
        )


def _not_before(batches: Sequence[Mapping[str, Any]], zero_s: float, since_s: float) -> Sequence[Mapping[str, Any]]:
    """From the last batch on that began before `since_s`; `zero_s` is when the source's clock was at 0."""
    begun = [k for k, one in enumerate(batches) if zero_s + float(one["start_s"]) < since_s - _CLOCKS_APART_S]
    return batches[begun[-1] if begun else 0 :]


def stretch_of(
    sampled: SampledSource, since_s: float, until_s: float, open_s: Sequence[tuple[float, float]]
) -> BiasTrace:
    """Rows between two times of the run; empty where there are none.

    Args:
        open_s: when the beam was opened, and for how long.
    """
    trace = sampled.trace(since_s)
    if trace is None:
        nothing = np.zeros(0)
        return BiasTrace(
            time_s=nothing,
            voltage_v=nothing,
            current_a=nothing,
            in_compliance=np.zeros(0, dtype=np.bool_),
            beam_open=nothing,
        )
    whole = BiasTrace(
        time_s=trace.time_s,
        voltage_v=trace.voltage_v,
        current_a=trace.current_a,
        in_compliance=trace.in_compliance,
        beam_open=beam_share(trace.time_s, intervals_s(trace), open_s),
    )
    return whole.where((trace.time_s >= since_s) & (trace.time_s <= until_s))


def intervals_s(trace: SourceTrace) -> FloatArray:
    """Of each row, from one to the next while the output stayed on; 0 where it is alone."""
    found = np.zeros(len(trace.time_s))
    for period in np.unique(trace.period):
        own = trace.period == period
        if own.sum() > 1:
            found[own] = float(np.median(np.diff(trace.time_s[own])))
    return found


@dataclass(frozen=True, slots=True, eq=False)
class BiasedExposures:
    """Of each exposure: mean V and A while it lasted (the nearest sample where it was shorter than an interval), and
    the charge since the output was last switched on, with its two-sigma bound, at the exposure's end. NaN where the
    source did not sample."""

    mean_v: FloatArray
    mean_a: FloatArray
    charge_c: FloatArray
    charge_bound_c: FloatArray


def biased_exposures(
    trace: SourceTrace, began_s: Sequence[float], duration_s: Sequence[float], offset_bound_a: float
) -> BiasedExposures:
    """Args: `offset_bound_a` is what the source reads at most with nothing connected (A)."""
    starts = np.asarray(began_s, dtype=np.float64)
    ends = starts + np.nan_to_num(np.asarray(duration_s, dtype=np.float64))
    found = np.full((4, len(starts)), np.nan)
    for period in np.unique(trace.period):
        own = trace.period == period
        time, voltage, current = trace.time_s[own], trace.voltage_v[own], trace.current_a[own]
        interval_s = float(np.median(np.diff(time))) if len(time) > 1 else 0.0
        during = (ends >= time[0] - interval_s) & (starts <= time[-1] + interval_s)
        if not during.any():
            continue
        first = np.searchsorted(time, starts[during])
        last = np.searchsorted(time, ends[during])
        nearest = np.clip(np.searchsorted((time[1:] + time[:-1]) / 2, starts[during]), 0, len(time) - 1)
        alone = first >= last
        first, last = np.where(alone, nearest, first), np.where(alone, nearest + 1, last)
        for row, values in enumerate((voltage, current)):
            sums = np.concatenate([[0.0], np.cumsum(values)])
            found[row, during] = (sums[last] - sums[first]) / (last - first)
        found[2, during], found[3, during] = charge_at(ends[during], time, current, offset_bound_a=offset_bound_a)
    return BiasedExposures(mean_v=found[0], mean_a=found[1], charge_c=found[2], charge_bound_c=found[3])
