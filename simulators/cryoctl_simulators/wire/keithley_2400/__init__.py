"""Emulated Keithley 2400: its SCPI and its sweeps, on the world's source."""

from __future__ import annotations

from cryoctl_simulators.wire.keithley_2400.instrument import FACTORY, EmulatedKeithley2400

__all__ = ["FACTORY", "EmulatedKeithley2400"]
