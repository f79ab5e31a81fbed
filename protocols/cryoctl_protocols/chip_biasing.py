"""A solar cell on a chip is lit and biased while its facets are watched, and those of an unbiased region (E2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from cryoctl.errors import StepLost
from cryoctl.protocol import Chart, InstrumentFacts, Protocol, Steps
from cryoctl.steps import (
    Checkpoint,
    Compute,
    Conclude,
    EndTarget,
    Insert,
    Note,
    Retract,
    SetBiasLimits,
    SetLight,
    UseOptics,
    Wait,
)
from cryoctl_protocols import blocks
from cryoctl_protocols.bias_recipe import check_bias
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.chip_check import OVERSHOOT_M, REACH_M, check_chip, planned_e_per_a2
from cryoctl_protocols.chip_electrics import BiasWentOff, CellElectrics, Hold
from cryoctl_protocols.chip_pictures import ACTIVE, CONTROL, FACETS, ChipPictures, Region
from cryoctl_protocols.chip_recipe import ChipBiasingParameters, chip_chart
from cryoctl_protocols.ending import ended_by, ending_well, told_to_end
from cryoctl_protocols.placing import stage_lag_m

ORDER = "analysis.facet_decline:facet_order"
CAUSE = "analysis.cause:weigh_causes"

DOSE_PIXEL_M = 5e-9


class ChipBiasing(Protocol):
    """Curves without the beam, then lattice pictures of a biased and an unbiased region while the cell is held."""

    name: ClassVar[str] = "chip-biasing"
    summary: ClassVar[str] = "A solar cell on a chip under light and bias: curves, facets of two regions, the cause"
    Parameters: ClassVar[type[BaseModel]] = ChipBiasingParameters
    chart: ClassVar[Chart] = chip_chart()
    requires: ClassVar[tuple[str, ...]] = ("stage", "beam", "image_detector", "bias", "light")

    def __init__(self, parameters: ChipBiasingParameters, facts: InstrumentFacts) -> None:
        super().__init__(parameters, facts)
        self.recipe = parameters
        self.pictures = ChipPictures(parameters, facts)
        self.electrics = CellElectrics(parameters)
        self.held = Hold(parameters, self.electrics)
        self.ended = "done"
        self.why = ""

    # What is known before

    @classmethod
    def check(cls, parameters: ChipBiasingParameters, facts: InstrumentFacts) -> tuple[str, ...]:
        check_bias(parameters.bias, facts)
        return check_chip(parameters, facts)

    def dose_limit_e_per_a2(self) -> float:
        return self.recipe.dose.limit_e_per_a2

    def dose_pixel_m(self) -> float:
        return DOSE_PIXEL_M

    def interlock_limits(self) -> Mapping[str, float]:
        return {"temperature_max_k": self.recipe.temperature_limit_k, **self.recipe.interlocks.limits()}

    def interlock_policies(self) -> Mapping[str, str]:
        return self.recipe.interlocks.policies()

    def covered_area_m(self) -> tuple[float, float, float, float]:
        recipe = self.recipe
        x_m = (recipe.x_m, recipe.x_m + recipe.control.dx_m)
        y_m = (recipe.y_m, recipe.y_m + recipe.control.dy_m)
        return (min(x_m) - REACH_M, max(x_m) + REACH_M, min(y_m) - REACH_M, max(y_m) + REACH_M)

    def describe(self) -> Mapping[str, Any]:
        recipe, pictures = self.recipe, self.recipe.pictures
        size = {
            "width_m": pictures.shape[1] * pictures.pixel_size_m,
            "height_m": pictures.shape[0] * pictures.pixel_size_m,
        }
        planned = planned_e_per_a2(recipe)
        return {
            "title": "Chip biasing",
            "specimen": recipe.specimen.name,
            "areas": {one.name: {"x_m": one.x_m, "y_m": one.y_m, **size} for one in self.pictures.regions},
            "targets": [ACTIVE, CONTROL],
            "image": {"shape": list(pictures.shape), "pixel_size_m": pictures.pixel_size_m},
            "edx": None,
            "planned": {"record": recipe.pairs_of_pictures() * pictures.dose_e_per_a2},
            "planned_peak_e_per_a2": planned,
            "tilts": recipe.pairs_of_pictures(),
        }

    def closing_message(self, final: str) -> str:
        told = super().closing_message(final)
        return f"{told}: {self.why}" if self.why else told

    # States

    @ending_well
    def prepare(self) -> Steps:
        recipe, bias = self.recipe, self.recipe.bias
        yield from SetLight(irradiance_w_per_m2=0.0)
        yield from SetBiasLimits(voltage_limit_v=bias.limit_v, compliance_a=bias.compliance_a)
        yield from Insert(detector=recipe.pictures.detector)
        yield from UseOptics(name=recipe.pictures.optics, beam_current_a=recipe.pictures.beam_current_a)
        self.pictures.current_a = (yield from blocks.measure_current()).current_a
        yield from blocks.approach_position(recipe.x_m, recipe.y_m, overshoot_m=OVERSHOOT_M)
        lag_m = stage_lag_m(self.facts)
        self.pictures.lag_m = (lag_m, lag_m)
        return "done"

    @ending_well
    def find(self) -> Steps:
        for region in self.pictures.regions:
            missing = yield from self.pictures.find(region)
            if len(missing) == len(self.recipe.facets):
                return self._give_up("lost", f"no facet is seen in the {region.name} region; look at x_m, y_m, control")
            if missing:
                yield from Note(
                    name="facets",
                    message=f"not seen in the {region.name} region: {', '.join(missing)}; the others are followed",
                    level="warning",
                )
            if region is self.pictures.active:
                self.pictures.control.off_x_m, self.pictures.control.off_y_m = region.off_x_m, region.off_y_m
        return "done"

    @ending_well
    def dark(self) -> Steps:
        yield from self.electrics.dark()
        return "done"

    @ending_well
    def curves(self) -> Steps:
        yield from self.electrics.sweep("before")
        return "done"

    @ending_well
    def beam_current(self) -> Steps:
        if self.recipe.beam_current.dose_e_per_a2 > 0:
            found = yield from self.electrics.beam_on(self.pictures.overview())
            told = {
                "beam_current_a": self.pictures.current_a,
                "dose_e_per_a2": self.recipe.beam_current.dose_e_per_a2,
                "gain": abs(float(found["ebic_a"])) / self.pictures.current_a,
            }
            yield from Conclude(name="ebic", values={**found, **told})
        return "done"

    @ending_well
    def before(self) -> Steps:
        time_s = (yield from Wait(duration_s=0.0, reason="interval")).time_s
        for _ in range(self.recipe.before):
            yield from self._pair(time_s)
            time_s = (yield from Wait(duration_s=self.recipe.frame_interval_s, reason="interval")).time_s
        return "done"

    @ending_well
    def hold(self) -> Steps:
        recipe, held = self.recipe, self.held
        now_s = yield from held.begin()
        over_s = held.began_s + recipe.bias.duration_s
        asked_s = math.inf if recipe.end.time_s is None else held.began_s + recipe.end.time_s
        next_s = held.began_s + recipe.frame_interval_s
        taken = 0
        while now_s < min(over_s, asked_s):
            now_s = yield from held.dwell(now_s)
            if now_s >= next_s:
                yield from self._pair(now_s)
                yield from held.still_on()
                taken += 1
                every = recipe.blanked.every
                rest_s = recipe.blanked.for_s if every and taken % every == 0 else 0.0
                next_s = now_s + recipe.frame_interval_s + rest_s
            share = min(1.0, held.biased_s(now_s) / recipe.bias.duration_s)
            command = yield from Checkpoint(progress=share, label=f"{held.biased_s(now_s):.0f} s under bias")
            if command.command:
                self.ended, self.why = told_to_end(command)
                return "over"
        yield from self._pair(now_s)
        yield from held.still_on()  # a pause in between has ended it: no curves then
        if asked_s <= over_s and now_s >= asked_s:
            self.ended = "condition"
        return "done"

    @ending_well
    def curves_again(self) -> Steps:
        yield from blocks.rest_source()
        yield from self.electrics.sweep("after")
        return "done"

    def rest(self) -> Steps:
        yield from blocks.rest_source()
        yield from SetLight(irradiance_w_per_m2=0.0)
        return "rested"

    def evaluate(self) -> Steps:
        if math.isfinite(self.held.began_s) and self.held.columns:
            yield from Conclude(name="hold", values=self.held.told())
        try:
            yield from self._evaluated()
        except StepLost as error:
            yield from Note(name="facets", message=error.message, level="warning")
        return "told"

    def leave(self) -> Steps:
        outcome = "completed" if self.ended in ("done", "condition") else "partial"
        for region in self.pictures.regions:
            yield from EndTarget(name=region.name, outcome=outcome, reason=self.why)
        yield from Retract(detector=self.recipe.pictures.detector)
        return self.ended

    # Parts

    def _pair(self, now_s: float) -> Block[None]:
        """A picture of each region."""
        for region in self.pictures.regions:
            yield from self.pictures.take(region, now_s, self.held.biased_s(now_s) if region.name == ACTIVE else 0.0)

    def _evaluated(self) -> Block[None]:
        """Facets of both regions, their order and the cause, from all pictures."""
        series: list[tuple[Region, Mapping[str, Any]]] = []
        for region in self.pictures.regions:
            if len(region.frames) >= 2:
                found = yield from Compute(
                    function=FACETS,
                    frames=tuple(region.frames),
                    arguments={
                        "facets": self.pictures.wanted(),
                        "pixel_size_m": self.recipe.pictures.pixel_size_m,
                        "moved_m": region.moved_m(),
                    },
                    duration_s=1.0,
                )
                if found.values["name"]:
                    series.append((region, found.values))
        if not series or series[0][0] is not self.pictures.active:
            return
        regions = {region.name: _decline_of(region, values) for region, values in series}
        both = {"active": regions[ACTIVE], "control": regions.get(CONTROL)}
        order = (yield from Compute(function=ORDER, arguments=both)).values
        cause = (yield from Compute(function=CAUSE, arguments=both)).values
        yield from Conclude(name="facets", values=_facets_told(series, order))
        yield from Conclude(name="cause", values={name: value for name, value in cause.items() if name != "found"})

    def _give_up(self, ended: str, why: str) -> str:
        self.ended, self.why = ended, why
        return "over"

    def end_by(self, error: Exception) -> str:
        if isinstance(error, BiasWentOff):
            return self._give_up(error.ended, str(error))
        return self._give_up(ended_by(error), str(error))


def _decline_of(region: Region, values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": values["name"],
        "intensity": values["intensity"],
        "sigma": values["intensity_sigma"],
        "dose_e_per_a2": region.doses_e_per_a2,
        "bias_s": region.biased_s,
    }


def _facets_told(series: list[tuple[Region, Mapping[str, Any]]], order: Mapping[str, Any]) -> dict[str, Any]:
    """/results/facets: a row a facet of each region, columns in the order of the record pictures."""
    pictures = sorted(
        (frame.index, region.name, number) for region, _ in series for number, frame in enumerate(region.frames)
    )
    told: dict[str, Any] = {"name": [], "region": [], "intensity": [], "intensity_sigma": [], "initial": []}
    for region, values in series:
        for row, name in enumerate(values["name"]):
            initial = order.get("initial", {}).get(region.name, {}).get(name, math.nan)
            told["name"].append(name)
            told["region"].append(region.name)
            told["initial"].append(initial)
            for column in ("intensity", "intensity_sigma"):
                told[column].append(
                    [values[column][row][k] / initial if own == region.name else math.nan for _, own, k in pictures]
                )
    by_name = {region.name: region for region, _ in series}
    told["frame"] = [index for index, _, _ in pictures]
    told["time_s"] = [by_name[name].times_s[k] for _, name, k in pictures]
    told["dose_e_per_a2"] = [by_name[name].doses_e_per_a2[k] for _, name, k in pictures]
    told["bias_s"] = [by_name[name].biased_s[k] for _, name, k in pictures]
    if order["found"]:
        for column in ("rank", "rank_probability", "rate_per_s", "rate_per_s_sigma"):
            told[column] = _of_active(told, order, column, 0 if column == "rank" else math.nan)
        for column in ("onset_s", "onset_s_low", "onset_s_high"):
            told[column] = _of_active(told, order, column, math.nan)
        told |= {name: order[name] for name in ("dose_rate_a2", "dose_rate_a2_sigma", "scatter")}
    return told


def _of_active(told: Mapping[str, Any], order: Mapping[str, Any], column: str, otherwise: float) -> list[float]:
    by_name = dict(zip(order["name"], order[column], strict=True))
    pairs = zip(told["name"], told["region"], strict=True)
    return [by_name.get(name, otherwise) if region == ACTIVE else otherwise for name, region in pairs]
