"""Keithley 2600B source-measure units (2601B to 2636B, one channel): TSP over the raw socket 5025, or over RS-232.

From the maker's reference manual (2600BS-901-01, and its forerunners of the 2600 and 2600A): attributes, limits and
their least values, output-off modes, interlock, `trigger.wait`, what aborts a script. Its trigger model can't end with
the output off, nor wait for a voltage. So all that it does while its output is on is done by a script, loaded by this
driver and run by the instrument (script.lua): it sets level after level, measures, keeps the samples, compares with
`until_v`, and switches off at the end of a waveform whatever became of this computer. While it runs the instrument
carries out no other command; it hears `*TRG`, on which the script tells its state and its newest samples, and `abort`,
which ends it.

Never tried on an instrument by whoever wrote this, and so to be looked at on the first day
(docs/how-to/connect-a-keithley.md): that `*TRG` reaches a script that waits for it, over each interface; that `abort`
leaves the output as it is; that a script outlives a lost connection; how long the script's own pace takes.

A sample's time is the middle between two looks at the timer, before and after the measurement. The instrument's own
buffers, whose stamps lie somewhere in a measurement and wrap after 71 minutes, are not used. It has no over-voltage
protection beside its limit of the voltage in current control; in voltage control the limit is this driver's. Its limits
only limit, nothing trips.
"""

from __future__ import annotations

from cryoctl_drivers.keithley_2600.device import FACTORY, Keithley2600
from cryoctl_drivers.keithley_2600.settings import Keithley2600Settings

__all__ = ["FACTORY", "Keithley2600", "Keithley2600Settings"]
