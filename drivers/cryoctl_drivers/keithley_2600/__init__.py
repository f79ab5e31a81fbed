"""Keithley 2600B source-measure units (2601B to 2636B, one channel): TSP over the raw socket 5025, or over a serial port."""

from __future__ import annotations

from cryoctl_drivers.keithley_2600.device import FACTORY, Keithley2600
from cryoctl_drivers.keithley_2600.settings import Keithley2600Settings

__all__ = ["FACTORY", "Keithley2600", "Keithley2600Settings"]
