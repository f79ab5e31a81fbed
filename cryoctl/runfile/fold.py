"""Folds a journal into what a run file holds: exposure table, frames, monitors, events, targets, ledger.

The same fold serves the end of a run, `recover`, resume, `check`, and `open_run` on a running or killed run.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import RunFileError
from cryoctl.events import operator_said
from cryoctl.interfaces.truth import MapGrid
from cryoctl.runfile.deposits import lay
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.journal import Record
from cryoctl.runfile.source_samples import SampledSource
from cryoctl.steps.codec import unplain

DoseMap = npt.NDArray[np.float64]


@dataclass(slots=True)
class MonitorTrace:
    """One monitored value over time; times in s."""

    unit: str
    times_s: list[float] = field(default_factory=list[float])
    values: list[float] = field(default_factory=list[float])


@dataclass(slots=True)
class FoldedStep:
    """A step and what came of it; `done_s` NaN and `outcome` empty where the journal ends before."""

    key: str
    began_s: float
    step: dict[str, Any]
    fingerprint: str
    done_s: float = float("nan")
    outcome: str = ""
    result: dict[str, Any] | None = None
    error: dict[str, Any] | None = None
    exposure: int | None = None
    """The exposure that it was, once its intent was written."""


@dataclass(slots=True)
class FoldedExposure:
    """What the journal knows of an exposure; `done` is False where it crashed between intent and report."""

    row: dict[str, Any]
    deposits: list[dict[str, float]]
    done: bool
    intended: list[dict[str, float]] = field(default_factory=list[dict[str, float]])
    """Of its intent: what the gate allowed."""

    @property
    def beam_unconfirmed(self) -> bool:
        """Its beam could not be confirmed stopped in time, so that it is charged at its worst."""
        return self.done and bool(self.intended) and self.row.get("outcome") == "charged-in-full"


class RunFold:
    """State of a run as told by its journal. `feed` takes records one by one, `of` a whole journal."""

    def __init__(self) -> None:
        self.head: dict[str, Any] = {}
        self.exposures: dict[int, FoldedExposure] = {}
        self.frames: dict[str, dict[int, Record]] = {}
        self.monitors: dict[str, MonitorTrace] = {}
        self.events: list[dict[str, Any]] = []
        self.targets: dict[str, dict[str, Any]] = {}
        self.conclusions: dict[str, dict[str, Any]] = {}
        self.steps: dict[str, FoldedStep] = {}
        self.sessions: list[dict[str, Any]] = []
        self.state = ""
        self.states_entered = 0
        self.moved_m = (0.0, 0.0)
        """How much further on the specimen was found after interruptions (x, y), beam-normal."""
        self.sampled = SampledSource()
        """What the biasing source sampled by itself."""
        self.bias_on = False
        """The run had switched the source's output on, and nothing is known to have switched it off."""
        self.bias_ends_s = -math.inf
        """When it goes off by itself (run time)."""
        self.bias_periods = 0
        self.bias_stopped_by = ""
        self.bias_cut_short = False
        """The end of a session had switched it off."""
        self.identities: dict[str, dict[str, str]] = {}
        """Devices that answered, by name: maker, model, serial, firmware."""
        self.status = "preparing"
        self.end: dict[str, Any] | None = None
        self.time_s = 0.0
        self.journal_head = ""
        self.record_shas: list[str] = []
        self._step: FoldedStep | None = None
        self._told_already = ("", "")

    @classmethod
    def of(cls, records: Iterable[Record]) -> RunFold:
        fold = cls()
        for record in records:
            fold.feed(record)
        return fold

    def feed(self, record: Record) -> None:
        """Take the next record."""
        kind, time_s = record["k"], float(record["t"])
        if not self.record_shas and kind != "head":
            raise RunFileError(f"journal: its first record is {kind!r}, not a head: this is no journal of a run")
        take = getattr(self, f"_take_{kind}", None)
        if take is not None:
            take(record, time_s)
        self.journal_head = record["sha"]
        self.record_shas.append(record["sha"])
        self.time_s = max(self.time_s, time_s)

    @property
    def n_records(self) -> int:
        return len(self.record_shas)

    @property
    def grid(self) -> MapGrid:
        """Grid of the ledger's maps."""
        grid = self.head["dose"]["grid"]
        rows, columns = grid["shape"]
        return MapGrid(
            shape=(int(rows), int(columns)),
            pixel_size_m=float(grid["pixel_size_m"]),
            origin_x_m=float(grid["origin_x_m"]),
            origin_y_m=float(grid["origin_y_m"]),
        )

    @property
    def limit_e_per_a2(self) -> float:
        """Infinite where the recipe sets none."""
        limit = self.head["dose"].get("limit_e_per_a2")
        return float("inf") if limit is None else number(limit)

    @property
    def position_sigma_m(self) -> float:
        """The largest bound on how far an exposure may lie from where it is charged."""
        bounds = (number(exposure.row.get("position_sigma_m")) for exposure in self.exposures.values())
        return max((bound for bound in bounds if bound == bound), default=0.0)

    def rows(self) -> list[dict[str, Any]]:
        """The exposure table in the order of the exposures; a crashed one is charged in full from its intent."""
        found: list[dict[str, Any]] = []
        for index in sorted(self.exposures):
            exposure = self.exposures[index]
            row = dict(exposure.row)
            if not exposure.done:
                row.update(outcome="charged-in-full", dose_source="intended")
                row.setdefault("frame", -1)
                for stream, frames in self.frames.items():
                    for frame, record in frames.items():
                        if record["exposure"] == index:
                            row.update(stream=stream, frame=frame if stream == "image" else -1)
            found.append(row)
        return found

    def beam_open_s(self) -> list[tuple[float, float]]:
        """When the beam was opened (s), and for how long; at its longest where that is not known."""
        return [(number(row.get("time_s")), number(row.get("duration_s"))) for row in self.rows()]

    def row_of_exposure(self) -> dict[int, int]:
        """Exposure number to row of the table."""
        return {index: row for row, index in enumerate(sorted(self.exposures))}

    def frame_records(self, stream: str) -> list[Record]:
        """Frames of one stream (image, search, focus, track) in their order; raises where one is missing."""
        frames = self.frames.get(stream, {})
        if sorted(frames) != list(range(len(frames))):
            raise RunFileError(f"journal: the {stream} frames are not numbered 0, 1, 2, ...: one is missing")
        return [frames[index] for index in range(len(frames))]

    def dose_by_kind(self) -> dict[str, DoseMap]:
        """Undilated maps [y, x] in e-/A^2, this run only, by kind of exposure."""
        maps: dict[str, DoseMap] = {}
        for index in sorted(self.exposures):
            exposure = self.exposures[index]
            dose_map = maps.setdefault(str(exposure.row.get("kind", "")), np.zeros(self.grid.shape))
            lay(dose_map, self.grid, exposure.deposits)
        return maps

    def scattered_dose(self) -> DoseMap | None:
        """Where exposures lie as they come, each misplaced by itself, the dilated map is no bound: two that were put
        beside each other may truly overlap. This is one [y, x] in e-/A^2, each exposure laid wherever it may lie, as
        the gate reads it; None for runs that need none. Without what earlier runs left."""
        if not self.head.get("scattered"):
            return None
        bound, pixel_m = np.zeros(self.grid.shape), self.grid.pixel_size_m
        for index in sorted(self.exposures):
            exposure = self.exposures[index]
            sigma_m = number(exposure.row.get("position_sigma_m"))
            wider_m = 2 * (3 * (sigma_m if sigma_m == sigma_m else 0.0) + pixel_m)
            wide = [
                {**one, "width_m": one["width_m"] + wider_m, "height_m": one["height_m"] + wider_m}
                for one in exposure.deposits
            ]
            lay(bound, self.grid, wide)
        return bound

    def unconfirmed_dose(self) -> DoseMap | None:
        """What exposures are charged with beyond what the gate had allowed, since their beam could not be confirmed
        stopped: a map [y, x] in e-/A^2, None where there are none. May pass the limit: nobody knows better."""
        found = [exposure for exposure in self.exposures.values() if exposure.beam_unconfirmed]
        if not found:
            return None
        charged, intended = np.zeros(self.grid.shape), np.zeros(self.grid.shape)
        for exposure in found:
            lay(charged, self.grid, exposure.deposits)
            lay(intended, self.grid, exposure.intended)
        return np.maximum(charged - intended, 0.0)

    def _take_head(self, record: Record, time_s: float) -> None:
        self.head = unplain(record)

    def _take_step(self, record: Record, time_s: float) -> None:
        # A step that a resumed run takes again comes behind what was done to get there.
        self.steps.pop(record["key"], None)
        self._step = FoldedStep(record["key"], time_s, record["step"], record["fp"])
        self.steps[record["key"]] = self._step

    def _take_result(self, record: Record, time_s: float) -> None:
        step = self.steps.get(record["key"])
        if step is not None:
            step.done_s, step.outcome = time_s, record["outcome"]
            step.result, step.error = record["result"], record["error"]

    def _take_intent(self, record: Record, time_s: float) -> None:
        row = {"outcome": "charged-in-full", "dose_source": "intended", "frame": -1, **record["row"]}
        intended = list(record["deposits"])
        self.exposures[int(record["exposure"])] = FoldedExposure(row, intended, False, intended)
        if self._step is not None:
            self._step.exposure = int(record["exposure"])

    def _take_exposed(self, record: Record, time_s: float) -> None:
        index = int(record["exposure"])
        before = self.exposures.get(index) or FoldedExposure({}, [], False)
        row = {**before.row, **record["row"]}
        self.exposures[index] = FoldedExposure(row, list(record["deposits"]), True, before.intended)

    def _take_moved(self, record: Record, time_s: float) -> None:
        self.moved_m = (number(record["x_m"]), number(record["y_m"]))

    def _take_identities(self, record: Record, time_s: float) -> None:
        self.identities = dict(record["devices"])

    def _take_frame(self, record: Record, time_s: float) -> None:
        self.frames.setdefault(record["stream"], {})[int(record["index"])] = record

    def _take_monitor(self, record: Record, time_s: float) -> None:
        trace = self.monitors.setdefault(record["name"], MonitorTrace(record.get("unit", "")))
        trace.times_s.append(time_s)
        trace.values.append(number(record["value"]))

    def _take_samples(self, record: Record, time_s: float) -> None:
        self.sampled.take_samples(record)

    def _take_clock(self, record: Record, time_s: float) -> None:
        self.sampled.take_clock(record)

    def _take_bias(self, record: Record, time_s: float) -> None:
        self.bias_on = bool(record["on"])
        self.bias_stopped_by = str(record.get("why", ""))
        self.bias_cut_short = bool(record.get("cut_short", False))
        if self.bias_on:
            self.bias_periods += 1
            self.bias_ends_s = number(record["ends_s"])

    def bias_left_on(self) -> tuple[str, ...]:
        """What an interruption took of the bias: it was on when the session ended, and is never switched on again by
        itself."""
        was_on = self.bias_on or self.bias_cut_short
        return ("the bias",) if was_on and self.bias_ends_s > self.time_s else ()

    def _take_event(self, record: Record, time_s: float) -> None:
        """The journal tells a state or a command twice, by its own record and by the event after it: one is enough."""
        told_already, self._told_already = self._told_already, ("", "")
        if told_already == (record["event"], record["name"]):
            return
        self._event(time_s, record["event"], record["level"], record["name"], record["message"], record.get("data"))

    def _take_state(self, record: Record, time_s: float) -> None:
        self.state = record["state"]
        self.states_entered += 1
        self._event(time_s, "state", "info", record["state"], record.get("label") or record["state"])
        self._told_already = ("state", record["state"])

    def _take_status(self, record: Record, time_s: float) -> None:
        self.status = record["status"]

    def _take_command(self, record: Record, time_s: float) -> None:
        told = {key: record.get(key, "") for key in ("source", "who")}
        self._event(time_s, "operator", "info", record["command"], operator_said(record), told)
        self._told_already = ("operator", record["command"])

    def _take_target(self, record: Record, time_s: float) -> None:
        self.targets[record["name"]] = {key: record.get(key, "") for key in ("name", "outcome", "reason")}

    def _take_conclusion(self, record: Record, time_s: float) -> None:
        self.conclusions.setdefault(record["name"], {}).update(unplain(record["values"]))

    def _take_session(self, record: Record, time_s: float) -> None:
        if self.sessions:
            self.sessions[-1].setdefault("end_s", self.time_s)
        told = {"start_s": number(record["start_s"]), "reason": record.get("reason", ""), "utc": record.get("utc", "")}
        self.sessions.append(told)
        self.end = None

    def _take_end(self, record: Record, time_s: float) -> None:
        self.end = {key: record.get(key) for key in ("status", "end_reason", "exit_code", "message")}
        self.status = record["status"]
        if self.sessions:
            self.sessions[-1]["end_s"] = time_s

    def _event(self, time_s: float, event: str, level: str, name: str, message: str, data: Any = None) -> None:
        row: dict[str, Any] = {"time_s": time_s, "event": event, "level": level, "name": name, "message": message}
        row["data"] = data or {}
        self.events.append(row)
