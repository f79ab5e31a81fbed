"""What is installed, by entry points: devices, protocols, recipes, instruments, exporters. The door for third parties.

An entry point of `cryoctl.recipes` or `cryoctl.instruments` names a `package.module:ATTRIBUTE` that is a Path or a
Traversable of a YAML file. One that can't be loaded is refused with the package that offers it, when it is asked for,
and never hinders the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Literal

from cryoctl.errors import BadInput, FileProblem, InstrumentError, RecipeError
from cryoctl.recipe.wording import nearest, sentence
from cryoctl.units import quoted

Group = Literal[
    "cryoctl.devices",
    "cryoctl.emulators",
    "cryoctl.protocols",
    "cryoctl.recipes",
    "cryoctl.instruments",
    "cryoctl.recordings",
    "cryoctl.exporters",
    "cryoctl.campaign_recipes",
]

_ONE: Mapping[str, tuple[str, type[BadInput]]] = {
    "cryoctl.devices": ("device driver", InstrumentError),
    "cryoctl.emulators": ("emulator of an instrument", InstrumentError),
    "cryoctl.protocols": ("protocol", RecipeError),
    "cryoctl.recipes": ("bundled recipe", RecipeError),
    "cryoctl.instruments": ("bundled instrument", InstrumentError),
    "cryoctl.recordings": ("layout of recorded data", FileProblem),
    "cryoctl.exporters": ("export format", BadInput),
    "cryoctl.campaign_recipes": ("protocol with small recipes for campaigns", BadInput),
}


@cache
def _table(group: Group) -> Mapping[str, tuple[EntryPoint, ...]]:
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        same = found.setdefault(point.name, [])
        if all(other.value != point.value for other in same):
            same.append(point)
    return {name: tuple(found[name]) for name in sorted(found)}


@cache
def _loaded(group: Group, name: str) -> Any:
    what, kind = _ONE[group]
    points = list(_table(group).get(name, ()))
    if not points:
        raise sentence(f"{quoted(name)} is not a {what}: {nearest(name, _table(group))}", kind)
    if len(points) > 1:
        makers = " and ".join(_offered_by(point) for point in points[:3])
        raise sentence(f"the {what} {quoted(name)} is offered by {makers}: uninstall one of them", kind)
    point = points[0]
    try:
        return point.load()
    except Exception as problem:
        reason = quoted(f"{type(problem).__name__}: {problem}", 120)[1:-1]
        text = f"the {what} {quoted(name)} of {_offered_by(point)} can't be loaded ({reason}): reinstall or remove it"
        raise sentence(text, kind) from problem


def _offered_by(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist is not None else f"{quoted(point.value)}"


def names(group: Group) -> tuple[str, ...]:
    """What is installed under a group, sorted; nothing is imported."""
    return tuple(_table(group))


def find(group: Group, name: str) -> Any:
    """The object behind a name, imported once; one sentence (the nearest name, or who is broken) where it can't be."""
    return _loaded(group, name)


def broken(group: Group) -> dict[str, str]:
    """Names of the group that can't be loaded, each with its sentence."""
    sentences: dict[str, str] = {}
    for name in names(group):
        try:
            _loaded(group, name)
        except BadInput as problem:
            sentences[name] = problem.message
    return sentences


def refresh() -> None:
    """Forget what was found, after something was installed in this process."""
    _table.cache_clear()
    _loaded.cache_clear()
