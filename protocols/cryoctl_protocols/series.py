"""What the states of a tilt series share: its memory, its exposures, and how it looks at the specimen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoctl.protocol import InstrumentFacts, Protocol
from cryoctl.steps import CurrentMeasured, Expose, Note, StageAt, UseOptics
from cryoctl_protocols import areas, blocks
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.dose_plan import dwell_s, planned_doses_e_per_a2, record_current_a
from cryoctl_protocols.parameters import EdxTomographyParameters, Target
from cryoctl_protocols.placing import Bearing, Reference, inverse_shift_matrix, stage_lag_m, stretch
from cryoctl_protocols.prediction import predict_defocus


@dataclass(slots=True, kw_only=True)
class TiltLog:
    """Numbers of the tilts recorded of one target, kept under /results."""

    tilt_deg: list[float] = field(default_factory=list[float])
    across_m: list[float] = field(default_factory=list[float])
    along_m: list[float] = field(default_factory=list[float])
    defocus_m: list[float] = field(default_factory=list[float])
    prediction_error_m: list[float] = field(default_factory=list[float])
    quality: list[float] = field(default_factory=list[float])
    drift_m_per_s: list[float] = field(default_factory=list[float])
    drift_bound_m_per_s: list[float] = field(default_factory=list[float])
    place_sigma_m: list[float] = field(default_factory=list[float])


class TiltSeries(Protocol):
    """Memory and exposures; the states stand in the classes that build on it."""

    def __init__(self, parameters: EdxTomographyParameters, facts: InstrumentFacts) -> None:
        super().__init__(parameters, facts)
        self.recipe = parameters
        self.angles_deg = parameters.tilts.angles_deg()
        self.stage_angles_deg = parameters.tilts.stage_angles_deg()
        self.doses = planned_doses_e_per_a2(parameters.dose, self.angles_deg)
        self.areas = areas.layout(parameters, facts)
        self.sigma_m = areas.position_sigma_m(parameters, facts)
        self.predicted_sigma_m = areas.predicted_sigma_m(parameters, facts)
        self.current: CurrentMeasured | None = None
        self.in_use = False
        """Whether optics were set."""
        self.target_index = 0
        self.tilt_index = 0
        self.tilt_deg = 0.0
        self.time_s = 0.0
        self.z_m = 0.0
        self.bearing = self._bearing(parameters.targets[0])
        self.search_reference: Reference | None = None
        self.log = TiltLog()
        self.quality = math.nan
        self.prediction_error_m = math.nan
        self.drift_rate_m_per_s = math.nan
        self.lost_tilts: list[float] = []
        self.tracked_again = 0
        self.edx_counts = 0
        self.condition_met = False
        self.outcomes: dict[str, str] = {}
        self.ends: list[str] = []
        """End reasons met so far, in their order."""
        self.why = ""

    def _bearing(self, target: Target) -> Bearing:
        return Bearing(target=target, x_m=target.x_m, y_m=target.y_m, matrix=inverse_shift_matrix(self.facts))

    def begin_target(self) -> None:
        """Forget the target before; the index was moved on when that one was closed."""
        self.bearing = self._bearing(self.recipe.targets[self.target_index])
        self.tilt_index = 0
        self.search_reference = None
        self.log = TiltLog()
        self.lost_tilts = []
        self.edx_counts = 0
        self.condition_met = False
        self.why = ""

    @property
    def target(self) -> Target:
        return self.recipe.targets[self.target_index]

    def stood_at(self, at: StageAt) -> None:
        lag = stage_lag_m(self.facts)
        self.bearing.stage_x_m, self.bearing.stage_y_m = at.x_m + lag, at.y_m + lag
        self.tilt_deg, self.time_s, self.z_m = at.tilt_deg, at.time_s, at.z_m

    def current_a(self) -> float:
        """Measured current of the record optics, nominal before the first measurement."""
        return record_current_a(self.recipe, self.facts) if self.current is None else self.current.current_a

    def _dwell_s(self, dose_e_per_a2: float, pixel_size_m: float, scans: int, current_a: float) -> float:
        wanted = dwell_s(dose_e_per_a2, pixel_size_m=pixel_size_m, scans=scans, current_a=current_a)
        shortest, longest = self.facts.dwell_range_s
        return min(max(wanted, shortest), longest)

    def picture(
        self,
        name: str,
        *,
        kind: str = "",
        tilt_deg: float | None = None,
        defocus_m: float | None = None,
        tracked: bool = False,
    ) -> Expose:
        """A picture of the search, track or focus area as the specimen is believed to lie now."""
        area = self.areas[name]
        settings = {"search": self.recipe.search, "track": self.recipe.track, "focus": self.recipe.focus}[name]
        angle = self.tilt_deg if tilt_deg is None else tilt_deg
        current = self.facts.optics[self.recipe.optics.search].beam_current_a if name == "search" else self.current_a()
        place = self.bearing.place(area, angle)
        return Expose(
            kind=kind or area.kind,
            area=areas.area_title(name, self.target, self.recipe),
            target=self.target.name,
            x_m=place.x_m,
            y_m=place.y_m,
            shift_x_m=place.shift_x_m,
            shift_y_m=place.shift_y_m,
            defocus_m=self.defocus_m(angle) if defocus_m is None else defocus_m,
            shape=area.shape,
            pixel_size_m=area.pixel_size_m,
            dwell_s=self._dwell_s(settings.dose_e_per_a2, area.pixel_size_m, 1, current),
            detector=self.recipe.image.detector,
            position_sigma_m=self.place_sigma_m(tracked),
            planned_dose_e_per_a2=settings.dose_e_per_a2,
        )

    def record_exposure(self, tilt_deg: float, *, tracked: bool) -> Expose:
        """The exposure of image and EDX of the present tilt index."""
        area, image, edx = self.areas["record"], self.recipe.image, self.recipe.edx
        place = self.bearing.place(area, tilt_deg)
        dose = self.doses[self.tilt_index]
        return Expose(
            kind="record",
            area=areas.area_title("record", self.target, self.recipe),
            target=self.target.name,
            x_m=place.x_m,
            y_m=place.y_m,
            shift_x_m=place.shift_x_m,
            shift_y_m=place.shift_y_m,
            defocus_m=self.defocus_m(tilt_deg),
            shape=area.shape,
            pixel_size_m=area.pixel_size_m,
            dwell_s=self._dwell_s(dose, area.pixel_size_m, edx.scans, self.current_a()),
            scans=edx.scans,
            dynamic_focus=image.dynamic_focus,
            detector=image.detector,
            edx=True,
            register=edx.scans > 1,
            drift_bound_m_per_s=self.drift_bound_m_per_s(tracked),
            position_sigma_m=self.place_sigma_m(tracked),
            planned_dose_e_per_a2=dose,
        )

    def place_sigma_m(self, tracked: bool) -> float:
        """One sigma of an exposure's place: as tracked, or as foreseen for this tilt (never better than planned)."""
        return self.sigma_m if tracked else max(self.predicted_sigma_m, math.hypot(self.sigma_m, self.bearing.unsure_m))

    def drift_bound_m_per_s(self, tracked: bool) -> float:
        """How fast the specimen may still move: what was waited for, doubled for what two pictures can't tell."""
        rules = self.recipe.drift
        if not tracked or rules.timeout_s == 0.0:
            return rules.unwatched_m_per_s
        seen = 0.0 if math.isnan(self.drift_rate_m_per_s) else self.drift_rate_m_per_s
        return 2 * max(rules.limit_m_per_s, seen)

    def defocus_m(self, tilt_deg: float) -> float:
        reach = self.facts.defocus_range_m
        return min(max(predict_defocus(self.bearing.focus, tilt_deg).value_m, -reach), reach)

    def go_to_tilt(self, tilt_deg: float) -> Block[None]:
        """Tilt free of backlash and let the stage rest; the content is then expected where earlier tilts say."""
        approach = self.recipe.approach
        at = yield from blocks.approach_tilt(
            tilt_deg, overshoot_deg=approach.overshoot_deg, limits_deg=self.facts.stage.tilt_deg
        )
        self.stood_at(at)
        self.bearing.expect(tilt_deg)
        if approach.settle_s > 0.0:
            waited = yield from blocks.Wait(duration_s=approach.settle_s, reason="the stage comes to rest")
            self.time_s = waited.time_s

    def look_at_track(self, *, tracked: bool) -> Block[tuple[float, float, float] | None]:
        """One track picture: the content's place is corrected by it. Gives (along, across, time) or None if lost."""
        done, frame = yield from blocks.take(self.picture("track", tracked=tracked))
        if frame is None:
            return None
        track, bearing = self.recipe.track, self.bearing
        self.time_s = done.started_s
        if not bearing.references:
            bearing.remember(Reference(frame=frame, tilt_deg=self.tilt_deg, offset_x_m=0.0, offset_y_m=0.0))
            return (bearing.content_x_m, bearing.content_y_m, done.started_s)
        reference = bearing.nearest(self.tilt_deg)
        factor = stretch(reference.tilt_deg, self.tilt_deg)
        found = yield from blocks.measure_shift(
            reference.frame, frame, pixel_size_m=track.pixel_size_m, stretch_y=factor
        )
        self.quality = found.quality
        if not found.found or found.quality < track.min_quality:
            return None
        offset_x = found.x_m + reference.offset_x_m
        offset_y = found.y_m + reference.offset_y_m * factor
        bearing.content_x_m += offset_x
        bearing.content_y_m += offset_y
        bearing.remember(Reference(frame=frame, tilt_deg=self.tilt_deg, offset_x_m=offset_x, offset_y_m=offset_y))
        return (bearing.content_x_m, bearing.content_y_m, done.started_s)

    def look_at_search(self) -> Block[bool]:
        """A wide picture over the target at very low dose: finds the content again; False where it does not."""
        yield from self.use_search_optics()
        done, frame = yield from blocks.take(self.picture("search"))
        yield from self.use_record_optics()
        reference = self.search_reference
        if frame is None or reference is None:
            return False
        self.time_s = done.started_s
        factor = stretch(reference.tilt_deg, self.tilt_deg)
        found = yield from blocks.measure_shift(
            reference.frame, frame, pixel_size_m=self.recipe.search.pixel_size_m, stretch_y=factor
        )
        self.quality = found.quality
        if not found.found:
            return False
        self.bearing.content_x_m += found.x_m + reference.offset_x_m
        self.bearing.content_y_m += found.y_m + reference.offset_y_m * factor
        return True

    def use_record_optics(self) -> Block[None]:
        wanted = None
        if self.recipe.image.dwell_s is not None:
            wanted = record_current_a(self.recipe, self.facts) / self.facts.calibrated("beam_current", 1.0)
        yield from self._leave_optics()
        yield from UseOptics(name=self.recipe.optics.record, beam_current_a=wanted)
        self.current = yield from blocks.measure_current()

    def use_search_optics(self) -> Block[None]:
        """Its current is measured as well: what is not measured is charged with a wide bound."""
        yield from self._leave_optics()
        yield from UseOptics(name=self.recipe.optics.search)
        yield from blocks.measure_current()

    def _leave_optics(self) -> Block[None]:
        """Afterwards nobody can measure with which current they exposed, and it would be charged at its worst."""
        if self.in_use and self.facts.dose_known:
            yield from blocks.measure_current()
        self.in_use = True

    def dwell_for(self, dose_e_per_a2: float, pixel_size_m: float, scans: int) -> float:
        """Dwell time at the present current, whatever the scan generator can do."""
        return dwell_s(dose_e_per_a2, pixel_size_m=pixel_size_m, scans=scans, current_a=self.current_a())

    def title_of(self, name: str) -> str:
        """Of an area or a result of the present target."""
        return areas.area_title(name, self.target, self.recipe)

    def warn(self, name: str, message: str) -> Block[None]:
        yield from Note(name=name, message=message, level="warning")

    def target_numbers(self) -> Mapping[str, Any]:
        """What is concluded about a target's series."""
        log = self.log
        places = ("across_m", "along_m", "prediction_error_m")
        return {
            "tilt_deg": list(log.tilt_deg),
            "across_m": list(log.across_m),
            "along_m": list(log.along_m),
            "defocus_m": list(log.defocus_m),
            "prediction_error_m": list(log.prediction_error_m),
            "quality": list(log.quality),
            "drift_m_per_s": list(log.drift_m_per_s),
            "drift_m_per_s_low": [0.0 * rate for rate in log.drift_m_per_s],
            "drift_m_per_s_high": list(log.drift_bound_m_per_s),
            **{f"{name}_sigma": list(log.place_sigma_m) for name in places},
        }
