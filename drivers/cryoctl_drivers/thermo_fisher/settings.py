"""Settings of the devices of a Thermo Fisher TEM: where its servers are, and what its interface does not tell."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cryoctl.interfaces.device_settings import Above0, From0, InOrder, Settings
from cryoctl.units import (
    Amperes,
    Degrees,
    DegreesPerSecond,
    DriftPerDegree,
    Metres,
    MetresPerSecond,
    PerSecond,
    Seconds,
    Volts,
    quoted,
)

Port = Annotated[int, Field(ge=1, le=65535)]


class ServerSettings(Settings):
    host: str = ""
    """Name or address of the microscope's PC. Empty only where an emulator answers."""
    port: Port = 8080
    deadline_s: Annotated[Seconds, Field(gt=0, le=10)] = 4.0
    """Within which any call but an acquisition or a move is answered."""


class StageSettings(ServerSettings):
    port: Port = 8082
    """A third server, or the stage does not answer while a picture is taken."""
    limits_m: Annotated[tuple[Metres, Metres], InOrder] = (-0.9e-3, 0.9e-3)
    limits_z_m: Annotated[tuple[Metres, Metres], InOrder] = (-0.3e-3, 0.3e-3)
    limits_tilt_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-70.0, 70.0)
    """What holder and pole piece allow; refused at connect where the stage itself allows less."""
    speed_m_per_s: Annotated[MetresPerSecond, Above0] = 5e-6
    tilt_speed_deg_per_s: Annotated[DegreesPerSecond, Above0] = 2.0
    """As measured with short moves: with them and `leg_s` the way is divided."""
    leg_s: Annotated[Seconds, Field(gt=0, le=5)] = 0.4
    """A move is sent in legs of about so long, since no call stops one: `stop` waits for the leg under way."""
    tolerance_m: Annotated[Metres, Above0] = 1e-7
    tolerance_deg: Annotated[Degrees, Above0] = 0.05
    """How far from where it was sent it may end."""
    settle_s: Annotated[Seconds, From0] = 1.0
    drift_m_per_s: Annotated[MetresPerSecond, From0] = 2e-11
    tilt_drift_m_per_s_per_deg: Annotated[DriftPerDegree, From0] = 5e-11
    tilt_drift_decay_s: Annotated[Seconds, Above0] = 60.0


class Preset(Settings):
    """What belongs to a preset of `optics` (of the same name) and stands in no field of it."""

    current_a: Annotated[Amperes, Above0]
    """As measured by hand (screen, Faraday holder); `beam_current_a` of the preset has to be the same."""
    current_sigma_rel: Annotated[float, Field(gt=0, lt=0.5)]
    """One sigma, relative: of the measurement and of all that the current does until it is measured again."""
    intensity: float | None = None
    """Condenser setting in the interface's own unit; null: left as it is."""


class BeamSettings(ServerSettings):
    blanker_port: Port = 8081
    """A second server on the same PC, for nothing else."""
    blanker_latency_limit_s: Annotated[Seconds, Field(gt=0, le=2)] = 0.1
    """What plans count with; a blanker that is slower when it is tried is refused at connect."""
    voltage_v: Annotated[Volts, Above0] = 200e3
    """It can be read but not set."""
    presets: Annotated[dict[str, Preset], Field(min_length=1)]
    idle_probe: Literal["scans", "off-specimen"]
    """Where the probe is while the beam is open and no picture is taken. One that is parked on the specimen can't be
    counted: let the microscope park it elsewhere."""
    scan_detector: str = "HAADF"
    """Asked for a picture where no detector is armed, so that the beam scans."""
    full_frame_px: Annotated[int, Field(ge=16)] = 2048
    binnings: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (1, 2, 4, 8)
    """Of the whole, its half and its quarter: with them pictures have full_frame_px down to a fraction of it a side."""
    field_at_unit_magnification_m: Annotated[Metres, Above0]
    """Width of the whole scanned field times the STEM magnification."""
    settle_px: Annotated[int, Field(ge=0)] = 0
    flyback_s: Annotated[Seconds, From0] = 1e-4
    """A line's time is that of its pixels and of `settle_px` more, and this; the beam is on for all of it."""
    frame_s: Annotated[Seconds, From0] = 0.2
    """At most, from the command that opens the beam to the first line, and from the last to the confirmed blank."""
    second_stop_s: Annotated[Seconds, Above0] = 3.0
    """What the column valves take to close."""
    current_drift_rel_per_s: Annotated[PerSecond, From0] = 3e-6
    min_dwell_s: Annotated[Seconds, Above0] = 5e-7
    max_dwell_s: Annotated[Seconds, Above0] = 1e-2
    image_shift_range_m: Annotated[Metres, Above0] = 2e-6
    """Of the beam shift, which is what moves a scan."""
    defocus_range_m: Annotated[Metres, Above0] = 1e-5
    focus_m_per_unit: Annotated[float, Above0] = 1.0
    """Metres a unit of the interface's defocus, which is in metres on some microscopes only."""
    optics_s: Annotated[Seconds, From0] = 2.0
    """What lenses take to settle."""

    @model_validator(mode="after")
    def _two_servers(self) -> Self:
        if self.port == self.blanker_port:
            raise ValueError(
                f"found {self.port} for port and blanker_port: a server that acquires can't blank; start a second one"
            )
        return self


class DetectorSettings(ServerSettings):
    detector: str = "HAADF"
    """As the microscope calls it."""
    kept_inserted: Literal[True]
    """The interface can neither move it nor tell where it is: it is put in by hand and stays there for the run."""
    max_shape: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (2048, 2048)
    tilt_limits_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-70.0, 70.0)
    offset_counts: Annotated[int, Field(ge=0, le=32768)] = 0
    """Added to each value: 32768 where the detector gives signed 16-bit numbers."""


class VacuumSettings(ServerSettings):
    port: Port = 8082
    """That of the stage."""
    gauge: Annotated[str, Field(min_length=1, max_length=40)] = "IGPco"
    """As the microscope calls the one that is nearest to the specimen."""


def unknown_preset(name: str, there: dict[str, Preset]) -> str:
    known = ", ".join(there)
    return f"settings.presets has no {quoted(name)}, it has {known}: measure its current and add it"
