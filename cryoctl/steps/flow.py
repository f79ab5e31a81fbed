"""Steps that order the others: waiting, telling, and listening to the operator."""

from __future__ import annotations

from dataclasses import dataclass

from cryoctl.steps.base import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait(Step[Waited]):
    """Let time pass, blanked; `reason` is shown."""

    duration_s: float
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What the operator asked for since the last checkpoint: empty, `skip` or `stop-after`."""

    command: str
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint(Step[Command]):
    """A boundary at which commands act. `progress` runs from 0 to 1."""

    progress: float
    label: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Note(Step[None]):
    """A line in /entry/events: level info, warning or error."""

    name: str
    message: str
    level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteParticles(Step[None]):
    """Areas of the particles in a record frame as they are measured, a value a particle: shown while the run goes on.

    `control` particles are not biased.
    """

    frame: int
    time_s: float
    name: tuple[str, ...]
    area_m2: tuple[float, ...]
    area_m2_sigma: tuple[float, ...]
    control: tuple[bool, ...]
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class EndTarget(Step[None]):
    """How a target ended: outcome completed, partial, lost, skipped or limited."""

    name: str
    outcome: str
    reason: str = ""
