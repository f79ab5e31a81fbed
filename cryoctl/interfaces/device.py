"""What every device shares: cheap to construct, explicit to connect, idempotent to close, able to make itself safe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who answered: checked again after a reconnect, so that a swapped instrument is noticed."""

    maker: str
    model: str
    serial: str
    firmware: str = ""


@runtime_checkable
class Device(Protocol):
    """Construction opens nothing. `connect` raises `DeviceError`; `close` may be called twice and never raises."""

    @property
    def name(self) -> str: ...

    async def connect(self) -> Identity: ...

    async def close(self) -> None: ...

    async def make_safe(self) -> None:
        """Bring the device to rest and read that back; raises `DeviceError` where it can't be confirmed."""
        ...
