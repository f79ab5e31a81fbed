"""Steps for the column: optics, detectors in and out, beam current."""

from __future__ import annotations

from dataclasses import dataclass

from cryoctl.steps.base import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class OpticsSet:
    name: str
    voltage_v: float
    beam_current_a: float
    """Nominal; measure it before a series."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UseOptics(Step[OpticsSet]):
    """Apply an optics preset of the instrument file, blanked; `beam_current_a` overrides its nominal current."""

    name: str
    beam_current_a: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Insert(Step[None]):
    """Bring a detector in (its name in the instrument file)."""

    detector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Retract(Step[None]):
    detector: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentMeasured:
    """Beam current and its one-sigma relative uncertainty, a bound at two sigma."""

    current_a: float
    sigma_rel: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureCurrent(Step[CurrentMeasured]):
    """Into the Faraday cup; the specimen sees nothing."""
