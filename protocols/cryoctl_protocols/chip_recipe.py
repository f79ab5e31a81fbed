"""What a recipe of the chip biasing can say, and its chart."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import Field, model_validator

from cryoctl.errors import RecipeError
from cryoctl.protocol import Chart, Transition
from cryoctl.steps.waveform import Segment, Waveform
from cryoctl.units import (
    Amperes,
    Degrees,
    DosePerA2,
    Irradiance,
    Kelvin,
    Metres,
    Seconds,
    SquareMetres,
    StrictModel,
    Volts,
    VoltsPerSecond,
)
from cryoctl_protocols.bias_recipe import Bias, BiasInterlocks
from cryoctl_protocols.parameters import Name, Shape, Specimen

_SLACK = 1e-9
LEAST_PIXELS_A_SPACING = 2.1
"""A lattice that is sampled more coarsely looks like another one."""


class Facet(StrictModel):
    """A family of lattice planes that is seen edge-on."""

    name: Name
    spacing_m: Annotated[Metres, Field(ge=1e-10, le=1e-7)]
    angle_deg: Degrees | None = None
    """Of the fringes' wave vector from +x towards +y, where facets of one spacing have to be told apart."""


class Control(StrictModel):
    """The unbiased region, from the active one; the image shift reaches it."""

    dx_m: Metres = 0.0
    dy_m: Metres = 1.6e-6


class Sweep(StrictModel):
    """Current-voltage curves, there and back, the beam blanked."""

    low_v: Volts = -0.1
    high_v: Volts = 1.2
    rate_v_per_s: Annotated[VoltsPerSecond, Field(gt=0.0, le=1000.0)] = 0.1
    cycles: int = Field(default=4, ge=1, le=100, strict=True)
    settle_s: Annotated[Seconds, Field(ge=0.0, le=3600.0)] = 1.0
    """At the first voltage, before the first sweep."""
    first: Literal["forward", "reverse"] = "forward"
    """Forward goes up."""
    area_m2: Annotated[SquareMetres, Field(gt=0.0)] | None = None
    """Of the device, for a current density; null: a current alone."""

    @model_validator(mode="after")
    def _low_is_low(self) -> Sweep:
        if not self.low_v < self.high_v:
            raise ValueError(f"low_v is {self.low_v:g} V, not below high_v {self.high_v:g} V: exchange them")
        if not self.low_v <= 0.0 < self.high_v:
            raise ValueError(
                f"low_v {self.low_v:g} V to high_v {self.high_v:g} V leave out 0 V, where the short-circuit current "
                "is: lower low_v or raise high_v"
            )
        return self

    def played(self) -> Waveform:
        """As the source plays it."""
        ends = (self.low_v, self.high_v) if self.first == "forward" else (self.high_v, self.low_v)
        way_s = (self.high_v - self.low_v) / self.rate_v_per_s
        corners = [ends[0], *(ends[1], ends[0]) * self.cycles]
        ways = tuple(Segment(duration_s=way_s, control="voltage", start=a, end=b) for a, b in pairwise(corners))
        settle = Segment(duration_s=self.settle_s, control="voltage", start=ends[0], end=ends[0])
        return Waveform(form="current-voltage", segments=(settle, *ways) if self.settle_s else ways)

    def cycle_s(self) -> float:
        return 2 * (self.high_v - self.low_v) / self.rate_v_per_s


class ChipBias(Bias):
    """How the cell is held while it is watched, and the limits of the source for all of the run."""

    hold: Literal["maximum-power-point", "constant-voltage"] = "maximum-power-point"
    """The first is followed by perturbing the voltage and observing the power; the second holds `voltage_v`."""
    voltage_v: Volts = 0.9
    """Of a constant voltage; of the maximum power point where no curve has told a better start."""
    limit_v: Annotated[Volts, Field(gt=0.0)] = 2.0
    duration_s: Annotated[Seconds, Field(gt=0.0, le=30 * 86400.0)] = 1200.0
    """Of the hold."""
    step_v: Annotated[Volts, Field(gt=0.0, le=0.2)] = 0.02
    """The first perturbation; it becomes as small as `least_step_v` near the maximum."""
    least_step_v: Annotated[Volts, Field(gt=0.0, le=0.2)] = 0.005
    dwell_s: Annotated[Seconds, Field(ge=0.2, le=3600.0)] = 10.0
    """At each voltage, before its power is compared."""

    @model_validator(mode="after")
    def _steps_in_order(self) -> ChipBias:
        if self.least_step_v > self.step_v:
            raise ValueError(f"least_step_v is {self.least_step_v:g} V, above step_v {self.step_v:g} V: lower it")
        if self.step_v > self.limit_v:
            raise ValueError(f"step_v is {self.step_v:g} V, above limit_v {self.limit_v:g} V: lower it")
        if self.dwell_s > self.duration_s:
            raise ValueError(f"dwell_s is {self.dwell_s:g} s, above duration_s {self.duration_s:g} s: shorten it")
        return self


