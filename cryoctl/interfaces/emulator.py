"""What answers at the wire in an instrument's place, so that a driver is rehearsed with all its bytes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

from cryoctl.interfaces.context import DeviceContext


@runtime_checkable
class Emulator(Protocol):
    """Made, it does nothing; `open`ed, it has a port that answers nothing yet."""

    def open(self) -> Mapping[str, Any]:
        """Bind a port on loopback; the driver's settings that lead to it. May be called again."""
        ...

    def attach(self) -> None:
        """Answer from now on, on the running loop. May be called again on the same loop."""
        ...

    def close(self) -> None:
        """Give the port back; may be called twice, also after the loop has ended."""
        ...


class EmulatorFactory(Protocol):
    """What an entry point of the group `cryoctl.emulators` names; as a `DeviceFactory` otherwise."""

    kind: str

    def check(self, settings: Mapping[str, Any]) -> None: ...

    def settings_for(self, driver: Mapping[str, Any]) -> Mapping[str, Any]:
        """Its settings such that a driver with these of its own finds the instrument that they are for."""
        ...

    def __call__(self, name: str, settings: Mapping[str, Any], context: DeviceContext) -> Emulator: ...
