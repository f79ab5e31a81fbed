"""Settings of the simulated devices as they stand in an instrument file; hidden errors are drawn from the sigmas."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cryoctl.interfaces.device_settings import Above0, From0, InOrder, Settings
from cryoctl.units import (
    Amperes,
    Degrees,
    DegreesPerSecond,
    DriftPerDegree,
    ElectronVolts,
    Hertz,
    Irradiance,
    Kelvin,
    KelvinDifference,
    Metres,
    MetresPerSecond,
    Ohms,
    Pascals,
    PerSecond,
    Radians,
    Seconds,
    Steradians,
    Volts,
)


class StageSettings(Settings):
    limits_m: Annotated[tuple[Metres, Metres], InOrder] = (-1e-3, 1e-3)
    limits_z_m: Annotated[tuple[Metres, Metres], InOrder] = (-3e-4, 3e-4)
    limits_tilt_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-75.0, 75.0)
    speed_m_per_s: Annotated[MetresPerSecond, Above0] = 5e-6
    tilt_speed_deg_per_s: Annotated[DegreesPerSecond, Above0] = 2.0
    settle_s: Annotated[Seconds, From0] = 0.5
    stop_s: Annotated[Seconds, From0] = 0.02
    backlash_m: Annotated[Metres, From0] = 0.3e-6
    backlash_sigma_m: Annotated[Metres, From0] = 0.05e-6
    tilt_backlash_deg: Annotated[Degrees, From0] = 0.02
    repeatability_m: Annotated[Metres, From0] = 8e-9
    drift_m_per_s: Annotated[MetresPerSecond, From0] = 8e-12
    drift_sigma_m_per_s: Annotated[MetresPerSecond, From0] = 4e-12
    tilt_kick_m_per_s_per_deg: Annotated[DriftPerDegree, From0] = 2e-11
    tilt_kick_tau_s: Annotated[Seconds, Above0] = 60.0
    refill_kick_m_per_s: Annotated[MetresPerSecond, From0] = 2e-10
    refill_tau_s: Annotated[Seconds, Above0] = 900.0
    eucentric_sigma_m: Annotated[Metres, From0] = 100e-9
    runout_m: Annotated[Metres, From0] = 150e-9
    tilt_axis_sigma_deg: Annotated[Degrees, From0] = 0.4


class BeamSettings(Settings):
    voltages_v: Annotated[tuple[Volts, ...], Field(min_length=1)] = (80e3, 200e3, 300e3)
    current_range_a: Annotated[tuple[Amperes, Amperes], InOrder] = (1e-12, 5e-9)
    current_error_sigma_rel: Annotated[float, From0] = 0.05
    measure_sigma_rel: Annotated[float, From0] = 0.004
    measure_s: Annotated[Seconds, Above0] = 1.0
    current_drift_rel_per_s: Annotated[PerSecond, From0] = 1e-6
    settle_px: Annotated[int, Field(ge=0)] = 16
    flyback_s: Annotated[Seconds, From0] = 100e-6
    blanks_flyback: bool = True
    latency_s: Annotated[Seconds, From0] = 2e-6
    blanker_latency_s: Annotated[Seconds, From0] = 0.02
    second_stop_s: Annotated[Seconds, From0] = 0.5
    optics_s: Annotated[Seconds, From0] = 2.0
    image_shift_range_m: Annotated[Metres, Above0] = 8e-6
    image_shift_sigma_rel: Annotated[float, From0] = 0.005
    defocus_range_m: Annotated[Metres, Above0] = 50e-6
    defocus_sigma_m: Annotated[Metres, From0] = 60e-9
    min_dwell_s: Annotated[Seconds, Above0] = 1e-7
    max_dwell_s: Annotated[Seconds, Above0] = 1e-1
    max_scan_px: Annotated[int, Field(gt=0)] = 4096
    pixel_size_sigma_rel: Annotated[float, From0] = 3e-4
    tail_m: Annotated[Metres, From0] = 15e-9
    tail_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.02
    dose_pixel_m: Annotated[Metres, Above0] = 20e-9
    dose_extent_m: tuple[Annotated[Metres, Above0], Annotated[Metres, Above0]] = (12e-6, 6e-6)


class ScanDetectorSettings(Settings):
    max_shape: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (4096, 4096)
    tilt_limits_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-80.0, 80.0)
    insert_s: Annotated[Seconds, From0] = 3.0


class ImageDetectorSettings(ScanDetectorSettings):
    type: Literal["stem", "camera"] = "stem"
    gain_counts_per_electron: Annotated[float, Above0] = 12.0
    offset_counts: Annotated[float, From0] = 400.0
    noise_counts: Annotated[float, From0] = 5.0
    inner_angle_rad: Annotated[Radians, Above0] = 0.06
    outer_angle_rad: Annotated[Radians, Above0] = 0.2


class CameraSettings(ImageDetectorSettings):
    type: Literal["stem", "camera"] = "camera"
    gain_counts_per_electron: Annotated[float, Above0] = 0.5
    inner_angle_rad: Annotated[Radians, Above0] = 0.01


class EdxSettings(ScanDetectorSettings):
    n_channels: Annotated[int, Field(ge=64, le=65535)] = 1024
    energy_offset_ev: ElectronVolts = 0.0
    energy_scale_ev: Annotated[ElectronVolts, Above0] = 10.0
    solid_angle_sr: Annotated[Steradians, Field(gt=0, le=4)] = 0.7
    max_input_rate_per_s: Annotated[PerSecond, Above0] = 2e5
    pulse_s: Annotated[Seconds, Above0] = 1.1e-6
    fwhm_mn_ev: Annotated[ElectronVolts, Above0] = 130.0


class HolderSettings(Settings):
    tilt_limits_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-70.0, 70.0)
    temperature_range_k: Annotated[tuple[Kelvin, Kelvin], InOrder] = (90.0, 400.0)
    temperature_k: Annotated[Kelvin, Above0] = 95.0
    approach_s: Annotated[Seconds, Above0] = 60.0
    hold_time_s: Annotated[Seconds, Above0] = 6 * 3600.0
    nitrogen: Annotated[float, Field(ge=0, le=1)] = 1.0
    pressure_pa: Annotated[Pascals, Above0] = 1.2e-5
    sensor_sigma_k: Annotated[KelvinDifference, From0] = 0.02


class VacuumSettings(Settings):
    """The pressure itself is the holder's."""