class Blanked(StrictModel):
    """Intervals of the hold in which the bias acts and the beam does not."""

    every: int = Field(default=5, ge=0, le=10_000, strict=True)
    """Pictures of the active region between two of them; 0: none."""
    for_s: Annotated[Seconds, Field(ge=0.0, le=86400.0)] = 100.0


class LatticePictures(StrictModel):
    """Of the active and of the control region, alike in everything."""

    optics: Name = "record"
    beam_current_a: Annotated[Amperes, Field(gt=0.0)] | None = 5e-12
    """Null: the preset's. The less, the less dose is kept free for a beam that can't be blanked at once."""
    detector: Name = "camera"
    shape: Shape = (560, 560)
    """Rows (across the tilt axis) and columns (along it)."""
    pixel_size_m: Annotated[Metres, Field(gt=1e-12, le=1e-9)] = 1.5e-10
    dose_e_per_a2: Annotated[DosePerA2, Field(gt=0.0)] = 6.0
    """A picture."""
    search_shape: Shape = (896, 896)
    """Of the picture with which a region is found."""
    looks: int = Field(default=5, ge=1, le=100, strict=True)
    """Pictures in which a region is looked for, each beside the ones before."""


class BeamCurrent(StrictModel):
    """The current that the beam makes in the cell (EBIC), measured at 0 V in the dark."""

    dose_e_per_a2: Annotated[DosePerA2, Field(ge=0.0)] = 1.0
    """Of the scan of the active region with which it is measured; 0: it isn't."""
    shape: Shape = (96, 256)
    pixel_size_m: Annotated[Metres, Field(gt=1e-12, le=1e-6)] = 4e-9


class ChipDose(StrictModel):
    """Beam-normal fluence in electrons per square angstrom."""

    limit_e_per_a2: Annotated[DosePerA2, Field(gt=0.0)] = 600.0
    """No pixel of either region may receive more; the series ends in good order before."""


class End(StrictModel):
    """Conditions on which the hold ends in good order, before its time."""

    time_s: Annotated[Seconds, Field(gt=0.0)] | None = None
    """After the hold began."""


