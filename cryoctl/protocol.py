"""Protocols: a chart of states whose methods are generators of steps; pure, no I/O, no time, no randomness.

A state method yields steps and returns the trigger of the next transition. What the runner throws at a yield
(`StepLost`, `DoseRefused`, `InterlockRefused`, `Interrupted`) may be caught; uncaught it fires the trigger `lost`,
`dose_spent`, `interlocked` or `interrupted` where the chart has that transition, and otherwise ends the run in good
order for that reason.
Nothing is yielded in `finally`.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel

from cryoctl.errors import RecipeError
from cryoctl.interfaces.beam import Optics, ScanTiming
from cryoctl.interfaces.bias import BiasCapabilities
from cryoctl.interfaces.light import LightCapabilities
from cryoctl.interfaces.needle import NeedleCapabilities
from cryoctl.interfaces.recording import RecordedSeries
from cryoctl.interfaces.stage import StageLimits
from cryoctl.steps.base import Step

Steps = Generator[Step[Any], Any, str]
"""What a state method is: yields steps, returns a trigger."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """`guard` names a predicate method of the protocol without arguments; the first transition that passes wins."""

    trigger: str
    source: str
    dest: str
    guard: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """States as plain data. `finals` maps a final state to the run's end_reason (contract.md).

    `labels` are what the operator reads for a state.
    """

    initial: str
    states: tuple[str, ...]
    finals: Mapping[str, str]
    transitions: tuple[Transition, ...]
    labels: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True, kw_only=True)
class CalibratedValue:
    """`value` holds one number, or a 2x2 matrix by rows; `sigma` is in the same unit, a bound at two sigma."""

    value: tuple[float, ...]
    sigma: float
    date: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentFacts:
    """What a protocol may know of the instrument before it starts; frozen into the journal's head."""

    kinds: tuple[str, ...]
    """Device kinds that are there: stage, beam, image_detector, edx, holder, bias, needle, light, vacuum."""
    stage: StageLimits
    tilt_speed_deg_per_s: float
    timing: ScanTiming
    image_shift_range_m: float
    defocus_range_m: float
    dwell_range_s: tuple[float, float]
    max_scan_px: int
    current_range_a: tuple[float, float]
    tilt_limits_deg: Mapping[str, tuple[float, float]]
    """By name of what limits: holder, and each detector while inserted."""
    optics: Mapping[str, Optics]
    calibrations: Mapping[str, CalibratedValue]
    """By kind (`cryoctl.calibration.KINDS`)."""
    current_drift_rel_per_s: float = 0.0
    edx_max_energy_ev: float = 0.0
    bias: BiasCapabilities | None = None
    """Of the biasing source, within what the operator allows; None where there is none."""
    light: LightCapabilities | None = None
    """Of the light on the specimen; None where there is none."""
    needle: NeedleCapabilities | None = None
    """None where there is none."""
    dose_rate_max_e_per_a2_s: float = float("inf")
    """What the operator allows on this instrument."""
    dose_known: bool = True
    """False in a replay of data that hold no beam current or dwell: doses are NaN and gate nothing."""

    def calibrated(self, kind: str, otherwise: float) -> float:
        """The number of a calibration that has one, or `otherwise` where there is none."""
        found = self.calibrations.get(kind)
        return otherwise if found is None else found.value[0]


class Protocol:
    """Base of all protocols; subclass, set the class variables, write a generator method for each state."""

    name: ClassVar[str]
    summary: ClassVar[str]
    Parameters: ClassVar[type[BaseModel]]
    chart: ClassVar[Chart]
    requires: ClassVar[tuple[str, ...]]
    """Device kinds without which it can't run."""

    def __init__(self, parameters: Any, facts: InstrumentFacts) -> None:
        self.parameters = parameters
        self.facts = facts

    @classmethod
    def check(cls, parameters: Any, facts: InstrumentFacts) -> tuple[str, ...]:
        """Look at everything that can be known before the start.

        Returns:
            Warnings, one sentence each.

        Raises:
            RecipeError: the recipe can't be run on this instrument; nothing was moved or written.
        """
        return ()

    @classmethod
    def for_recording(cls, parameters: Mapping[str, Any], series: RecordedSeries) -> dict[str, Any]:
        """A recipe's fields (plain data as in its file) as recorded data that are no run of cryoctl decide them.

        Raises:
            RecipeError: this protocol can't be played on a recorded tilt series.
        """
        raise RecipeError(
            f"protocol: {cls.name} can't be played on {series.title[:80]!r}, a recorded tilt series; give a recipe of "
            "a protocol that records one, like edx-tomography"
        )

    def dose_limit_e_per_a2(self) -> float:
        """The limit of the run, for the gate; infinite where the recipe sets none."""
        return float("inf")

    def dose_pixel_m(self) -> float:
        """Pixel size of the ledger: coarser where a wide area is looked at, which counts what a pixel receives anywhere
        for all of it."""
        return 20e-9

    def interlock_limits(self) -> Mapping[str, float]:
        """What the interlocks watch: temperature_max_k, nitrogen_min, pressure_max_pa, current_tolerance_rel (how far
        the measured beam current may be from the preset's), dose_rate_max_e_per_a2_s, patience_s, compliance_s (how
        long the biasing source may be held by its own limits), probe_v and probe_a (what may be applied before a needle
        is in contact); all optional."""
        return {}

    def interlock_policies(self) -> Mapping[str, str]:
        """By the interlock's name what is done when it trips: wait, pause, secure or abort; others keep their own."""
        return {}

    def lost_by_interruption(self) -> tuple[str, ...]:
        """What of the world could not be driven back, were the run interrupted at the step under way.

        Names of such things (a contact, a bond, a milled shape). Where there are any, a resumed run is not gone on
        with: `Interrupted` is thrown instead, and the chart answers.
        """
        return ()

    def describe(self) -> Mapping[str, Any]:
        """What the run file's head says of this experiment, plain values.

        Keys: title, specimen, areas {NAME: {x_m, y_m, width_m, height_m}}, targets [names], image {shape,
        pixel_size_m}, edx {elements, scans, window_ev, dense} or None, planned {kind: dose},
        planned_peak_e_per_a2, tilts (record frames a target), least_exposure_e_per_a2 (what a
        target receives at the least), scattered (exposures lie where they come, each misplaced by itself), particles
        {side} where record frames show particles and a needle from that side.
        """
        return {}

    def closing_message(self, final: str) -> str:
        """The sentence a run ends with when the chart reached this final state."""
        return self.chart.labels.get(final, final.replace("_", " "))

    def covered_area_m(self) -> tuple[float, float, float, float]:
        """The box (x_min, x_max, y_min, y_max) in the specimen's frame that exposures can reach, for the ledger."""
        raise NotImplementedError
