"""What a pydantic error means to somebody who writes recipes: what was found, what is allowed, what to write."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cryoctl.recipe.wording import Path, nearest, shown
from cryoctl.units import dimension_of, quoted

_NUMBER = re.compile(r"\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*", re.ASCII)
_COMMA = re.compile(r"\s*[+-]?\d+,\d+\D*.*", re.ASCII)
_SWITCHES = {"on": "true", "yes": "true", "y": "true", "off": "false", "no": "false", "n": "false"}
_WANTED = {
    "list_type": "a list in brackets, like [1, 2]",
    "tuple_type": "a list in brackets, like [1, 2]",
    "set_type": "a list in brackets, like [1, 2]",
    "dict_type": "a mapping (lines of `name: value`)",
    "model_type": "a mapping (lines of `name: value`)",
    "model_attributes_type": "a mapping (lines of `name: value`)",
    "none_required": "nothing (null)",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
    "multiple_of": ("multiple_of", "multiples of"),
}


def describe(error: Mapping[str, Any], path: Path, *, is_list: bool = False) -> str:
    """The part of a sentence after the field's name and place, for any error but an unknown key.

    `is_list`: the field takes a list.
    """
    kind = str(error["type"])
    found: Any = error.get("input")
    context: Mapping[str, Any] = error.get("ctx") or {}
    if kind == "missing":
        return f"is missing: {_example(path, is_list)}"
    if kind in ("value_error", "assertion_error"):
        return _own_words(context.get("error"), str(error["msg"]))
    if kind in _WANTED:
        return f"found {shown(found)}: {_WANTED[kind]} is wanted"
    if kind in _BOUNDS:
        key, words = _BOUNDS[kind]
        unit = _unit(path)
        value = f"{shown(found)}" + (f" {unit}" if unit and not isinstance(found, str) else "")
        return f"found {value}: allowed is {words} {context[key]:g}{' ' + unit if unit else ''}"
    if kind in ("literal_error", "enum"):
        return _choice(found, str(context.get("expected", "")))
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        return _tag(kind, context, found)
    if kind.endswith(("too_short", "too_long")):
        return _length(kind, found, context)
    if kind.startswith("bool"):
        return _switch(found)
    if kind.startswith(("float", "int", "finite")):
        return _number(kind, found)
    if kind.startswith("string") and not isinstance(found, str):
        return f"found {shown(found)}: text is wanted, put it in quotes"
    if kind == "string_pattern_mismatch":
        return f"found {shown(found)}: it must match {quoted(str(context.get('pattern', '')), 80)}"
    message = str(error["msg"])
    return f"found {shown(found)}: {message[:1].lower()}{message[1:]}" if not kind.startswith("quantity") else message


def _own_words(problem: object, message: str) -> str:
    text = str(problem) if problem is not None else message.split(", ", 1)[-1]
    return text.strip().rstrip(".") or "is not allowed"


def _example(path: Path, is_list: bool) -> str:
    name = str(path[-1]) if path else ""
    dimension = dimension_of(name)
    if dimension is None:
        return "add it"
    return f"add it, like `{name}: {f'[{dimension.example}]' if is_list else dimension.example}`"


def _unit(path: Path) -> str:
    names = [part for part in path if isinstance(part, str)]
    dimension = dimension_of(names[-1]) if names else None
    return dimension.unit if dimension is not None else ""


def _choice(found: Any, expected: str) -> str:
    names = re.findall(r"'([^']*)'", expected)
    if isinstance(found, str) and names:
        return f"found {shown(found)}: {_with_all(found, names)}"
    return f"found {shown(found)}: allowed is {expected}"


def _with_all(found: str, names: list[str]) -> str:
    near = nearest(found, names)
    every = ", ".join(names)
    return f"{near}; allowed: {every}" if near.startswith("did you") and len(every) < 140 else near


def _tag(kind: str, context: Mapping[str, Any], found: Any) -> str:
    field = str(context.get("discriminator", "")).strip("'")
    names = re.findall(r"'([^']*)'", str(context.get("expected_tags", "")))
    if kind == "union_tag_not_found":
        return f"has no {field}: add a line `{field}: ...`"
    tag = found.get(field) if isinstance(found, Mapping) else context.get("tag")
    told = quoted(tag) if isinstance(tag, str) else shown(tag)
    return f"{field} is {told}: {_with_all(str(tag), names)}"


def _length(kind: str, found: Any, context: Mapping[str, Any]) -> str:
    short = kind.endswith("too_short")
    number = context.get("min_length" if short else "max_length")
    one, several = ("character", "characters") if kind.startswith("string") else ("entry", "entries")
    wanted = f"{one} is" if number == 1 else f"{several} are"
    return f"found {shown(found)}: {'at least' if short else 'at most'} {number} {wanted} wanted"


def _switch(found: Any) -> str:
    meant = _SWITCHES.get(found.strip().lower()) if isinstance(found, str) else None
    if isinstance(found, str) and found.strip().lower() in ("true", "false"):
        return f"found quoted text {quoted(found)}: write {found.strip().lower()} without quotes"
    return f"found {shown(found)}: a switch is true or false" + (f", write {meant}" if meant else "")


def _number(kind: str, found: Any) -> str:
    wanted = "a whole number" if kind.startswith("int") else "a number"
    if isinstance(found, str):
        if _NUMBER.fullmatch(found):
            return f"found quoted text {quoted(found)} where {wanted} is wanted: remove the quotes"
        if _COMMA.fullmatch(found):
            return f"found {quoted(found)} with a comma in the number: write a decimal point and no commas"
    if isinstance(found, float) and kind.startswith("int"):
        return f"found {found!r}: {wanted} is wanted, without a point or exponent"
    return f"found {shown(found)}: {wanted} is wanted"
