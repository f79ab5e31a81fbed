"""What is installed and what an instrument file describes: drivers, devices with their limits, faults."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast

from cryoctl import registry
from cryoctl.errors import BadInput
from cryoctl.instrument import load_instrument
from cryoctl.interfaces.context import DeviceContext, DeviceFactory

_TOLD = ("limits", "capabilities", "speed_m_per_s", "tilt_speed_deg_per_s", "settling")


def instrument_inventory(source: Path | str) -> dict[str, Any]:
    """Devices of an instrument file with kind, driver and limits; nothing is connected.

    Raises:
        InstrumentError, FileProblem: the file is wrong, or a driver is missing.
    """
    instrument = load_instrument(source).file
    context = DeviceContext(seed=0, hidden_draws=False)
    devices: list[dict[str, Any]] = []
    for name, entry in instrument.devices.items():
        factory = cast(DeviceFactory, registry.find("cryoctl.devices", entry.driver))
        factory.check(entry.settings)
        device = factory(name, entry.settings, context)
        devices.append({"name": name, "kind": entry.kind, "driver": entry.driver, "limits": _limits(device)})
    return {"instrument": instrument.name, "clock": instrument.clock, "devices": devices}


def _limits(device: Any) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name in _TOLD:
        value = getattr(device, name, None)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            told |= dataclasses.asdict(value)
        elif value is not None:
            told[name] = value
    return told


def drivers() -> list[dict[str, Any]]:
    """Installed device drivers; one that can't be loaded carries its sentence as `problem`."""
    return _installed("cryoctl.devices", "driver")


def _installed(group: registry.Group, called: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for name in registry.names(group):
        try:
            factory = registry.find(group, name)
        except BadInput as problem:
            found.append({called: name, "kind": None, "problem": problem.message})
            continue
        found.append({called: name, "kind": getattr(factory, "kind", None), "problem": None})
    return found


def emulators() -> list[dict[str, Any]]:
    """Instruments that can be emulated at their wire; one that can't be loaded carries its sentence as `problem`."""
    return _installed("cryoctl.emulators", "model")


def faults() -> list[dict[str, Any]]:
    """Faults that `--faults` knows: device kind, name, what happens, parameters with their defaults.

    Each entry point of the group `cryoctl.faults` names a sequence of data classes with these fields.
    """
    found: list[dict[str, Any]] = []
    for point in sorted(entry_points(group="cryoctl.faults"), key=lambda point: point.name):
        kinds = cast("Iterable[Any]", point.load())
        for kind in kinds:
            entry: Mapping[str, Any] = dataclasses.asdict(kind)
            found.append({key: entry[key] for key in ("device", "fault", "happens", "parameters")})
    return found
