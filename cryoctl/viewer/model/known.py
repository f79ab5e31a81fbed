"""What a window knows of a run at one moment: plain data, made by a reader, drawn by widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.reconstruction.live_slices import LiveSlices

Image = npt.NDArray[Any]
Values = npt.NDArray[np.float64]


class Phase(StrEnum):
    """What an operator has to tell apart; `status` says more."""

    WAITING = "waiting"
    """For a run to begin in the folder."""
    PREPARING = "preparing"
    RUNNING = "running"
    PAUSED = "paused"
    ALARM = "alarm"
    SECURING = "securing"
    WRITING = "writing"
    """Safe; its file is being written."""
    ENDED = "ended"
    KILLED = "killed"
    """Its process is gone or silent, and nobody said how it ended."""


ALIVE = (Phase.PREPARING, Phase.RUNNING, Phase.PAUSED, Phase.ALARM, Phase.SECURING, Phase.WRITING)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Shot:
    """The latest picture of a stream: registered sum [y, x]."""

    stream: str
    index: int
    exposure: int
    kind: str
    target: str
    tilt_deg: float
    time_s: float
    pixel_size_m: float
    image: Image


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class ElementMaps:
    """Of the record frame `frame`, by element: counts [y, x]; `what` says which counts."""

    frame: int
    tilt_deg: float
    pixel_size_m: float
    maps: Mapping[str, Image]
    what: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DoseNow:
    """Of the specimen pixel that received most, e-/A^2: `peak` is the sum of `by_kind` there, `earlier` runs included.

    `limit` infinite where there is none, `planned` NaN where unknown. Without `known` nothing was counted.
    """

    known: bool = True
    peak: float = 0.0
    limit: float = float("inf")
    planned: float = float("nan")
    by_kind: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Trace:
    """Values over run time (s), in a unit."""

    unit: str
    time_s: Values
    value: Values


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Particles:
    """Areas [particle, time] in m2 with their sigma (NaN where unknown); `control` particles are not biased."""

    names: tuple[str, ...]
    control: tuple[bool, ...]
    time_s: Values
    area_m2: Values
    sigma_m2: Values


@dataclass(frozen=True, slots=True)
class Happening:
    """An event of the run; `level` info, warning or error."""

    time_s: float
    level: str
    kind: str
    name: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """An interlock that stands. `answerable`: the run waits until somebody acknowledges it or says go."""

    name: str
    message: str
    policy: str
    answerable: bool


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Known:
    """`version` rises whenever anything else changes; `message` says how the run ended or why it is silent.

    `predicted_s` 0 and `frames_planned` 0 where nobody foretold them; `progress` 0 to 1.
    """

    run_file: Path | None
    version: int = 0
    phase: Phase = Phase.WAITING
    status: str = ""
    end_reason: str = ""
    exit_code: int | None = None
    message: str = ""
    title: str = ""
    specimen: str = ""
    simulated: bool = False
    label: str = ""
    step: str = ""
    asked: str = ""
    progress: float = 0.0
    time_s: float = 0.0
    predicted_s: float = 0.0
    frames: int = 0
    frames_planned: int = 0
    commands: bool = False
    """Whether it listens to an operator."""
    alarm: Alarm | None = None
    dose: DoseNow = DoseNow()
    shots: Mapping[str, Shot] = field(default_factory=dict[str, Shot])
    maps: ElementMaps | None = None
    slices: LiveSlices | None = None
    voxel_size_m: float = float("nan")
    traces: Mapping[str, Trace] = field(default_factory=dict[str, Trace])
    """Monitors by name, and `tilt` at each record exposure."""
    particles: Particles | None = None
    happenings: tuple[Happening, ...] = ()

    @property
    def name(self) -> str:
        return self.run_file.stem if self.run_file is not None else ""
