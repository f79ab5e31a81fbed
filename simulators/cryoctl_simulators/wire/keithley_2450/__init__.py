"""Emulated Keithley 2450: its SCPI, its trigger model, its buffers and event log, on the world's source."""

from __future__ import annotations

from cryoctl_simulators.wire.keithley_2450.instrument import FACTORY, EmulatedKeithley2450

__all__ = ["FACTORY", "EmulatedKeithley2450"]
