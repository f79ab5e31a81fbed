"""Drivers against emulated instruments in one process: the emulator on the loop, the driver in a thread beside it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar

import numpy as np
import pytest

from cryoctl import registry
from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import CryoctlError
from cryoctl.interfaces.bias import BiasLimits
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
    driver: str,
    model: str,
    settings: Mapping[str, Any] | None = None,
    emulated: Mapping[str, Any] | None = None,
    context: DeviceContext | None = None,
) -> tuple[Any, Any]:
    """A driver, not connected, and the emulator that it will find; called in the running loop."""
    context = context or DeviceContext(seed=11)
    emulator = registry.find("cryoctl.emulators", model)("device", emulated or {}, context)
    told = emulator.open()
    emulator.attach()
    return registry.find("cryoctl.devices", driver)("device", {**(settings or {}), **told}, context), emulator


def on_a_wire(
    driver: str,
    model: str,
    settings: Mapping[str, Any],
    emulated: Mapping[str, Any],
    check: Callable[[Any, Any], Awaitable[None]],
) -> None:
    """Check a connected driver and its emulator in virtual time."""

    async def whole() -> None:
        device, emulator = plugged_in(driver, model, settings, emulated)
        await device.connect()
        try:
            await check(device, emulator)
        finally:
            await device.close()
            emulator.close()

    run_virtual(whole())


def with_source(
    model: str,
    limits: BiasLimits,
    check: Callable[[Any, Any], Awaitable[None]],
    settings: Mapping[str, Any] | None = None,
    emulated: Mapping[str, Any] | None = None,
) -> None:
    """Check a source's driver, connected and with limits, and its emulator, in virtual time."""

    async def whole() -> None:
        source, emulator = plugged_in(model, model, settings, emulated)
        try:
            await source.connect()
            await source.set_limits(limits)
            await check(source, emulator)
        finally:
            await source.close()
            emulator.close()

    run_virtual(whole())


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

    async def play(
        self, cases: int, seed: int, share: float = 0.3, among: tuple[str, ...] = KINDS, late_s: float = 0.05
    ) -> None:
        good = self.emulator.line_faults
        bad = RandomLineFaults(np.random.default_rng(seed), share=share, late_s=late_s, among=among, kinds=self.kinds)
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


def holder_on_a_bad_line(
    driver: str, model: str, settings: Mapping[str, Any], emulated: Mapping[str, Any], cases: int
) -> BadLine:
    """A holder that stands still is read and set anew, again and again; its figures are printed."""

    async def play() -> BadLine:
        still = {"sensor_sigma_k": 0.0, "approach_s": 1e9}
        holder, emulator = plugged_in(driver, model, settings, {**emulated, **still})
        await holder.connect()
        draw = random.Random(3)

        async def act() -> None:
            reading = await holder.temperature()
            assert reading.valid
            assert reading.temperature_k == pytest.approx(95.0, abs=1e-6)
            wanted_k = round(draw.uniform(90.0, 300.0), 3)
            await holder.set_temperature(wanted_k)
            assert emulator.world.cold.record["set_k"] == wanted_k

        line = BadLine(holder, emulator, act, patience_s=6 * holder.link.longest_s)
        await line.play(cases, seed=cases)
        await holder.close()
        emulator.close()
        return line

    line = asyncio.run(play())
    print(f"{model}: {cases} cases, {line.succeeded} succeeded, slowest {line.slowest_s:.2f} s, {line.kinds}")
    return line