class ChipBiasingParameters(StrictModel):
    """A cell on a chip, under light and bias."""

    specimen: Specimen = Specimen(name="perovskite-cell")
    x_m: Metres = 0.0
    """The middle of the active region, in the specimen's frame."""
    y_m: Metres = 0.0
    control: Control = Control()
    facets: Annotated[tuple[Facet, ...], Field(min_length=1, max_length=32)]
    light_w_per_m2: Annotated[Irradiance, Field(ge=0.0, le=1e5)] = 1000.0
    """For the curves and the hold."""
    sweep: Sweep = Sweep()
    bias: ChipBias = ChipBias()
    beam_current: BeamCurrent = BeamCurrent()
    before: int = Field(default=3, ge=1, le=1000, strict=True)
    """Pictures of each region without bias, right before the hold."""
    frame_interval_s: Annotated[Seconds, Field(ge=0.0, le=86400.0)] = 25.0
    """From the pictures of both regions to the next, blanked; whole dwells of the hold."""
    blanked: Blanked = Blanked()
    dose: ChipDose = ChipDose()
    pictures: LatticePictures = LatticePictures()
    end: End = End()
    temperature_limit_k: Kelvin = Field(default=400.0, gt=0.0)
    interlocks: BiasInterlocks = BiasInterlocks()

    @model_validator(mode="after")
    def _facets_can_be_told(self) -> ChipBiasingParameters:
        names = [one.name for one in self.facets]
        if twice := next((name for name in names if names.count(name) > 1), None):
            raise ValueError(f"facets: {twice} is there twice; give each facet a name of its own")
        for one in self.facets:
            largest_m = one.spacing_m / LEAST_PIXELS_A_SPACING
            if self.pictures.pixel_size_m > largest_m:
                raise ValueError(
                    f"facets.{one.name}.spacing_m: {one.spacing_m:g} m can't be seen with pixels of "
                    f"{self.pictures.pixel_size_m:g} m; choose pixels below {largest_m:.3g} m"
                )
        return self

    @model_validator(mode="after")
    def _sweep_within_the_limits(self) -> ChipBiasingParameters:
        try:
            peak_v, limit_v = self.sweep.played().peak_v, self.bias.limit_v
        except RecipeError as error:
            raise ValueError(f"sweep: {error.message}; choose another rate_v_per_s, settle_s or cycles") from error
        if peak_v > limit_v * (1 + _SLACK):
            raise ValueError(f"sweep goes to {peak_v:g} V, beyond bias.limit_v {limit_v:g} V: lower it")
        return self

    @model_validator(mode="after")
    def _regions_are_apart(self) -> ChipBiasingParameters:
        reach_m = self.pictures.pixel_size_m * max(self.pictures.search_shape)
        if math.hypot(self.control.dx_m, self.control.dy_m) < reach_m:
            raise ValueError(
                f"control: it lies {math.hypot(self.control.dx_m, self.control.dy_m):.3g} m from the active region, "
                f"within one picture ({reach_m:.3g} m); choose a place without bias farther off"
            )
        return self

    def pairs_of_pictures(self) -> int:
        """Of each region, as planned."""
        every = max(self.frame_interval_s, self.bias.dwell_s)
        extra = self.blanked.for_s / self.blanked.every if self.blanked.every else 0.0
        return self.before + math.ceil(self.bias.duration_s / (every + extra)) + 1


def chip_chart() -> Chart:
    """Whatever goes wrong on the way, the source rests and what was taken is evaluated before the run ends."""
    way = ("prepare", "find", "dark", "curves", "beam_current", "before", "hold", "curves_again")
    onward = [Transition(trigger="done", source=one, dest=other) for one, other in pairwise((*way, "rest"))]
    given_up = [Transition(trigger="over", source=state, dest="rest") for state in way]
    return Chart(
        initial="prepare",
        states=(*way, "rest", "evaluate", "leave"),
        finals={
            "completed": "completed",
            "asked_for": "condition",
            "dose_limited": "dose",
            "held": "interlock",
            "lost_from_sight": "target-lost",
            "ended_by_operator": "operator",
        },
        transitions=(
            *onward,
            *given_up,
            Transition(trigger="rested", source="rest", dest="evaluate"),
            Transition(trigger="told", source="evaluate", dest="leave"),
            *(
                Transition(trigger="interrupted", source=state, dest="lost_from_sight")
                for state in ("rest", "evaluate", "leave")
            ),
            Transition(trigger="done", source="leave", dest="completed"),
            Transition(trigger="condition", source="leave", dest="asked_for"),
            Transition(trigger="dose", source="leave", dest="dose_limited"),
            Transition(trigger="held", source="leave", dest="held"),
            Transition(trigger="lost", source="leave", dest="lost_from_sight"),
            Transition(trigger="stopped", source="leave", dest="ended_by_operator"),
        ),
        labels={
            "prepare": "Detector in, optics set, beam current measured, limits of the source set, dark",
            "find": "Looking for the facets of the active and of the control region",
            "dark": "Current-voltage curve in the dark",
            "curves": "Open-circuit voltage and current-voltage curves in the light",
            "beam_current": "The current that the beam makes in the cell",
            "before": "Pictures of both regions without bias",
            "hold": "The cell held in the light, pictures of both regions",
            "curves_again": "Current-voltage curves after the hold",
            "rest": "Source to rest, dark",
            "evaluate": "Intensity of the facets, their order, the cause",
            "leave": "Detector out",
            "completed": "the hold came to its end",
            "asked_for": "ended by a condition of the recipe",
            "dose_limited": "ended by the dose limit",
            "held": "ended by an interlock",
            "lost_from_sight": "ended because facets, bias or a picture were lost",
            "ended_by_operator": "ended by the operator",
        },
    )
