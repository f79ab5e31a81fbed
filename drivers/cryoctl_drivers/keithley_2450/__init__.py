"""Keithley 2450 source-measure unit: SCPI over its raw socket 5025, or over a serial port.

From the maker's reference manual (2450-901-01; for the trigger model and the event log also that of its sister 2461):
commands, formats, trigger blocks, lists of at most 2500 levels, buffers, output-off states. Never tried on an
instrument by whoever wrote this, and so to be looked at on the first day (docs/how-to/connect-a-keithley.md): that
indices of a buffer that overwrites itself go on counting, that a change of the source function switches the output off
(it is switched on again), the form of the event log's time, and where in a measurement its time stamp lies (its end is
assumed).

A waveform is a staircase in a source list, walked through by a trigger model whose last block switches the output off;
the instrument compares the measured voltage with `until_v` at each sample. Single blocks can't be read back: that the
error queue stays empty and the list reads back counts.
"""

from __future__ import annotations

from cryoctl_drivers.keithley_2450.device import FACTORY, Keithley2450
from cryoctl_drivers.keithley_2450.settings import Keithley2450Settings

__all__ = ["FACTORY", "Keithley2450", "Keithley2450Settings"]
