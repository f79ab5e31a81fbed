"""The biasing source in a run file: its samples among the monitors, its clock, and what each exposure was made at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.bias_trace import beam_share
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.fold import MonitorTrace, RunFold
from cryoctl.runfile.h5 import H5Group
from cryoctl.runfile.source_samples import SourceTrace, biased_exposures, intervals_s

FloatArray = npt.NDArray[np.float64]
_SAMPLED = {"bias_voltage": "V", "bias_current": "A"}


def write_monitors(entry: H5Group, fold: RunFold) -> None:
    """/entry/monitors, and /entry/bias where the source sampled."""
    trace = fold.sampled.trace()
    open_s = fold.beam_open_s()
    names = set(fold.monitors) | (set(_SAMPLED) if trace is not None else set[str]())
    for name in sorted(names):
        monitor = entry.group(f"monitors/{name}", "NXcollection")
        read = fold.monitors.get(name)
        if trace is not None and name in _SAMPLED:
            _write_sampled(monitor, name, read, trace, open_s)
        elif read is not None:
            monitor.write("time_s", np.array(read.times_s), units="s")
            monitor.write("value", np.array(read.values), units=read.unit)
    if names:
        entry.group("monitors", "NXcollection")
    if trace is not None:
        _write_bias(entry, fold, trace)


def _write_sampled(
    monitor: H5Group,
    name: str,
    read: MonitorTrace | None,
    trace: SourceTrace,
    open_s: Sequence[tuple[float, float]],
) -> None:
    """Samples, and between the times in which there are any what the run read by itself."""
    values = trace.voltage_v if name == "bias_voltage" else trace.current_a
    times, kept = np.array([]), np.array([])
    if read is not None:
        times, kept = np.array(read.times_s), np.array(read.values)
        alone = _outside(times, trace)
        times, kept = times[alone], kept[alone]
    nothing = np.full(len(times), np.nan)
    shares = (beam_share(times, 0.0, open_s), beam_share(trace.time_s, intervals_s(trace), open_s))
    columns = {
        "time_s": np.concatenate([times, trace.time_s]),
        "value": np.concatenate([kept, values]),
        "time_sigma_s": np.concatenate([nothing, trace.sigma_s]),
        "source_time_s": np.concatenate([nothing, trace.clock_s]),
        "beam_open": np.concatenate(shares),
    }
    order = np.argsort(columns["time_s"], kind="stable")
    for column, found in columns.items():
        monitor.write(column, found[order], units={"value": _SAMPLED[name], "beam_open": "1"}.get(column, "s"))
    held = np.concatenate([np.zeros(len(times), dtype=np.bool_), trace.in_compliance])
    monitor.write("in_compliance", held[order])


def _outside(times_s: FloatArray, trace: SourceTrace) -> npt.NDArray[np.bool_]:
    """Which of these times lie in no period in which the source sampled."""
    outside = np.ones(len(times_s), dtype=np.bool_)
    for period in np.unique(trace.period):
        own = trace.time_s[trace.period == period]
        margin_s = float(np.median(np.diff(own))) if len(own) > 1 else 0.0
        outside &= (times_s < own[0] - margin_s) | (times_s > own[-1] + margin_s)
    return outside


def _write_bias(entry: H5Group, fold: RunFold, trace: SourceTrace) -> None:
    group = entry.group("bias", "NXcollection")
    group.write("source", fold.sampled.name)
    clock = group.group("clock", "NXcollection")
    for name in ("reference_s", "offset_s", "offset_sigma_s", "drift_rel", "drift_sigma"):
        values = np.array([getattr(fit, name) for fit in trace.fits])
        clock.write(name, values, **({"units": "s"} if name.endswith("_s") else {}))
    _write_fetched(group, fold)
    rows = fold.rows()
    found = biased_exposures(
        trace,
        [number(row.get("time_s")) for row in rows],
        [number(row.get("duration_s")) for row in rows],
        _offset_bound_a(fold),
    )
    group.write("mean_v", found.mean_v, units="V")
    group.write("mean_a", found.mean_a, units="A")
    group.write("charge_c", found.charge_c, units="C")
    group.write("charge_sigma_c", found.charge_bound_c / 2, units="C")


def _write_fetched(group: H5Group, fold: RunFold) -> None:
    """How samples and clock came, a row each: with it a replay has both as the run had them."""
    sessions = fold.sampled.traced_sessions()
    batches = [one for _, session in sessions for one in session.batches]
    fetched = group.group("batches", "NXcollection")
    for name in ("session", "period", "first", "count"):
        fetched.write(name, np.array([int(one[name]) for one in batches], dtype=np.int64))
    fetched.write("fetched_s", np.array([float(one["t"]) for one in batches]), units="s")
    readings = [(number, one) for number, session in sessions for one in session.readings]
    read = group.group("clock_readings", "NXcollection")
    read.write("session", np.array([number for number, _ in readings], dtype=np.int64))
    for name in ("device_s", "before_s", "after_s"):
        read.write(name, np.array([getattr(one, name) for _, one in readings]), units="s")


def _offset_bound_a(fold: RunFold) -> float:
    devices: Mapping[str, Any] = fold.head.get("devices") or {}
    told: Mapping[str, Any] = devices.get(fold.sampled.name) or {}
    return number((told.get("capabilities") or {}).get("offset_a", 0.0))
