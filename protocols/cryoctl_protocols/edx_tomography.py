"""Dose-limited cryo-STEM-EDX tomography (science.md, E1): the series itself and how it ends."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel

from cryoctl.errors import StepLost
from cryoctl.protocol import Chart, InstrumentFacts, RecordedSeries, Steps
from cryoctl.steps import Afford, Checkpoint, Conclude, EndTarget, Expose, Exposed, MoveStage, Note, Retract
from cryoctl_protocols import areas, blocks, preflight
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.parameters import EdxTomographyParameters
from cryoctl_protocols.recorded_series import decided_by
from cryoctl_protocols.target_finding import HOME_DEG, TargetFinding
from cryoctl_protocols.tomography_chart import CHART, END_TRIGGERS

MOST_TRACKED_AGAIN = 3
"""A tilt; then it is recorded all the same."""
_GRAVEST_FIRST = ("interlock", "dose", "operator", "time", "target-lost", "condition")


MOST_REPEATS = 2
"""Of a record exposure that is lost or stopped time and again."""


class EdxTomography(TargetFinding):
    """Tilt series of HAADF and EDX from the same scan, held to a dose limit; low-dose tracking beside the target."""

    name: ClassVar[str] = "edx-tomography"
    summary: ClassVar[str] = "Dose-limited cryo-STEM-EDX tilt series with low-dose tracking"
    Parameters: ClassVar[type[BaseModel]] = EdxTomographyParameters
    chart: ClassVar[Chart] = CHART
    requires: ClassVar[tuple[str, ...]] = ("stage", "beam", "image_detector", "edx")

    @classmethod
    def check(cls, parameters: EdxTomographyParameters, facts: InstrumentFacts) -> tuple[str, ...]:
        return preflight.check(parameters, facts)

    @classmethod
    def for_recording(cls, parameters: Mapping[str, Any], series: RecordedSeries) -> dict[str, Any]:
        return decided_by(parameters, series)

    def dose_limit_e_per_a2(self) -> float:
        return self.recipe.dose.limit_e_per_a2 if self.facts.dose_known else math.inf

    def covered_area_m(self) -> tuple[float, float, float, float]:
        return areas.covered_m(self.recipe, self.facts)

    def interlock_limits(self) -> Mapping[str, float]:
        return {
            "temperature_max_k": self.recipe.temperature.limit_k,
            "nitrogen_min": self.recipe.nitrogen.minimum,
            "patience_s": self.recipe.temperature.timeout_s,
            **self.recipe.interlocks.limits(),
        }

    def interlock_policies(self) -> Mapping[str, str]:
        return self.recipe.interlocks.policies()

    def describe(self) -> Mapping[str, Any]:
        told = preflight.describe(self.recipe, self.areas)
        if self.facts.dose_known:
            return told
        return {**told, "planned": {}, "planned_peak_e_per_a2": math.nan}

    # Guards

    def tracking_is_due(self) -> bool:
        return bool(self.recipe.track.every) and self.tilt_index % self.recipe.track.every == 0

    def drift_is_watched(self) -> bool:
        return self.recipe.drift.timeout_s > 0.0

    def focusing_is_due(self) -> bool:
        return bool(self.recipe.focus.every) and self.tilt_index % self.recipe.focus.every == 0

    def current_is_due(self) -> bool:
        return self.current is None or self.time_s - self.current.time_s >= self.recipe.current.measure_interval_s

    def another_target_waits(self) -> bool:
        if {"interlock", "operator", "time"} & set(self.ends):
            return False
        if "target-lost" in self.ends and self.recipe.on_target_lost == "end":
            return False
        return self.target_index < len(self.recipe.targets)

    # One tilt

    def next_tilt(self) -> Steps:
        while self.tilt_index < len(self.doses) and self.doses[self.tilt_index] == 0.0:
            self.tilt_index += 1  # a weight of 0 leaves a tilt out
        total = len(self.recipe.targets)
        progress = (self.target_index + self.tilt_index / len(self.doses)) / total
        label = f"{self.target.name}: tilt {min(self.tilt_index + 1, len(self.doses))} of {len(self.doses)}"
        told = yield from Checkpoint(progress=progress, label=label)
        self.time_s = told.time_s
        if told.command == "stop-after":
            self.ends.append("operator")
        elif self.recipe.end.time_s is not None and told.time_s >= self.recipe.end.time_s:
            self.ends.append("time")
        elif told.command == "skip":
            self.why = "skipped by the operator"
        elif self.recipe.end.edx_counts is not None and self.edx_counts >= self.recipe.end.edx_counts:
            self.ends.append("condition")
            self.condition_met = True
            self.why = f"{self.edx_counts} EDX counts were reached"
        elif self.tilt_index < len(self.doses):
            return (yield from self._ask_what_dose_allows())
        return "series_over"

    def _ask_what_dose_allows(self) -> Steps:
        """Dose is spent on tracking only where the record exposure after it still fits."""
        angle = self.stage_angles_deg[self.tilt_index]
        wanted: list[Expose] = []
        if self.tracking_is_due():
            track = self.picture("track", tilt_deg=angle)
            wanted += [track, track] if self.drift_is_watched() else [track]
        if self.focusing_is_due():
            wanted += [self.picture("focus", tilt_deg=angle)] * self.recipe.focus.pictures
        wanted.append(self.record_exposure(angle, tracked=self.tracking_is_due()))
        answer = yield from Afford(exposures=tuple(wanted), tilt_deg=angle)
        if answer.fits:
            return "tilt_chosen"
        self.why = f"the next tilt would bring a pixel to {answer.peak_e_per_a2:.4g} e-/A^2"
        return "dose_spent"

    def measure_beam(self) -> Steps:
        self.current = yield from blocks.measure_current()
        return "beam_measured"

    def tilt(self) -> Steps:
        angle = self.stage_angles_deg[self.tilt_index]
        self.quality = self.prediction_error_m = self.drift_rate_m_per_s = math.nan
        if self.tracking_is_due() and self.bearing.references:
            for between in self.bearing.strides(angle, self.recipe.track.max_stride_deg):
                yield from self.go_to_tilt(between)
                if not (yield from self._find_content()):
                    return "lost"
        yield from self.go_to_tilt(angle)
        return "tilted"

    def track(self) -> Steps:
        return "tracked" if (yield from self._find_content()) else "lost"

    def _find_content(self) -> Block[bool]:
        """Track; a large shift is measured again, a picture without likeness is answered by a wider look."""
        rules, bearing = self.recipe.track, self.bearing
        expected = (bearing.content_x_m, bearing.content_y_m)
        failures = 0
        while True:
            before = (bearing.content_x_m, bearing.content_y_m)
            try:
                seen = yield from self.look_at_track(tracked=False)
                if seen is not None:
                    if math.dist(before, seen[:2]) > rules.max_shift_m and failures <= rules.retries:
                        failures += 1
                        continue
                    break
                failures += 1
                if failures > rules.retries or self.search_reference is None:
                    self.why = f"the target was lost at {self.tilt_deg:.2f} deg (likeness {self.quality:.2f})"
                    return False
                bearing.content_x_m, bearing.content_y_m = expected
                yield from self.look_at_search()
            except StepLost as error:
                failures += 1
                if failures > rules.retries:
                    self.why = str(error)
                    return False
        self.prediction_error_m = math.dist(expected, (bearing.content_x_m, bearing.content_y_m))
        bearing.saw(self.tilt_deg)
        return True

    def drift(self) -> Steps:
        rules, bearing = self.recipe.drift, self.bearing
        try:
            settled = yield from blocks.wait_for_drift(
                lambda: self.look_at_track(tracked=True),
                (bearing.content_x_m, bearing.content_y_m, self.time_s),
                limit_m_per_s=rules.limit_m_per_s,
                interval_s=rules.interval_s,
                timeout_s=rules.timeout_s,
            )
        except StepLost as error:
            self.why = str(error)
            return "lost"
        if settled is None:
            self.why = f"the target was lost at {self.tilt_deg:.2f} deg while the drift was watched"
            return "lost"
        self.drift_rate_m_per_s = settled.rate_m_per_s
        bearing.saw(self.tilt_deg)
        if not settled.in_time:
            yield from self.warn(
                "drift",
                f"still {settled.rate_m_per_s * 1e9:.2f} nm/s after {settled.waited_s:.0f} s at "
                f"{self.tilt_deg:.2f} deg: recorded all the same",
            )
        return "settled"

    def focus(self) -> Steps:
        yield from self.focus_here()
        return "focused"

    def record(self) -> Steps:
        if (yield from self._waited_too_long()):
            return "looked_too_long_ago"
        exposure = self.record_exposure(self.tilt_deg, tracked=self.tracking_is_due())
        done = yield from self._recorded(exposure)
        if done is None or done.frame is None:
            self.lost_tilts.append(self.tilt_deg)
        else:
            self._keep(done, exposure)
        if self._brackets():
            self.current = yield from blocks.measure_current()  # the exposure is charged for what it was
        self.tilt_index += 1
        self.tracked_again = 0
        return "recorded"

    def _brackets(self) -> bool:
        return self.recipe.current.bracket and self.facts.dose_known

    def _waited_too_long(self) -> Block[bool]:
        """The current is measured; by its time one sees how long ago the specimen was looked at."""
        if not self._brackets():
            return False
        self.current = yield from blocks.measure_current()
        age_s = self.current.time_s - self.time_s
        late = age_s > self.recipe.track.max_age_s and self.tracking_is_due()
        if not late or self.tracked_again >= MOST_TRACKED_AGAIN:
            return False
        self.tracked_again += 1
        yield from self.warn("track", f"{age_s:.0f} s passed since the specimen was looked at: tracking again")
        return True

    def _recorded(self, exposure: Expose) -> Block[Exposed | None]:
        """Where it is lost or was stopped, and the recipe says so, taken again as long as the dose suffices.

        What came of earlier tries is charged in any case; the one with the most scan frames counts.
        """
        best = yield from self._take_record(exposure)
        for _ in range(MOST_REPEATS if self.recipe.on_lost == "repeat" else 0):
            if best is not None and best.outcome == "done":
                break
            answer = yield from Afford(exposures=(exposure,), tilt_deg=self.tilt_deg)
            if not answer.fits:
                yield from self.warn("record", f"the dose does not suffice to record {self.tilt_deg:.2f} deg again")
                break
            done = yield from self._take_record(exposure)
            if done is not None and (best is None or done.scans_done >= best.scans_done):
                best = done
        return best

    def _take_record(self, exposure: Expose) -> Block[Exposed | None]:
        """None where its picture is lost; one that was stopped on its way has some of its scan frames."""
        try:
            done = yield from exposure
        except StepLost as error:
            yield from self.warn("record", f"{error} (on_lost: {self.recipe.on_lost})")
            return None
        if done.outcome == "partial":
            told = f"stopped after {done.scans_done} of {exposure.scans} scan frames at {self.tilt_deg:.2f} deg"
            yield from self.warn("record", f"{told} (on_lost: {self.recipe.on_lost})")
        return done

    def _keep(self, done: Exposed, exposure: Expose) -> None:
        bearing, log = self.bearing, self.log
        bearing.content_x_m += done.drift_x_m
        bearing.content_y_m += done.drift_y_m
        if self.tracking_is_due():
            bearing.saw(self.tilt_deg)
        self.time_s = done.started_s + done.duration_s
        self.edx_counts += done.edx_counts
        log.tilt_deg.append(self.tilt_deg)
        log.across_m.append(bearing.content_y_m)
        log.along_m.append(bearing.content_x_m)
        log.defocus_m.append(exposure.defocus_m)
        log.prediction_error_m.append(self.prediction_error_m)
        log.quality.append(self.quality)
        log.drift_m_per_s.append(self.drift_rate_m_per_s)
        log.drift_bound_m_per_s.append(exposure.drift_bound_m_per_s)
        log.place_sigma_m.append(exposure.position_sigma_m)

    # How targets and the run end

    def close_target(self) -> Steps:
        missing = sum(dose > 0.0 for dose in self.doses) - len(self.log.tilt_deg)
        if self.why.startswith("skipped"):
            outcome = "skipped"
        elif missing == 0 or self.condition_met:
            outcome = "completed"
        else:
            outcome = "partial"
            lost = ", ".join(f"{tilt:.1f}" for tilt in self.lost_tilts)
            which = f" (lost at {lost} deg)" if lost else ""
            self.why = self.why or f"{missing} of {len(self.doses)} tilts are missing{which}"
        yield from self._end_target(outcome)
        return "target_closed"

    def give_up(self) -> Steps:
        self.ends.append("target-lost")
        yield from self._end_target("lost")
        return "target_closed"

    def limit_reached(self) -> Steps:
        self.ends.append("dose")
        yield from self._end_target("limited")
        return "target_closed"

    def hold(self) -> Steps:
        self.ends.append("interlock")
        if self.current is not None:
            yield from self._end_target("partial")
        return "held"

    def _end_target(self, outcome: str) -> Block[None]:
        name = self.target.name
        if self.log.tilt_deg:
            yield from Conclude(name=self.title_of("tracking"), values=self.target_numbers())
        yield from EndTarget(name=name, outcome=outcome, reason=self.why)
        self.outcomes[name] = outcome
        self.target_index += 1

    def finish(self) -> Steps:
        self.target_index = min(self.target_index, len(self.recipe.targets) - 1)
        if self.current is not None and "interlock" not in self.ends and self.facts.dose_known:
            # What was exposed since the last measurement is charged again, should the current have risen.
            self.current = yield from blocks.measure_current()
        yield from MoveStage(tilt_deg=HOME_DEG)
        yield from Retract(detector=self.recipe.edx.detector)
        yield from Retract(detector=self.recipe.image.detector)
        yield from Note(name="series", message=self.closing_message(""))
        return END_TRIGGERS[self.end_reason()]

    def end_reason(self) -> str:
        """The gravest of what was met; a lost or skipped target counts where none was completed or policy says so."""
        met = list(self.ends)
        good = [name for name, outcome in self.outcomes.items() if outcome in ("completed", "partial")]
        if "target-lost" in met and good and self.recipe.on_target_lost == "skip":
            met = [reason for reason in met if reason != "target-lost"]
        if not good and "skipped" in self.outcomes.values():
            met.append("target-lost")
        return next((reason for reason in _GRAVEST_FIRST if reason in met), "completed")

    def closing_message(self, final: str) -> str:
        told = ", ".join(f"{name} {outcome}" for name, outcome in self.outcomes.items()) or "no target was begun"
        ending = self.chart.labels.get(final, "")
        reason = f" ({self.why})" if self.why and final != "completed" else ""
        return f"{ending}: {told}{reason}" if ending else f"targets: {told}{reason}"
