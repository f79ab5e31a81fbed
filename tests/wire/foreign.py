"""Emulators asked by drivers that we did not write, which block: they run in a thread beside the emulator's loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from cryoctl import registry
from cryoctl.interfaces.context import DeviceContext

T = TypeVar("T")


def asked_by(model: str, ask: Callable[[str], T], emulated: Mapping[str, Any] | None = None) -> tuple[T, Any]:
    """What `ask` gives, called with the port, and the emulator."""

    async def whole() -> tuple[T, Any]:
        emulator = registry.find("cryoctl.emulators", model)("device", emulated or {}, DeviceContext(seed=11))
        port = str(emulator.open()["port"])
        emulator.attach()
        try:
            return await asyncio.to_thread(ask, port), emulator
        finally:
            emulator.close()

    return asyncio.run(whole())


class Recorded:
    """Which of a foreign driver's members were used, in their order, each once."""

    def __init__(self, driver: Any) -> None:
        self.__dict__.update(driver=driver, used=[])

    def __getattr__(self, name: str) -> Any:
        self._note(name)
        return getattr(self.driver, name)

    def __setattr__(self, name: str, value: Any) -> None:
        self._note(name)
        setattr(self.driver, name, value)

    def _note(self, name: str) -> None:
        if name not in self.used:
            self.used.append(name)
