"""What an instrument file states of a 2450."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from cryoctl_drivers.source_device import SourceSettings

LEAST_V, LEAST_A = 0.02, 1e-9
"""The least limits that it holds."""
LONGEST_INTERVAL_S = 5.0
"""It can't be read between two samples, and whoever reads it does not wait longer."""
OVERHEAD_S = 0.005
"""That a sample takes beside its integrations."""
OVP_V = (2, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180)
BUFFER, SCRATCH = '"defbuffer1"', '"defbuffer2"'
"""Samples; single readings."""


class Keithley2450Settings(SourceSettings):
    terminals: Literal["front", "rear"] = "front"
    buffer_samples: Annotated[int, Field(ge=1000, le=1_000_000)] = 100_000
