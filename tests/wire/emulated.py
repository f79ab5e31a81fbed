"""Drivers against emulated instruments in one process: the emulator on the loop, the driver in a thread beside it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import numpy as np

from cryoctl import registry
from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import CryoctlError
from cryoctl.interfaces.context import DeviceContext
from cryoctl_simulators.wire.line_faults import KINDS, RandomLineFaults

T = TypeVar("T")


class EmulatedInstrument:
    """Mixin of a contract suite: `driver` and `model` are names of entry points."""

    driver = ""
    model = ""
    settings: Mapping[str, Any] = {}
    emulated: Mapping[str, Any] = {}

    def build(self) -> Any:
        device, self.emulator = plugged_in(self.driver, self.model, self.settings, self.emulated)
        return device

    def run(self, check: Coroutine[Any, Any, T]) -> T:
        async def whole() -> T:
            try:
                return await check
            finally:
                self.emulator.close()

        return run_virtual(whole())


def plugged_in(
    driver: str, model: str, settings: Mapping[str, Any] | None = None, emulated: Mapping[str, Any] | None = None
) -> tuple[Any, Any]:
    """A driver, not connected, and the emulator that it will find; called in the running loop."""
    context = DeviceContext(seed=11)
    emulator = registry.find("cryoctl.emulators", model)("device", emulated or {}, context)
    told = emulator.open()
    emulator.attach()
    return registry.find("cryoctl.devices", driver)("device", {**(settings or {}), **told}, context), emulator


class BadLine:
    """Random faults of a line: how often an act succeeded, and what it may never do.

    Args:
        act: asks or sets something and asserts that what it was told is true.
        patience_s: within which it has to be over, whatever happens.
    """

    def __init__(self, device: Any, emulator: Any, act: Callable[[], Awaitable[None]], patience_s: float) -> None:
        self.device, self.emulator, self.act = device, emulator, act
        self.patience_s = patience_s
        self.succeeded = 0
        self.slowest_s = 0.0
        self.kinds: dict[str, int] = {}

    async def play(self, cases: int, seed: int, share: float = 0.3, among: tuple[str, ...] = KINDS) -> None:
        good = self.emulator.line_faults
        bad = RandomLineFaults(np.random.default_rng(seed), share=share, among=among, kinds=self.kinds)
        loop = asyncio.get_running_loop()
        for _ in range(cases):
            self.emulator.line_faults = bad
            began_s = loop.time()
            try:
                await self.act()
                self.succeeded += 1
            except CryoctlError as error:
                text = str(error)
                assert "\n" not in text
                assert len(text) <= 300
            self.slowest_s = max(self.slowest_s, loop.time() - began_s)
            self.emulator.line_faults = good
            await self.device.connect()
            await self.act()
        assert self.slowest_s <= self.patience_s
