"""Vacuum gauge near the specimen, where the pressure is not told by the holder."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device


@runtime_checkable
class VacuumGauge(Device, Protocol):
    """Made safe nothing is done: it is only read."""

    async def pressure(self) -> float:
        """At the specimen in Pa; NaN where the gauge reads nothing that can be trusted."""
        ...
