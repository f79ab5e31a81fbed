"""Plain data back to YAML that reads equal under `strict_yaml`, the same bytes for the same data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from cryoctl.recipe.scalars import NotANumber, bare_word
from cryoctl.recipe.strict_yaml import Plain

_SAFE_WORD = re.compile(r"[A-Za-z0-9_.+-][A-Za-z0-9_.+/^-]*(?: [A-Za-z0-9_.+/^-]+)*", re.ASCII)


def to_yaml(data: dict[str, Plain]) -> str:
    """Block style, lists of scalars in one line, keys in their given order; ASCII, ends with a line feed."""
    return "\n".join(_mapping(data, "")) + "\n" if data else "{}\n"


def _mapping(data: dict[str, Plain], indent: str) -> Iterator[str]:
    for key, value in data.items():
        name = _text(key, key=True)
        if isinstance(value, dict) and value:
            yield f"{indent}{name}:"
            yield from _mapping(value, indent + "  ")
        elif isinstance(value, list) and any(isinstance(one, dict | list) for one in value):
            yield f"{indent}{name}:"
            yield from _items(value, indent + "  ")
        else:
            yield f"{indent}{name}: {_flow(value)}"


def _items(data: list[Plain], indent: str) -> Iterator[str]:
    for one in data:
        if isinstance(one, dict) and one:
            first, *rest = _mapping(one, indent + "  ")
            yield f"{indent}- {first[len(indent) + 2 :]}"
            yield from rest
        else:
            yield f"{indent}- {_flow(one)}"


def _flow(value: Plain) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_text(k, key=True)}: {_flow(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(one) for one in value) + "]"
    if isinstance(value, str):
        return _text(value)
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _quoted(text: str) -> str:
    """JSON's quoting, but with YAML's eight-digit escape beyond U+FFFF, where JSON writes two surrogates."""
    return "".join(json.dumps(one)[1:-1] if ord(one) < 0x10000 else f"\\U{ord(one):08X}" for one in text).join('""')


def _text(text: str, key: bool = False) -> str:
    if not _SAFE_WORD.fullmatch(text) or text.startswith(("-", "---", "...")) or len(text) > 100:
        return _quoted(text)
    try:
        plain = key or isinstance(bare_word(text), str)
    except NotANumber:
        plain = False
    return text if plain else _quoted(text)
