"""A run of cryoctl as recorded data: acts in their order, pictures and events by exposure, surroundings by time."""

from __future__ import annotations

import asyncio
import json
import math
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError, FileProblem, InterlockRefused, StepLost
from cryoctl.interfaces.beam import CurrentReading, Optics, Scan
from cryoctl.interfaces.bias import RecordedBias
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.recording import RecordedSeries, Recording
from cryoctl.interfaces.stage import StageLimits, StagePosition, StageSettling
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.reader import Run, open_run
from cryoctl_simulators.replay.pace import until
from cryoctl_simulators.replay.playback import Playback, RecordedExposure
from cryoctl_simulators.replay.recorded_bias import read_bias
from cryoctl_simulators.replay.run_acts import (
    Act,
    Acts,
    ExposureRow,
    event_times,
    read_interlocks,
    read_monitors,
    read_rows,
    sampling_s,
)

_AT_THE_SAME_TIME_S = 1e-6
_OF_THE_SOURCE = ("source", "compliance")
_LONGEST_REST_S = 5.0
_SILENCE_S = 0.1
"""A lost link ends a run at once; whether it came back is not recorded."""
_FOR_EVER_S = 3600.0
"""Longer than an abort that was recorded lets anything go on."""


class RunLayout:
    """An entry point of the group `cryoctl.recordings`."""

    title = "run of cryoctl"

    def recognises(self, path: Path) -> bool:
        if path.suffix == ".parts" or path.with_suffix(".parts").is_dir():
            return True
        try:
            with open_run(path):
                return True
        except FileProblem:
            return path.suffix == ".nxs"

    def open(self, path: Path) -> Recording:
        """
        Raises:
            FileProblem: absent, truncated, of a newer format.
        """
        return RunPlayback(open_run(path))


