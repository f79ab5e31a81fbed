"""What stands at the specimen beside the beam: a needle, and a source that is wired to it or to a cell of its own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cryoctl_simulators.settings import BiasSettings, NeedleSettings
from cryoctl_simulators.world.cell import Cell, IdealCell
from cryoctl_simulators.world.needle_astray import NeedleAstray
from cryoctl_simulators.world.needle_contact import NeedleContact
from cryoctl_simulators.world.overrides import part
from cryoctl_simulators.world.piezo_needle import HiddenNeedle, PiezoNeedle
from cryoctl_simulators.world.source import HiddenSource, Source
from cryoctl_simulators.world.specimen import Specimen

if TYPE_CHECKING:
    from cryoctl_simulators.world.world import World


def needle_of(world: World, specimen: Specimen) -> NeedleContact | None:
    """None where the instrument has no needle."""
    settings, header, record = world.settings.get("needle"), world.file.header, world.file.record
    if not isinstance(settings, NeedleSettings):
        return None
    hidden = HiddenNeedle.read(header["needle"])
    needle = PiezoNeedle(settings, hidden, record["needle"], int(header["seed"]))
    contact = NeedleContact(needle, specimen, record["contact"])
    contact.befall = NeedleAstray(contact, world.faults, _name_of(world, "needle"), int(header["seed"])).befall
    return contact


def source_of(world: World, contact: NeedleContact | None) -> Source:
    """Wired to the specimen where that is a cell, or to a contact where there is one: whoever looks at either brings
    the source to the same time first."""
    found = world.settings.get("bias")
    settings = found if isinstance(found, BiasSettings) else BiasSettings()
    header, record, arrays = world.file.header, world.file.record["bias"], world.file.arrays
    hidden = HiddenSource(**{**header["bias"], **_clock_errors(bias_clock(world))})

    def power(time_s: float) -> None:
        world.source.advance(time_s)

    cell: Cell = world.sample.wired(power) or contact or _ideal(settings, record)
    seed = int(header["seed"])
    source = Source(settings, hidden, record, arrays["bias_buffer"], arrays["bias_log"], seed, cell)
    source.shorted_ohm = lambda: _shorted_ohm(world)
    if contact is not None:
        contact.power = source.advance
    return source


def bias_clock(world: World) -> dict[str, Any]:
    """What the recipe says of the source's clock."""
    return part(world.given, f"clocks.{_name_of(world, 'bias')}")


def _ideal(settings: BiasSettings, record: dict[str, Any]) -> IdealCell:
    farads = settings.cell_capacitance_f or math.inf
    return IdealCell(settings.cell_voltage_v, settings.cell_resistance_ohm, farads, record)


def _shorted_ohm(world: World) -> float | None:
    found = world.faults.find(_name_of(world, "bias"), "short")
    return None if found is None else found["ohm"]


def _name_of(world: World, kind: str) -> str:
    return next((name for name, device in world.devices.items() if device.kind == kind), kind)


def _clock_errors(given: Mapping[str, Any]) -> dict[str, float]:
    """As the recipe of this run has them, also in a world that is older."""
    return {f"clock_{name}": float(value) for name, value in given.items()}
