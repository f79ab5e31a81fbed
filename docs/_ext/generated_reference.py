"""Reference tables made from the code while Sphinx reads a page, so that no default is ever copied by hand.

A line `<!-- generated: KIND ARGUMENT -->` of a page is replaced by Markdown. KINDS says which there are; the tests use
`markdown` as well.
"""

from __future__ import annotations

import importlib
import inspect
import re
import types
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

_MARK = re.compile(r"^<!-- generated: (?P<kind>[a-z-]+)(?: (?P<argument>\S+))? -->$", re.MULTILINE)
_COMPOUND = {"_m_per_s_per_deg": "m/s/deg", "_deg_per_s": "deg/s"}
"""Units of settings that are no quantity of recipes."""
_LIMITS = {"gt": "above {}", "ge": "{} or more", "lt": "below {}", "le": "up to {}"}


def expand(text: str) -> str:
    """The page with every mark replaced."""
    return _MARK.sub(lambda mark: markdown(mark["kind"], mark["argument"] or ""), text)


def markdown(kind: str, argument: str = "") -> str:
    """What stands in the place of one mark. Raises KeyError for a kind that there is not."""
    return "\n".join(KINDS[kind](argument))


def setup(app: Any) -> dict[str, bool]:
    def replace(_app: Any, _name: str, source: list[str]) -> None:
        source[0] = expand(source[0])

    app.connect("source-read", replace)
    return {"parallel_read_safe": True}


def _load(place: str) -> Any:
    module, _, name = place.partition(":")
    found = importlib.import_module(module)
    return getattr(found, name) if name else found


def table(head: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> list[str]:
    """A Markdown table between empty lines."""
    lines = ["", "| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]
    return [*lines, ""]


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# Recipes


def model_fields(place: str) -> list[str]:
    """A section for each group of fields of a pydantic model, its own plain fields first."""
    model: type[BaseModel] = _load(place)
    plain = {name: field for name, field in model.model_fields.items() if not _models(field.annotation)}
    lines = _fields_table("", plain.items()) if plain else []
    for name, field in model.model_fields.items():
        models = _models(field.annotation)
        if not models:
            continue
        lines += [f"({model.__name__.lower()}-{name})=", f"## `{name}`", ""]
        listed = get_origin(_bare(field.annotation)) is tuple
        if field.description:
            lines += [_sentence(field.description), ""]
        if listed:
            lines += [f"A list; default: {shown(field.default)}.", ""]
        for one in models:
            if len(models) > 1:
                default = one.model_fields["scheme"].default
                lines += [f"### `scheme: {default}`", ""]
            if one.__doc__ and not one.__doc__.startswith("!!!"):
                lines += [_sentence(inspect.cleandoc(one.__doc__)), ""]
            default_of = field.default if isinstance(field.default, one) else None
            lines += _fields_table(f"{name}[n]." if listed else f"{name}.", one.model_fields.items(), default_of)
    return lines


def _fields_table(prefix: str, fields: Any, defaults: Any = None) -> list[str]:
    rows: list[tuple[str, ...]] = []
    for name, field in fields:
        if name == "scheme":  # the heading says it
            continue
        default = getattr(defaults, name) if defaults is not None else field.get_default(call_default_factory=True)
        unit = _unit(name)
        meaning = _sentence(field.description or "")
        rows.append((f"`{prefix}{name}`", shown(default, unit), allowed(field), meaning))
    return table(("field", "default", "allowed", "meaning"), rows)


def _unit(name: str) -> str:
    from cryoctl.units import dimension_of

    for ending, unit in _COMPOUND.items():
        if name.endswith(ending):
            return unit
    dimension = dimension_of(name)
    return dimension.unit if dimension is not None else ""


def shown(value: Any, unit: str = "") -> str:
    """A default as a recipe may write it."""
    if value is PydanticUndefined:
        return "has to be given"
    if value is None:
        return "`null`"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float):
        return f"`{value:g}`" + (f" {unit}" if unit else "")
    if isinstance(value, BaseModel):
        return f"`{{{', '.join(f'{k}: {shown(v)}' for k, v in value).replace('`', '')}}}`"
    if isinstance(value, tuple | list):
        return f"`[{', '.join(shown(v).strip('`') for v in value)}]`"
    if value == "":
        return "empty"
    return f"`{value}`"


def allowed(field: FieldInfo) -> str:
    """Limits and choices in words."""
    return ", ".join(dict.fromkeys(_allowed(field.annotation, field.metadata))) or "text"


def _allowed(annotation: Any, metadata: Any = ()) -> Iterator[str]:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        yield from _allowed(arguments[0], _flat(arguments[1:]))
        return
    if origin in (Union, types.UnionType):
        yield " or ".join(", ".join(_allowed(one)) for one in arguments)
        return
    if origin is not None and str(origin) == "typing.Literal":
        yield ", ".join(f"`{one}`" for one in arguments)
        return
    if annotation is type(None):
        yield "`null`"
        return
    if annotation is bool:
        yield "`true`, `false`"
        return
    if annotation is str and not metadata:
        yield "text"
        return
    if origin is list:
        yield f"list of {', '.join(_allowed(arguments[0]))}"
        return
    if origin is tuple:
        inner = [one for one in arguments if one is not Ellipsis]
        of = ", ".join(_allowed(inner[0])) or "text"
        yield f"list of {of}" if Ellipsis in arguments else f"{len(inner)} values, each: {of}"
    limits = [
        wording.format(f"{getattr(one, key):g}")
        for one in metadata
        for key, wording in _LIMITS.items()
        if getattr(one, key, None) is not None
    ]
    if origin is not tuple:
        if annotation is int:
            yield "whole number"
        elif annotation is float and not limits:
            yield "number"
    yield from limits


def _flat(metadata: Any) -> list[Any]:
    found: list[Any] = []
    for one in metadata:
        found += one.metadata if isinstance(one, FieldInfo) else [one]
    return found


def _bare(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _models(annotation: Any) -> list[type[BaseModel]]:
    annotation = _bare(annotation)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for one in get_args(annotation) if one is not Ellipsis for model in _models(one)]


def _sentence(text: str) -> str:
    text = " ".join(text.split())
    return text if not text or text.endswith(".") else text + "."


# Commands


def commands(_: str = "") -> list[str]:
    """Every command with its arguments and options."""
    import typer.main

    from cryoctl.cli.command_table import COMMANDS

    lines: list[str] = []
    for name, entry in COMMANDS.items():
        where = f"cryoctl.cli.{entry.module}"
        try:
            command = typer.main.get_group(importlib.import_module(where).app).commands[name]
        except ModuleNotFoundError as missing:
            if missing.name != where:
                raise
            continue
        lines += [f"### `{name}`", "", _as_markdown(command.help or entry.help), ""]
        rows: list[tuple[str, ...]] = []
        for parameter in command.params:
            if parameter.param_type_name == "argument":
                rows.append((f"`{parameter.metavar or parameter.name.upper()}`", parameter.help or ""))
            else:
                flags = ", ".join(f"`{flag}`" for flag in parameter.opts)
                value = f" `{parameter.metavar}`" if parameter.metavar else ""
                rows.append((flags + value, parameter.help or ""))
        lines += table(("argument or option", "meaning"), rows)
    return lines


def _as_markdown(text: str) -> str:
    return "\n\n".join(" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n"))