class RunPlayback(Playback):
    """Takes the run and closes it."""

    layout = RunLayout.title

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._acts = Acts(run)
        self._rows: Mapping[int, ExposureRow] = {row.exposure: row for row in read_rows(run)}
        self._told: Mapping[str, Any] = json.loads(str(run.entry.devices)) if "devices" in run.entry else {}
        self._monitors = read_monitors(run, self._acts.all)
        self._sampling_s = sampling_s(run, self._acts.all)
        self._of_bias = deque(read_bias(run))
        self._next_exposure = 0
        self._current_sigma_rel = math.nan
        self._message = str(run.entry.message)
        self._aborted = str(run.entry.end_reason) == "operator"
        self._end_s = max(event_times(run, "end"), default=math.nan)
        self._fault_s = min(event_times(run, "fault", "error"), default=math.nan)
        self._interlocks = [_from_its_boundary(one, self._acts.all) for one in read_interlocks(run)]

    @property
    def series(self) -> RecordedSeries | None:
        return None

    @property
    def devices(self) -> Mapping[str, str]:
        return {name: str(one["kind"]) for name, one in self._told.items()}

    @property
    def sampling_s(self) -> float:
        return self._sampling_s

    def capabilities(self, name: str, model: type[Any]) -> Any:
        return TypeAdapter(model).validate_python(self._told[name]["capabilities"])

    def stage_limits(self, name: str) -> tuple[StageLimits, float, float]:
        told = self._told[name]
        limits = TypeAdapter(StageLimits).validate_python(told["limits"])
        return limits, float(told["speed_m_per_s"]), float(told["tilt_speed_deg_per_s"])

    def stage_settling(self, name: str) -> StageSettling:
        return TypeAdapter(StageSettling).validate_python(self._told[name].get("settling", {}))

    async def move(self, name: str, wanted: Mapping[str, float]) -> StagePosition:
        del name
        act = self._acts.next("MoveStage", wanted)
        await self._until(act)
        told = act.result
        return StagePosition(**{axis: float(told[axis]) for axis in ("x_m", "y_m", "z_m", "tilt_deg")})

    async def apply(self, name: str, optics: Optics) -> None:
        del name
        await self._until(self._acts.next("UseOptics", {"name": optics.name}))

    async def answer(self, name: str, kind: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        del name
        act = self._acts.next(kind, asked)
        await self._until(act)
        if act.outcome != "done":
            raise (InterlockRefused if act.outcome == "refused" else StepLost)(act.message)
        return act.result

    def asked_alike(self, kind: str, asked: Mapping[str, Any]) -> bool:
        return self._acts.asked_alike(kind, asked)

    def told_of_bias(self) -> Sequence[RecordedBias]:
        due: list[RecordedBias] = []
        while self._of_bias and self._of_bias[0].time_s <= now_s() - self.origin_s + _AT_THE_SAME_TIME_S:
            due.append(self._of_bias.popleft())
        return due

    async def measure_current(self, name: str) -> CurrentReading:
        del name
        if not self._acts.left:
            return self._last_current()
        act = self._acts.next("MeasureCurrent", {})
        await self._until(act)
        told = act.result
        self._current_sigma_rel = number(told["sigma_rel"])
        return CurrentReading(current_a=number(told["current_a"]), sigma_rel=self._current_sigma_rel, time_s=now_s())

    def _last_current(self) -> CurrentReading:
        """As it was measured once more when all was over. Raises `DeviceError` where it was not."""
        times, values = self._monitors.get("beam_current", (np.zeros(0), np.zeros(0)))
        measured_s = max((act.done_s for act in self._acts.all if act.kind == "MeasureCurrent"), default=math.inf)
        if not len(times) or not times[-1] > measured_s:
            raise DeviceError(f"replay: {self._run.path.name} was not measured once more at its end")
        return CurrentReading(current_a=float(values[-1]), sigma_rel=self._current_sigma_rel, time_s=now_s())

    async def carry(self, name: str, *, insert: bool) -> None:
        await self._until(self._acts.next("Insert" if insert else "Retract", {"detector": name}))

    async def get_ready(self) -> None:
        row = self._rows.get(self._next_exposure)
        if row is not None:
            goal_s = self.origin_s + row.time_s - self._sampling_s
            if goal_s - now_s() > _AT_THE_SAME_TIME_S:
                await until(goal_s)

    async def rest(self) -> None:
        if not self._acts.left:
            goal_s = self.origin_s + self._end_s - self._sampling_s
            if _AT_THE_SAME_TIME_S < goal_s - now_s() < _LONGEST_REST_S:
                await until(goal_s)

    async def expose(self, name: str, permit: Permit, scan: Scan) -> RecordedExposure:
        del name
        asked = {
            "kind": permit.kind,
            "shape": scan.shape,
            "scans": scan.scans,
            "pixel_size_m": scan.pixel_size_m,
            "dwell_s": scan.dwell_s,
        }
        act = self._acts.next("Expose", asked)
        if not act.outcome and not self._aborted:
            await self._until(act)
        row = self._rows.get(self._next_exposure)
        if row is None:
            raise DeviceError(f"replay: {self._run.path.name} holds no exposure {self._next_exposure}")
        self._next_exposure += 1
        return self._answer(act, row)

    def _answer(self, act: Act, row: ExposureRow) -> RecordedExposure:
        done_s = act.done_s if math.isfinite(act.done_s) else row.time_s + row.duration_s
        scans_done = int(act.result.get("scans_done", row.scans))
        images, edx = None, tuple[EdxEvents, ...]()
        if row.frame >= 0:
            pictures = getattr(self._run, row.stream)
            count = int(pictures.scan_count[row.frame])
            rows, columns = (int(size) for size in pictures.shape[row.frame])
            images = np.asarray(pictures.scans[row.frame, :count, :rows, :columns], dtype=np.uint16)
            scans_done = max(count, scans_done) if not row.partial else count
            edx = self._events(row.frame) if row.stream == "image" and "edx" in self._run else ()
        elif row.partial:
            scans_done = 0
        problem = act.detector_problem
        return RecordedExposure(
            images=images,
            edx=edx,
            scans_done=scans_done,
            complete=not row.partial,
            done_s=self.origin_s + done_s,
            charge_c=row.charge_c * _share_at_first(act, row),
            problem=problem,
        )

    def _events(self, frame: int) -> tuple[EdxEvents, ...]:
        edx = self._run.edx
        return tuple(
            EdxEvents(
                pixel=np.asarray(pixel, dtype=np.uint32),
                channel=np.asarray(channel, dtype=np.uint16),
                live_time_s=float(edx.live_time_s[frame][scan]),
                real_time_s=float(edx.real_time_s[frame][scan]),
                input_rate_per_s=float(edx.input_rate_per_s[frame][scan]),
            )
            for scan, (pixel, channel) in enumerate(edx.scan_events(frame))
        )

    def met(self, interlock: str) -> str:
        now = now_s() - self.origin_s + _AT_THE_SAME_TIME_S
        if interlock == "temperature-sensor":
            now += self._sampling_s  # the sensor is read before the source, the interlocks after it
        for name, found, begin_s, end_s in self._interlocks:
            if name == "link":
                end_s = begin_s + _SILENCE_S
            if name == interlock and begin_s <= now < end_s:
                return found
        return ""

    def value(self, monitor: str) -> float:
        """The last reading journaled until now; what was read with the source's reading is journaled after it."""
        if monitor not in self._monitors:
            return math.nan
        times, values = self._monitors[monitor]
        ahead_s = 0.0 if monitor.startswith("bias") else self._sampling_s
        place = int(np.searchsorted(times, now_s() - self.origin_s + ahead_s + _AT_THE_SAME_TIME_S, side="right")) - 1
        return float(values[max(place, 0)])

    def close(self) -> None:
        self._run.close()

    async def _until(self, act: Act) -> None:
        """Until the recorded end of an act; one that never ended ends as it did: by the operator, or by a fault."""
        if act.outcome:
            await until(self.origin_s + act.done_s)
            return
        if self._aborted:
            await asyncio.sleep(_FOR_EVER_S)
        if self._fault_s - now_s() + self.origin_s > _AT_THE_SAME_TIME_S:
            await until(self.origin_s + self._fault_s)
        raise DeviceError(self._message or f"replay: {self._run.path.name} was cut off here")


def _share_at_first(act: Act, row: ExposureRow) -> float:
    """Of what an exposure is charged with, what it was before the current was measured again."""
    first, last = number(act.result.get("dose_e_per_a2")), row.dose_e_per_a2
    return first / last if math.isfinite(first) and last > 0 else 1.0


def _from_its_boundary(interlock: tuple[str, str, float, float], acts: Sequence[Act]) -> tuple[str, str, float, float]:
    """What a source tells takes time: one that was met between two steps counts from the end of the first on."""
    name, found, begin_s, end_s = interlock
    under_way = any(act.began_s < begin_s and not act.done_s <= begin_s for act in acts)
    if name not in _OF_THE_SOURCE or under_way:
        return interlock
    return name, found, max((act.done_s for act in acts if act.done_s <= begin_s), default=0.0), end_s


LAYOUT = RunLayout()
