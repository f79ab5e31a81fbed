"""Settings of the devices of a Thermo Fisher TEM: where its servers are, and what its interface does not tell."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from cryoctl.interfaces.device_settings import Above0, InOrder, Settings
from cryoctl.units import Degrees, Metres, Seconds, Volts
from cryoctl_drivers.by_command.settings import CommandedBeamSettings, CommandedPreset, LeggedStageSettings

Port = Annotated[int, Field(ge=1, le=65535)]


class ServerSettings(Settings):
    host: str = ""
    """Name or address of the microscope's PC. Empty only where an emulator answers."""
    port: Port = 8080
    deadline_s: Annotated[Seconds, Field(gt=0, le=10)] = 4.0
    """Within which any call but an acquisition or a move is answered."""


class StageSettings(ServerSettings, LeggedStageSettings):
    port: Port = 8082
    """A third server, or the stage does not answer while a picture is taken."""


class Preset(CommandedPreset):
    intensity: float | None = None
    """Condenser setting in the interface's own unit; null: left as it is."""


class BeamSettings(ServerSettings, CommandedBeamSettings):
    blanker_port: Port = 8081
    """A second server on the same PC, for nothing else."""
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
    focus_m_per_unit: Annotated[float, Above0] = 1.0
    """Metres a unit of the interface's defocus, which is in metres on some microscopes only."""

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
