"""Emulated Keithley 2600B: its TSP by a real Lua, on the world's source."""

from __future__ import annotations

from cryoctl_simulators.wire.keithley_2600.instrument import FACTORY, EmulatedKeithley2600

__all__ = ["FACTORY", "EmulatedKeithley2600"]
