"""`recipes`, `instruments`, `protocols`, `graph`, `schema`: what is installed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say
from cryoctl.errors import BadInput

if TYPE_CHECKING:
    from cryoctl.protocol import Protocol

app = typer.Typer(rich_markup_mode=None)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Protocol, or a bundled recipe.")]


@app.command("recipes")
def recipes(
    action: Annotated[str, typer.Argument(metavar="[copy]", help="copy: write NAME.yaml here.")] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which recipe to copy.")] = "",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Bundled recipes; `cryoctl recipes copy NAME` writes NAME.yaml and its schema here, never over a file."""
    if action not in ("", "copy"):
        raise BadInput(f"recipes: found {action[:40]!r}, allowed is copy NAME, or nothing for the list")
    if action == "copy":
        _copy(name, json, quiet)
        return
    found = _bundled_recipes()
    if json:
        put_json({"exit_code": 0, "recipes": found})
        return
    for one in found:
        put(f"{one['name']:<20} {one['protocol'] or '?':<20} {one['summary'] or ''}".rstrip())


def _bundled_recipes() -> list[dict[str, Any]]:
    from cryoctl import registry
    from cryoctl.recipe.loading import load_recipe

    found: list[dict[str, Any]] = []
    for name in registry.names("cryoctl.recipes"):
        try:
            protocol = load_recipe(name).protocol
            summary = registry.find("cryoctl.protocols", protocol).summary
        except BadInput as problem:
            protocol, summary = None, problem.message
        found.append({"name": name, "protocol": protocol, "summary": summary})
    return found


def _copy(name: str, json: bool, quiet: bool) -> None:
    from cryoctl import registry
    from cryoctl.recipe.loading import load_recipe
    from cryoctl.recipe.schema import copy_recipe

    if not name:
        known = ", ".join(registry.names("cryoctl.recipes"))
        raise BadInput(f"recipes copy: which one is missing; there are {known}")
    schema = schema_of(find_protocol(load_recipe(as_bundled(name)).protocol))
    target = copy_recipe(name, Path(), schema)
    if json:
        put_json({"exit_code": 0, "recipe": target, "schema": target.with_suffix(".schema.json")})
        return
    if not quiet:
        say(f"edit {target}, then: cryoctl rehearse {target}")
    put(str(target))


def as_bundled(name: str) -> str:
    """`name`, if it is a bundled recipe. Raises RecipeError with the nearest name."""
    from cryoctl import registry

    registry.find("cryoctl.recipes", name)
    return name


@app.command("instruments")
def instruments(
    action: Annotated[str, typer.Argument(metavar="[copy]", help="copy: write NAME.yaml here.")] = "",
    name: Annotated[str, typer.Argument(metavar="[NAME]", help="Which instrument file to copy.")] = "",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Bundled instrument files; `cryoctl instruments copy NAME` writes NAME.yaml and its schema here."""
    from cryoctl import registry
    from cryoctl.recipe.schema import copy_instrument

    if action not in ("", "copy"):
        raise BadInput(f"instruments: found {action[:40]!r}, allowed is copy NAME, or nothing for the list")
    known = registry.names("cryoctl.instruments")
    if action == "":
        if json:
            put_json({"exit_code": 0, "instruments": list(known)})
        for one in () if json else known:
            put(one)
        return
    if not name:
        raise BadInput(f"instruments copy: which one is missing; there are {', '.join(known)}")
    target = copy_instrument(name, Path(), instrument_schema())
    if json:
        put_json({"exit_code": 0, "instrument": target})
        return
    if not quiet:
        say(f"edit {target}, then: cryoctl devices --instrument {target}")
    put(str(target))


def instrument_schema() -> dict[str, Any]:
    """Schema of an instrument file."""
    from cryoctl.instrument import InstrumentFile
    from cryoctl.recipe.schema import schema_for

    return {**schema_for(InstrumentFile), "title": "Instrument file"}


@app.command("protocols")
def protocols(json: options.Json = False, quiet: options.Quiet = False) -> None:
    """Installed protocols: name, what they need, what they do."""
    from cryoctl import registry

    found: list[dict[str, Any]] = []
    for name in registry.names("cryoctl.protocols"):
        try:
            protocol: type[Protocol] = registry.find("cryoctl.protocols", name)
            found.append({"name": name, "requires": list(protocol.requires), "summary": protocol.summary})
        except BadInput as problem:
            found.append({"name": name, "requires": [], "summary": problem.message})
    if json:
        put_json({"exit_code": 0, "protocols": found})
        return
    for one in found:
        put(f"{one['name']:<20} {one['summary']}")
        if one["requires"] and not quiet:
            put(f"{'':<20} needs {', '.join(kind.replace('_', ' ') for kind in one['requires'])}")


@app.command("graph")
def graph(name: Name, json: options.Json = False, quiet: options.Quiet = False) -> None:
    """States and transitions of a protocol as a Mermaid state diagram."""
    from cryoctl.launch.chart_graph import mermaid

    chart = find_protocol(name).chart
    if not json:
        put(mermaid(chart))
        return
    ways = [
        {"trigger": way.trigger, "source": way.source, "dest": way.dest, "guard": way.guard or None}
        for way in chart.transitions
    ]
    put_json(
        {
            "exit_code": 0,
            "initial": chart.initial,
            "states": list(chart.states),
            "finals": chart.finals,
            "labels": chart.labels,
            "transitions": ways,
            "mermaid": mermaid(chart),
        }
    )


@app.command("schema")
def schema(name: Name, json: options.Json = False, quiet: options.Quiet = False) -> None:
    """JSON Schema for editors: of a protocol's recipes, or of instrument files (NAME `instrument`)."""
    found = instrument_schema() if name == "instrument" else schema_of(find_protocol(name))
    if json:
        put_json(found)
    else:
        import json as codec

        put(codec.dumps(found, indent=2))


def schema_of(protocol: type[Protocol]) -> dict[str, Any]:
    """Schema of a whole recipe file."""
    from cryoctl.recipe.schema import schema_for

    return schema_for(protocol.Parameters, protocol.name)


def find_protocol(name: str) -> type[Protocol]:
    """A protocol by its name or by that of a bundled recipe."""
    from cryoctl import registry

    if name not in registry.names("cryoctl.protocols") and name in registry.names("cryoctl.recipes"):
        from cryoctl.recipe.loading import load_recipe

        name = load_recipe(name).protocol
    found: type[Protocol] = registry.find("cryoctl.protocols", name)
    return found
