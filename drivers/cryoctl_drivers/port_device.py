"""What all instruments on a port share: connected anew they are asked who they are and set up again."""

from __future__ import annotations

from typing import Generic, TypeVar

from cryoctl.errors import ConnectionLost, InstrumentError
from cryoctl.interfaces.device import Identity
from cryoctl_drivers.link import Link, LinkSettings

S = TypeVar("S", bound=LinkSettings)


class PortDevice(Generic[S]):
    """Construction opens nothing. A driver defines `identify` and `set_up`."""

    kind = "device"

    def __init__(self, name: str, settings: S, link: Link) -> None:
        self._name = name
        self.settings = settings
        self.link = link

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> Identity:
        """Open the link if it is not, ask who answers, and make the driver's own settings; moves nothing, and switches
        nothing on or off."""
        was_open = self.link.is_open
        await self.link.open()
        try:
            identity = await self.identify()
        except ConnectionLost:
            if not was_open:
                raise
            await self.link.open()  # it had been cut since it was last used
            identity = await self.identify()
        await self.set_up()
        return identity

    async def close(self) -> None:
        await self.link.close()

    async def identify(self) -> Identity:
        """
        Raises:
            InstrumentError: another instrument answers, or one with a firmware that this driver does not know.
        """
        raise NotImplementedError

    async def set_up(self) -> None:
        """Settings that the driver relies on (formats, integration), each read back."""

    def not_this(self, found: str, wanted: str) -> InstrumentError:
        return InstrumentError(
            f"{self.name}: at {self.settings.port} answers {found[:80]!r}, its driver is for {wanted}; change "
            "settings.port or the driver"
        )
