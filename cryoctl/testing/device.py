"""What every device has to keep: nothing happens before `connect`, `close` twice, `make_safe` again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import CryoctlError, DeviceError
from cryoctl.interfaces.device import Device

D = TypeVar("D", bound=Device)
T = TypeVar("T")

M = TypeVar("M", bound=Callable[..., None])

LONGEST_MESSAGE = 300


def acts(what: str) -> Callable[[M], M]:
    """Says of a check what it does to a real device ("moves the stage ..."), so that a person can be asked before."""

    def said(check: M) -> M:
        check.acts = what  # type: ignore[attr-defined]
        return check

    return said


class DeviceContract(Generic[D]):
    """Inherit, and define `build`. Override `run` where a device needs real time."""

    def build(self) -> D:
        """A new device, not connected; called within a running loop."""
        raise NotImplementedError

    async def prepare(self, device: D) -> None:
        """Bring the device to where the checks of its kind begin, after `connect`."""

    def run(self, check: Coroutine[Any, Any, T]) -> T:
        return run_virtual(check)

    def checked(self, check: Callable[[D], Awaitable[T]]) -> T:
        """Run a check on a connected device and close it afterwards."""

        async def whole() -> T:
            device = self.build()
            await device.connect()
            try:
                await self.prepare(device)
                return await check(device)
            finally:
                await device.close()

        return self.run(whole())

    def test_identifies_itself_the_same_twice(self) -> None:
        async def check(device: D) -> None:
            first = await device.connect()
            assert first.maker
            assert first.model
            assert await device.connect() == first

        self.checked(check)

    def test_close_twice_and_before_connect(self) -> None:
        async def check() -> None:
            device = self.build()
            await device.close()
            await device.connect()
            await device.close()
            await device.close()

        self.run(check())

    @acts("brings the device to its safe state")
    def test_make_safe_is_idempotent(self) -> None:
        async def check(device: D) -> None:
            await device.make_safe()
            await device.make_safe()

        self.checked(check)

    def test_unconnected_device_is_no_safe_device(self) -> None:
        async def check() -> None:
            device = self.build()
            with pytest.raises(DeviceError):
                await device.make_safe()

        self.run(check())


async def refused(wanted: type[CryoctlError] | tuple[type[CryoctlError], ...], act: Awaitable[Any]) -> CryoctlError:
    """Assert that something is refused, with one sentence of at most 300 characters."""
    with pytest.raises(wanted) as caught:
        await act
    error = caught.value
    text = str(error)
    assert text.strip()
    assert "\n" not in text
    assert len(text) <= LONGEST_MESSAGE
    return error


async def begun(act: Coroutine[Any, Any, T], after_s: float) -> asyncio.Task[T]:
    """Start something and let it run for a while."""
    task = asyncio.create_task(act)
    await asyncio.sleep(after_s)
    return task
