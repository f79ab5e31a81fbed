"""Instrument files: read, overridden, held against the installed drivers and against what a protocol needs."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from cryoctl import registry
from cryoctl.errors import BadInput, InstrumentError
from cryoctl.instrument.model import DeviceEntry, InstrumentFile
from cryoctl.node.address import is_address
from cryoctl.recipe.canonical import to_yaml
from cryoctl.recipe.loading import check_version, place_of
from cryoctl.recipe.overrides import Override, apply_override
from cryoctl.recipe.source import Source, read_source
from cryoctl.recipe.strict_yaml import Plain, decode, read_document
from cryoctl.recipe.validation import validate_data
from cryoctl.recipe.wording import Path, nearest, sentence
from cryoctl.units import quoted

_NAMED = ("devices", "optics", "areas", "calibrations")
"""Sections whose keys are names that the file gives."""


@dataclass(frozen=True)
class Instrument:
    """A checked instrument file. `text` is the file, `data` what it holds with the overrides in it."""

    file: InstrumentFile
    data: dict[str, Plain]
    text: str
    origin: str

    def yaml(self) -> str:
        """Canonical YAML, overrides included, for the run file."""
        return to_yaml(self.data)

    def devices_of(self, kind: str) -> dict[str, DeviceEntry]:
        return {name: entry for name, entry in self.file.devices.items() if entry.kind == kind}

    def require_kinds(self, requires: Iterable[str], protocol: str) -> None:
        """InstrumentError where a kind of device that the protocol needs is not there."""
        missing = sorted(set(requires) - set(self.file.kinds))
        if missing:
            text = f"{self.origin}: the protocol {quoted(protocol)} needs {', '.join(missing)}"
            have = ", ".join(self.file.kinds)
            raise sentence(f"{text}; the instrument has {have}: add it under devices", InstrumentError)


def load_instrument(source: Source, overrides: Iterable[Override] = (), check_drivers: bool = True) -> Instrument:
    """By path, bundled name or a node's address; raises InstrumentError or FileProblem, `NodeNotReached` where no node
    answers. `overrides` have no `instrument.` prefix."""
    if is_address(source):
        from cryoctl.node.remote_factory import remote_instrument  # late: a socket is needed by few

        return parse_instrument(remote_instrument(str(source)), str(source), overrides, check_drivers)
    data, origin = read_source(source, "cryoctl.instruments")
    return parse_instrument(data, origin, overrides, check_drivers)


def parse_instrument(
    source: str | bytes, origin: str = "instrument", overrides: Iterable[Override] = (), check_drivers: bool = True
) -> Instrument:
    """The same from text; raises InstrumentError only."""
    text = decode(source, origin, InstrumentError)
    document = read_document(text, origin, InstrumentError)
    assert isinstance(document.data, dict)
    data = copy.deepcopy(document.data)
    check_version(data, document, InstrumentError)
    set_paths: set[Path] = set()
    for override in overrides:
        _check_named(data, override)
        set_paths.add(apply_override(data, override, InstrumentError))

    def place(path: Path) -> str:
        return place_of(path, document, set_paths)

    file = validate_data(InstrumentFile, data, place, InstrumentError)
    if check_drivers:
        for name, entry in file.devices.items():
            _check_driver(name, entry, place)
    return Instrument(file, data, text, origin)


def _check_named(data: Mapping[str, Plain], override: Override) -> None:
    """A `--set` of a field inside a device, preset, area or calibration that the file does not have is a slip of the
    pen; a new one is set as a whole."""
    section, *inner = override.path
    named = data.get(str(section)) if section in _NAMED else None
    if isinstance(named, dict) and len(inner) > 1 and str(inner[0]) not in named:
        name = str(inner[0])
        text = f"--set {quoted(override.text)}: {section} has no {quoted(name)}: {nearest(name, named)}"
        raise sentence(text, InstrumentError)


def _check_driver(name: str, entry: DeviceEntry, place_of_value: Callable[[Path], str]) -> None:
    place = place_of_value(("devices", name))
    known = registry.names("cryoctl.devices")
    if entry.driver not in known:
        text = f"devices.{name} ({place}): the driver {quoted(entry.driver)} is not installed"
        raise sentence(f"{text}: {nearest(entry.driver, known)}", InstrumentError)
    factory: Any = registry.find("cryoctl.devices", entry.driver)
    kind = getattr(factory, "kind", None)
    if kind != entry.kind:
        text = f"devices.{name} ({place}): kind is {entry.kind}, its driver {quoted(entry.driver)} drives a {kind}"
        raise sentence(f"{text}: change one of them", InstrumentError)
    model: type[BaseModel] | None = getattr(factory, "settings_model", None)
    if model is not None:
        validate_data(model, entry.settings, place_of_value, InstrumentError, prefix=("devices", name, "settings"))
    try:
        factory.check(entry.settings)
    except BadInput as problem:
        raise sentence(f"devices.{name} ({place}): {problem}", InstrumentError) from None
    if entry.emulator is not None:
        _check_emulator(name, entry, place_of_value)


def _check_emulator(name: str, entry: DeviceEntry, place_of_value: Callable[[Path], str]) -> None:
    assert entry.emulator is not None
    path: Path = ("devices", name, "emulator")
    place, model = place_of_value(path), entry.emulator.model
    known = registry.names("cryoctl.emulators")
    if model not in known:
        text = f"devices.{name}.emulator ({place}): {quoted(model)} is no emulated instrument"
        raise sentence(f"{text}: {nearest(model, known)}", InstrumentError)
    factory: Any = registry.find("cryoctl.emulators", model)
    if factory.kind != entry.kind:
        text = f"devices.{name}.emulator ({place}): {quoted(model)} is a {factory.kind}, the device a {entry.kind}"
        raise sentence(f"{text}: change one of them", InstrumentError)
    settings = entry.emulator.settings
    validate_data(factory.settings_model, settings, place_of_value, InstrumentError, prefix=(*path, "settings"))
    factory.check(settings)
