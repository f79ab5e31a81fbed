"""The states before a series: prepare the column, find the target, bring it to the tilt axis, take references."""

from __future__ import annotations

import math
from typing import Any

from cryoctl.errors import StepLost
from cryoctl.protocol import Steps
from cryoctl.steps import Conclude, Expose, FrameRef, Insert, MoveStage, Note, ReadSensors
from cryoctl_protocols import blocks
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.placing import Reference, stage_lag_m
from cryoctl_protocols.prediction import Seen
from cryoctl_protocols.preflight import FIRST_FOCUS_WIDER
from cryoctl_protocols.series import TiltSeries

HOME_DEG = 0.0
"""Stage tilt at which targets are found and references are taken."""


class TargetFinding(TiltSeries):
    """States prepare, locate, eucentric, shower, reference, and their guards."""

    def height_is_wanted(self) -> bool:
        return self.recipe.eucentric.enabled

    def shower_is_wanted(self) -> bool:
        return self.recipe.shower.enabled

    def prepare(self) -> Steps:
        sensors = yield from ReadSensors()
        self.time_s = sensors.time_s
        problem = self.surroundings_problem(sensors.temperature_k, sensors.nitrogen)
        if problem:
            yield from self.warn("surroundings", problem)
            self.why = problem
            return "interlocked"
        yield from Insert(detector=self.recipe.image.detector)
        yield from Insert(detector=self.recipe.edx.detector)
        yield from self.use_record_optics()
        return "prepared"

    def surroundings_problem(self, temperature_k: float, nitrogen: float) -> str:
        """Empty where specimen and dewar are as the recipe wants them (or have no sensor)."""
        limit_k, least = self.recipe.temperature.limit_k, self.recipe.nitrogen.minimum
        if temperature_k > limit_k:
            return f"the holder is at {temperature_k:.1f} K, allowed are up to {limit_k:.1f} K"
        if nitrogen < least:
            return f"the dewar is filled to {100 * nitrogen:.0f} %, wanted are {100 * least:.0f} % or more"
        return ""

    def locate(self) -> Steps:
        self.begin_target()
        yield from self.go_to_tilt(HOME_DEG)
        yield from self._go_to(self.target.x_m, self.target.y_m)
        if self.target_index == 0:
            yield from self._go_to_eucentric_height()
        if not self.recipe.search.enabled:
            return "located"
        frame = yield from self._search_picture()
        if frame is None:
            return "lost"
        if self.recipe.search.centre_on_wire:
            found = yield from blocks.find_centre(frame, pixel_size_m=self.recipe.search.pixel_size_m)
            if abs(found.y_m) > self.recipe.search.max_offset_m or not found.found:
                self.why = f"the wire was not found within {self.recipe.search.max_offset_m * 1e6:.2g} um"
                return "lost"
            self._move_onto(found.y_m)
            offset_y = found.y_m
        else:
            offset_y = 0.0
        self.search_reference = Reference(frame=frame, tilt_deg=HOME_DEG, offset_x_m=0.0, offset_y_m=offset_y)
        return "located"

    def _go_to(self, x_m: float, y_m: float) -> Block[None]:
        lag = stage_lag_m(self.facts)
        at = yield from blocks.approach_position(x_m - lag, y_m - lag, overshoot_m=self.recipe.approach.overshoot_m)
        self.stood_at(at)

    def _go_to_eucentric_height(self) -> Block[None]:
        """As calibrated, unless the stage stands there already, as well as it is known; measured afterwards."""
        known = self.facts.calibrations.get("eucentric_offset")
        if known is None or abs(self.z_m - known.value[0]) <= 2 * known.sigma:
            return
        low, high = self.facts.stage.z_m
        self.stood_at((yield from MoveStage(z_m=min(max(known.value[0], low), high))))

    def _search_picture(self) -> Block[FrameRef | None]:
        yield from self.use_search_optics()
        done, frame = yield from blocks.take(self.picture("search"))
        yield from self.use_record_optics()
        self.time_s = done.started_s
        return frame

    def _move_onto(self, offset_y_m: float) -> None:
        """The wire lies elsewhere than expected: that is the stage's doing as far as the stage can be off; what is
        more means that the target lies elsewhere in the specimen's frame."""
        bound = 3 * self.sigma_m
        by_stage = min(max(offset_y_m, -bound), bound)
        self.bearing.content_y_m += by_stage
        self.bearing.y_m += offset_y_m - by_stage

    def eucentric(self) -> Steps:
        rules = self.recipe.eucentric
        heights: list[float] = []
        measured_at_m = self.z_m
        for round_index in range(rules.rounds):
            wide = self.recipe.search.enabled and (round_index == 0 or not self.recipe.track.every)
            if not wide and not self.recipe.track.every:
                yield from self.warn("eucentric", "neither search nor track pictures are taken: height left alone")
                return "levelled"
            height = yield from self._measure_height("search" if wide else "track")
            if height is None:
                self.why = "the target was lost while its height was measured"
                return "lost"
            heights.append(height)
            measured_at_m = self.z_m
            if abs(height) <= rules.tolerance_m:
                break
            low, high = self.facts.stage.z_m
            wanted = self.z_m + height
            if not low <= wanted <= high:
                yield from self.warn("eucentric", f"the stage can't reach z {wanted * 1e6:.1f} um: height left alone")
                break
            at = yield from MoveStage(z_m=wanted)
            self.stood_at(at)
        worst = abs(heights[-1])
        if worst > rules.tolerance_m and len(heights) > 1 and worst > abs(heights[0]):
            yield from self.warn("eucentric", f"{worst * 1e9:.0f} nm off the axis after {len(heights)} rounds")
        yield from Conclude(name=self.title_of("eucentric"), values=self._height_told(heights, measured_at_m))
        return "levelled"

    def _height_told(self, heights: list[float], measured_at_m: float) -> dict[str, Any]:
        """The stage's z at which the grid lies on the tilt axis, and what was measured of it round by round.

        Sigma: two pictures, each as well placed as a tracked exposure.
        """
        sigma_m = math.sqrt(2) * self.sigma_m / (2 * math.sin(math.radians(self.recipe.eucentric.tilt_deg)))
        return {
            "grid_z_m": measured_at_m + heights[-1],
            "grid_z_m_sigma": sigma_m,
            "error_m": heights,
            "error_m_sigma": [sigma_m] * len(heights),
            "rounds": len(heights),
        }

    def _measure_height(self, area: str) -> Block[float | None]:
        """Height above the tilt axis from two pictures at opposite tilts: (u+ - u-) / (2 sin a)."""
        angle = self.recipe.eucentric.tilt_deg
        frames: list[FrameRef] = []
        if area == "search":
            yield from self.use_search_optics()
        for tilt in (-angle, angle):
            yield from self.go_to_tilt(tilt)
            _, frame = yield from blocks.take(self.picture(area))
            if frame is None:
                break
            frames.append(frame)
        if area == "search":
            yield from self.use_record_optics()
        if len(frames) < 2:
            return None
        found = yield from blocks.measure_shift(frames[0], frames[1], pixel_size_m=self.areas[area].pixel_size_m)
        if not found.found:
            return None
        return found.y_m / (2 * math.sin(math.radians(angle)))

    def shower(self) -> Steps:
        rules = self.recipe.shower
        pixels = 64
        size_m = max(rules.width_m, rules.height_m) / pixels
        shape = (max(1, round(rules.height_m / size_m)), max(1, round(rules.width_m / size_m)))
        once_s = self.dwell_for(rules.dose_e_per_a2, size_m, 1)
        scans = max(1, math.ceil(once_s / self.facts.dwell_range_s[1]))
        place = self.bearing.place(self.areas["record"], self.tilt_deg)
        drift_m = self.recipe.drift.unwatched_m_per_s * once_s * shape[0] * shape[1]  # no picture follows it meanwhile
        yield from Expose(
            kind="shower",
            area=self.title_of("shower"),
            target=self.target.name,
            x_m=place.x_m,
            y_m=place.y_m,
            shift_x_m=place.shift_x_m,
            shift_y_m=place.shift_y_m,
            defocus_m=0.0,
            shape=shape,
            pixel_size_m=size_m,
            dwell_s=once_s / scans,
            scans=scans,
            detector="",
            position_sigma_m=math.hypot(self.predicted_sigma_m, drift_m / 3),
            drift_bound_m_per_s=self.recipe.drift.unwatched_m_per_s,
            planned_dose_e_per_a2=rules.dose_e_per_a2,
        )
        return "showered"

    def reference(self) -> Steps:
        yield from self.go_to_tilt(HOME_DEG)
        if self.search_reference is not None and not (yield from self.look_at_search()):
            self.why = "the target was not found again after its height was set"
            return "lost"
        if self.recipe.track.every:
            try:
                seen = yield from self.look_at_track(tracked=True)
            except StepLost:
                seen = None
            if seen is None:
                self.why = "no reference picture came"
                return "lost"
            self.bearing.saw(HOME_DEG)
        if self.recipe.focus.every:
            yield from self.focus_here(FIRST_FOCUS_WIDER)
        yield from Note(
            name="reference",
            message=f"{self.target.name}: found at ({self.bearing.x_m * 1e6:.3f}, {self.bearing.y_m * 1e6:.3f}) um",
        )
        return "referenced"

    def focus_here(self, widen: float = 1.0) -> Block[None]:
        """A through-focus series beside the target; where it fails the prediction stands."""
        rules = self.recipe.focus
        centre = self.defocus_m(self.tilt_deg)
        defoci = blocks.through_focus_m(centre, rules.step_m * widen, rules.pictures, self.facts.defocus_range_m)

        def picture_at(defocus_m: float) -> Expose:
            return self.picture("focus", defocus_m=defocus_m, tracked=True)

        try:
            found = yield from blocks.autofocus(picture_at, defoci)
        except StepLost:
            found = None
        reach = max(abs(one - centre) for one in defoci)
        if found is None or not found.found or abs(found.defocus_m - centre) > reach:
            yield from self.warn("focus", f"no focus was found at {self.tilt_deg:.2f} deg: the prediction stands")
            return
        self.bearing.focus.append(Seen(tilt_deg=self.tilt_deg, value_m=found.defocus_m))
