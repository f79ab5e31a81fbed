"""A run whose steps come from outside, from a bluesky plan or a person at a keyboard, through the same door as any."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from cryoctl.errors import DoseRefused, InterlockRefused, StepLost
from cryoctl.protocol import Chart, InstrumentFacts, Protocol, Steps, Transition
from cryoctl.steps import Expose, Insert, MoveStage, NextRequest, Requested, Retract, StageAt, Step, UseOptics
from cryoctl.steps.codec import decode, encode
from cryoctl.units import ElectronVolts, Kelvin, Metres, MetresPerSecond, StrictModel
from cryoctl_protocols import blocks
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.parameters import Approach, Element, Interlocks, Name, Positive, Specimen
from cryoctl_protocols.request_check import AXES, impossible


class RequestDose(StrictModel):
    limit_e_per_a2: Positive = 100.0
    """No pixel of the specimen may receive more, everything counted; what would pass it is refused."""


class RequestPlace(StrictModel):
    """How well the place of an exposure is known that nobody tracks: three sigma are the bound."""

    sigma_m: Metres = Field(default=300e-9, gt=0.0, le=5e-6)
    """Beam-normal, at the start: backlash, runout, the height above the tilt axis."""
    unwatched_m_per_s: MetresPerSecond = Field(default=3e-9, ge=0.0)
    """How fast the specimen may move away from where it was at the first move."""
    reach_m: Metres = Field(default=6e-6, gt=0.0, le=1e-4)
    """Exposures lie within this of (x, y); beyond it the ledger does not count, and they are refused."""


class RequestEdx(StrictModel):
    elements: tuple[Element, ...] = Field(default=("Si", "O", "F", "C"), min_length=1, max_length=30)
    """Whose lines are counted in what is recorded with EDX."""
    window_ev: ElectronVolts = Field(default=160.0, gt=0.0, le=2000.0)
    dense: bool = False
    """Also keep the spectrum image as an array at the end."""


class OnRequestParameters(StrictModel):
    """Steps from outside, within these bounds."""

    specimen: Specimen = Specimen()
    x_m: Metres = 0.0
    """Where the stage goes first, in the specimen's frame; at a tilt of 0."""
    y_m: Metres = 0.0
    dose: RequestDose = RequestDose()
    place: RequestPlace = RequestPlace()
    edx: RequestEdx = RequestEdx()
    optics: Name = "record"
    """Preset of the instrument file."""
    approach: Approach = Approach(settle_s=0.0)
    temperature_limit_k: Annotated[Kelvin, Field(gt=0.0)] = 400.0
    interlocks: Interlocks = Interlocks()


