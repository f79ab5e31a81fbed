"""The one truth of a simulated microscope: what the devices act on and observe."""

from __future__ import annotations

from cryoctl_simulators.world.world import World

__all__ = ["World"]
