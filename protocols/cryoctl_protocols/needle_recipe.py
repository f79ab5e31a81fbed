"""What a recipe of the needle biasing can say, and its chart."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from cryoctl.protocol import Chart, Transition
from cryoctl.units import Amperes, Degrees, DosePerA2, DoseRatePerA2, Kelvin, Metres, Seconds, StrictModel, Volts
from cryoctl_protocols.bias_recipe import BiasInterlocks, BiasWaveform, ConstantVoltage
from cryoctl_protocols.frame_pace import Pace
from cryoctl_protocols.parameters import Name, Shape, Specimen


class NeedleDose(StrictModel):
    """Beam-normal fluence in electrons per square angstrom."""

    limit_e_per_a2: Annotated[DosePerA2, Field(gt=0.0)] = 3e4
    """No pixel of the specimen may receive more, the approach counted; the series ends in good order before."""


class Needle(StrictModel):
    """The drive, and how it comes to the particle. Coarse steps and tube are limited by the engine as well."""

    side: Literal["left", "right", "top", "bottom"] = "right"
    """Of the picture from which the needle comes."""
    clear_distance_m: Annotated[Metres, Field(ge=2e-7, le=1e-4)] = 2e-6
    """Least gap with which the stage moves, for wobbling too."""
    max_indentation_m: Annotated[Metres, Field(gt=0.0, le=1e-7)] = 20e-9
    """Never pushed further into a particle."""
    wobble_deg: Annotated[Degrees, Field(ge=1.0, le=30.0)] = 8.0
    """To either side, from afar."""
    fine_wobble_deg: Annotated[Degrees, Field(ge=1.0, le=45.0)] = 16.0
    """To either side, where the heights are made equal."""
    height_m: Annotated[Metres, Field(ge=3e-9, le=1e-6)] = 30e-9
    """Needle and specimen are brought to one height within this: three sigma of what is foretold for the touch."""
    coarse_stop_m: Annotated[Metres, Field(gt=1e-6, le=2e-5)] = 2.8e-6
    """Gap at which the heights are made equal; what is left of the way is the tube's."""
    tube_back_m: Annotated[Metres, Field(ge=0.0, le=1e-5)] = 2e-6
    """The tube goes back by so much before the last coarse steps: it then reaches further onward."""
    tube_step_m: Annotated[Metres, Field(gt=0.0, le=2e-9)] = 2e-9
    """Near the particle, with a picture after each."""
    looks: int = Field(default=300, ge=10, le=5000, strict=True)
    """Pictures of the approach; without contact by then it is given up."""
    conducts: bool = False
    """Specimen and support conduct electrons: `probe_v` is applied before and after the touch, and the current told
    beside the pictures, which decide."""


class Looks(StrictModel):
    """Pictures of the way to the particle."""

    optics: Name = "search"
    overview_m: Annotated[Metres, Field(gt=1e-6, le=1e-3)] = 2e-4
    """Width of the lowest magnification."""
    shape: Shape = (256, 512)
    """Rows (across the tilt axis) and columns (along it)."""
    dwell_s: Annotated[Seconds, Field(gt=0.0, le=1e-2)] = 5e-6
    close_shape: Shape = (256, 256)
    close_pixel_m: Annotated[Metres, Field(gt=1e-11, le=1e-8)] = 2e-9
    """Of the pictures that decide on contact."""
    close_dwell_s: Annotated[Seconds, Field(gt=0.0, le=1e-2)] = 2e-6


class Pictures(StrictModel):
    optics: Name = "record"
    shape: Shape = (512, 512)
    """At a dose rate the field is given: pixels of 2 nm, at which a coating of 5 nm is resolved."""
    dwell_s: Annotated[Seconds, Field(gt=0.0, le=1e-2)] = 1e-6
    detector: Name = "haadf"


class End(StrictModel):
    """Conditions on which the series ends in good order, before the waveform has."""

    area_ratio: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    """Area of the particle in contact over that before the bias: reached from below above 1, from above below 1."""
    broken: bool = False
    """Its coating is seen to be broken."""
    time_s: Annotated[Seconds, Field(gt=0.0)] | None = None
    """After the bias was switched on."""

    @field_validator("area_ratio")
    @classmethod
    def _is_a_change(cls, value: float | None) -> float | None:
        if value == 1.0:
            raise ValueError("is 1, which every particle has from the first picture on: choose more or less")
        return value


