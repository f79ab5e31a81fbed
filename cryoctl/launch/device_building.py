"""The devices of an instrument file, and what answers at the wire of those that are emulated."""

from __future__ import annotations

from typing import Any, cast

from cryoctl.instrument import Instrument
from cryoctl.interfaces.context import DeviceContext, DeviceFactory
from cryoctl.interfaces.device import Device
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.emulator import Emulator
from cryoctl.launch.person import person
from cryoctl.registry import find


def build_devices(
    instrument: Instrument, context: DeviceContext, requires: tuple[str, ...], protocol: str
) -> DeviceSet:
    """One device an entry of the instrument file; `InstrumentError` where a kind that the protocol needs is missing."""
    instrument.require_kinds(("stage", "beam", *requires), protocol)
    context.shared.setdefault("person", person())
    by_kind: dict[str, dict[str, Device]] = {}
    emulators: list[Emulator] = []
    for name, entry in instrument.file.devices.items():
        factory = cast(DeviceFactory, find("cryoctl.devices", entry.driver))
        settings = entry.settings
        if entry.emulator is not None:
            emulator = find("cryoctl.emulators", entry.emulator.model)(name, entry.emulator.settings, context)
            emulators.append(emulator)
            settings = {**settings, **emulator.open()}
        by_kind.setdefault(entry.kind, {})[name] = factory(name, settings, context)

    def only(kind: str) -> Any:
        return next(iter(by_kind.get(kind, {}).values()), None)

    world = context.shared.get("world")
    return DeviceSet(
        stage=only("stage"),
        beam=only("beam"),
        image_detectors=cast(Any, by_kind.get("image_detector", {})),
        edx=only("edx"),
        holder=only("holder"),
        bias=only("bias"),
        needle=only("needle"),
        light=only("light"),
        vacuum=only("vacuum"),
        emulators=tuple(emulators),
        truth=world,
        durable="process" if instrument.file.clock == "virtual" else "power",
    )
