"""SECoP, the Sample Environment Communication Protocol (1.0 and 1.1), which many cryostats speak: JSON lines over TCP.

Requests and replies only. A node sends updates by itself to those who activate them; none is asked for here, since a
number is then as old as nobody knows, and those that come all the same are never taken for a reply.
"""

from __future__ import annotations

from cryoctl_drivers.secop.holder import FACTORY, SecopHolder, SecopHolderSettings

__all__ = ["FACTORY", "SecopHolder", "SecopHolderSettings"]
