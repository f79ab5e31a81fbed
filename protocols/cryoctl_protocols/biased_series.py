"""Pictures at an interval while a source plays a waveform on a specimen that is wired to it: no needle, no contact."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field

from cryoctl.errors import DoseRefused, InterlockRefused, Interrupted, RecipeError, StepLost
from cryoctl.protocol import Chart, InstrumentFacts, Protocol, Steps, Transition
from cryoctl.steps import (
    Checkpoint,
    EndTarget,
    Expose,
    Insert,
    Note,
    ReadBias,
    Retract,
    SetBiasLimits,
    StartWaveform,
    UseOptics,
    Wait,
)
from cryoctl.units import DosePerA2, Kelvin, Metres, Seconds, StrictModel
from cryoctl_protocols import blocks
from cryoctl_protocols.bias_recipe import BiasInterlocks, BiasWaveform, check_bias
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.dose_plan import UPPER, dwell_s
from cryoctl_protocols.ending import bias_went_off, ended_by, told_to_end
from cryoctl_protocols.parameters import Name, Shape, Specimen
from cryoctl_protocols.reach import check_dose, check_place, check_shape

_DRIFT_M_PER_S = 2e-9
_MARGIN_S = 0.5
"""After the end of a waveform: until then its last samples are there."""


class Pictures(StrictModel):
    shape: Shape = (96, 128)
    """Rows (across the tilt axis) and columns (along it)."""
    pixel_size_m: Metres = Field(default=20e-9, gt=1e-12, le=1e-5)
    dose_e_per_a2: DosePerA2 = Field(default=5.0, gt=0.0)
    """A picture."""
    detector: Name = "haadf"


class BiasedSeriesParameters(StrictModel):
    """A wired specimen under bias."""

    specimen: Specimen = Specimen()
    bias: BiasWaveform = BiasWaveform()
    frame_interval_s: Annotated[Seconds, Field(ge=0.0, le=86400.0)] = 20.0
    """From the end of one picture to the next, blanked."""
    before: int = Field(default=2, ge=0, le=10_000, strict=True)
    """Pictures before the bias is on."""
    x_m: Metres = 0.0
    """Where to look, in the specimen's frame."""
    y_m: Metres = 0.0
    dose_limit_e_per_a2: DosePerA2 = Field(default=1000.0, gt=0.0)
    pictures: Pictures = Pictures()
    optics: Name = "record"
    temperature_limit_k: Kelvin = Field(default=400.0, gt=0.0)
    interlocks: BiasInterlocks = BiasInterlocks()


_CHART = Chart(
    initial="prepare",
    states=("prepare", "before", "switch_on", "watch", "rest"),
    finals={
        "completed": "completed",
        "dose_limited": "dose",
        "held": "interlock",
        "lost_from_sight": "target-lost",
        "ended_by_operator": "operator",
    },
    transitions=(
        Transition(trigger="ready", source="prepare", dest="before"),
        Transition(trigger="seen", source="before", dest="switch_on"),
        Transition(trigger="over", source="before", dest="rest"),
        Transition(trigger="on", source="switch_on", dest="watch"),
        Transition(trigger="over", source="switch_on", dest="rest"),
        Transition(trigger="over", source="watch", dest="rest"),
        Transition(trigger="rested", source="rest", dest="completed"),
        Transition(trigger="dose", source="rest", dest="dose_limited"),
        Transition(trigger="held", source="rest", dest="held"),
        Transition(trigger="lost", source="rest", dest="lost_from_sight"),
        Transition(trigger="stopped", source="rest", dest="ended_by_operator"),
    ),
    labels={
        "prepare": "Detector in, optics set, beam current measured, limits of the source set",
        "before": "Pictures without bias",
        "switch_on": "Switching the bias on",
        "watch": "Pictures under bias",
        "rest": "Source to rest, detector out",
        "completed": "the waveform was played to its end",
        "dose_limited": "ended by the dose limit",
        "held": "ended by an interlock",
        "lost_from_sight": "ended because the bias or a picture was lost",
        "ended_by_operator": "ended by the operator",
    },
)


