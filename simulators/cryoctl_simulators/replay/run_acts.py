"""What the devices of a run did, out of its file: each act with its answer and its times."""

from __future__ import annotations

import json
import math
import re
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.errors import DeviceError, FileProblem
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.reader import Run

_BY_DEVICES = ("MoveStage", "UseOptics", "MeasureCurrent", "Insert", "Retract", "Expose")
_AS_RECORDED = (
    "ApplyBias",
    "ComputeTrace",
    "MeasureOpenCircuit",
    "NoteGap",
    "NoteHold",
    "PlaceNeedle",
    "ReadBias",
    "ReadNeedle",
    "RestBias",
    "SetBiasLimits",
    "SetNeedleVoltage",
    "StartWaveform",
    "StepNeedle",
    "StopWaveform",
    "WithdrawNeedle",
)
"""Of source and needle, refused ones too: what these had told decided that."""
SECURED = "; the run was secured"
_PROBLEM = re.compile(r"no frame came \((.*)\); the dose is charged$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """One step that a device carried out; times in s since the start of the run, `done_s` NaN where it never was."""

    kind: str
    began_s: float
    done_s: float
    outcome: str
    step: Mapping[str, Any]
    result: Mapping[str, Any]
    message: str = ""

    @property
    def was_secured(self) -> bool:
        """An interlock ended the run at the boundary before it: no device was asked."""
        return self.outcome == "refused" and self.message.endswith(SECURED)

    @property
    def detector_problem(self) -> str:
        """What a detector said where no frame came, empty otherwise."""
        found = _PROBLEM.search(self.message) if self.outcome == "lost" else None
        return found[1] if found else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureRow:
    """A row of the exposure table; `frame` counts within `stream` (-1: no picture was kept)."""

    exposure: int
    kind: str
    stream: str
    frame: int
    shape: tuple[int, int]
    scans: int
    time_s: float
    duration_s: float
    charge_c: float
    dose_e_per_a2: float
    partial: bool


class Acts:
    """Acts by kind, each given out once.

    Raises:
        FileProblem: the run file holds no steps (an older version wrote it).
    """

    def __init__(self, run: Run) -> None:
        self.all = read_acts(run)
        by_devices = [act for act in self.all if act.outcome != "refused"]  # the gate refuses before a device is asked
        self._waiting = {kind: deque(act for act in by_devices if act.kind == kind) for kind in _BY_DEVICES}
        asked = [act for act in self.all if not act.was_secured]
        self._waiting |= {kind: deque(act for act in asked if act.kind == kind) for kind in _AS_RECORDED}
        self._name = run.path.name
        self._message = str(run.entry.message)

    def next(self, kind: str, asked: Mapping[str, Any]) -> Act:
        """The next act of a kind, if it was the same that is asked for now.

        Raises:
            DeviceError: it was another one, or the run ended before it.
        """
        waiting = self._waiting[kind]
        if not waiting:
            raise DeviceError(f"replay: {self._name} holds no further {kind}: {self._message or 'the run was cut off'}")
        act = waiting.popleft()
        for field, value in asked.items():
            was = act.step.get(field)
            if not _alike(value, was):
                raise DeviceError(
                    f"replay: {kind} is asked for with {field} {value}, {self._name} did it with {was}; play it with "
                    "the recipe it was made with"
                )
        return act

    def asked_alike(self, kind: str, asked: Mapping[str, Any]) -> bool:
        """Whether the next act of a kind, if there is one, had these fields."""
        waiting = self._waiting[kind]
        return not waiting or all(_alike(value, waiting[0].step.get(field)) for field, value in asked.items())

    @property
    def left(self) -> bool:
        return any(self._waiting.values())


def read_acts(run: Run) -> tuple[Act, ...]:
    """All steps of a run in their order, those of no device too."""
    if "entry/steps" not in run:
        raise FileProblem(f"{run.path.name}: holds no steps, an older version wrote it; it can be shown, not replayed")
    steps = run.steps
    lines = np.asarray(steps.records, dtype=np.uint8).tobytes().decode().splitlines()
    acts: list[Act] = []
    columns = (steps.time_s, steps.done_s, steps.outcome, lines)
    for began_s, done_s, outcome, line in zip(*columns, strict=True):
        told = json.loads(line)
        acts.append(
            Act(
                kind=str(told["step"]["is"]),
                began_s=float(began_s),
                done_s=float(done_s),
                outcome=str(outcome),
                step=told["step"],
                result=told["result"] or {},
                message=str((told["error"] or {}).get("message", "")),
            )
        )
    return tuple(acts)


def read_rows(run: Run) -> tuple[ExposureRow, ...]:
    """The exposure table, with each picture's number within its stream."""
    table = run.exposures
    numbers = [int(number) for number in table.exposure]
    frames: dict[int, tuple[str, int]] = {}
    for stream in ("image", "search", "focus", "track"):
        if stream in run:
            exposures = cast(Sequence[Any], getattr(run, stream).exposure)
            frames |= {int(exposure): (stream, frame) for frame, exposure in enumerate(exposures)}
    rows: list[ExposureRow] = []
    for row, exposure in enumerate(numbers):
        stream, frame = frames.get(exposure, ("", -1))
        rows.append(
            ExposureRow(
                exposure=exposure,
                kind=str(table.kind[row]),
                stream=stream,
                frame=frame,
                shape=(int(table.shape[row][0]), int(table.shape[row][1])),
                scans=int(table.scans[row]),
                time_s=float(table.time_s[row]),
                duration_s=float(table.duration_s[row]),
                charge_c=float(table.charge_c[row]),
                dose_e_per_a2=float(table.dose_e_per_a2[row]),
                partial=str(table.outcome[row]) == "partial",
            )
        )
    return tuple(rows)


def read_monitors(run: Run, acts: Sequence[Act]) -> dict[str, tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]]:
    """Times and values by monitor, what the protocol read of them included."""
    found: dict[str, dict[float, float]] = {}
    if "entry/monitors" in run:
        for name in run.monitors:
            trace = run.monitors[name]
            found[name] = dict(zip(map(float, trace.time_s), map(float, trace.value), strict=True))
    fields = {"temperature": "temperature_k", "nitrogen": "nitrogen", "pressure": "pressure_pa"}
    of_source = {"bias_voltage": "voltage_v", "bias_current": "current_a"}
    for act in acts:
        if act.kind in ("ReadSensors", "ReadBias") and act.result:
            for name, field in (fields if act.kind == "ReadSensors" else of_source).items():
                value = number(act.result.get(field))
                if math.isfinite(value):
                    found.setdefault(name, {})[number(act.result["time_s"])] = value
    return {name: _sorted(trace) for name, trace in found.items()}


