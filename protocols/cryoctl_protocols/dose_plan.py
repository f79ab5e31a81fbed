"""How the planned dose is spread over the tilts, and the dwell time or current that gives it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from cryoctl.protocol import InstrumentFacts
from cryoctl.units import A2_PER_M2, ELEMENTARY_CHARGE_C
from cryoctl_protocols.parameters import Dose, EdxTomographyParameters

UPPER = 1 / (1 - 0.008)
"""The ledger charges two sigma more than the measured current; before a series that is 0.8 % or less."""


def planned_doses_e_per_a2(dose: Dose, angles_deg: Sequence[float]) -> tuple[float, ...]:
    """Dose of each tilt in the order of acquisition; the sum is that of the plan whatever the split.

    `geometry` follows the thickness of a film, 1/cos of the specimen angle (limited at 85 degrees).
    """
    count = len(angles_deg)
    planned = dose.per_tilt_e_per_a2
    each = planned if isinstance(planned, tuple) else (planned,) * count
    if dose.split == "equal":
        return each
    if dose.split == "geometry":
        weights = tuple(1.0 / math.cos(math.radians(min(abs(angle), 85.0))) for angle in angles_deg)
    else:
        weights = dose.weights or ()
    total, sum_of_weights = math.fsum(each), math.fsum(weights)
    return tuple(total * weight / sum_of_weights for weight in weights)


def dwell_s(dose_e_per_a2: float, *, pixel_size_m: float, scans: int, current_a: float) -> float:
    """Dwell time per pixel and scan frame, D e A / (I n) with the pixel's beam-normal area A."""
    return dose_e_per_a2 * _pixel_charge_c(pixel_size_m) / (current_a * scans)


def current_a(dose_e_per_a2: float, *, pixel_size_m: float, scans: int, dwell_s: float) -> float:
    """Beam current that gives the dose with this dwell time."""
    return dose_e_per_a2 * _pixel_charge_c(pixel_size_m) / (dwell_s * scans)


def _pixel_charge_c(pixel_size_m: float) -> float:
    """Charge on one pixel at 1 e-/A^2."""
    return ELEMENTARY_CHARGE_C * pixel_size_m**2 * A2_PER_M2


def record_current_a(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> float:
    """The current to record with: the preset's as calibrated, or what a given dwell time needs on average."""
    given_s = parameters.image.dwell_s
    if given_s is None:
        return facts.optics[parameters.optics.record].beam_current_a * facts.calibrated("beam_current", 1.0)
    doses = planned_doses_e_per_a2(parameters.dose, parameters.tilts.angles_deg())
    mean = math.fsum(doses) / len(doses)
    return current_a(mean, pixel_size_m=parameters.image.pixel_size_m, scans=parameters.edx.scans, dwell_s=given_s)


def doses_by_kind(parameters: EdxTomographyParameters) -> dict[str, float]:
    """Planned dose of the worst pixel of each kind's own area, e-/A^2, with tracking as often as is usual."""
    angles = parameters.tilts.angles_deg()
    count = len(angles)
    planned = {"record": math.fsum(planned_doses_e_per_a2(parameters.dose, angles))}
    if parameters.search.enabled:
        pictures = 2 + (2 if parameters.eucentric.enabled else 0)
        planned["search"] = pictures * parameters.search.dose_e_per_a2
    if parameters.track.every:
        a_tilt = 1 + (3 if parameters.drift.timeout_s > 0 else 0)
        height = 3 * parameters.eucentric.rounds if parameters.eucentric.enabled else 0
        pictures = 1 + height + a_tilt * math.ceil(count / parameters.track.every)
        planned["track"] = pictures * parameters.track.dose_e_per_a2
    if parameters.focus.every:
        rounds = 1 + math.ceil(count / parameters.focus.every)
        planned["focus"] = rounds * parameters.focus.pictures * parameters.focus.dose_e_per_a2
    if parameters.shower.enabled:
        planned["shower"] = parameters.shower.dose_e_per_a2
    return planned


def planned_peak_e_per_a2(parameters: EdxTomographyParameters) -> float:
    """Planned dose of the worst pixel of the record area: record, and what covers it as well (search, shower)."""
    planned = doses_by_kind(parameters)
    return planned["record"] + planned.get("search", 0.0) + planned.get("shower", 0.0)