class OnRequest(Protocol):
    """Carries out one request after another until nobody asks any more; what is refused ends a request, not the run.

    An exposure's place is what the stage last said, with an uncertainty that grows with the time since the first move;
    a request may only say that it is less sure. Moves of the stage end upwards, free of backlash.
    """

    name: ClassVar[str] = "on-request"
    summary: ClassVar[str] = "Steps from outside (bluesky plans), each through dose gate, interlocks and journal"
    Parameters: ClassVar[type[BaseModel]] = OnRequestParameters
    requires: ClassVar[tuple[str, ...]] = ("stage", "beam")
    chart: ClassVar[Chart] = Chart(
        initial="prepare",
        states=("prepare", "serve"),
        finals={"ended": "completed"},
        transitions=(
            Transition(trigger="ready", source="prepare", dest="serve"),
            Transition(trigger="over", source="serve", dest="ended"),
        ),
        labels={"prepare": "preparing", "serve": "carrying out requests", "ended": "nothing more was asked for"},
    )

    def __init__(self, parameters: OnRequestParameters, facts: InstrumentFacts) -> None:
        super().__init__(parameters, facts)
        self.recipe = parameters
        self.at: StageAt | None = None
        self.began_s = math.nan
        self.inside: set[str] = set()
        """Detectors that the run has brought in."""

    def dose_limit_e_per_a2(self) -> float:
        return self.recipe.dose.limit_e_per_a2

    def interlock_limits(self) -> Mapping[str, float]:
        return {"temperature_max_k": self.recipe.temperature_limit_k, **self.recipe.interlocks.limits()}

    def interlock_policies(self) -> Mapping[str, str]:
        return self.recipe.interlocks.policies()

    def covered_area_m(self) -> tuple[float, float, float, float]:
        x_m, y_m, reach_m = self.recipe.x_m, self.recipe.y_m, self.recipe.place.reach_m
        return (x_m - reach_m, x_m + reach_m, y_m - reach_m, y_m + reach_m)

    def describe(self) -> Mapping[str, Any]:
        edx = self.recipe.edx
        told = {"elements": list(edx.elements), "window_ev": edx.window_ev, "dense": edx.dense}
        return {
            "title": "Steps on request",
            "specimen": self.recipe.specimen.name,
            "targets": [],
            "scattered": True,
            "edx": told if "edx" in self.facts.kinds else None,
        }

    # States

    def prepare(self) -> Steps:
        yield from UseOptics(name=self.recipe.optics)
        yield from blocks.measure_current()
        overshoot = self.recipe.approach
        yield from blocks.approach_tilt(
            0.0, overshoot_deg=overshoot.overshoot_deg, limits_deg=self.facts.stage.tilt_deg
        )
        self.at = yield from blocks.approach_position(
            self.recipe.x_m, self.recipe.y_m, overshoot_m=overshoot.overshoot_m
        )
        self.began_s = self.at.time_s
        return "ready"

    def serve(self) -> Steps:
        answer = NextRequest()
        while True:
            try:
                asked: Requested | None = yield from answer
            except (InterlockRefused, StepLost):
                continue  # told by the runner; whoever asks next is told as well
            if asked is None or asked.step is None:
                return "over"
            answer = yield from self._carried_out(decode(asked.step), asked.time_s)

    def _carried_out(self, step: Step[Any], time_s: float) -> Block[NextRequest]:
        try:
            result = yield from self._do(step, time_s)
        except (DoseRefused, InterlockRefused, StepLost) as error:
            return NextRequest(refused=type(error).__name__, why=error.message)
        return NextRequest(answer=encode(result))

    def _do(self, step: Step[Any], time_s: float) -> Block[Any]:
        if found := impossible(step, self.facts, self.inside):
            raise StepLost(found)
        if isinstance(step, MoveStage):
            self.at = None  # until it has arrived
            self.at = yield from self._move(step)
            return self.at
        if isinstance(step, Expose):
            for detector in (step.detector, "edx" if step.edx else ""):
                if detector and detector not in self.inside:
                    yield from Insert(detector=detector)
                    self.inside.add(detector)
            return (yield from self._placed(step, time_s))
        result = yield from step
        if isinstance(step, Insert):
            self.inside.add(step.detector)
        elif isinstance(step, Retract):
            self.inside.discard(step.detector)
        return result

    def _move(self, step: MoveStage) -> Block[StageAt]:
        """From below, all axes that are named together."""
        wanted = {axis: value for axis in AXES if (value := getattr(step, axis)) is not None}
        below = {axis: value - self._overshoot(axis) for axis, value in wanted.items()}
        below = {axis: max(value, getattr(self.facts.stage, axis)[0]) for axis, value in below.items()}
        if below != wanted:
            yield from MoveStage(**below)
        return (yield from MoveStage(**wanted))

    def _overshoot(self, axis: str) -> float:
        approach = self.recipe.approach
        return approach.overshoot_deg if axis == "tilt_deg" else approach.overshoot_m

    def _placed(self, step: Expose, time_s: float) -> Step[Any]:
        """The exposure where stage and image shift point, at least as unsure as the recipe says."""
        at, place = self.at, self.recipe.place
        if at is None:
            raise StepLost("exposure: nobody knows where the stage stands; move it first")
        cosine = math.cos(math.radians(at.tilt_deg))
        unsure_m = (place.sigma_m + place.unwatched_m_per_s * max(0.0, time_s - self.began_s) / 3) / cosine
        return dataclasses.replace(
            step,
            x_m=at.x_m + step.shift_x_m,
            y_m=at.y_m + step.shift_y_m / cosine,
            position_sigma_m=max(unsure_m, step.position_sigma_m),
            drift_bound_m_per_s=max(place.unwatched_m_per_s, step.drift_bound_m_per_s),
        )