def event_times(run: Run, event: str, level: str = "") -> list[float]:
    """Of all events of a kind, and of a level where one is named."""
    columns = zip(run.events.time_s, run.events.event, run.events.level, strict=True)
    return [float(time_s) for time_s, kind, grade in columns if kind == event and level in ("", grade)]


def read_interlocks(run: Run) -> tuple[tuple[str, str, float, float], ...]:
    """Name, what was found, from when and until when of each interlock that was met."""
    found: list[tuple[str, str, float, float]] = []
    events = run.events
    for time_s, event, name, message in zip(events.time_s, events.event, events.name, events.message, strict=True):
        if event != "interlock":
            continue
        if str(message).startswith("cleared"):
            last = [k for k, one in enumerate(found) if one[0] == name][-1:]
            for k in last:
                found[k] = (*found[k][:3], float(time_s))
        else:
            found.append((str(name), str(message), float(time_s), math.inf))
    return tuple(found)


def sampling_s(run: Run, acts: Sequence[Act]) -> float:
    """How long a reading of the biasing source took: the time between steps, during which only monitors were read."""
    if "entry/monitors/bias_voltage" not in run or len(acts) < 3:
        return 0.0
    gaps = [after.began_s - before.done_s for before, after in pairwise(acts)]
    gaps = [gap for gap in gaps if math.isfinite(gap)]
    return round(float(np.median(gaps)), 9) if gaps else 0.0


def _sorted(trace: Mapping[float, float]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    times = np.array(sorted(trace))
    return times, np.array([trace[float(time)] for time in times])


def _alike(asked: Any, was: Any) -> bool:
    """Numbers to rounding, everything else exactly."""
    if isinstance(asked, float | int):
        one, other = float(asked), number(was)
        return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-15) or (math.isnan(one) and math.isnan(other))
    if isinstance(asked, list | tuple):
        return isinstance(was, list) and len(asked) == len(was) and all(map(_alike, asked, was))
    if isinstance(asked, Mapping):
        return isinstance(was, Mapping) and asked.keys() == was.keys() and all(_alike(asked[k], was[k]) for k in asked)
    return asked == was
