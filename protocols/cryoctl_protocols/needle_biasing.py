"""A piezo needle is brought to a coated particle and a bias applied while it is watched (science.md, E4)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from cryoctl.protocol import Chart, InstrumentFacts, Protocol, Steps
from cryoctl.steps import (
    Conclude,
    EndTarget,
    Insert,
    MoveStage,
    ReadNeedle,
    Retract,
    SetNeedleVoltage,
    UseOptics,
    WithdrawNeedle,
)
from cryoctl_protocols import blocks
from cryoctl_protocols.bias_recipe import check_bias
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.ending import ended_by, ending_well
from cryoctl_protocols.needle_approach import aim, touch
from cryoctl_protocols.needle_check import check_needle
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_height import level
from cryoctl_protocols.needle_pictures import TARGET, UNTOLD, NeedlePictures, series_pixel_m
from cryoctl_protocols.needle_probe import ContactProbe
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters, needle_chart
from cryoctl_protocols.needle_series import NeedleSeries, planned_pictures, unbiased_pictures

DOSE_PIXEL_M = 100e-9
_WOBBLES = 12
_ROUGH_M = 0.5e-6
"""Difference of heights that is good enough to come near."""
_TOLD_M = 1e-6
"""Sigma of the specimen's height that is worse than none: at the fine wobble it would lie far aside."""
_FINER = 0.9
"""Of the pixels that told too little: finer ones show more of an outline."""
_AIM_GAP_M = 1.2e-6
"""From here on pictures are fine enough to tell one particle from another."""
_SHARE = 0.6
"""Of a way that is clear, which the tube takes at once."""
_NEAR_ENOUGH = 0.9
"""Of the gap at which coarse steps end: they aim at a little less."""