def endings(_: str = "") -> list[str]:
    """End reason, status and exit code of a run."""
    from cryoctl.engine.ending import Ending, EndReason

    rows = [(f"`{r.value}`", f"`{Ending(r, '').status.value}`", str(Ending(r, "").exit_code)) for r in EndReason]
    return table(("`end_reason`", "`status`", "exit code"), rows)


def operator_commands(_: str = "") -> list[str]:
    from cryoctl.cli.operate import Command

    return [", ".join(f"`{one.value}`" for one in Command)]


# Catalogues


def faults(_: str = "") -> list[str]:
    from cryoctl_simulators.faults import FAULTS

    rows = [
        (
            f"`{one.device}`",
            f"`{one.fault}`",
            one.happens,
            ", ".join(f"`{name}` ({value:g})" for name, value in one.parameters.items()),
        )
        for one in FAULTS
    ]
    return table(("device", "fault", "what happens", "parameters (default)"), rows)


def simulation_fields(_: str = "") -> list[str]:
    from cryoctl_simulators.world.overrides import FIELDS

    return table(("field", "meaning"), [(f"`simulation.{name}`", text) for name, text in FIELDS.items()])


def units(_: str = "") -> list[str]:
    from cryoctl.units import DIMENSIONS

    rows = [
        (f"`{one.suffix}`", one.name, one.unit, ", ".join(one.shown), f"`{one.example}`") for one in DIMENSIONS.values()
    ]
    return table(("ending of the field", "is", "a bare number is in", "units", "example"), rows)


def docstring(place: str) -> list[str]:
    """The docstring of a module or object, as it stands."""
    return ["```text", *(inspect.getdoc(_load(place)) or "").splitlines(), "```"]


def chart(name: str) -> list[str]:
    """States and transitions of an installed protocol as Mermaid text."""
    from cryoctl import registry
    from cryoctl.launch.chart_graph import mermaid

    return ["```text", *mermaid(registry.find("cryoctl.protocols", name).chart).splitlines(), "```"]


KINDS: dict[str, Callable[[str], list[str]]] = {
    "model": model_fields,
    "commands": commands,
    "endings": endings,
    "operator-commands": operator_commands,
    "faults": faults,
    "simulation-fields": simulation_fields,
    "units": units,
    "docstring": docstring,
    "chart": chart,
}
