"""Measures what other protocols rely on: beam current, tilt axis, backlash, pixel size, image shift, height.

Each is concluded as `calibration_KIND` with value, one sigma and `uncertainty`, the bound at two sigma (Student's for
the few repeats that there are) that an instrument file states; `cryoctl calibrations RUN` prints them as that file has
them. What was in force during the measurement is counted in: the value replaces the one in the file.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel

from cryoctl.errors import StepLost
from cryoctl.protocol import Chart, InstrumentFacts, Protocol, Steps
from cryoctl.steps import (
    Checkpoint,
    Conclude,
    EndTarget,
    Expose,
    FrameRef,
    Insert,
    MoveStage,
    Retract,
    StageAt,
    UseOptics,
    Wait,
)
from cryoctl_protocols import blocks, calibration_recipe
from cryoctl_protocols.blocks import Block, Shift
from cryoctl_protocols.calibration_fits import height_and_bound, mean_and_bound
from cryoctl_protocols.calibration_recipe import RUNGS, CalibrateParameters, calibration_chart
from cryoctl_protocols.dose_plan import dwell_s

_AFTER_A_LONG_WAY = 6
"""Rests after a tilt across the whole ladder, which warms as much as all its rungs together."""


PLACE_SIGMA_M = 300e-9
UNWATCHED_M_PER_S = 2e-9
"""How fast the specimen may drift."""


class Calibrate(Protocol):
    """Measures calibrations with their uncertainties; nothing is set, the results are kept for the instrument file."""

    name: ClassVar[str] = "calibrate"
    summary: ClassVar[str] = "Beam current, tilt axis, backlash, pixel size, image shift and height, each with sigma"
    Parameters: ClassVar[type[BaseModel]] = CalibrateParameters
    chart: ClassVar[Chart] = calibration_chart()
    requires: ClassVar[tuple[str, ...]] = ("stage", "beam", "image_detector")

    def __init__(self, parameters: CalibrateParameters, facts: InstrumentFacts) -> None:
        super().__init__(parameters, facts)
        self.recipe = parameters
        self.current_a = 0.0
        self.axis_deg = 0.0
        self.axis_bound_deg = 0.0
        self.pixel_ratio = 1.0
        self.command = ""
        self.at: StageAt | None = None
        self.began_s = math.nan

    @classmethod
    def check(cls, parameters: CalibrateParameters, facts: InstrumentFacts) -> tuple[str, ...]:
        return calibration_recipe.check(parameters, facts)

    def dose_limit_e_per_a2(self) -> float:
        return self.recipe.dose_limit_e_per_a2

    def interlock_limits(self) -> Mapping[str, float]:
        return {"temperature_max_k": self.recipe.temperature_limit_k, **self.recipe.interlocks.limits()}

    def interlock_policies(self) -> Mapping[str, str]:
        return self.recipe.interlocks.policies()

    def covered_area_m(self) -> tuple[float, float, float, float]:
        recipe, pictures = self.recipe, self.recipe.pictures
        reach = max(recipe.move_m, recipe.image_shift_m) * 1.5 + 2e-6
        half_x = (pictures.shape[1] / 2 + self.facts.timing.settle_px) * pictures.pixel_size_m + reach
        half_y = pictures.shape[0] / 2 * pictures.pixel_size_m * 1.5 + reach
        return (recipe.x_m - half_x, recipe.x_m + half_x, recipe.y_m - half_y, recipe.y_m + half_y)

    def describe(self) -> Mapping[str, Any]:
        pictures = self.recipe.pictures
        area = {
            "x_m": self.recipe.x_m,
            "y_m": self.recipe.y_m,
            "width_m": pictures.shape[1] * pictures.pixel_size_m,
            "height_m": pictures.shape[0] * pictures.pixel_size_m,
        }
        count = 14 * self.recipe.repeats + 3 * (2 * RUNGS + 1)
        return {
            "title": "Calibration",
            "specimen": self.recipe.specimen.name,
            "areas": {"search": area},
            "targets": ["calibration"],
            "image": {"shape": list(pictures.shape), "pixel_size_m": pictures.pixel_size_m},
            "edx": None,
            "planned": {"search": count * pictures.dose_e_per_a2},
            "planned_peak_e_per_a2": count * pictures.dose_e_per_a2,
        }

    # Blocks of its own

    def _go(self, *, x_m: float = 0.0, y_m: float = 0.0) -> Block[None]:
        """To the place of the recipe plus an offset, backlash-free."""
        self.at = yield from blocks.approach_position(
            self.recipe.x_m + x_m, self.recipe.y_m + y_m, overshoot_m=self.recipe.approach.overshoot_m
        )
        yield from self._rest()

    def _tilt(self, tilt_deg: float) -> Block[None]:
        self.at = yield from blocks.approach_tilt(
            tilt_deg, overshoot_deg=self.recipe.approach.overshoot_deg, limits_deg=self.facts.stage.tilt_deg
        )
        yield from self._rest()

    def _rest(self) -> Block[None]:
        if self.recipe.settle_s > 0.0:
            yield from Wait(duration_s=self.recipe.settle_s, reason="the stage comes to rest")

    def _place_sigma_m(self, time_s: float) -> float:
        """A third of how far off its place a picture may lie: the stage's own, and what nobody has followed since the
        first move."""
        self.began_s = time_s if math.isnan(self.began_s) else self.began_s
        return PLACE_SIGMA_M + UNWATCHED_M_PER_S * (time_s - self.began_s) / 3

    def _picture(self, shift_x_m: float = 0.0, shift_y_m: float = 0.0) -> Block[FrameRef]:
        at, pictures = self.at, self.recipe.pictures
        assert at is not None
        shortest, longest = self.facts.dwell_range_s
        dwell = dwell_s(pictures.dose_e_per_a2, pixel_size_m=pictures.pixel_size_m, scans=1, current_a=self.current_a)
        _, frame = yield from blocks.take(
            Expose(
                kind="search",
                area="search",
                target="calibration",
                x_m=at.x_m + shift_x_m,
                y_m=at.y_m + shift_y_m / math.cos(math.radians(at.tilt_deg)),
                shift_x_m=shift_x_m,
                shift_y_m=shift_y_m,
                defocus_m=0.0,
                shape=pictures.shape,
                pixel_size_m=pictures.pixel_size_m,
                dwell_s=min(max(dwell, shortest), longest),
                detector=pictures.detector,
                position_sigma_m=self._place_sigma_m(at.time_s),
                planned_dose_e_per_a2=pictures.dose_e_per_a2,
            )
        )
        if frame is None:
            raise StepLost("calibration: no picture came")
        return frame

    def _compare(self, first: FrameRef, second: FrameRef, stretch_y: float = 1.0) -> Block[Shift]:
        pictures = self.recipe.pictures
        found = yield from blocks.measure_shift(first, second, pixel_size_m=pictures.pixel_size_m, stretch_y=stretch_y)
        if not found.found:
            raise StepLost(f"calibration: two pictures are too unlike to be compared (quality {found.quality:.2f})")
        return found

    def _along_and_across(self, shift: Shift) -> tuple[float, float]:
        """From the picture's directions to those of the tilt axis."""
        a = math.radians(self.axis_deg)
        x, y = shift.x_m * self.pixel_ratio, shift.y_m * self.pixel_ratio
        return (x * math.cos(a) + y * math.sin(a), y * math.cos(a) - x * math.sin(a))

    def _swing(self) -> Block[Shift]:
        """Displacement from minus to plus the tilt: 2 h sin a across the axis for a height h, and runout."""
        frames: list[FrameRef] = []
        for tilt in (-self.recipe.tilt_deg, self.recipe.tilt_deg):
            yield from self._tilt(tilt)
            frames.append((yield from self._picture()))
        return (yield from self._compare(frames[0], frames[1]))

    def _ladder(self, upwards: bool) -> Block[tuple[float, float]]:
        """Height above the tilt axis by a ladder of tilts, and its bound from how far off the law the pictures lie.

        A point at (y, z) appears at y cos a + z sin a. Runout and the drift after each tilt stay behind as residuals,
        but for the part of the runout that goes with the sine: to pictures that is height.
        """
        tilts = [step * self.recipe.tilt_deg for step in range(-RUNGS, RUNGS + 1)]
        if not upwards:
            tilts.reverse()
        seen_m: list[float] = []
        before: FrameRef | None = None
        for index, tilt in enumerate(tilts):
            yield from self._tilt(tilt)
            picture = yield from self._picture()
            if before is None:
                seen_m.append(0.0)
            else:
                factor = math.cos(math.radians(tilt)) / math.cos(math.radians(tilts[index - 1]))
                seen_m.append(seen_m[-1] * factor + (yield from self._compare(before, picture, factor)).y_m)
            before = picture
        return height_and_bound(tilts, seen_m)

    # States

    def prepare(self) -> Steps:
        yield from Insert(detector=self.recipe.pictures.detector)
        used = yield from UseOptics(name=self.recipe.optics)
        readings: list[float] = []
        sigma_rel = 0.0
        for _ in range(self.recipe.repeats):
            measured = yield from blocks.measure_current()
            readings.append(measured.current_a)
            sigma_rel = measured.sigma_rel
        self.current_a, bound = mean_and_bound(readings)
        ratio = self.current_a / used.beam_current_a
        bound_rel = math.hypot(bound / self.current_a, 2 * sigma_rel)
        yield from conclude(
            "beam_current",
            [ratio],
            bound_rel * ratio,
            "1",
            {
                "current_a": self.current_a,
                "current_a_sigma": bound_rel / 2 * self.current_a,
                "nominal_a": used.beam_current_a,
                "optics": used.name,
            },
        )
        yield from self._tilt(0.0)
        yield from self._go()
        return "measured"

    def height(self) -> Steps:
        """Once roughly, then from both sides: the drift that a way there leaves behind is another on the way back."""
        if (yield from self._asked_to_leave("height")):
            return "left"
        yield from self._tilt(-RUNGS * self.recipe.tilt_deg)
        yield from Wait(duration_s=_AFTER_A_LONG_WAY * self.recipe.settle_s, reason="the stage comes to rest")
        height, _ = yield from self._ladder(upwards=True)
        assert self.at is not None
        wanted = self.at.z_m + height
        low, high = self.facts.stage.z_m
        if low <= wanted - self.recipe.height_m and wanted + self.recipe.height_m <= high:
            self.at = yield from MoveStage(z_m=wanted)
        down, bound_down = yield from self._ladder(upwards=False)
        up, bound_up = yield from self._ladder(upwards=True)
        bound = math.hypot(bound_down / 2, bound_up / 2, (up - down) / 2)
        yield from conclude("eucentric_offset", [self.at.z_m + (up + down) / 2], bound, "m")
        return "measured"

    def tilt_axis(self) -> Steps:
        """The picture moves across the tilt axis in proportion to the height; runout is the same up and down."""
        if (yield from self._asked_to_leave("tilt_axis")):
            return "left"
        assert self.at is not None
        middle = self.at.z_m
        angles: list[float] = []
        for _ in range(self.recipe.repeats):
            swings: list[Shift] = []
            for offset in (-self.recipe.height_m, self.recipe.height_m):
                self.at = yield from MoveStage(z_m=middle + offset)
                swings.append((yield from self._swing()))
            dx, dy = swings[0].x_m - swings[1].x_m, swings[0].y_m - swings[1].y_m
            angles.append(math.degrees(math.atan2(-dx, dy)))
        self.at = yield from MoveStage(z_m=middle)
        angle, spread = mean_and_bound(angles)
        lever = 4 * self.recipe.height_m * math.sin(math.radians(self.recipe.tilt_deg))
        bound = math.hypot(spread, math.degrees(0.2 * self.recipe.pictures.pixel_size_m / lever))
        self.axis_deg, self.axis_bound_deg = angle, bound
        yield from conclude("tilt_axis", [angle + self.facts.calibrated("tilt_axis", 0.0)], bound, "deg")
        return "measured"

    def backlash(self) -> Steps:
        """The same place from below and from above."""
        if (yield from self._asked_to_leave("backlash")):
            return "left"
        yield from self._tilt(0.0)
        recipe = self.recipe
        found: dict[str, list[float]] = {"x": [], "y": []}
        for _ in range(recipe.repeats):
            yield from self._go()
            below = yield from self._picture()
            beyond = recipe.approach.overshoot_m
            yield from MoveStage(x_m=recipe.x_m + beyond, y_m=recipe.y_m + beyond)
            self.at = yield from MoveStage(x_m=recipe.x_m, y_m=recipe.y_m)
            yield from self._rest()
            above = yield from self._picture()
            along, across = self._along_and_across((yield from self._compare(below, above)))
            found["x"].append(-along)
            found["y"].append(-across)
        (x, bound_x), (y, bound_y) = mean_and_bound(found["x"]), mean_and_bound(found["y"])
        width = max(0.0, (x + y) / 2)
        bound = math.hypot(abs(x - y) / 2, bound_x / 2, bound_y / 2, 4e-9)
        sides = {"x_m": x, "x_m_sigma": bound_x / 2, "y_m": y, "y_m_sigma": bound_y / 2}
        yield from conclude("backlash", [width], bound, "m", sides)
        return "measured"

    def pixel_size(self) -> Steps:
        """Stage moves of known length, up and down again; the stage's repeatability limits it."""
        if (yield from self._asked_to_leave("pixel_size")):
            return "left"
        ratios: list[float] = []
        for index in range(2 * self.recipe.repeats):
            sign = 1.0 if index % 2 == 0 else -1.0
            yield from self._go(x_m=-sign * self.recipe.move_m / 2)
            first = yield from self._picture()
            yield from self._go(x_m=sign * self.recipe.move_m / 2)
            second = yield from self._picture()
            along, _ = self._along_and_across((yield from self._compare(first, second)))
            if along == 0.0:
                raise StepLost("calibration: the stage moved but the picture did not")
            ratios.append(-sign * self.recipe.move_m / along)
        ratio, bound = mean_and_bound(ratios)
        if abs(ratio - 1.0) > 2 * bound:  # better known from a lattice, unless that is clearly wrong
            self.pixel_ratio = ratio
        in_force = self.facts.calibrated("pixel_size", 1.0)
        yield from conclude(
            "pixel_size", [ratio * in_force], bound * in_force, "1", {"applied": self.pixel_ratio * in_force}
        )
        return "measured"

    def image_shift(self) -> Steps:
        """Commanded to true shift, a 2x2 matrix by rows; the picture's content moves the other way."""
        if (yield from self._asked_to_leave("image_shift")):
            return "left"
        yield from self._go()
        size = self.recipe.image_shift_m
        columns: list[tuple[float, float]] = []
        bounds: list[float] = []
        for axis in (0, 1):
            found: list[tuple[float, float]] = []
            for _ in range(self.recipe.repeats):
                pair: list[FrameRef] = []
                for sign in (-0.5, 0.5):
                    shift = (sign * size, 0.0) if axis == 0 else (0.0, sign * size)
                    pair.append((yield from self._picture(*shift)))
                along, across = self._along_and_across((yield from self._compare(pair[0], pair[1])))
                found.append((-along / size, -across / size))
            along, bound_along = mean_and_bound([one[0] for one in found])
            across, bound_across = mean_and_bound([one[1] for one in found])
            columns.append((along, across))
            bounds += [bound_along, bound_across]
        (a, c), (b, d) = columns
        turned = math.radians(self.axis_bound_deg)
        bound = math.hypot(max(bounds), 0.1 * self.recipe.pictures.pixel_size_m / size, turned)
        yield from conclude("image_shift", [a, b, c, d], bound, "1")
        return "measured"

    def _asked_to_leave(self, state: str) -> Block[bool]:
        """The operator is listened to between two measurements; there is nothing else to skip to."""
        done = self.chart.states.index(state) / len(self.chart.states)
        told = yield from Checkpoint(progress=done, label=self.chart.labels[state])
        self.command = told.command
        return bool(told.command)

    def leave(self) -> Steps:
        yield from MoveStage(tilt_deg=0.0)
        yield from Retract(detector=self.recipe.pictures.detector)
        outcome = "skipped" if self.command == "skip" else "partial"
        yield from EndTarget(name="calibration", outcome=outcome, reason="asked for by the operator")
        return "skipped" if self.command == "skip" else "stopped"

    def give_up(self) -> Steps:
        yield from EndTarget(name="calibration", outcome="lost", reason="the pictures could not be compared")
        yield from MoveStage(tilt_deg=0.0)
        return "given_up"

    def finish(self) -> Steps:
        yield from MoveStage(tilt_deg=0.0)
        yield from Retract(detector=self.recipe.pictures.detector)
        yield from EndTarget(name="calibration", outcome="completed")
        return "all_measured"


def conclude(
    name: str, value: Sequence[float], bound: float, unit: str, more: Mapping[str, Any] | None = None
) -> Block[None]:
    """Keep a calibration; `bound` is that at two sigma, in the value's unit."""
    values: dict[str, Any] = {"value": [float(one) for one in value], "value_sigma": bound / 2}
    yield from Conclude(
        name=f"calibration_{name}", values=values | {"uncertainty": bound, "unit": unit, **(more or {})}
    )
