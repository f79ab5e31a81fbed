"""Devices answer, or the run does not begin."""

from __future__ import annotations

import asyncio
import contextlib
from typing import cast

from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.patience import abandon
from cryoctl.errors import DeviceError, OperatorStop
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_set import DeviceSet


async def connect_all(devices: DeviceSet) -> dict[str, Identity]:
    """All at once; every failure is told in one sentence, once.

    Returns:
        Who answered, by the device's name.

    Raises:
        BadInput: a device can't be used as it was asked for.
        DeviceError: one does not answer.
    """
    attach_emulators(devices)
    every = list(devices)
    answers = await asyncio.gather(*(device.connect() for device in every), return_exceptions=True)
    failures = [answer for answer in answers if isinstance(answer, BaseException)]
    if not failures:
        return {device.name: cast(Identity, answer) for device, answer in zip(every, answers, strict=True)}
    await close_all(devices)
    for failure in failures:
        if not isinstance(failure, DeviceError):
            raise failure
    told = list(dict.fromkeys(str(failure) for failure in failures))
    raise failures[0] if len(told) == 1 else DeviceError("; ".join(told))


def attach_emulators(devices: DeviceSet) -> None:
    """Let what stands for instruments answer, on the running loop, before they are connected to."""
    for emulator in devices.emulators:
        emulator.attach()


async def connect_unless_aborted(devices: DeviceSet, operator: OperatorDesk) -> dict[str, Identity]:
    """As `connect_all`; an abort ends it at once.

    Raises:
        OperatorStop: nothing was moved or exposed.
    """
    connecting = asyncio.create_task(connect_all(devices))
    aborting = asyncio.create_task(operator.until_abort())
    try:
        await asyncio.wait((connecting, aborting), return_when=asyncio.FIRST_COMPLETED)
    finally:
        aborting.cancel()
    if operator.aborted:
        abandon(connecting)
        await close_all(devices)
        raise OperatorStop(
            f"ended by the operator ({operator.abort_source}) while the devices were connecting; nothing was moved"
        )
    return await connecting


async def close_all(devices: DeviceSet) -> None:
    """One that can't be closed keeps none of the others open."""
    for device in devices:
        with contextlib.suppress(Exception):
            await device.close()
    for emulator in devices.emulators:
        emulator.close()
