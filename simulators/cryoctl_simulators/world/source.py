"""What a source-measure unit truly does: plays its waveform on what it is connected to, and fills its own buffer.

It is integrated when it is looked at, up to then. All that it is stands in the world's record and arrays, so that it
goes on playing when the process that started it dies.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.settings import BiasSettings
from cryoctl_simulators.world.cell import Cell, Load, Straight
from cryoctl_simulators.world.noise import cut_normal, generator
from cryoctl_simulators.world.source_circuit import FloatArray, Meter, Terminals, terminals

BIAS_BUFFER = ((65536, 4), "<f8")
"""Ring of samples: time of the source's clock, V, A, limited."""
BIAS_LOG = ((8192, 4), "<f8")
"""Acts: time of the world, V, A, output on."""
COMPLETE, TRIPPED = "complete", "compliance"
_SWITCHED_ON = {
    "compliance_a": 1e-4,
    "off_mode": "zero-volts",
    "output_on": False,
    "control": "voltage",
    "value": 0.0,
    "playing": None,
    "ended": "",
    "restarted": True,
    "total": 0,
    "due_s": math.inf,
    "jump": None,
}
"""As the maker set it; what a restart brings back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HiddenSource:
    """Drawn once a world: its clock against true time, and what it reads with nothing connected."""

    clock_offset_s: float = 0.0
    clock_drift_rel: float = 0.0
    offset_a: float = 0.0


def draw(settings: BiasSettings, seed: int, hidden: bool, given: Mapping[str, Any]) -> HiddenSource:
    """Each cut at two of its stated sigmas; `given` are the `simulation.clocks.DEVICE` fields of the source."""
    rng = generator(seed, "hidden", "bias")
    on = 1.0 if hidden else 0.0
    offset_s = settings.clock_offset_s + on * cut_normal(rng, settings.clock_offset_sigma_s)
    drift = on * cut_normal(rng, settings.clock_drift_sigma_rel)
    return HiddenSource(
        clock_offset_s=float(given.get("offset_s", offset_s)),
        clock_drift_rel=float(given.get("drift_rel", drift)),
        offset_a=on * cut_normal(rng, settings.offset_a / 2),
    )


class Source:
    """Its times are the world's. `record` is its part of the world's record, `buffer` and `log` arrays of it."""

    def __init__(
        self,
        settings: BiasSettings,
        hidden: HiddenSource,
        record: dict[str, Any],
        buffer: FloatArray,
        log: FloatArray,
        seed: int,
        cell: Cell,
    ) -> None:
        self.settings = settings
        self.hidden = hidden
        self.record = record
        self.cell = cell
        self.shorted_ohm: Callable[[], float | None] = lambda: None
        """A fault that shorts what is connected: what then remains of its resistance."""
        self._buffer = buffer
        self._log = log
        self._meter = Meter(settings, seed, hidden.offset_a)
        if "output_on" not in record:
            record |= {**_SWITCHED_ON, "restarted": False, "off_mode": self.rest_mode, "compliance_a": 1e-7}
            record |= {"voltage_limit_v": min(10.0, self.widest_v), "switched_on_s": 0.0, "sessions": 0}
            record |= {"interval_s": self.least_interval_s, "advanced_s": 0.0, "logged": 0}

    @property
    def widest_v(self) -> float:
        """The limit that it can hold to either side."""
        low, high = self.settings.voltage_range_v
        return min(-low, high)

    @property
    def rest_mode(self) -> str:
        return "high-impedance" if self.settings.has_high_impedance_off else "zero-volts"

    @property
    def least_interval_s(self) -> float:
        return self.aperture_s + self.settings.overhead_s

    @property
    def aperture_s(self) -> float:
        return self.settings.integration_cycles / self.settings.line_hz

    def clock_s(self, time_s: Any) -> Any:
        """Its own clock at these times, which began when it was switched on."""
        since_s = time_s - self.record["switched_on_s"]
        return since_s * (1 + self.hidden.clock_drift_rel) + self.hidden.clock_offset_s

    # Acts

    def restart(self, time_s: float) -> None:
        """It lost its power for a moment."""
        self.advance(time_s)
        self.record |= {**_SWITCHED_ON, "voltage_limit_v": self.widest_v, "interval_s": self.least_interval_s}
        self.record |= {"switched_on_s": time_s, "sessions": self.record["sessions"] + 1}
        self._note(time_s)

    def switch(self, on: bool, time_s: float, ended: str = "") -> None:
        self.advance(time_s)
        before = self.now(time_s)
        self.record |= {"output_on": on, "playing": None, "ended": ended}
        self.record["due_s"] = time_s + self.aperture_s / 2 if on else math.inf
        if not on:
            self.record |= {"control": "voltage", "value": 0.0}
        self._jumped(time_s, before)
        self._note(time_s)

    def drive(self, control: str, value: float, time_s: float) -> None:
        """A set point (V or A)."""
        self.advance(time_s)
        before = self.now(time_s)
        self.record |= {"control": control, "value": value, "playing": None}
        if self.record["output_on"]:
            self._jumped(time_s, before)
            self._note(time_s)

    def play(self, waveform: Mapping[str, Any], time_s: float) -> None:
        """Segments as plain values (`duration_s control start end until_v`; `steps` where it is a stair of so many
        levels), and `repeats`."""
        self.advance(time_s)
        before = self.now(time_s)
        first = waveform["segments"][0]
        self.record |= {"control": first["control"], "value": first["start"], "output_on": True, "ended": ""}
        self.record |= {"playing": {**waveform, "segment": 0, "repeat": 0, "began_s": time_s}}
        self.record["due_s"] = time_s + self.aperture_s / 2
        self._jumped(time_s, before)
        self._note(time_s)

    # Time

    def advance(self, time_s: float) -> None:
        """Integrate up to this time of the world."""
        record = self.record
        while (at_s := float(record["advanced_s"])) < time_s:
            end_s = min(time_s, at_s + self.cell.step_s)
            playing = record["playing"]
            if playing is not None:
                end_s = min(end_s, playing["began_s"] + playing["segments"][playing["segment"]]["duration_s"])
            if not math.nextafter(at_s, math.inf) <= end_s:
                end_s = math.nextafter(at_s, math.inf)
            self._integrate(at_s, end_s)
            record["advanced_s"] = end_s
            if playing is not None:
                self._next_segment(end_s)

    def _integrate(self, since_s: float, until_s: float) -> None:
        record = self.record
        times = np.array([since_s, (since_s + until_s) / 2])
        middle = self._terminals(times)
        self.cell.carry(since_s, until_s, float(middle.voltage_v[1]), float(middle.current_a[1]))
        if not record["output_on"] or record["due_s"] >= until_s:
            return
        count = math.ceil((until_s - record["due_s"]) / record["interval_s"] - 1e-9)
        due = record["due_s"] + record["interval_s"] * np.arange(max(0, count))
        self._sample(due[due < until_s])

    def _sample(self, times_s: FloatArray) -> None:
        if not times_s.size:
            return
        record, first = self.record, int(self.record["total"])
        true = self._terminals(times_s)
        voltage, current = self._blended(times_s, true)
        noise = self._meter.noise_of(f"session {record['sessions']}", first, len(times_s))
        voltage, current = self._meter.read(voltage, current, record["compliance_a"], noise)
        rows = np.column_stack([self.clock_s(times_s), voltage, current, true.limited])
        places = (first + np.arange(len(times_s))) % len(self._buffer)
        self._buffer[places] = rows
        record["total"] = first + len(times_s)
        record["due_s"] = float(times_s[-1]) + record["interval_s"]

    def _blended(self, times_s: FloatArray, true: Terminals) -> tuple[FloatArray, FloatArray]:
        """Of a step at the terminals the integration averages over, and the source needs its time to settle."""
        jump = self.record["jump"]
        if jump is None:
            return true.voltage_v, true.current_a
        after_s = times_s - jump["time_s"]
        left = np.clip(0.5 - after_s / self.aperture_s, 0.0, 1.0)
        settling = np.exp(-np.maximum(after_s - self.aperture_s / 2, 0.0) / self.settings.settle_s)
        rest = np.maximum(left, np.where(after_s > self.aperture_s / 2, settling * self.settings.settle_share, 0.0))
        return true.voltage_v - rest * jump["voltage_v"], true.current_a - rest * jump["current_a"]

    def _jumped(self, time_s: float, before: Terminals) -> None:
        """A step: the sample that its integration is still open for is of both sides."""
        now = self.now(time_s)
        step_v = float(now.voltage_v[0] - before.voltage_v[0])
        step_a = float(now.current_a[0] - before.current_a[0])
        self.record["jump"] = {"time_s": time_s, "voltage_v": step_v, "current_a": step_a}
        last = int(self.record["total"]) - 1
        if last >= 0:
            row = self._buffer[last % len(self._buffer)]
            late = self.clock_s(time_s) - row[0]
            share = 0.5 - late / self.aperture_s
            if late >= 0.0 and share > 0.0:
                row[1:3] += share * np.array([step_v, step_a])

    def _next_segment(self, time_s: float) -> None:
        record, playing = self.record, self.record["playing"]
        one = playing["segments"][playing["segment"]]
        over_s = playing["began_s"] + one["duration_s"]
        if time_s < over_s and not self._passed(one, time_s):
            return
        before = self._terminals(np.array([math.nextafter(time_s, -math.inf)]))
        playing["segment"] += 1
        if playing["segment"] == len(playing["segments"]):
            playing["segment"], playing["repeat"] = 0, playing["repeat"] + 1
        if playing["repeat"] >= playing["repeats"]:
            record |= {"playing": None, "output_on": False, "ended": COMPLETE, "due_s": math.inf}
            record |= {"control": "voltage", "value": 0.0}
        else:
            following = playing["segments"][playing["segment"]]
            playing["began_s"] = min(time_s, over_s)
            record |= {"control": following["control"], "value": following["start"]}
        self._jumped(time_s, before)
        self._note(time_s)

    def _passed(self, one: Mapping[str, Any], time_s: float) -> bool:
        until_v = one["until_v"]
        if until_v is None:
            return False
        voltage = float(self._terminals(np.array([time_s])).voltage_v[0])
        return voltage >= until_v if one["start"] > 0 else voltage <= until_v

    # What is there

    def now(self, time_s: float) -> Terminals:
        """True voltage and current at the terminals."""
        return self._terminals(np.array([time_s]))

    def reading(self, time_s: float) -> tuple[float, float, bool]:
        """A single one: V, A, and whether a limit holds."""
        true = self.now(time_s)
        noise = self._meter.noise_at(time_s)
        voltage, current = self._meter.read(true.voltage_v, true.current_a, self.record["compliance_a"], noise)
        return float(voltage[0]), float(current[0]), bool(true.limited[0])

    def emf_v(self, time_s: float) -> float:
        """Open-circuit voltage as it is."""
        return float(self._load(np.array([time_s])).voltage_v(np.zeros(1))[0])

    def samples(self, since: int, time_s: float) -> tuple[int, int, npt.NDArray[np.float64]]:
        """Number of the first one, of all so far, and rows (clock, V, A, limited) whose integration is over."""
        total = int(self.record["total"])
        over_s = self.clock_s(time_s - self.aperture_s / 2)
        first = max(since, total - len(self._buffer), 0)
        rows = self._buffer[np.arange(first, max(first, total)) % len(self._buffer)]
        while len(rows) and rows[-1, 0] > over_s:
            rows, total = rows[:-1], total - 1
        return first, total, rows.copy()

    def _load(self, times_s: FloatArray) -> Load:
        """What is connected, with the leads; while it is shorted, what remains of it."""
        short_ohm = self.shorted_ohm()
        load = self.cell.load(times_s) if short_ohm is None else Straight(0.0, short_ohm)
        return load.behind(self.settings.lead_ohm)

    def _terminals(self, times_s: FloatArray) -> Terminals:
        record, load = self.record, self._load(times_s)
        if not record["output_on"]:
            if record["off_mode"] == "high-impedance":
                return terminals("open", np.zeros(len(times_s)), load, 0.0, 0.0)
            return terminals("voltage", np.zeros(len(times_s)), load, math.inf, record["compliance_a"])
        value = self._wanted(times_s)
        return terminals(record["control"], value, load, record["voltage_limit_v"], record["compliance_a"])

    def _wanted(self, times_s: FloatArray) -> FloatArray:
        """What it is told to source (V or A)."""
        record = self.record
        playing = record["playing"]
        if playing is None:
            return np.full(len(times_s), float(record["value"]))
        one = playing["segments"][playing["segment"]]
        share = _stepped(np.clip((times_s - playing["began_s"]) / one["duration_s"], 0.0, 1.0), one.get("steps"))
        return np.asarray(one["start"] + (one["end"] - one["start"]) * share)

    def playing_value(self, time_s: float) -> float:
        """The set point (V or A) that it has come to."""
        return float(self._wanted(np.array([time_s]))[0])

    def _note(self, time_s: float) -> None:
        """Into the log of acts, for the truth."""
        index = int(self.record["logged"])
        if index < len(self._log):
            at = self.now(time_s)
            self._log[index] = (time_s, at.voltage_v[0], at.current_a[0], float(self.record["output_on"]))
            self.record["logged"] = index + 1

    def acts(self) -> npt.NDArray[np.float64]:
        """Rows (time of the world, V, A, output on)."""
        return self._log[: int(self.record["logged"])].copy()


def _stepped(share: FloatArray, steps: int | None) -> FloatArray:
    """Of a segment: how far between its ends it is, in a stair of so many levels or straight."""
    if steps is None:
        return share
    level = np.minimum(np.floor(share * steps * (1 + 1e-12)), steps - 1)
    return np.asarray(level / max(steps - 1, 1), dtype=np.float64)
