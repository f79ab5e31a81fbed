"""What all replay devices share, and the factory that makes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl.errors import ConnectionLost, InstrumentError
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Device, Identity
from cryoctl_simulators.replay.playback import Playback


class ReplayDevice:
    """Answers from a playback; nothing real is touched."""

    kind = "device"

    def __init__(self, name: str, playback: Playback) -> None:
        self._name = name
        self.playback = playback
        self._connected = False

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> Identity:
        self._connected = True
        self.playback.begin()
        return Identity(maker="cryoctl", model=f"replayed {self.kind}", serial=self.playback.layout)

    async def close(self) -> None:
        self._connected = False

    async def make_safe(self) -> None:
        """Nothing real is there to be made safe."""

    def _link(self) -> None:
        """Every verb begins with it. Raises `ConnectionLost` before `connect`, and where the link was lost then."""
        if not self._connected:
            raise ConnectionLost(f"{self._name}: not connected; call connect first")
        if self.playback.met("link").startswith(f"{self._name} "):
            raise ConnectionLost(f"{self._name}: no answer, as in the run that is replayed")


class ReplayFactory:
    """The entry point of a replay device; it has no settings."""

    def __init__(self, kind: str, device: type[Any]) -> None:
        self.kind = kind
        self._device = device

    def check(self, settings: Mapping[str, Any]) -> None:
        """
        Raises:
            InstrumentError: there are settings.
        """
        if settings:
            raise InstrumentError(f"settings.{next(iter(settings))}: a replay {self.kind} has no settings; remove it")

    def __call__(self, name: str, settings: Mapping[str, Any], context: DeviceContext) -> Device:
        self.check(settings)
        return self._device(name, Playback.of(context, name))