class BiasSettings(Settings):
    voltage_range_v: Annotated[tuple[Volts, Volts], InOrder] = (-20.0, 20.0)
    current_range_a: Annotated[tuple[Amperes, Amperes], InOrder] = (-1.0, 1.0)
    has_high_impedance_off: bool = True
    cell_voltage_v: Volts = 0.0
    cell_resistance_ohm: Annotated[Ohms, Above0] = 1e9
    cell_capacitance_f: Annotated[float, Above0] | None = None
    lead_ohm: Annotated[Ohms, Above0] = 200.0
    leakage_ohm: Annotated[Ohms, Above0] = 1e13
    offset_a: Annotated[Amperes, From0] = 1e-12
    noise_a: Annotated[Amperes, From0] = 2e-12
    noise_rel: Annotated[float, From0] = 2e-6
    noise_v: Annotated[Volts, From0] = 2e-5
    resolution_rel: Annotated[float, Above0] = 1e-7
    line_hz: Annotated[Hertz, Above0] = 50.0
    integration_cycles: Annotated[float, Field(ge=0.01, le=100)] = 1.0
    overhead_s: Annotated[Seconds, From0] = 0.005
    settle_s: Annotated[Seconds, Above0] = 3e-3
    settle_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    clock_offset_s: Seconds = 0.0
    clock_offset_sigma_s: Annotated[Seconds, From0] = 2.5
    clock_drift_sigma_rel: Annotated[float, From0] = 5e-5
    link_s: Annotated[Seconds, From0] = 0.008
    read_s: Annotated[Seconds, From0] = 0.02
    open_circuit_s: Annotated[Seconds, From0] = 0.2


class LightSettings(Settings):
    irradiance_w_per_m2: Annotated[tuple[Irradiance, Irradiance], InOrder] = (0.0, 1200.0)
    calibration_sigma_rel: Annotated[float, Field(ge=0, le=0.2)] = 0.01
    read_sigma_rel: Annotated[float, Field(ge=0, le=0.05)] = 0.001
    settle_s: Annotated[Seconds, Above0] = 0.2


class NeedleSettings(Settings):
    coarse_step_m: Annotated[tuple[Metres, Metres], InOrder] = (20e-9, 500e-9)
    step_m: Annotated[Metres, Field(ge=20e-9, le=500e-9)] = 150e-9
    step_sigma_rel: Annotated[float, Field(ge=0, le=0.25)] = 0.1
    direction_ratio: Annotated[float, Field(ge=0.4, le=2.5)] = 0.8
    ratio_sigma_rel: Annotated[float, Field(ge=0, le=0.35)] = 0.1
    scatter_rel: Annotated[float, Field(ge=0, le=0.3)] = 0.1
    kick_rel: Annotated[float, Field(ge=0, le=0.5)] = 0.12
    crosstalk_rel: Annotated[float, Field(ge=0, le=0.2)] = 0.02
    fine_range_m: Annotated[tuple[Metres, Metres], InOrder] = (-2.5e-6, 2.5e-6)
    hysteresis_rel: Annotated[float, Field(ge=0, lt=0.5)] = 0.12
    creep_rel: Annotated[float, Field(ge=0, lt=0.5)] = 0.02
    drift_m_per_s: Annotated[MetresPerSecond, From0] = 4e-11
    gap_m: Annotated[Metres, Above0] = 20e-6
    gap_sigma_m: Annotated[Metres, From0] = 0.0
    offset_m: Metres = 0.0
    offset_sigma_m: Annotated[Metres, From0] = 0.0
    height_m: Metres = 0.0
    height_sigma_m: Annotated[Metres, From0] = 0.0
    axis_sigma_deg: Annotated[Degrees, Field(ge=0, le=10)] = 1.5
    half_angle_deg: Annotated[Degrees, Field(gt=0, le=30)] = 8.0
    tip_radius_m: Annotated[Metres, Above0] = 25e-9
    lixo_m: Annotated[Metres, From0] = 12e-9
    shake_m: Annotated[Metres, From0] = 40e-9
    clear_m: Annotated[Metres, Above0] = 2e-6
    step_s: Annotated[Seconds, Above0] = 2e-3
    vacuum_limit_pa: Annotated[Pascals, Above0] = 1e-3
