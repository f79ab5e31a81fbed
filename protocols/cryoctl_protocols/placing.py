"""From places in the specimen's frame to image shifts, with what tracking has learnt of one target."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from cryoctl.protocol import InstrumentFacts
from cryoctl.steps import FrameRef
from cryoctl_protocols import areas
from cryoctl_protocols.areas import Area
from cryoctl_protocols.parameters import Target
from cryoctl_protocols.prediction import Seen, predict_across, predict_along

Matrix = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A track picture; its content lies by `offset_*_m` from where the area's nominal content belongs."""

    frame: FrameRef
    tilt_deg: float
    offset_x_m: float
    offset_y_m: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an exposure lies: in the specimen's frame as believed, and the image shift to be set."""

    x_m: float
    y_m: float
    shift_x_m: float
    shift_y_m: float


def inverse_shift_matrix(facts: InstrumentFacts) -> Matrix:
    """Wanted displacement to commanded image shift; the calibration `image_shift` is the matrix of the way back."""
    calibration = facts.calibrations.get("image_shift")
    if calibration is None:
        return (1.0, 0.0, 0.0, 1.0)
    a, b, c, d = calibration.value
    determinant = a * d - b * c
    return (d / determinant, -b / determinant, -c / determinant, a / determinant)


def stage_lag_m(facts: InstrumentFacts) -> float:
    """Where the stage stands after a move upwards, from its reading: half the backlash behind (0 if unknown).

    The frame's zero is taken in the middle of the gap, so that it does not depend on who came from where.
    """
    calibration = areas.backlash(facts)
    return 0.0 if calibration is None else -calibration.value[0] / 2


@dataclass(slots=True, kw_only=True)
class Bearing:
    """What is known of one target: where stage and specimen are, and how it appeared at the tilts so far.

    `content_*_m` is how far the specimen appears from where stage and tilt alone would put it, beam-normal: drift,
    runout, height. It is what tracking measures and what the image shift follows.
    """

    target: Target
    x_m: float
    y_m: float
    matrix: Matrix
    stage_x_m: float = 0.0
    stage_y_m: float = 0.0
    content_x_m: float = 0.0
    content_y_m: float = 0.0
    unsure_m: float = 0.0
    """One sigma of the content's place in the specimen's plane, where it was only foreseen."""
    along: list[Seen] = field(default_factory=list[Seen])
    across: list[Seen] = field(default_factory=list[Seen])
    focus: list[Seen] = field(default_factory=list[Seen])
    references: list[Reference] = field(default_factory=list[Reference])

    def place(self, area: Area, tilt_deg: float) -> Place:
        """Of an area at this tilt, with the content as it is believed now."""
        cosine = math.cos(math.radians(tilt_deg))
        wanted_x = self.x_m + area.dx_m - self.stage_x_m + self.content_x_m
        wanted_y = (self.y_m - self.stage_y_m) * cosine + self.content_y_m
        a, b, c, d = self.matrix
        return Place(
            x_m=self.x_m + area.dx_m,
            y_m=self.y_m,
            shift_x_m=a * wanted_x + b * wanted_y,
            shift_y_m=c * wanted_x + d * wanted_y,
        )

    def expect(self, tilt_deg: float) -> None:
        """Take the content to be where the earlier tilts let it expect."""
        if self.across:
            along, across = predict_along(self.along, tilt_deg), predict_across(self.across, tilt_deg)
            self.content_x_m, self.content_y_m = along.value_m, across.value_m
            self.unsure_m = math.hypot(along.sigma_m, across.sigma_m / math.cos(math.radians(tilt_deg)))

    def saw(self, tilt_deg: float) -> None:
        """The content was found at this tilt where it is believed now; a second look replaces the first."""
        if self.across and self.across[-1].tilt_deg == tilt_deg:
            del self.along[-1], self.across[-1]
        self.along.append(Seen(tilt_deg=tilt_deg, value_m=self.content_x_m))
        self.across.append(Seen(tilt_deg=tilt_deg, value_m=self.content_y_m))

    def nearest(self, tilt_deg: float) -> Reference:
        """The reference picture nearest in tilt, the latest of those."""
        best = self.references[-1]
        for reference in reversed(self.references):
            if abs(reference.tilt_deg - tilt_deg) < abs(best.tilt_deg - tilt_deg) - 1e-9:
                best = reference
        return best

    def remember(self, reference: Reference) -> None:
        """Keep one reference a tilt, the latest."""
        self.references[:] = [one for one in self.references if abs(one.tilt_deg - reference.tilt_deg) > 1e-3]
        self.references.append(reference)

    def strides(self, tilt_deg: float, stride_deg: float) -> tuple[float, ...]:
        """Tilts on the way from the nearest reference, none where it is near enough."""
        start = self.nearest(tilt_deg).tilt_deg
        count = math.ceil(abs(tilt_deg - start) / stride_deg - 1e-9)
        return tuple(round(start + (tilt_deg - start) * k / count, 6) for k in range(1, count))


def stretch(from_deg: float, to_deg: float) -> float:
    """Factor by which a flat specimen's picture grows across the tilt axis between two tilts."""
    return math.cos(math.radians(to_deg)) / math.cos(math.radians(from_deg))