class NeedleBiasing(Protocol):
    """Finds needle and grid, makes their heights equal, approaches until contact, biases, rests and withdraws."""

    name: ClassVar[str] = "needle-biasing"
    summary: ClassVar[str] = "A piezo needle in contact with a coated particle, pictures while it is biased"
    Parameters: ClassVar[type[BaseModel]] = NeedleBiasingParameters
    chart: ClassVar[Chart] = needle_chart()
    requires: ClassVar[tuple[str, ...]] = ("stage", "beam", "image_detector", "bias", "needle")

    def __init__(self, parameters: NeedleBiasingParameters, facts: InstrumentFacts) -> None:
        super().__init__(parameters, facts)
        self.recipe = parameters
        self.drive = NeedleDrive(
            parameters.needle.side, (-math.inf, math.inf) if facts.needle is None else facts.needle.fine_range_m
        )
        self.pictures = NeedlePictures(parameters, facts, self.drive)
        self.probe = ContactProbe(parameters, self.drive)
        self.current_a = math.nan
        self.near = False
        self.ended = "done"
        self.why = ""

    # What is known before

    @classmethod
    def check(cls, parameters: NeedleBiasingParameters, facts: InstrumentFacts) -> tuple[str, ...]:
        check_bias(parameters.bias, facts)
        check_needle(parameters, facts)
        return ()

    def dose_limit_e_per_a2(self) -> float:
        return self.recipe.dose.limit_e_per_a2

    def dose_pixel_m(self) -> float:
        return DOSE_PIXEL_M

    def interlock_limits(self) -> Mapping[str, float]:
        return {
            "temperature_max_k": self.recipe.temperature_limit_k,
            "needle_clear_m": self.recipe.needle.clear_distance_m,
            "probe_v": self.recipe.probe_v,
            "probe_a": self.recipe.probe_a,
            **self.recipe.interlocks.limits(),
        }

    def interlock_policies(self) -> Mapping[str, str]:
        return self.recipe.interlocks.policies()

    def lost_by_interruption(self) -> tuple[str, ...]:
        return ("the needle near the specimen",) if self.near else ()

    def covered_area_m(self) -> tuple[float, float, float, float]:
        looks = self.recipe.looks
        pixel_m = looks.overview_m / looks.shape[1]
        half_x = looks.overview_m / 2 + self.facts.timing.settle_px * pixel_m + 1e-5
        half_y = looks.shape[0] * pixel_m / 2 + 1e-5
        return (self.recipe.x_m - half_x, self.recipe.x_m + half_x, self.recipe.y_m - half_y, self.recipe.y_m + half_y)

    def describe(self) -> Mapping[str, Any]:
        recipe = self.recipe
        pixel_m = series_pixel_m(recipe, self.facts, self.facts.optics[recipe.pictures.optics].beam_current_a)
        rows, columns = recipe.pictures.shape
        count = unbiased_pictures(recipe) + planned_pictures(recipe)
        return {
            "title": "Needle biasing",
            "specimen": recipe.specimen.name,
            "areas": {
                "record": {
                    "x_m": recipe.x_m,
                    "y_m": recipe.y_m,
                    "width_m": columns * pixel_m,
                    "height_m": rows * pixel_m,
                }
            },
            "targets": [TARGET],
            "image": {"shape": [rows, columns], "pixel_size_m": pixel_m},
            "edx": None,
            "particles": {"side": recipe.needle.side},
            "tilts": count,
            "scattered": True,
        }

    def closing_message(self, final: str) -> str:
        told = super().closing_message(final)
        return f"{told}: {self.why}" if self.why else told

    # States

    @ending_well
    def prepare(self) -> Steps:
        yield from Insert(detector=self.recipe.pictures.detector)
        yield from self._use(self.recipe.looks.optics)
        yield from self.probe.limits()
        yield from MoveStage(x_m=self.recipe.x_m, y_m=self.recipe.y_m, tilt_deg=0.0)
        return "done"

    @ending_well
    def overview(self) -> Steps:
        view = yield from self.pictures.look(self.pictures.widest_pixel_m)
        if not view["found"]:
            return self._give_up("lost", "no needle is seen in the overview; bring it into the field")
        if not view["specimen_found"]:
            return self._give_up("lost", "no grid is seen in the overview; bring its edge into the field")
        if self.facts.needle is not None and any(self.facts.needle.grounded_m):
            # Of one polarity: the apex goes by microns when the voltage comes on, so it does while there is room.
            yield from SetNeedleVoltage(on=True)
            yield from self.pictures.look(self.pictures.widest_pixel_m)
        return "done"

    @ending_well
    def specimen_height(self) -> Steps:
        """Both by wobbling at the lowest magnification: the grid by the goniometer, the needle roughly by its drive."""
        pixel_m = self.pictures.widest_pixel_m
        before: tuple[float, int] | None = None
        raised = 0
        for _ in range(_WOBBLES):
            found = yield from self.pictures.wobble(pixel_m)
            if found is None:
                return self._give_up("lost", "needle and grid could not be told apart while wobbling")
            at = yield from MoveStage(tilt_deg=0.0)
            if float(found["specimen_sigma_m"]) > _TOLD_M:
                finer_m = self.pictures.fitting_pixel_m()
                if finer_m > _FINER * pixel_m:
                    return self._give_up("lost", UNTOLD)
                pixel_m = finer_m
                continue
            if raised < 2:
                yield from MoveStage(z_m=at.z_m + float(found["specimen_z_m"]))
                raised += 1
                continue
            above_m = float(found["needle_above_m"])
            if before is not None:
                sign = 1 if before[0] < 0 else -1
                self.drive.learn("z", sign, sign * (above_m - before[0]) / before[1])
            if abs(above_m) <= max(_ROUGH_M, 2 * float(found["needle_sigma_m"])):
                return "done"
            count = yield from self.drive.coarse("z", -above_m)
            before = (above_m, count) if count else None
            yield from self.pictures.look(pixel_m)
        return self._give_up("no_contact", "the needle could not be brought near the specimen's height")

    @ending_well
    def come_near(self) -> Steps:
        """Coarse steps, fewer as the gap shrinks; never so many that the longest of them would use it up.

        Before the last of them the tube goes back: what is left of the way is its own, with a reserve either way.
        """
        needle = self.recipe.needle
        for _ in range(needle.looks):
            pixel_m = self.pictures.fitting_pixel_m()
            view = yield from self.pictures.look(pixel_m)
            if not view["found"]:
                return self._give_up("lost", "the needle was lost from sight on its way")
            if not self.near and self.pictures.gap_m <= 2 * needle.coarse_stop_m:
                yield from SetNeedleVoltage(on=True)
                self.near = True
                yield from self.drive.move_tube(onward_m=-needle.tube_back_m)
                self.pictures.further_by(needle.tube_back_m)
                continue
            if self.near and self.pictures.gap_m <= needle.coarse_stop_m:
                return "done"
            aside_m = self.drive.across(self.pictures.apex_m)
            if abs(aside_m) > 1e-6:
                yield from self.drive.coarse(self.drive.aside, -aside_m)
                continue
            before_m = self.pictures.gap_m
            count = yield from self.drive.toward(self.pictures.gap_m - _NEAR_ENOUGH * needle.coarse_stop_m)
            if count:
                yield from self.pictures.look(pixel_m)
                self.drive.learn(self.drive.axis, self.drive.sign, (before_m - self.pictures.gap_m) / count)
        return self._give_up("no_contact", "the needle did not come near; look at its coarse drive")

    @ending_well
    def needle_height(self) -> Steps:
        problem = yield from level(self.recipe, self.pictures, self.drive)
        return self._give_up("no_contact", problem) if problem else "done"

    @ending_well
    def approach(self) -> Steps:
        yield from self._use(self.recipe.pictures.optics)
        yield from self.probe.apart()
        for _ in range(self.recipe.needle.looks):
            view = yield from self.pictures.look(self.pictures.fitting_pixel_m())
            if not view["found"] or view["overlap"]:
                return self._give_up("lost", "the needle was lost from sight on its way")
            if self.pictures.gap_m <= _AIM_GAP_M:
                break
            yield from self.drive.move_tube(onward_m=_SHARE * (self.pictures.gap_m - 0.5 * _AIM_GAP_M))
        problem = yield from aim(self.recipe, self.pictures, self.drive)
        if problem:
            return self._give_up("lost", problem)
        problem = yield from touch(self.recipe, self.pictures, self.drive, self.probe)
        return self._give_up("no_contact", problem) if problem else "done"

    @ending_well
    def series(self) -> Steps:
        recipe = self.recipe
        pixel_m = series_pixel_m(recipe, self.facts, self.current_a)
        yield from Conclude(
            name="dose_rate",
            values={
                "asked_e_per_a2_s": recipe.dose_rate_e_per_a2_s,
                "current_a": self.current_a,
                "pixel_size_m": pixel_m,
            },
        )
        series = NeedleSeries(recipe, self.pictures, pixel_m)
        ended = yield from series.unbiased()
        if ended is None:
            ended = yield from series.under_bias()
        self.ended, self.why = ended
        return "over"

    def rest(self) -> Steps:
        yield from blocks.rest_source()
        return "rested"

    def withdraw(self) -> Steps:
        if self.near or (yield from ReadNeedle()).hold != "free":
            yield from WithdrawNeedle()
            self.near = False
        outcome = "completed" if self.ended in ("done", "condition") else "partial"
        yield from EndTarget(name=TARGET, outcome=outcome, reason=self.why)
        yield from Retract(detector=self.recipe.pictures.detector)
        return self.ended

    def _use(self, optics: str) -> Block[None]:
        yield from UseOptics(name=optics)
        self.current_a = (yield from blocks.measure_current()).current_a

    def _give_up(self, ended: str, why: str) -> str:
        self.ended, self.why = ended, why
        return "over"

    def end_by(self, error: Exception) -> str:
        return self._give_up(ended_by(error), str(error))
