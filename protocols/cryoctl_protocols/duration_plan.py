"""About how long a series takes, from the plan alone; `cryoctl rehearse` plays it and knows better."""

from __future__ import annotations

from cryoctl.protocol import InstrumentFacts
from cryoctl_protocols import dose_plan
from cryoctl_protocols.parameters import EdxTomographyParameters, Focus, Track

_PREPARING_S = 75.0
"""Detectors in, optics, current, search, height, references: as seen in rehearsals."""
_DRIFT_LOOKS = 2.5
"""Track pictures until the stage has calmed down, as seen in rehearsals of the simulated microscope."""


def scan_s(shape: tuple[int, int], dwell_s: float, scans: int, facts: InstrumentFacts) -> float:
    """Time of a scan: each line is settled, scanned and flown back."""
    rows, columns = shape
    line_s = (facts.timing.settle_px + columns) * dwell_s + facts.timing.flyback_s
    return rows * scans * line_s


def planned_duration_s(parameters: EdxTomographyParameters, facts: InstrumentFacts) -> float:
    """All targets; good to about a tenth."""
    angles = parameters.tilts.angles_deg()
    current_a = dose_plan.record_current_a(parameters, facts)
    total = 0.0
    before = 0.0
    for index, (angle, dose) in enumerate(
        zip(angles, dose_plan.planned_doses_e_per_a2(parameters.dose, angles), strict=True)
    ):
        way_deg = abs(angle - before) + 2 * parameters.approach.overshoot_deg
        before = angle
        total += way_deg / facts.tilt_speed_deg_per_s + parameters.approach.settle_s
        if parameters.track.every and index % parameters.track.every == 0:
            total += _picture_s(parameters.track.dose_e_per_a2, parameters.track, current_a, facts)
            if parameters.drift.timeout_s > 0:
                look_s = parameters.drift.interval_s
                look_s += _picture_s(parameters.track.dose_e_per_a2, parameters.track, current_a, facts)
                total += min(_DRIFT_LOOKS * look_s, parameters.drift.timeout_s + look_s)
        if parameters.focus.every and index % parameters.focus.every == 0:
            one = _picture_s(parameters.focus.dose_e_per_a2, parameters.focus, current_a, facts)
            total += parameters.focus.pictures * one
        dwell = dose_plan.dwell_s(
            dose, pixel_size_m=parameters.image.pixel_size_m, scans=parameters.edx.scans, current_a=current_a
        )
        total += scan_s(parameters.image.shape, dwell, parameters.edx.scans, facts)
    return len(parameters.targets) * (total + _PREPARING_S + abs(before) / facts.tilt_speed_deg_per_s)


def _picture_s(dose: float, area: Track | Focus, current_a: float, facts: InstrumentFacts) -> float:
    dwell = dose_plan.dwell_s(dose, pixel_size_m=area.pixel_size_m, scans=1, current_a=current_a)
    return scan_s(area.shape, max(dwell, facts.dwell_range_s[0]), 1, facts)
