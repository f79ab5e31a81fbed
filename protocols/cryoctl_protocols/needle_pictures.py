"""Pictures of a needle before a specimen, and what they say: its gap, its apex, the heights of both."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryoctl.errors import StepLost
from cryoctl.protocol import InstrumentFacts
from cryoctl.steps import Compute, Expose, Exposed, FrameRef, MoveStage, NoteGap, StageAt, Wait, Waited
from cryoctl.units import A2_PER_M2, ELEMENTARY_CHARGE_C
from cryoctl_protocols import blocks
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_hold import NeedleHold
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters

VIEW = "analysis.needle_view:needle_view"
HEIGHTS = "analysis.needle_heights:heights"
HELD = "analysis.needle_drift:held"
"""(first, picture; side) -> where specimen and needle went, each by itself."""

TARGET = "particle"
_FAR_SIGMA_M = 500e-9
"""A third of how far off a stage's place may be before anything was seen."""
_NEAR_SIGMA_M = 300e-9
"""The same once the particle was seen in the middle."""
_UNKNOWN_HEIGHT_M = 10e-6
"""A half-cut grid is put in by hand."""
_DRIFT_M_PER_S = 2e-9
UNTOLD = (
    "the grid's outline tells too little of its height, since it runs nearly at right angles to the tilt axis in the "
    "pictures; choose another place (x_m, y_m) or looks.overview_m"
)
_SHORTEST_PIXEL_M = 4e-9
"""Of the pictures of the way."""
_SETTLE_S = 2.0
_FOLLOWED = 0.7
"""Part of the drift seen that the next picture makes up for: noise is not followed whole."""