class NeedleBiasingParameters(StrictModel):
    """A needle on a particle, under bias."""

    specimen: Specimen = Specimen(name="coated-particles")
    x_m: Metres = 0.0
    """The particle to be reached, in the specimen's frame."""
    y_m: Metres = 0.0
    needle: Needle = Needle()
    looks: Looks = Looks()
    bias: BiasWaveform = BiasWaveform(waveform=ConstantVoltage(duration_s=200.0))
    probe_v: Annotated[Volts, Field(ge=0.0, le=0.05)] = 0.05
    """No more before the contact is confirmed."""
    probe_a: Annotated[Amperes, Field(ge=0.0, le=1e-9)] = 1e-9
    dose_rate_e_per_a2_s: Annotated[DoseRatePerA2, Field(gt=0.0, le=1e5)] = 10.0
    """Averaged over the field and the time of a picture; the pixel size follows from it and the measured current."""
    frame_interval_s: Annotated[Seconds, Field(ge=0.0, le=86400.0)] = 4.0
    """From the end of one picture to the next, blanked; 0: one after the other. Under bias see `pace`."""
    pace: Pace = Pace()
    before: int = Field(default=3, ge=1, le=1000, strict=True)
    """Pictures in contact before the bias is on."""
    unbiased_share: float = Field(default=0.0, ge=0.0, le=10.0)
    """Of the dose that is planned under bias, what the particle in contact gets before, as its own control; where that
    takes more pictures than `before`."""
    dose: NeedleDose = NeedleDose()
    pictures: Pictures = Pictures()
    end: End = End()
    temperature_limit_k: Kelvin = Field(default=400.0, gt=0.0)
    interlocks: BiasInterlocks = BiasInterlocks()

    @model_validator(mode="after")
    def _something_to_probe_with(self) -> NeedleBiasingParameters:
        for name, found, unit in (("probe_v", self.probe_v, "V"), ("probe_a", self.probe_a, "A")):
            if self.needle.conducts and found == 0.0:
                raise ValueError(f"{name} is 0 {unit}, needle.conducts asks to probe with it: raise it, or don't probe")
        return self


def needle_chart() -> Chart:
    """Whatever goes wrong on the way, the source rests and the needle is withdrawn before the run ends."""
    way = ("prepare", "overview", "specimen_height", "come_near", "needle_height", "approach", "series")
    after = {
        "prepare": "overview",
        "overview": "specimen_height",
        "specimen_height": "come_near",
        "come_near": "needle_height",
        "needle_height": "approach",
        "approach": "series",
        "series": "rest",
    }
    onward = [Transition(trigger="done", source=state, dest=after[state]) for state in way]
    given_up = [Transition(trigger="over", source=state, dest="rest") for state in way]
    return Chart(
        initial="prepare",
        states=(*way, "rest", "withdraw"),
        finals={
            "completed": "completed",
            "asked_for": "condition",
            "dose_limited": "dose",
            "held": "interlock",
            "lost_from_sight": "target-lost",
            "no_contact": "no-contact",
            "ended_by_operator": "operator",
        },
        transitions=(
            *onward,
            *given_up,
            Transition(trigger="rested", source="rest", dest="withdraw"),
            *(
                Transition(trigger="interrupted", source=state, dest="lost_from_sight")
                for state in ("rest", "withdraw")
            ),
            Transition(trigger="done", source="withdraw", dest="completed"),
            Transition(trigger="condition", source="withdraw", dest="asked_for"),
            Transition(trigger="dose", source="withdraw", dest="dose_limited"),
            Transition(trigger="held", source="withdraw", dest="held"),
            Transition(trigger="lost", source="withdraw", dest="lost_from_sight"),
            Transition(trigger="no_contact", source="withdraw", dest="no_contact"),
            Transition(trigger="stopped", source="withdraw", dest="ended_by_operator"),
        ),
        labels={
            "prepare": "Detector in, optics set, beam current measured, limits of the source set",
            "overview": "Grid and needle at the lowest magnification",
            "specimen_height": "Specimen to the eucentric height",
            "come_near": "Needle near by coarse steps",
            "needle_height": "Needle to the specimen's height",
            "approach": "To contact by the tube, a picture after each step",
            "series": "Pictures in contact, without and under bias",
            "rest": "Source to rest",
            "withdraw": "Needle withdrawn, detector out",
            "completed": "the waveform was played to its end",
            "asked_for": "ended by a condition of the recipe",
            "dose_limited": "ended by the dose limit",
            "held": "ended by an interlock",
            "lost_from_sight": "ended because the specimen, the needle or the bias was lost",
            "no_contact": "ended without contact",
            "ended_by_operator": "ended by the operator",
        },
    )
