"""`identify`: who answers behind an instrument file or a node."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryoctl.clock.virtual import run_virtual
from cryoctl.engine.patience import within
from cryoctl.instrument import load_instrument, parse_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Device, Identity
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.connecting import attach_emulators, close_all
from cryoctl.launch.device_building import build_devices
from cryoctl.launch.person import person
from cryoctl.launch.safe import lock_of
from cryoctl.node.address import check_address, is_address
from cryoctl.node.asking import ask_node

ANSWER_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """`who`: maker, model, serial number and firmware; `problem`: why it did not answer, empty where it did."""

    name: str
    kind: str
    who: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """`lease`: who controls the node now, empty where nobody does."""

    instrument: str
    devices: tuple[Answered, ...]
    node: str = ""
    lease: str = ""


def identify(source: Path | str) -> Identified:
    """
    Raises:
        BadInput: no such instrument, or no node at the address; `InstrumentInUse` where a run has it.
    """
    if is_address(source):
        return _of_node(check_address(str(source)))
    instrument = load_instrument(source)
    devices = build_devices(instrument, DeviceContext(seed=0, hidden_draws=False), (), "identify")
    kinds = {name: entry.kind for name, entry in instrument.file.devices.items()}
    with ExitStack() as held:
        if (lock := lock_of(instrument, None)) is not None:
            held.enter_context(lock)
        asked = _all(devices, kinds)
        found = run_virtual(asked) if instrument.file.clock == "virtual" else asyncio.run(asked)
    return Identified(instrument=instrument.file.name, devices=found)


def _of_node(address: str) -> Identified:
    told = ask_node(address, "node.instrument", person())
    state = ask_node(address, "node.state", person())
    kinds = {name: entry.kind for name, entry in parse_instrument(str(told["text"]), address).file.devices.items()}
    who = cast("dict[str, dict[str, str]]", told["identities"])
    lease = cast("dict[str, str]", state.get("lease") or {})
    return Identified(
        instrument=str(told["name"]),
        devices=tuple(
            Answered(
                name=name, kind=kind, who=_words(who.get(name, {})), problem="" if name in who else "not connected"
            )
            for name, kind in kinds.items()
        ),
        node=address,
        lease=f"{lease['name']} ({lease['where']})" if lease else "",
    )


async def _all(devices: DeviceSet, kinds: dict[str, Any]) -> tuple[Answered, ...]:
    attach_emulators(devices)
    try:
        return tuple(await asyncio.gather(*(_one(device, str(kinds[device.name])) for device in devices)))
    finally:
        await close_all(devices)


async def _one(device: Device, kind: str) -> Answered:
    async def connect() -> Identity:
        return await device.connect()

    try:
        found = await within(connect(), ANSWER_S)
    except Exception as error:
        problem = " ".join(str(error).split()) or type(error).__name__
        return Answered(name=device.name, kind=kind, who="", problem=problem)
    one = {"maker": found.maker, "model": found.model, "serial": found.serial, "firmware": found.firmware}
    return Answered(name=device.name, kind=kind, who=_words(one))


def _words(one: dict[str, str]) -> str:
    return " ".join(one[part] for part in ("maker", "model", "serial", "firmware") if one.get(part))
