"""Attocube ANC300 with three stepping and three scanning axes, as a piezo needle.

Commands and answers are those of its console: over USB a serial port of 38400 baud, 8N1, over the network TCP 7230 with
a password. Each answer ends with a line `OK` or `ERROR`. What is known here comes from public drivers and recorded
answers, its manual was not at hand; not verified at an instrument: what a wrong password is answered with, that an
offset can be set while an axis is grounded, how noisy `geto` is, and what it echoes over USB.
"""

from __future__ import annotations

from cryoctl_drivers.attocube_anc300.needle import FACTORY, AttocubeNeedle
from cryoctl_drivers.attocube_anc300.settings import AttocubeSettings

__all__ = ["FACTORY", "AttocubeNeedle", "AttocubeSettings"]
