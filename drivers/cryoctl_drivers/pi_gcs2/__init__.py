"""PI controller with General Command Set 2 as a piezo needle: three closed-loop positioners, three closed-loop piezos.

RS-232 at 115200 baud, 8N1, or TCP 50000; lines end with LF, all but the last of a reply with a space before it. A
command has no answer: ERR? after it tells what was wrong, once. After STP that is 10, which is no fault. From PI's
manuals (E-727; C-863 for the error codes) and PIPython's framing; not verified at an instrument: that SVA 0 after SVO 0
relaxes every kind of piezo stage, and that every controller takes its place for its target when its servo comes on.
"""

from __future__ import annotations

from cryoctl_drivers.pi_gcs2.needle import FACTORY, PiNeedle
from cryoctl_drivers.pi_gcs2.settings import PiSettings

__all__ = ["FACTORY", "PiNeedle", "PiSettings"]
