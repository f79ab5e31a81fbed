"""What a run's biasing source sampled and told, as the journal had it: batches, readings of its clock, events."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from cryoctl.interfaces.bias import RecordedBias
from cryoctl.runfile.reader import Run
from cryoctl.runfile.source_samples import batch


def read_bias(run: Run) -> tuple[RecordedBias, ...]:
    """In the order of their times; samples only where the run file says how they were fetched."""
    return tuple(sorted((*_events(run), *_clock(run), *_batches(run)), key=lambda one: one.time_s))


def _events(run: Run) -> Iterator[RecordedBias]:
    events = run.events
    columns = (events.time_s, events.event, events.name, events.message, events.level, events.data)
    for time_s, event, name, message, level, data in zip(*columns, strict=True):
        if event == "bias":
            fields = {"event": "bias", "name": str(name), "message": str(message), "level": str(level)}
            yield RecordedBias(time_s=float(time_s), kind="event", fields={**fields, "data": json.loads(str(data))})


def _clock(run: Run) -> Iterator[RecordedBias]:
    if "entry/bias/clock_readings" not in run:
        return
    read = run.entry.bias.clock_readings
    for session, device_s, before_s, after_s in zip(
        read.session, read.device_s, read.before_s, read.after_s, strict=True
    ):
        times = {"device_s": float(device_s), "before_s": float(before_s), "after_s": float(after_s)}
        fields = {"source": str(run.entry.bias.source), "session": int(session), **times}
        yield RecordedBias(time_s=float(after_s), kind="clock", fields=fields)


def _batches(run: Run) -> Iterator[RecordedBias]:
    if "entry/bias/batches" not in run:
        return
    voltage, current = run.monitors.bias_voltage, run.monitors.bias_current
    of_voltage, of_current = (np.isfinite(np.asarray(one.source_time_s)) for one in (voltage, current))
    clock_s, volts = (np.asarray(one)[of_voltage] for one in (voltage.source_time_s, voltage.value))
    amperes, held = (np.asarray(one)[of_current] for one in (current.value, current.in_compliance))
    fetched = run.entry.bias.batches
    begin = 0
    for session, period, first, count, time_s in zip(
        fetched.session, fetched.period, fetched.first, fetched.count, fetched.fetched_s, strict=True
    ):
        own = slice(begin, begin := begin + int(count))
        columns = (clock_s[own], volts[own], amperes[own], held[own])
        fields = batch(str(run.entry.bias.source), int(session), int(period), int(first), *columns)
        yield RecordedBias(time_s=float(time_s), kind="samples", fields=fields)
