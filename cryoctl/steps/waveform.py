"""Waveforms for `StartWaveform`, by the names that the field has for them."""

from __future__ import annotations

from cryoctl.interfaces.waveform import (
    Segment,
    Waveform,
    constant_current,
    constant_voltage,
    cyclic_voltammetry,
    galvanostatic_cycling,
    open_circuit,
    points,
    pulses,
    ramp,
    steps,
)

__all__ = [
    "Segment",
    "Waveform",
    "constant_current",
    "constant_voltage",
    "cyclic_voltammetry",
    "galvanostatic_cycling",
    "open_circuit",
    "points",
    "pulses",
    "ramp",
    "steps",
]
