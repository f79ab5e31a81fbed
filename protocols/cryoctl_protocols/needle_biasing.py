"""A piezo needle is brought to a coated particle and a bias applied while it is watched (science.md, E4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar

from pydantic import BaseModel

from cryoctl.errors import DoseRefused, InterlockRefused, Interrupted, RecipeError, StepLost
from cryoctl.protocol import Chart, InstrumentFacts, Protocol, Steps
from cryoctl.steps import (
    Checkpoint,
    Compute,
    Conclude,
    EndTarget,
    FrameRef,
    Insert,
    MoveStage,
    ReadBias,
    ReadNeedle,
    Retract,
    SetBiasLimits,
    SetNeedleVoltage,
    StartWaveform,
    UseOptics,
    Wait,
    WithdrawNeedle,
)
from cryoctl_protocols import blocks
from cryoctl_protocols.bias_recipe import check_bias
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_approach import aim, touch
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_pictures import TARGET, NeedlePictures
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters, needle_chart

DOSE_PIXEL_M = 100e-9
_WOBBLES = 12
_ROUGH_M = 0.5e-6
"""Difference of heights that is good enough to come near."""
_TUBE_GAP_M = 1.2e-6
_TUBE_HEIGHT_M = 0.4e-6
"""Difference of heights that is left to the tube."""
_AHEAD_S = 30.0
"""From the last wobble to the touch."""

RISING = "analysis.needle_drift:rising"
"""(times, heights, sigmas, tube) -> height and drift of an apex that the tube corrects."""


def _foretold_sigma_m(rise: Mapping[str, Any], ahead_s: float) -> float:
    """Of the height so long after it was measured."""
    height, rate = float(rise["above_sigma_m"]), float(rise["rate_sigma_m_per_s"])
    return math.sqrt(max(0.0, height**2 + 2 * ahead_s * float(rise["cross"]) + (ahead_s * rate) ** 2))


State = Callable[["NeedleBiasing"], Steps]


def ending_well(state: State) -> State:
    """Whatever stops the state, the run goes on to rest and withdrawal."""

    @wraps(state)
    def guarded(protocol: NeedleBiasing) -> Steps:
        try:
            return (yield from state(protocol))
        except (DoseRefused, InterlockRefused, Interrupted, StepLost) as error:
            return protocol.end_by(error)

    return guarded


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
        self.drive = NeedleDrive(parameters.needle.side)
        self.pictures = NeedlePictures(parameters, facts, self.drive)
        self.current_a = math.nan
        self.near = False
        self.ended = "done"
        self.why = ""

    # What is known before

    @classmethod
    def check(cls, parameters: NeedleBiasingParameters, facts: InstrumentFacts) -> tuple[str, ...]:
        check_bias(parameters.bias, facts)
        for name in (parameters.looks.optics, parameters.pictures.optics):
            if name not in facts.optics:
                raise RecipeError(
                    f"optics: found {name!r}, the instrument file has {', '.join(facts.optics)}: name one"
                )
        low, high = facts.stage.tilt_deg
        for name in ("wobble_deg", "fine_wobble_deg"):
            tilt = float(getattr(parameters.needle, name))
            if not (low <= -tilt and tilt <= high):
                raise RecipeError(
                    f"needle.{name}: found {tilt:g}, the stage tilts from {low:g} to {high:g} deg: lower it"
                )
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
        pixel_m = self.pictures.series_pixel_m(self.facts.optics[recipe.pictures.optics].beam_current_a)
        rows, columns = recipe.pictures.shape
        count = recipe.before + math.ceil(recipe.bias.played().duration_s / max(recipe.frame_interval_s, 0.5))
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
            "tilts": count,
        }

    def closing_message(self, final: str) -> str:
        told = super().closing_message(final)
        return f"{told}: {self.why}" if self.why else told

    # States

    @ending_well
    def prepare(self) -> Steps:
        bias = self.recipe.bias
        yield from Insert(detector=self.recipe.pictures.detector)
        yield from self._use(self.recipe.looks.optics)
        yield from SetBiasLimits(voltage_limit_v=bias.limit_v, compliance_a=bias.compliance_a)
        yield from MoveStage(x_m=self.recipe.x_m, y_m=self.recipe.y_m, tilt_deg=0.0)
        return "done"

    @ending_well
    def overview(self) -> Steps:
        view = yield from self.pictures.look(self.pictures.widest_pixel_m)
        if not view["found"]:
            return self._give_up("lost", "no needle is seen in the overview; bring it into the field")
        if not view["specimen_found"]:
            return self._give_up("lost", "no grid is seen in the overview; bring its edge into the field")
        return "done"

    @ending_well
    def specimen_height(self) -> Steps:
        """Both by wobbling at the lowest magnification: the grid by the goniometer, the needle roughly by its drive."""
        pixel_m = self.pictures.widest_pixel_m
        before: tuple[float, int] | None = None
        for turn in range(_WOBBLES):
            found = yield from self.pictures.wobble(pixel_m)
            if found is None:
                return self._give_up("lost", "needle and grid could not be told apart while wobbling")
            at = yield from MoveStage(tilt_deg=0.0)
            if turn < 2:
                yield from MoveStage(z_m=at.z_m + float(found["specimen_z_m"]))
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
        """Coarse steps, fewer as the gap shrinks; never so many that the longest of them would use it up."""
        needle = self.recipe.needle
        for _ in range(needle.looks):
            pixel_m = self.pictures.fitting_pixel_m()
            view = yield from self.pictures.look(pixel_m)
            if not view["found"]:
                return self._give_up("lost", "the needle was lost from sight on its way")
            if self.pictures.gap_m <= needle.coarse_stop_m:
                return "done"
            aside_m = self.drive.across(self.pictures.apex_m)
            if abs(aside_m) > 1e-6:
                yield from self.drive.coarse(self.drive.aside, -aside_m)
                continue
            before_m = self.pictures.gap_m
            count = yield from self.drive.toward(self.pictures.gap_m - 0.8 * needle.coarse_stop_m)
            if count:
                yield from self.pictures.look(pixel_m)
                self.drive.learn(self.drive.axis, self.drive.sign, (before_m - self.pictures.gap_m) / count)
        return self._give_up("no_contact", "the needle did not come near; look at its coarse drive")

    @ending_well
    def needle_height(self) -> Steps:
        """Differential wobbling: the apex against the grid. Coarse steps first, the tube for the rest.

        Drift is part of it: the tube goes on making up for it until the needle touches.
        """
        needle, drive = self.recipe.needle, self.drive
        pixel_m = self.pictures.fitting_pixel_m()
        times_s: list[float] = []
        heights_m: list[float] = []
        sigmas_m: list[float] = []
        tube_m: list[float] = []
        for _ in range(_WOBBLES):
            found = yield from self.pictures.wobble(pixel_m, back=True)
            if found is None:
                return self._give_up("lost", "needle and grid could not be told apart while wobbling")
            at = yield from MoveStage(tilt_deg=0.0)
            above_m = float(found["needle_above_m"])
            if not self.near and abs(above_m) > _TUBE_HEIGHT_M:
                yield from drive.coarse("z", -above_m)
                yield from self.pictures.look(pixel_m)
                continue
            if not self.near:
                yield from SetNeedleVoltage(on=True)
                self.near = True
            times_s.append(float(found["time_s"]))
            heights_m.append(above_m)
            sigmas_m.append(float(found["needle_sigma_m"]))
            tube_m.append(drive.tube[2])
            arguments = {"time_s": times_s, "above_m": heights_m, "sigma_m": sigmas_m, "tube_m": tube_m}
            rise = (yield from Compute(function=RISING, arguments=arguments)).values
            gain, rate = float(rise["gain"]), float(rise["rate_m_per_s"])
            drive.now_s = at.time_s
            drive.make_up_for()
            since_s = at.time_s - times_s[-1]
            yield from drive.move_tube(up_m=-(float(rise["above_m"]) + rate * since_s) / gain)
            if _foretold_sigma_m(rise, since_s + _AHEAD_S) < needle.height_m / 3:
                drive.make_up_for(up=rate / gain)
                grid_z_m = at.z_m + float(found["specimen_z_m"])
                yield from Conclude(
                    name="eucentric",
                    values={
                        "grid_z_m": grid_z_m,
                        "grid_z_m_sigma": float(found["specimen_sigma_m"]),
                        "needle_z_m": grid_z_m,
                        "needle_z_m_sigma": _foretold_sigma_m(rise, since_s + _AHEAD_S),
                        "needle_drift_m_per_s": rate,
                        "needle_drift_m_per_s_sigma": float(rise["rate_sigma_m_per_s"]),
                    },
                )
                return "done"
            yield from self.pictures.look(pixel_m)
        return self._give_up("no_contact", "needle and specimen could not be brought to one height")

    @ending_well
    def approach(self) -> Steps:
        yield from self._use(self.recipe.pictures.optics)
        for _ in range(self.recipe.needle.looks):
            view = yield from self.pictures.look(self.pictures.fitting_pixel_m())
            if not view["found"] or view["overlap"]:
                return self._give_up("lost", "the needle was lost from sight on its way")
            if self.pictures.gap_m <= _TUBE_GAP_M:
                break
            if not (yield from self.drive.toward(self.pictures.gap_m - 0.5 * _TUBE_GAP_M)):
                break
        problem = yield from aim(self.recipe, self.pictures, self.drive)
        if problem:
            return self._give_up("lost", problem)
        problem = yield from touch(self.recipe, self.pictures, self.drive)
        return self._give_up("no_contact", problem) if problem else "done"

    @ending_well
    def series(self) -> Steps:
        recipe = self.recipe
        waveform = recipe.bias.played()
        yield from self._use(recipe.pictures.optics)
        pixel_m = self.pictures.series_pixel_m(self.current_a)
        yield from Conclude(
            name="dose_rate",
            values={
                "asked_e_per_a2_s": recipe.dose_rate_e_per_a2_s,
                "current_a": self.current_a,
                "pixel_size_m": pixel_m,
            },
        )
        first: FrameRef | None = None
        for _ in range(recipe.before):
            first = yield from self.pictures.record(pixel_m, first)
            yield from Wait(duration_s=recipe.frame_interval_s, reason="interval")
        began = yield from StartWaveform(waveform=waveform, sample_interval_s=recipe.bias.sample_interval_s)
        last_s = math.inf if recipe.end.time_s is None else began.began_s + recipe.end.time_s
        while True:
            first = yield from self.pictures.record(pixel_m, first)
            waited = yield from Wait(duration_s=max(recipe.frame_interval_s, 0.5), reason="interval")
            found = yield from ReadBias()
            if not found.output_on:
                if found.stopped_by != "complete":
                    self.ended = "stopped" if found.stopped_by == "pause" else "lost"
                    self.why = f"the bias went off ({found.stopped_by})"
                return "over"
            if waited.time_s >= last_s:
                self.ended = "condition"
                return "over"
            share = min(1.0, (waited.time_s - began.began_s) / waveform.duration_s)
            command = yield from Checkpoint(progress=share, label=f"{waited.time_s - began.began_s:.0f} s under bias")
            if command.command:
                self.ended, self.why = "stopped", command.command
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
        ways: tuple[tuple[type[Exception], str], ...] = ((DoseRefused, "dose"), (InterlockRefused, "held"))
        return self._give_up(next((name for kind, name in ways if isinstance(error, kind)), "lost"), str(error))