class NeedlePictures:
    """Takes them; keeps the last gap (m) and apex (y, x from the picture's middle, m), the dose of all so far, and
    which exposure the latest on the way was."""

    def __init__(self, recipe: NeedleBiasingParameters, facts: InstrumentFacts, drive: NeedleDrive) -> None:
        self._recipe = recipe
        self._facts = facts
        self._drive = drive
        self.gap_m = math.nan
        self.apex_m = (math.nan, math.nan)
        self.dose_e_per_a2 = 0.0
        self.exposure = -1
        self._shift_m = (0.0, 0.0)
        self._hold = NeedleHold(drive)
        self._first: FrameRef | None = None

    @property
    def widest_pixel_m(self) -> float:
        """Of the lowest magnification."""
        return self._recipe.looks.overview_m / self._recipe.looks.shape[1]

    def fitting_pixel_m(self) -> float:
        """So that apex and edge are both in the picture, whose middle is at the edge: which may run aslant."""
        rows, columns = self._recipe.looks.shape
        along_px, across_px = (columns, rows) if self._drive.axis == "x" else (rows, columns)
        reach_m = max(self.gap_m, abs(self._drive.along(self.apex_m)))
        needed_m = max(reach_m / along_px, abs(self._drive.across(self.apex_m)) / across_px)
        return min(self.widest_pixel_m, max(_SHORTEST_PIXEL_M, 1.3 * 2 * needed_m))

    def further_by(self, back_m: float) -> None:
        """The needle went back by so much, not yet seen."""
        y_m, x_m = self.apex_m
        away_m = -self._drive.sign * back_m
        self.gap_m += back_m
        self.apex_m = (y_m, x_m + away_m) if self._drive.axis == "x" else (y_m + away_m, x_m)

    def centre(self, x_m: float, y_m: float) -> None:
        """What lies so far from the middle is in the middle of the next picture."""
        self._shift_m = (self._shift_m[0] + x_m, self._shift_m[1] + y_m)

    def look(self, pixel_m: float) -> Block[Mapping[str, Any]]:
        """Needle and grid; the gap is noted."""
        looks = self._recipe.looks
        frame = yield from self._take(self._exposure("view", looks.shape, pixel_m, looks.dwell_s))
        view = (yield from Compute(function=VIEW, frames=(frame,), arguments={"side": self._recipe.needle.side})).values
        if view["found"]:
            self.gap_m = float(view["gap_px"]) * pixel_m
            self.apex_m = (float(view["apex_y_px"]) * pixel_m, float(view["apex_x_px"]) * pixel_m)
            yield from NoteGap(gap_m=self.gap_m, sigma_m=float(view["gap_sigma_px"]) * pixel_m)
        return view

    def close_look(self, pixel_m: float) -> Block[FrameRef]:
        looks = self._recipe.looks
        return (yield from self._take(self._exposure("view", looks.close_shape, pixel_m, looks.close_dwell_s)))

    def wobble(self, pixel_m: float, back: bool = False) -> Block[Mapping[str, Any] | None]:
        """Heights from two tilts, the stage left at the last; None where needle and grid can't be told apart.

        Args:
            back: the wider, fine wobble, whose first tilt is taken again: then drift does not count as height.

        Returns:
            `analysis.needle_heights:Heights` by name, and `time_s`, the middle of the pictures.
        """
        looks, needle = self._recipe.looks, self._recipe.needle
        tilt = needle.fine_wobble_deg if back else needle.wobble_deg
        frames: list[FrameRef] = []
        times_s: list[float] = []
        for angle in (-tilt, tilt, -tilt) if back else (-tilt, tilt):
            at: StageAt = yield from MoveStage(tilt_deg=angle)
            yield from Wait(duration_s=_SETTLE_S, reason="the stage comes to rest")
            sigma_m = _FAR_SIGMA_M + self._height_bound_m(at.z_m) * math.tan(math.radians(tilt)) / 3
            exposure = self._exposure("wobble", looks.shape, pixel_m, looks.dwell_s, sigma_m)
            frames.append((yield from self._take(exposure)))
            times_s.append(self._drive.now_s)
        found = yield from Compute(
            function=HEIGHTS,
            frames=tuple(frames),
            arguments={
                "pixel_size_m": pixel_m,
                "tilt_deg": tilt,
                "side": needle.side,
                "drift_m": _DRIFT_M_PER_S * (times_s[1] - times_s[0]),
            },
        )
        if not found.values["found"]:
            return None
        return {**found.values, "time_s": (times_s[0] + times_s[-1]) / 2}

    def wait(self, duration_s: float, reason: str) -> Block[Waited]:
        """From one picture to the next; the needle is held against its drift meanwhile."""
        return (yield from self._drive.wait(duration_s, reason))

    def record(self, pixel_m: float) -> Block[Exposed | None]:
        """A picture of the series, None where it was lost.

        Against the first one the next is centred, and the needle held where it was on the specimen.
        """
        pictures = self._recipe.pictures
        try:
            done: Exposed = yield from self._exposure(
                "record", pictures.shape, pixel_m, pictures.dwell_s, _NEAR_SIGMA_M
            )
        except StepLost:
            return None
        self.dose_e_per_a2 += done.dose_e_per_a2
        if done.frame is None or self._first is None:
            self._first = self._first or done.frame
            return done
        arguments = {"side": self._recipe.needle.side}
        held = (yield from Compute(function=HELD, frames=(self._first, done.frame), arguments=arguments)).values
        self._drive.looked(done.started_s + done.duration_s)
        if held["found"]:
            self.centre(*(_FOLLOWED * float(held[name]) * pixel_m for name in ("specimen_x_px", "specimen_y_px")))
            went_m = float(held["needle_y_px"]) * pixel_m, float(held["needle_x_px"]) * pixel_m
            yield from self._hold.keep(went_m, float(held["sigma_px"]) * pixel_m)
        return done

    def _height_bound_m(self, z_m: float) -> float:
        """How far above or below the tilt axis the specimen may be, whatever pictures said of it: a tilted picture
        lies aside by that times the tangent."""
        known = self._facts.calibrations.get("eucentric_offset")
        return _UNKNOWN_HEIGHT_M if known is None else abs(z_m - known.value[0]) + 2 * known.sigma

    def _exposure(
        self, kind: str, shape: tuple[int, int], pixel_m: float, dwell_s: float, sigma_m: float = _FAR_SIGMA_M
    ) -> Expose:
        shortest, longest = self._facts.dwell_range_s
        x_m, y_m = self._shift_m
        return Expose(
            kind=kind,
            area=kind,
            target=TARGET,
            x_m=self._recipe.x_m + x_m,
            y_m=self._recipe.y_m + y_m,
            shift_x_m=x_m,
            shift_y_m=y_m,
            defocus_m=0.0,
            shape=shape,
            pixel_size_m=pixel_m,
            dwell_s=min(max(dwell_s, shortest), longest),
            detector=self._recipe.pictures.detector,
            position_sigma_m=sigma_m,
            drift_bound_m_per_s=_DRIFT_M_PER_S,
        )

    def _take(self, exposure: Expose) -> Block[FrameRef]:
        done, frame = yield from blocks.take(exposure)
        self.dose_e_per_a2 += done.dose_e_per_a2
        self.exposure = done.exposure
        self._drive.looked(done.started_s + done.duration_s)
        if frame is None:
            raise StepLost(f"{exposure.kind} picture: none came")
        return frame


def beam_in_field(recipe: NeedleBiasingParameters, facts: InstrumentFacts) -> tuple[float, float]:
    """Of a picture of the series: the share of its time with the beam in the field, and how long it lasts (s)."""
    (rows, columns), dwell_s, timing = recipe.pictures.shape, recipe.pictures.dwell_s, facts.timing
    line_s = (columns + timing.settle_px) * dwell_s + timing.flyback_s
    return columns * dwell_s / line_s, rows * line_s


def series_pixel_m(recipe: NeedleBiasingParameters, facts: InstrumentFacts, current_a: float) -> float:
    """With which a scan gives the dose rate asked for, averaged over its field and time, the ends of its lines with
    the beam blanked included: s I / (e N p^2), s the share of a line that is in the field."""
    rows, columns = recipe.pictures.shape
    share, _ = beam_in_field(recipe, facts)
    per_m2_s = recipe.dose_rate_e_per_a2_s * A2_PER_M2
    return math.sqrt(share * current_a / (ELEMENTARY_CHARGE_C * rows * columns * per_m2_s))
