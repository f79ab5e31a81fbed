"""What a protocol may know of the instrument: limits, optics, calibrations."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import datetime

from cryoctl.calibration import CalibrationSet
from cryoctl.clock.wall import utc_now
from cryoctl.instrument import Instrument, Limits
from cryoctl.interfaces.beam import Optics
from cryoctl.interfaces.bias import BiasCapabilities
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.stage import StageLimits
from cryoctl.protocol import CalibratedValue, InstrumentFacts


def gather_facts(instrument: Instrument, devices: DeviceSet, at: datetime | None = None) -> InstrumentFacts:
    """What a protocol may know; calibrations that have expired at that time (now) raise `CalibrationError`."""
    beam, limits = devices.beam.capabilities, instrument.file.limits
    tilts: dict[str, tuple[float, float]] = {
        name: detector.capabilities.tilt_limits_deg for name, detector in devices.image_detectors.items()
    }
    kinds = ["stage", "beam"]
    if devices.image_detectors:
        kinds.append("image_detector")
    if devices.edx is not None:
        tilts["edx"] = devices.edx.capabilities.tilt_limits_deg
        kinds.append("edx")
    if devices.holder is not None:
        tilts["holder"] = devices.holder.capabilities.tilt_limits_deg
        kinds.append("holder")
    kinds += [kind for kind in ("bias", "needle", "light", "vacuum") if getattr(devices, kind) is not None]
    edx = devices.edx.capabilities if devices.edx is not None else None
    limits = instrument.file.limits
    least_a, most_a = beam.current_range_a
    return InstrumentFacts(
        kinds=tuple(kinds),
        stage=_stage_limits(devices.stage.limits, limits),
        tilt_speed_deg_per_s=devices.stage.tilt_speed_deg_per_s,
        timing=beam.timing,
        image_shift_range_m=min(beam.image_shift_range_m, limits.image_shift_m or math.inf),
        defocus_range_m=beam.defocus_range_m,
        dwell_range_s=(beam.min_dwell_s, beam.max_dwell_s),
        max_scan_px=beam.max_scan_px,
        current_range_a=(least_a, min(most_a, limits.beam_current_a or math.inf)),
        tilt_limits_deg=tilts,
        optics=optics_of(instrument),
        calibrations=_calibrated(instrument.file.calibration_set(), at or utc_now()),
        current_drift_rel_per_s=beam.current_drift_rel_per_s,
        edx_max_energy_ev=edx.energy_offset_ev + edx.n_channels * edx.energy_scale_ev if edx else 0.0,
        bias=None if devices.bias is None else _bias_within(devices.bias.capabilities, limits),
        light=None if devices.light is None else devices.light.capabilities,
        needle=None if devices.needle is None else devices.needle.capabilities,
        dose_known=devices.dose_known,
        dose_rate_max_e_per_a2_s=limits.dose_rate_e_per_a2_s or math.inf,
    )


def _stage_limits(own: StageLimits, limits: Limits) -> StageLimits:
    """The narrower of the stage's own and the operator's."""

    def within(interval: tuple[float, float], low: float | None, high: float | None) -> tuple[float, float]:
        return (
            interval[0] if low is None else max(interval[0], low),
            interval[1] if high is None else min(interval[1], high),
        )

    xy_m, z_m = limits.xy_m, limits.z_m
    return StageLimits(
        x_m=within(own.x_m, None if xy_m is None else -xy_m, xy_m),
        y_m=within(own.y_m, None if xy_m is None else -xy_m, xy_m),
        z_m=within(own.z_m, None if z_m is None else -z_m, z_m),
        tilt_deg=within(own.tilt_deg, limits.tilt_min_deg, limits.tilt_max_deg),
    )


def _bias_within(own: BiasCapabilities, limits: Limits) -> BiasCapabilities:
    """The narrower of the source's own and the operator's."""
    most_v, most_a = limits.bias_v or math.inf, limits.bias_a or math.inf
    low_v, high_v = own.voltage_range_v
    low_a, high_a = own.current_range_a
    return replace(
        own,
        voltage_range_v=(max(low_v, -most_v), min(high_v, most_v)),
        current_range_a=(max(low_a, -most_a), min(high_a, most_a)),
    )


def optics_of(instrument: Instrument) -> dict[str, Optics]:
    """The presets by name, turned by the calibrated tilt axis so that the fast scan axis lies along it."""
    found = {name: preset.optics(name) for name, preset in instrument.file.optics.items()}
    axis = [one.scalar for one in instrument.file.calibration_set().by_name.values() if one.kind == "tilt_axis"]
    if not axis:
        return found
    return {name: replace(one, scan_rotation_deg=one.scan_rotation_deg + axis[0]) for name, one in found.items()}


def _calibrated(calibrations: CalibrationSet, now: datetime) -> dict[str, CalibratedValue]:
    """By kind; whatever name the file gives them."""
    values: dict[str, CalibratedValue] = {}
    for name in calibrations.by_name:
        entry = calibrations.require(name, now)
        values[entry.kind] = CalibratedValue(value=entry.value, sigma=entry.uncertainty / 2, date=entry.date)
    return values
