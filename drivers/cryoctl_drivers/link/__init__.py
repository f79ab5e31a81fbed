"""What a driver talks through: one link a port, which frames, waits no longer than its deadline, and never takes the
answer to one question for that to another."""

from __future__ import annotations

from cryoctl_drivers.link.exchange import Exchange, Shape
from cryoctl_drivers.link.framing import Framing, Lines
from cryoctl_drivers.link.link import Link, Sync
from cryoctl_drivers.link.settings import LinkSettings

__all__ = ["Exchange", "Framing", "Lines", "Link", "LinkSettings", "Shape", "Sync"]
