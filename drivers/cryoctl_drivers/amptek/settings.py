"""What an instrument file says of an Amptek detector."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from cryoctl.units import Kelvin, PerSecond, Seconds, Steradians
from cryoctl_drivers.mounted_edx import MountedEdxSettings

Above0 = Field(gt=0)
RESERVED = ("MCAC", "MCAS", "MCAE", "PRET", "PRER", "PREC", "GATE", "GPED", "GPGA", "GPIN", "GPMC", "GPME", "RESC")
"""What the driver sets by itself."""


def _commands(given: dict[str, str]) -> dict[str, str]:
    for command, value in given.items():
        if len(command) != 4 or not command.isalnum() or not command.isupper():
            raise ValueError(f"found {command[:20]!r}: a command has four capital letters or digits, like GAIN")
        if command in RESERVED:
            raise ValueError(f"{command} is set by the driver itself; leave it out")
        if not value or not value.isascii() or not value.isprintable() or set(value) & set(";= "):
            raise ValueError(f"found {value[:20]!r} for {command}: write its value alone, without blank, = or ;")
    return given


class AmptekSettings(MountedEdxSettings):
    """The width of a channel is that of the gain in `configuration`."""

    host: str = ""
    """Address of the unit; left out only where an emulator stands for it."""
    udp_port: Annotated[int, Field(ge=1, le=65535)] = 10001
    serial: str = ""
    """Serial number of the unit; another one is refused. Empty: any."""
    deadline_s: Annotated[Seconds, Field(gt=0, le=5)] = 0.5
    """For one answer; what went unanswered is asked again three times."""
    channels: Literal[256, 512, 1024, 2048, 4096, 8192] = 1024
    solid_angle_sr: Annotated[Steradians, Field(gt=0, le=4)] = 0.02
    max_input_rate_per_s: Annotated[PerSecond, Above0] = 1e5
    warmest_k: Annotated[Kelvin, Above0] = 250.0
    """A detector that is warmer is not armed."""
    gate: Literal["OFF", "HI", "LO"] = "OFF"
    """Other than OFF: a wire tells the unit while the beam is on, and the time it counted is the time told."""
    pixel_buffers: Annotated[int, Field(ge=0, le=512)] = 0
    """Spectra that the unit stores with so many channels; 0 where no pixel clock is wired to its AUX input 2."""
    configuration: Annotated[dict[str, str], AfterValidator(_commands)] = Field(default_factory=dict)
    """Further commands of the unit (GAIN, TPEA, THSL ...), sent at each connection and read back."""