class BiasedSeries(Protocol):
    """Pictures before and under bias; ends with the waveform, the source at rest."""

    name: ClassVar[str] = "biased-series"
    summary: ClassVar[str] = "Pictures of a wired specimen while a source plays a waveform on it"
    Parameters: ClassVar[type[BaseModel]] = BiasedSeriesParameters
    chart: ClassVar[Chart] = _CHART
    requires: ClassVar[tuple[str, ...]] = ("stage", "beam", "image_detector", "bias")

    def __init__(self, parameters: BiasedSeriesParameters, facts: InstrumentFacts) -> None:
        super().__init__(parameters, facts)
        self.recipe = parameters
        self.current_a = 0.0
        self.ended = "rested"
        self.why = ""
        self.taken = 0

    @classmethod
    def check(cls, parameters: BiasedSeriesParameters, facts: InstrumentFacts) -> tuple[str, ...]:
        check_bias(parameters.bias, facts)
        pictures, limit = parameters.pictures, parameters.dose_limit_e_per_a2
        if parameters.optics not in facts.optics:
            known = ", ".join(sorted(facts.optics)) or "none"
            raise RecipeError(f"optics: found {parameters.optics!r}, the instrument file has {known}: name one of them")
        check_place(facts, x_m=parameters.x_m, y_m=parameters.y_m)
        shift_m = math.hypot(parameters.x_m, parameters.y_m)
        if shift_m > facts.image_shift_range_m:
            raise RecipeError(
                f"x_m, y_m: found a place {shift_m:.3g} m off, the image shift, which looks there, reaches "
                f"{facts.image_shift_range_m:.3g} m: choose one that is nearer"
            )
        check_shape(facts, "pictures.shape", pictures.shape)
        current_a = facts.optics[parameters.optics].beam_current_a
        dose = pictures.dose_e_per_a2
        check_dose(facts, "pictures.dose_e_per_a2", dose, pixel_m=pictures.pixel_size_m, current_a=current_a)
        if pictures.dose_e_per_a2 * UPPER > limit:
            raise RecipeError(
                f"dose_limit_e_per_a2: found {limit:.4g} e-/A^2, one picture needs "
                f"{pictures.dose_e_per_a2 * UPPER:.4g}: raise the limit or lower pictures.dose_e_per_a2"
            )
        planned = pictures.dose_e_per_a2 * _planned_pictures(parameters)
        if planned > limit:
            return (f"dose: {planned:.4g} e-/A^2 are planned, the limit is {limit:.4g}; the series ends before",)
        return ()

    def dose_limit_e_per_a2(self) -> float:
        return self.recipe.dose_limit_e_per_a2

    def interlock_limits(self) -> Mapping[str, float]:
        return {"temperature_max_k": self.recipe.temperature_limit_k, **self.recipe.interlocks.limits()}

    def interlock_policies(self) -> Mapping[str, str]:
        return self.recipe.interlocks.policies()

    def covered_area_m(self) -> tuple[float, float, float, float]:
        recipe, pictures = self.recipe, self.recipe.pictures
        half_x = (pictures.shape[1] / 2 + self.facts.timing.settle_px) * pictures.pixel_size_m + 2e-6
        half_y = pictures.shape[0] / 2 * pictures.pixel_size_m + 2e-6
        return (recipe.x_m - half_x, recipe.x_m + half_x, recipe.y_m - half_y, recipe.y_m + half_y)

    def describe(self) -> Mapping[str, Any]:
        recipe, pictures = self.recipe, self.recipe.pictures
        count = _planned_pictures(recipe)
        return {
            "title": "Pictures under bias",
            "specimen": recipe.specimen.name,
            "areas": {
                "record": {
                    "x_m": recipe.x_m,
                    "y_m": recipe.y_m,
                    "width_m": pictures.shape[1] * pictures.pixel_size_m,
                    "height_m": pictures.shape[0] * pictures.pixel_size_m,
                }
            },
            "targets": ["wired"],
            "image": {"shape": list(pictures.shape), "pixel_size_m": pictures.pixel_size_m},
            "edx": None,
            "planned": {"record": count * pictures.dose_e_per_a2},
            "planned_peak_e_per_a2": count * pictures.dose_e_per_a2,
            "tilts": count,
        }

    def closing_message(self, final: str) -> str:
        told = super().closing_message(final)
        return f"{told}: {self.why}" if self.why else told

    # States

    def prepare(self) -> Steps:
        bias = self.recipe.bias
        yield from UseOptics(name=self.recipe.optics)
        yield from Insert(detector=self.recipe.pictures.detector)
        self.current_a = (yield from blocks.measure_current()).current_a
        yield from SetBiasLimits(voltage_limit_v=bias.limit_v, compliance_a=bias.compliance_a)
        return "ready"

    def before(self) -> Steps:
        for _ in range(self.recipe.before):
            if not (yield from self._picture()):
                return "over"
            yield from Wait(duration_s=self.recipe.frame_interval_s, reason="interval")
        return "seen"

    def switch_on(self) -> Steps:
        bias = self.recipe.bias
        try:
            yield from StartWaveform(waveform=bias.played(), sample_interval_s=bias.sample_interval_s)
        except (StepLost, InterlockRefused, Interrupted) as error:
            self._end(error)
            return "over"
        return "on"

    def watch(self) -> Steps:
        while (yield from self._picture()):
            try:
                yield from Wait(duration_s=max(self.recipe.frame_interval_s, _MARGIN_S), reason="interval")
                found = yield from ReadBias()
            except (InterlockRefused, Interrupted) as error:
                self._end(error)
                break
            if not found.output_on:
                if found.stopped_by != "complete":
                    self.ended, self.why = bias_went_off(found.stopped_by)
                break
        return "over"

    def rest(self) -> Steps:
        try:
            yield from blocks.rest_source()
        except Interrupted as error:
            self._end(error)
            return self.ended
        outcome = "completed" if self.ended == "rested" else "partial"
        yield from EndTarget(name="wired", outcome=outcome, reason=self.why)
        yield from Retract(detector=self.recipe.pictures.detector)
        return self.ended

    # Parts

    def _picture(self) -> Block[bool]:
        """False where nothing is to be taken any more."""
        recipe, pictures = self.recipe, self.recipe.pictures
        shortest, longest = self.facts.dwell_range_s
        dwell = dwell_s(pictures.dose_e_per_a2, pixel_size_m=pictures.pixel_size_m, scans=1, current_a=self.current_a)
        try:
            yield from Expose(
                kind="record",
                area="record",
                target="wired",
                x_m=recipe.x_m,
                y_m=recipe.y_m,
                shift_x_m=recipe.x_m,
                shift_y_m=recipe.y_m,
                defocus_m=0.0,
                shape=pictures.shape,
                pixel_size_m=pictures.pixel_size_m,
                dwell_s=min(max(dwell, shortest), longest),
                detector=pictures.detector,
                drift_bound_m_per_s=_DRIFT_M_PER_S,
                planned_dose_e_per_a2=pictures.dose_e_per_a2,
            )
        except StepLost as error:
            yield from Note(name="picture", message=error.message, level="warning")
        except (DoseRefused, InterlockRefused, Interrupted) as error:
            self._end(error)
            return False
        self.taken += 1
        count = _planned_pictures(recipe)
        command = yield from Checkpoint(progress=min(1.0, self.taken / count), label=f"picture {self.taken} of {count}")
        if command.command:
            self.ended, self.why = told_to_end(command)
            return False
        return True

    def _end(self, error: Exception) -> None:
        self.ended = ended_by(error)
        self.why = str(error)


def _planned_pictures(recipe: BiasedSeriesParameters) -> int:
    return recipe.before + math.ceil(recipe.bias.played().duration_s / max(recipe.frame_interval_s, _MARGIN_S))
