"""A real instrument file as one to rehearse: its own drivers, each at the wire of an emulated instrument."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryoctl import registry
from cryoctl.errors import InstrumentError
from cryoctl.instrument import DeviceEntry, EmulatorEntry, Instrument
from cryoctl.interfaces.device_settings import Settings
from cryoctl.units import quoted


def on_emulators(instrument: Instrument) -> Instrument:
    """The same devices, drivers and settings, but each wire ends at an emulator, and time is virtual.

    What a driver's settings and its emulated instrument call the same is taken over. Devices that are simulated stay as
    they are, and those that have an emulator already keep it, but nothing of the laboratory.

    Raises:
        InstrumentError: a device whose driver has no emulator, or one that is another PC's.
    """
    own = instrument.file.devices
    if instrument.file.clock == "virtual":  # a simulator that somebody else has written is rehearsed as it is
        own = {name: entry for name, entry in own.items() if entry.emulator is not None or leads_elsewhere(entry)}
    devices = {**instrument.file.devices, **{name: _on_emulator(name, entry) for name, entry in own.items()}}
    file = instrument.file.model_copy(update={"devices": devices, "clock": "virtual"})
    return replace(instrument, file=file)


def leads_elsewhere(entry: DeviceEntry) -> str:
    """The first setting that leads out of this program; empty where none does, or an emulator answers it."""
    if entry.emulator is not None or entry.driver.startswith("simulated-"):
        return ""
    if entry.driver.startswith("remote-"):
        return "node"
    found = (key for key, value in entry.settings.items() if key in _outward(entry) and value)
    return next((key for key in found if not str(entry.settings[key]).startswith("transcript:")), "")


def check_clock(instrument: Instrument) -> None:
    """
    Raises:
        InstrumentError: a real device, and time that jumps: nothing that takes time on it would be right.
    """
    if instrument.file.clock != "virtual":
        return
    for name, entry in instrument.file.devices.items():
        field = leads_elsewhere(entry)
        if field:
            raise InstrumentError(
                f"clock: found virtual, and devices.{name}.settings.{field} leads to a real device, which is allowed "
                "with clock: real only; change it, or give the device an emulator"
            )


def _outward(entry: DeviceEntry) -> frozenset[str]:
    """Settings of its driver that name something of the laboratory."""
    driver: Any = registry.find("cryoctl.devices", entry.driver)
    model: Any = getattr(driver, "settings_model", Settings)
    return getattr(model, "leads_elsewhere", Settings.leads_elsewhere)


def _on_emulator(name: str, entry: DeviceEntry) -> DeviceEntry:
    if entry.driver.startswith("simulated-"):
        return entry
    own = {key: value for key, value in entry.settings.items() if key not in _outward(entry)}
    if entry.emulator is not None:
        return entry.model_copy(update={"settings": own})
    if entry.driver.startswith("remote-"):
        raise InstrumentError(
            f"devices.{name}: a node has it, and a node's devices can't be rehearsed; rehearse on that PC's own "
            "instrument file (--instrument FILE)"
        )
    driver: Any = registry.find("cryoctl.devices", entry.driver)
    model = getattr(driver, "emulated_by", None) or entry.driver
    if model not in registry.names("cryoctl.emulators"):
        raise InstrumentError(
            f"devices.{name}: the driver {quoted(entry.driver)} has no emulator to rehearse it on; give the file with "
            "a simulated device in its place (--instrument)"
        )
    emulator: Any = registry.find("cryoctl.emulators", model)
    told = EmulatorEntry(model=model, settings=dict(emulator.settings_for(entry.settings)))
    try:
        emulator.check(told.settings)
    except InstrumentError as problem:
        raise InstrumentError(f"devices.{name}: can't be rehearsed on its emulator: {problem}") from problem
    return entry.model_copy(update={"emulator": told, "settings": own})
