"""Settings of the simulated devices as they stand in an instrument file; hidden errors are drawn from the sigmas."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cryoctl.errors import InstrumentError

Interval = tuple[float, float]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class StageSettings(Settings):
    limits_m: Interval = (-1e-3, 1e-3)
    limits_z_m: Interval = (-3e-4, 3e-4)
    limits_tilt_deg: Interval = (-75.0, 75.0)
    speed_m_per_s: Positive = 5e-6
    tilt_speed_deg_per_s: Positive = 2.0
    settle_s: NotNegative = 0.5
    stop_s: NotNegative = 0.02
    backlash_m: NotNegative = 0.3e-6
    backlash_sigma_m: NotNegative = 0.05e-6
    tilt_backlash_deg: NotNegative = 0.02
    repeatability_m: NotNegative = 8e-9
    drift_m_per_s: NotNegative = 8e-12
    drift_sigma_m_per_s: NotNegative = 4e-12
    tilt_kick_m_per_s_per_deg: NotNegative = 2e-11
    tilt_kick_tau_s: Positive = 60.0
    refill_kick_m_per_s: NotNegative = 2e-10
    refill_tau_s: Positive = 900.0
    eucentric_sigma_m: NotNegative = 100e-9
    runout_m: NotNegative = 150e-9
    tilt_axis_sigma_deg: NotNegative = 0.4


class BeamSettings(Settings):
    voltages_v: tuple[float, ...] = (80e3, 200e3, 300e3)
    current_range_a: Interval = (1e-12, 5e-9)
    current_error_sigma_rel: NotNegative = 0.05
    measure_sigma_rel: NotNegative = 0.004
    measure_s: Positive = 1.0
    current_drift_rel_per_s: NotNegative = 1e-6
    settle_px: Annotated[int, Field(ge=0)] = 16
    flyback_s: NotNegative = 100e-6
    blanks_flyback: bool = True
    latency_s: NotNegative = 2e-6
    blanker_latency_s: NotNegative = 0.02
    second_stop_s: NotNegative = 0.5
    optics_s: NotNegative = 2.0
    image_shift_range_m: Positive = 8e-6
    image_shift_sigma_rel: NotNegative = 0.005
    defocus_range_m: Positive = 50e-6
    defocus_sigma_m: NotNegative = 60e-9
    min_dwell_s: Positive = 1e-7
    max_dwell_s: Positive = 1e-1
    max_scan_px: Annotated[int, Field(gt=0)] = 4096
    pixel_size_sigma_rel: NotNegative = 3e-4
    tail_m: NotNegative = 15e-9
    tail_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02
    dose_pixel_m: Positive = 20e-9
    dose_extent_m: tuple[Positive, Positive] = (12e-6, 6e-6)


class ScanDetectorSettings(Settings):
    max_shape: tuple[int, int] = (4096, 4096)
    tilt_limits_deg: Interval = (-80.0, 80.0)
    insert_s: NotNegative = 3.0


class ImageDetectorSettings(ScanDetectorSettings):
    type: Literal["stem", "camera"] = "stem"
    gain_counts_per_electron: Positive = 12.0
    offset_counts: NotNegative = 400.0
    noise_counts: NotNegative = 5.0
    inner_angle_rad: Positive = 0.06
    outer_angle_rad: Positive = 0.2


class CameraSettings(ImageDetectorSettings):
    type: Literal["stem", "camera"] = "camera"
    gain_counts_per_electron: Positive = 0.5
    inner_angle_rad: Positive = 0.01


class EdxSettings(ScanDetectorSettings):
    n_channels: Annotated[int, Field(ge=64, le=65535)] = 1024
    energy_offset_ev: float = 0.0
    energy_scale_ev: Positive = 10.0
    solid_angle_sr: Annotated[float, Field(gt=0, le=4)] = 0.7
    max_input_rate_per_s: Positive = 2e5
    pulse_s: Positive = 1.1e-6
    fwhm_mn_ev: Positive = 130.0


class HolderSettings(Settings):
    tilt_limits_deg: Interval = (-70.0, 70.0)
    temperature_range_k: Interval = (90.0, 400.0)
    temperature_k: Positive = 95.0
    approach_s: Positive = 60.0
    hold_time_s: Positive = 6 * 3600.0
    nitrogen: Annotated[float, Field(ge=0, le=1)] = 1.0
    pressure_pa: Positive = 1.2e-5
    sensor_sigma_k: NotNegative = 0.02


class BiasSettings(Settings):
    voltage_range_v: Interval = (-20.0, 20.0)
    current_range_a: Interval = (-1.0, 1.0)
    has_high_impedance_off: bool = True
    cell_voltage_v: float = 0.0
    cell_resistance_ohm: Positive = 1e9
    noise_a: NotNegative = 2e-12
    clock_offset_s: float = 0.0
    read_s: NotNegative = 0.02


class NeedleSettings(Settings):
    coarse_step_m: Interval = (20e-9, 500e-9)
    step_m: Positive = 150e-9
    direction_ratio: Positive = 0.8
    scatter_rel: NotNegative = 0.1
    fine_range_m: Interval = (-2.5e-6, 2.5e-6)
    hysteresis_rel: NotNegative = 0.12
    gap_m: Positive = 20e-6
    step_s: Positive = 2e-3
    vacuum_limit_pa: Positive = 1e-3


S = TypeVar("S", bound=Settings)


def read_settings(model: type[S], device: str, settings: Mapping[str, Any]) -> S:
    """Validate a device's settings.

    Raises:
        InstrumentError: one sentence that names the device and field, and the nearest name of an unknown one.
    """
    try:
        return model.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(field, model.model_fields, n=1, cutoff=0.3)
            hint = f"nearest is {near[0]}" if near else "known are " + ", ".join(model.model_fields)
            raise InstrumentError(f"devices.{device}.settings.{field}: there is no such setting; {hint}") from None
        found = repr(first["input"])[:60]
        raise InstrumentError(f"devices.{device}.settings.{field}: found {found}; {first['msg']}") from None
