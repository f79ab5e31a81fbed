"""A real instrument file as one to rehearse: its own drivers, each at the wire of an emulated instrument."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from cryoctl import registry
from cryoctl.errors import InstrumentError
from cryoctl.instrument import DeviceEntry, EmulatorEntry, Instrument
from cryoctl.units import quoted

_LEADS_ELSEWHERE = frozenset(
    {"blanker_port", "cut_off", "folder", "host", "password_variable", "port", "state_file", "transcript", "udp_port"}
)
"""Settings of drivers that name something of the laboratory: in a rehearsal nothing of it is touched."""


def on_emulators(instrument: Instrument) -> Instrument:
    """The same devices, drivers and settings, but each wire ends at an emulator, and time is virtual.

    What a driver's settings and its emulated instrument call the same is taken over. Devices that have an emulator
    already, or are simulated, stay as they are.

    Raises:
        InstrumentError: a device whose driver has no emulator, or one that is another PC's.
    """
    devices = {name: _on_emulator(name, entry) for name, entry in instrument.file.devices.items()}
    file = instrument.file.model_copy(update={"devices": devices, "clock": "virtual"})
    return replace(instrument, file=file)


def _on_emulator(name: str, entry: DeviceEntry) -> DeviceEntry:
    driver: Any = registry.find("cryoctl.devices", entry.driver)
    if entry.emulator is not None or entry.driver.startswith("simulated-"):
        return entry
    if entry.driver.startswith("remote-"):
        raise InstrumentError(
            f"devices.{name}: a node has it, and a node's devices can't be rehearsed; rehearse on that PC's own "
            "instrument file (--instrument FILE)"
        )
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
    own = {key: value for key, value in entry.settings.items() if key not in _LEADS_ELSEWHERE}
    return entry.model_copy(update={"emulator": told, "settings": own})
