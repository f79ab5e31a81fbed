"""Keithley 2400 series source-measure units (2400, 2401, 2410, 2420 ...): SCPI over RS-232 (9600 8N1, terminator LF) or
a socket of a device server.

From the maker's user's manual (2400S-900-01): commands, formats, the status word, lists of at most 2500 points, auto
output-off at the end of the trigger count. Never tried on an instrument by whoever wrote this.

While it sweeps it carries out nothing but an abort; what else it is told waits until the sweep is over. So
- under a constant bias it is told to take half a second of samples at a time, and asked between two such batches. They
  are kept in this driver, with the instrument's time stamps; a new driver begins to number them anew;
- a waveform is one sweep, which ends with its output off whatever becomes of this computer. No longer than
  `longest_play_s` and 2500 samples, since nobody can look at it meanwhile but by ending it: until then its status is
  what it was told, and whoever reads it waits. Longer ones are refused.
A sample is 56 characters, asked twice on a serial line: at 9600 baud a batch takes three times as long to be told as to
be taken, so set it to 57600 baud. Its stamps have seven digits: 10 ms once it has been on for three hours.
Its samples follow each other without a timer: an interval is what was asked for to within its overhead, and the stamps
say what it was. With its relay open it measures nothing, and reads 0 V and 0 A.
"""

from __future__ import annotations

from cryoctl_drivers.keithley_2400.device import FACTORY, Keithley2400
from cryoctl_drivers.keithley_2400.settings import Keithley2400Settings

__all__ = ["FACTORY", "Keithley2400", "Keithley2400Settings"]
