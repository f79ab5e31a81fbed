"""What an instrument file states of a 2450."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cryoctl.interfaces.device_settings import InOrder
from cryoctl.units import Amperes, Volts
from cryoctl_drivers.cut_off import RelaySettings
from cryoctl_drivers.link import LinkSettings

LEAST_V, LEAST_A = 0.02, 1e-9
"""The least limits that it holds."""
LONGEST_INTERVAL_S = 5.0
"""It can't be read between two samples, and whoever reads it does not wait longer."""
OVERHEAD_S = 0.005
"""That a sample takes beside its integrations."""
OVP_V = (2, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180)
BUFFER, SCRATCH = '"defbuffer1"', '"defbuffer2"'
"""Samples; single readings."""


class Keithley2450Settings(LinkSettings):
    voltage_range_v: Annotated[tuple[Volts, Volts], InOrder] = (-20.0, 20.0)
    """What the experiment may ever need; above 42 V its interlock has to be closed."""
    current_range_a: Annotated[tuple[Amperes, Amperes], InOrder] = (-1.0, 1.0)
    terminals: Literal["front", "rear"] = "front"
    wires: Literal[2, 4] = 2
    integration_cycles: Annotated[float, Field(ge=0.01, le=10)] = 1.0
    """Of the mains, for each of the two measurements that a sample is."""
    buffer_samples: Annotated[int, Field(ge=1000, le=1_000_000)] = 100_000
    offset_a: Annotated[Amperes, Field(ge=0)] = 2e-10
    """Bound of what it reads with nothing connected, in its least range: measure it, see the how-to."""
    cut_off: RelaySettings | None = None
    """The second way to switch it off."""
