"""Instrument files: which devices there are, how the column is set, what is allowed and how it is calibrated."""

from __future__ import annotations

from cryoctl.instrument.loading import Instrument, load_instrument, parse_instrument
from cryoctl.instrument.model import (
    CalibrationEntry,
    DeviceEntry,
    DeviceKind,
    EmulatorEntry,
    InstrumentFile,
    Limits,
    OpticsPreset,
)

__all__ = [
    "CalibrationEntry",
    "DeviceEntry",
    "DeviceKind",
    "EmulatorEntry",
    "Instrument",
    "InstrumentFile",
    "Limits",
    "OpticsPreset",
    "load_instrument",
    "parse_instrument",
]
