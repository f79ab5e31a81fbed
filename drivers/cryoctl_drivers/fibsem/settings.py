"""Settings of the devices of a FIB-SEM: which microscope `fibsem` reaches and where, and what it does not tell."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from cryoctl.interfaces.device_settings import Above0, InOrder, Settings
from cryoctl.units import Amperes, Degrees, DegreesPerSecond, Metres, MetresPerSecond, Seconds, Volts, quoted
from cryoctl_drivers.by_command.settings import CommandedBeamSettings, CommandedPreset, LeggedStageSettings

DEMO, THERMO_FISHER = "Demo", "ThermoFisher"
_NOT_DRIVEN = {
    "tescan": "fibsem has no call that blanks its beams or reads them back, and switches them on when it connects",
    "odemis": "its client has one lock for all calls, so that to blank waits until a picture is taken",
    "zeiss": "fibsem has an empty class for it",
}


def _driven(maker: str) -> str:
    if maker in (DEMO, THERMO_FISHER):
        return maker
    why = _NOT_DRIVEN.get(maker.lower(), "nobody tried it with this driver")
    raise ValueError(f"found {quoted(maker)}: {why}; allowed are {DEMO} and {THERMO_FISHER}")


class MicroscopeSettings(Settings):
    manufacturer: Annotated[str, AfterValidator(_driven)]
    """Demo (simulated by fibsem itself) or ThermoFisher (AutoScript)."""
    host: str = ""
    """Name or address of the microscope's PC, where AutoScript's server runs."""
    port: Annotated[int, Field(ge=1, le=65535)] = 7520
    configuration: str = ""
    """fibsem's own configuration file (YAML) for this microscope; empty: the one that fibsem has as its default."""
    deadline_s: Annotated[Seconds, Field(gt=0, le=30)] = 5.0
    """Within which any call but an acquisition or a move is answered."""

    @model_validator(mode="after")
    def _reached(self) -> Self:
        if self.manufacturer != DEMO and not self.host:
            raise ValueError("found no host: give the name or address of the microscope's PC")
        return self


class StageSettings(MicroscopeSettings, LeggedStageSettings):
    limits_m: Annotated[tuple[Metres, Metres], InOrder]
    limits_z_m: Annotated[tuple[Metres, Metres], InOrder]
    limits_tilt_deg: Annotated[tuple[Degrees, Degrees], InOrder]
    """What specimen, shuttle, detectors and needles in the chamber leave free, in the stage's raw coordinates: nothing
    else keeps it from the pole pieces. Refused at connect where the stage itself allows less."""
    speed_m_per_s: Annotated[MetresPerSecond, Above0] = 2e-4
    tilt_speed_deg_per_s: Annotated[DegreesPerSecond, Above0] = 2.0
    """At most: a leg is as long as they take in `leg_s`, and the next one is not sent sooner."""
    leg_s: Annotated[Seconds, Field(gt=0, le=5)] = 2.0
    stop_s: Annotated[Seconds, Field(gt=0, le=30)] = 4.0
    """What a stop takes at most: a leg, and what a call takes besides, as measured."""
    tolerance_m: Annotated[Metres, Above0] = 1e-6

    @model_validator(mode="after")
    def _a_leg_at_least(self) -> Self:
        if self.stop_s < self.leg_s:
            raise ValueError(f"found stop_s {self.stop_s:g} s, a leg takes {self.leg_s:g} s: a stop is no quicker")
        return self


class Preset(CommandedPreset):
    nominal_a: Annotated[Amperes, Above0]
    """The current that is set at the microscope for it, as its own list has it."""


class ElectronBeamSettings(MicroscopeSettings, CommandedBeamSettings):
    presets: Annotated[dict[str, Preset], Field(min_length=1)]
    voltages_v: Annotated[tuple[Annotated[Volts, Above0], ...], Field(min_length=1)]
    """Those at which the presets' currents were measured."""
    working_distance_m: Annotated[Metres, Above0]
    """At which the eucentric plane is in focus."""
    idle_probe: Literal["blanked", "scans", "off-specimen"]
    """Where the probe is while the beam is open and no picture is taken. One that is parked on the specimen can't be
    counted: let the microscope blank or park it elsewhere when it does not scan."""
    ion_column: bool = True
    """The microscope has one: it is kept blanked and read back with the electron column."""
    square_px: tuple[Annotated[int, Field(ge=8)], ...] = ()
    """Sides of the pictures where the scan generator makes no others than these squares; empty: any shape."""
    max_scan_px: Annotated[int, Field(ge=16)] = 6144
    frame_s: Annotated[Seconds, Field(ge=0)] = 1.0
    """As in any beam opened by command: fibsem reads the microscope's whole state before or after each picture."""


class DetectorSettings(MicroscopeSettings):
    detector: Annotated[str, Field(min_length=1, max_length=40)] = "ETD"
    mode: Annotated[str, Field(max_length=40)] = ""
    """Both as the microscope calls them; an empty mode is left as it is."""
    kept_inserted: Literal[True]
    """fibsem moves no detector: it is put in by hand and stays there for the run."""
    max_shape: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = (4096, 6144)
    tilt_limits_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-10.0, 60.0)


class VacuumSettings(MicroscopeSettings):
    """Nothing but its microscope."""
