"""A recipe file with its `--set` values, read but not yet held against a protocol's model."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field

from cryoctl.errors import BadInput, RecipeError
from cryoctl.recipe.overrides import Override, apply_override, parse_overrides
from cryoctl.recipe.source import Source, read_source
from cryoctl.recipe.strict_yaml import Document, Plain, decode, read_document
from cryoctl.recipe.wording import Path, nearest, sentence, shown
from cryoctl.units import quoted

SCHEMA_VERSION = 1
RESERVED = ("schema_version", "protocol", "instrument", "simulation")
"""Keys at a recipe's top that are not the protocol's parameters."""


@dataclass(frozen=True)
class RawRecipe:
    """`parameters` belong to the protocol's model, `simulation` to the simulators', both plain data.

    `instrument` is a path or bundled name, None for the default; `instrument_overrides` are the `--set instrument.x`
    with the prefix removed, for `load_instrument`. `text` is the file as it was read.
    """

    protocol: str
    parameters: dict[str, Plain]
    simulation: dict[str, Plain] = field(default_factory=dict[str, Plain])
    instrument: str | None = None
    instrument_overrides: tuple[Override, ...] = ()
    text: str = ""
    origin: str = "recipe"
    document: Document | None = None
    set_paths: frozenset[Path] = frozenset()

    def place(self, path: Path) -> str:
        """`my.yaml:12`, `--set`, or both, of a value by its path from the recipe's top."""
        return place_of(path, self.document, self.set_paths) if self.document is not None else self.origin


def place_of(path: Path, document: Document, set_paths: AbstractSet[Path]) -> str:
    """Where a value comes from: `my.yaml:12`, `--set`, or the file with something inside it from a `--set`."""
    if any(path[:end] in set_paths for end in range(1, len(path) + 1)):
        return "--set"
    changed = any(one[: len(path)] == path for one in set_paths)
    if changed and path and path not in document.lines:
        return "--set"
    return f"{document.place(path)} with --set" if changed else document.place(path)


def load_recipe(source: Source, overrides: Iterable[str | Override] = ()) -> RawRecipe:
    """Read a recipe by its path or bundled name and apply `--set` values; raises RecipeError or FileProblem."""
    data, origin = read_source(source, "cryoctl.recipes")
    return parse_recipe(data, origin, overrides)


def parse_recipe(source: str | bytes, origin: str = "recipe", overrides: Iterable[str | Override] = ()) -> RawRecipe:
    """The same from text; raises RecipeError only."""
    text = decode(source, origin)
    document = read_document(text, origin)
    assert isinstance(document.data, dict)
    data = copy.deepcopy(document.data)
    check_version(data, document, RecipeError)
    set_paths: set[Path] = set()
    instrument_overrides: list[Override] = []
    for override in parse_overrides(overrides):
        head = override.path[0]
        if head == "instrument" and len(override.path) > 1:
            instrument_overrides.append(Override(override.path[1:], override.value, override.text))
        elif head in ("schema_version", "protocol"):
            raise sentence(
                f"--set {quoted(override.text)}: {head} belongs to the file: choose another recipe", RecipeError
            )
        else:
            set_paths.add(apply_override(data, override))
    protocol = data.get("protocol")
    if not isinstance(protocol, str) or not protocol:
        _no_protocol(data, document, protocol)
    simulation = data.get("simulation")
    if simulation is not None and not isinstance(simulation, dict):
        place = "--set" if ("simulation",) in set_paths else document.place(("simulation",))
        raise sentence(f"simulation ({place}): found {shown(simulation)}: a mapping is wanted", RecipeError)
    instrument = data.get("instrument")
    if instrument is not None and (not isinstance(instrument, str) or not instrument):
        text_ = (
            f"instrument ({document.place(('instrument',))}): found {shown(instrument)}: name an instrument or a file"
        )
        raise sentence(text_, RecipeError)
    return RawRecipe(
        protocol=str(protocol),
        parameters={key: value for key, value in data.items() if key not in RESERVED},
        simulation=simulation or {},
        instrument=instrument,
        instrument_overrides=tuple(instrument_overrides),
        text=text,
        origin=origin,
        document=document,
        set_paths=frozenset(set_paths),
    )


def _no_protocol(data: Mapping[str, Plain], document: Document, found: Plain) -> None:
    if "protocol" in data:
        place = document.place(("protocol",))
        text = f"protocol ({place}): found {shown(found)}: name one, like `protocol: edx-tomography`"
    else:
        near = nearest("protocol", [key for key in data if key not in RESERVED])
        twin = near.removeprefix("did you mean ") if near.startswith("did you mean") else ""
        hint = f"is {twin} meant for it" if twin else "add a line like `protocol: edx-tomography`"
        text = f"{document.origin}: protocol is missing: {hint}"
    raise sentence(text, RecipeError)


def check_version(data: Mapping[str, Plain], document: Document, kind: type[BadInput]) -> None:
    """Refuse a file without `schema_version: 1`, or of a newer cryoctl."""
    version = data.get("schema_version")
    origin, place = document.origin, document.place(("schema_version",))
    if "schema_version" not in data:
        raise sentence(f"{origin}: schema_version is missing: make `schema_version: {SCHEMA_VERSION}` line 1", kind)
    if isinstance(version, bool) or not isinstance(version, int) or version < 1:
        raise sentence(
            f"schema_version ({place}): found {shown(version)}: write `schema_version: {SCHEMA_VERSION}`", kind
        )
    if version > SCHEMA_VERSION:
        text = (
            f"schema_version ({place}): found {shown(version)}, newer than the {SCHEMA_VERSION} that this cryoctl reads"
        )
        raise sentence(f"{text}: update cryoctl", kind)
