"""Calibrations: what was measured of this instrument, how well, when, and until when it may be relied on.

Uncertainties are bounds at two sigma (design.md, 5): the truth lies within `uncertainty` of `value`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from cryoctl.errors import CalibrationError
from cryoctl.units import format_quantity, quoted

KINDS: Mapping[str, tuple[str, int]] = {
    "beam_current": ("1", 1),
    "image_shift": ("1", 4),
    "pixel_size": ("1", 1),
    "tilt_axis": ("deg", 1),
    "backlash": ("m", 1),
    "eucentric_offset": ("m", 1),
}
"""Kind to its unit and how many numbers it has.

beam_current: true current over the nominal one. image_shift: 2x2 by rows, metres in the specimen plane (x, y) a metre
asked for. pixel_size: true over nominal. tilt_axis: from image +x towards +y with the scan rotations that the presets
name; it is added to them. backlash: largest of the translations.
eucentric_offset: stage z at which the picture moves least with the tilt.
"""

RATIOS = ("beam_current", "pixel_size")
"""Kinds that others are divided by."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibration:
    """`date` and `expires` are ISO dates or date-times (UTC where no offset is given); `expires` None: never.

    `uncertainty` holds for each number of `value`, in the same unit.
    """

    name: str
    kind: str
    value: tuple[float, ...]
    uncertainty: float
    unit: str
    date: str
    expires: str | None = None
    method: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise CalibrationError(f"calibration {quoted(self.name)} has the unknown kind {quoted(self.kind)}")
        unit, count = KINDS[self.kind]
        if self.unit != unit or len(self.value) != count:
            raise CalibrationError(
                f"calibration {quoted(self.name)} has {len(self.value)} numbers in {quoted(self.unit)}: "
                f"{self.kind} takes {count} in {quoted(unit)}"
            )
        if not all(map(math.isfinite, (*self.value, self.uncertainty))) or self.uncertainty < 0.0:
            raise CalibrationError(
                f"calibration {quoted(self.name)} has a number that is not finite or an uncertainty below 0"
            )
        if self.kind in RATIOS and self.scalar <= 0.0:
            raise CalibrationError(
                f"calibration {quoted(self.name)}: found {self.scalar:g}, true over nominal is above 0 and near 1"
            )
        moment(self.date, self.name)
        if self.expires is not None and moment(self.expires, self.name) < moment(self.date, self.name):
            raise CalibrationError(f"calibration {quoted(self.name)} expires before its date {self.date}")

    @property
    def scalar(self) -> float:
        """The number of a calibration that has one; ValueError for a matrix."""
        (number,) = self.value
        return number

    @property
    def relative(self) -> float:
        """Uncertainty over value, infinite at 0."""
        size = max(abs(v) for v in self.value)
        return self.uncertainty / size if size > 0.0 else math.inf

    def describe(self) -> str:
        """One line for the operator."""
        numbers = ", ".join(format_quantity(v, self.unit) for v in self.value)
        until = f", expires {self.expires}" if self.expires is not None else ""
        return f"{self.name}: {numbers} +- {format_quantity(self.uncertainty, self.unit)} ({self.date}{until})"


def moment(text: str, name: str) -> dt.datetime:
    """An ISO date (its first instant, UTC) or date-time; CalibrationError names the calibration."""
    try:
        found = dt.datetime.fromisoformat(text)
    except ValueError:
        message = f"calibration {quoted(name)}: found the date {quoted(text)}, write it like 2026-11-20"
        raise CalibrationError(message) from None
    return found if found.tzinfo is not None else found.replace(tzinfo=dt.UTC)


def _utc(when: dt.date) -> dt.datetime:
    """Now as an instant; a plain date is taken at its end, so that what expires that day counts as expired."""
    if isinstance(when, dt.datetime):
        return when if when.tzinfo is not None else when.replace(tzinfo=dt.UTC)
    return dt.datetime.combine(when, dt.time.max, dt.UTC)


@dataclass(frozen=True, slots=True)
class CalibrationSet:
    """Calibrations by name, copied into the run."""

    by_name: Mapping[str, Calibration]

    @classmethod
    def of(cls, calibrations: Iterable[Calibration]) -> CalibrationSet:
        found: dict[str, Calibration] = {}
        for one in calibrations:
            if one.name in found:
                raise CalibrationError(f"calibration {quoted(one.name)} is given twice: keep one of them")
            found[one.name] = one
        return cls(found)

    def require(self, name: str, today: dt.date) -> Calibration:
        """The calibration of this name, in force at `today` (a date, or a date-time; naive means UTC).

        Raises:
            CalibrationError: it is missing, has expired, or is dated more than a day ahead.
        """
        found = self.by_name.get(name)
        if found is None:
            near = difflib.get_close_matches(name, self.by_name, n=1)
            hint = (
                f"did you mean {quoted(near[0])}" if near else "run `cryoctl run calibrate` or add it to the instrument"
            )
            raise CalibrationError(f"calibration {quoted(name)} is missing: {hint}")
        now = _utc(today)
        if found.expires is not None and moment(found.expires, name) <= now:
            raise CalibrationError(
                f"calibration {quoted(name)} of {found.date} expired on {found.expires}: run `cryoctl run calibrate`"
            )
        if moment(found.date, name) > now + dt.timedelta(days=1):
            raise CalibrationError(
                f"calibration {quoted(name)} is dated {found.date}, after today {now.date()}: check date and clock"
            )
        return found
