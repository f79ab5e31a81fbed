"""What all simulated devices share: a link that can be lost, an identity, and the factory that makes them."""

from __future__ import annotations

import asyncio
from typing import Any, Generic, TypeVar

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import Settings, SettingsFactory
from cryoctl_simulators.world import World

S = TypeVar("S", bound=Settings)


class SimulatedDevice(Generic[S]):
    """Construction only notes the device in the world; `connect` opens the world."""

    kind = "device"
    has_own_clock = False
    """Whether `simulation.clocks.DEVICE.offset_s` acts on it."""

    def __init__(self, name: str, settings: S, world: World) -> None:
        self._name = name
        self.settings = settings
        self.world = world
        self._connected = False
        self._serial = ""
        self._away = False
        world.add(name, self.kind, settings, self)

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> Identity:
        self.world.open()
        self._connected = True
        await self._link()
        serial = f"{self.world.file.header['seed']}{self._serial}"
        return Identity(maker="cryoctl", model=f"simulated {self.kind}", serial=serial)

    async def close(self) -> None:
        self._connected = False

    async def _link(self) -> None:
        """Every verb begins with it; never returns where the device does not answer.

        Raises:
            ConnectionLost: not connected, or the link is lost.
        """
        if not self._connected:
            raise ConnectionLost(f"{self._name}: not connected; call connect first")
        self.world.look()
        lost = self.fault("lost-link")
        if isinstance(lost, dict):
            if not self._away and lost["forgets"]:
                self.forget_settings()
            self._away = True
            self._serial = "-other" if lost["swapped"] else ""
            raise ConnectionLost(f"{self._name}: no answer, the link is lost; check cable and server, then resume")
        self._away = False
        if self.fault("no-answer"):
            await asyncio.Event().wait()

    def forget_settings(self) -> None:
        """The device was restarted: it is as it is when it is switched on."""

    def fault(self, name: str) -> dict[str, float] | bool:
        """Parameters of an active fault (True where it has none), False otherwise; uses up a fault without duration."""
        found = self.world.faults.take(self._name, name)
        return False if found is None else found or True

    def clock_s(self) -> float:
        """The device's own clock."""
        return now_s()


class SimulatedFactory(SettingsFactory[S]):
    """The entry point of a simulated device: all of an instrument share one world."""

    def __init__(self, kind: str, model: type[S], device: type[Any]) -> None:
        super().__init__(kind, model, lambda name, settings, context: device(name, settings, World.of(context)))
