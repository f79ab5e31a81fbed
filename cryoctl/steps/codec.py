"""Steps and results as plain JSON values and back: what is journaled is what a protocol is given, live as well."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

from pydantic import TypeAdapter

import cryoctl.steps as vocabulary
from cryoctl.errors import RunFileError

_NOT_A_NUMBER = {"$float": "nan"}
_INFINITY = {"$float": "inf"}
_MINUS_INFINITY = {"$float": "-inf"}


def plain(value: Any) -> Any:
    """`value` as JSON values. Raises `TypeError` for anything else than plain Python types (numpy scalars too)."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if kind is float:
        if math.isfinite(value):
            return value
        return _NOT_A_NUMBER if math.isnan(value) else (_INFINITY if value > 0 else _MINUS_INFINITY)
    if kind in (tuple, list):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    raise TypeError(f"{kind.__module__}.{kind.__qualname__} is not a plain Python value: convert it before it is kept")


def unplain(value: Any) -> Any:
    """The inverse of `plain` for non-finite floats; lists stay lists."""
    if isinstance(value, dict):
        mapping = cast(dict[str, Any], value)
        if len(mapping) == 1 and "$float" in mapping:
            return float(mapping["$float"])
        return {key: unplain(item) for key, item in mapping.items()}
    if isinstance(value, list):
        return [unplain(item) for item in cast(list[Any], value)]
    return value


@cache
def _adapter(name: str) -> TypeAdapter[Any]:
    kind = getattr(vocabulary, name, None)
    if kind is None or not dataclasses.is_dataclass(kind):
        raise RunFileError(f"journal: {name!r} is no step or result that this version knows")
    return TypeAdapter(cast(type[Any], kind))


def encode(item: Any) -> dict[str, Any] | None:
    """A step or result as ``{"is": class name, **fields}``; None stays None."""
    if item is None:
        return None
    return {"is": type(item).__name__, **plain(item)}


def decode(record: Mapping[str, Any] | None) -> Any:
    """The step or result that `encode` made; tuples and nested data classes restored."""
    if record is None:
        return None
    fields = {key: unplain(value) for key, value in record.items() if key != "is"}
    return _adapter(record["is"]).validate_python(fields)


def fingerprint(record: Mapping[str, Any]) -> str:
    """Twelve hex digits that tell one encoded step from another."""
    text = json.dumps(record, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
