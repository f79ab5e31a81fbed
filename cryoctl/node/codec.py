"""Values of the interfaces as plain JSON values and back, by the type that the interface says; nothing is guessed.

Arrays travel beside the header, each as a frame of its own: the header holds their dtype and shape.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Sequence
from enum import Enum
from functools import cache
from typing import Any, Literal, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from cryoctl.errors import CryoctlError

Raw = bytes | bytearray | memoryview
"""The bytes of an array; a view is one on the array itself."""
_ARRAY = "$array"
ALLOWED_DTYPES = frozenset({"<f8", "<f4", "<u2", "<u4", "<u1", "|u1", "<i4", "<i8", "<u8", "|b1"})
MOST_DIMENSIONS = 4


class Malformed(CryoctlError):
    """A message that is none, or whose values are not those that its verb takes; one sentence."""

    exit_code = 2


def encode(value: Any, arrays: list[Raw]) -> Any:
    """`value` as JSON values; the bytes of its arrays are appended to `arrays`.

    Raises:
        TypeError: nothing that an interface tells.
    """
    if value is None or type(value) in (bool, int, float, str):
        return value
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, np.ndarray):
        contiguous = np.ascontiguousarray(cast(Any, value))
        dtype = contiguous.dtype.newbyteorder("<").str
        if dtype not in ALLOWED_DTYPES:
            raise TypeError(f"arrays of {contiguous.dtype} are not sent")
        whole = contiguous.astype(dtype, copy=False)
        arrays.append(whole.data.cast("B") if whole.size else b"")
        return {_ARRAY: len(arrays) - 1, "dtype": dtype, "shape": list(contiguous.shape)}
    if isinstance(value, np.generic):
        return encode(value.item(), arrays)
    if isinstance(value, tuple | list):
        return [encode(one, arrays) for one in cast("Sequence[Any]", value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {one.name: encode(getattr(value, one.name), arrays) for one in dataclasses.fields(value)}
    raise TypeError(f"{type(value).__name__} is not sent")


def decode(hint: Any, plain: Any, arrays: Sequence[Raw] = (), where: str = "value") -> Any:
    """The value of this type that `encode` made `plain` of.

    Raises:
        Malformed: it is no value of this type; `where` names it.
    """
    origin = get_origin(hint)
    if hint is Any:
        return plain
    if hint is None or hint is type(None):
        if plain is not None:
            raise _wrong(where, "nothing", plain)
        return None
    if origin in (Union, types.UnionType):
        return _one_of(get_args(hint), plain, arrays, where)
    if origin is Literal:
        if plain not in get_args(hint) or isinstance(plain, bool):
            raise _wrong(where, f"one of {', '.join(map(str, get_args(hint)))}", plain)
        return plain
    if origin is tuple:
        return _tuple(get_args(hint), plain, arrays, where)
    if origin is np.ndarray:
        return _array(get_args(hint), plain, arrays, where)
    return _simple(hint, plain, arrays, where)


def _simple(hint: Any, plain: Any, arrays: Sequence[Raw], where: str) -> Any:
    if hint is float:
        if type(plain) not in (int, float):
            raise _wrong(where, "a number", plain)
        try:
            return float(plain)
        except OverflowError:
            raise _wrong(where, "a number", "one that is too large") from None
    if hint in (int, bool, str):
        if type(plain) is not hint:
            raise _wrong(where, {int: "a whole number", bool: "true or false", str: "a text"}[hint], plain)
        return plain
    if isinstance(hint, type) and issubclass(hint, Enum):
        known = {one.value: one for one in hint}
        if type(plain) is not str or plain not in known:
            raise _wrong(where, f"one of {', '.join(map(str, known))}", plain)
        return known[plain]
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _data_class(hint, plain, arrays, where)
    raise Malformed(f"{where}: values of {hint} are not sent")


def _one_of(hints: tuple[Any, ...], plain: Any, arrays: Sequence[Raw], where: str) -> Any:
    problem: Malformed | None = None
    for hint in hints:
        try:
            return decode(hint, plain, arrays, where)
        except Malformed as error:
            problem = problem or error
    raise problem or _wrong(where, "a value", plain)


def _tuple(hints: tuple[Any, ...], plain: Any, arrays: Sequence[Raw], where: str) -> tuple[Any, ...]:
    if not isinstance(plain, list):
        raise _wrong(where, "a list", plain)
    items = cast("list[Any]", plain)
    if len(hints) == 2 and hints[1] is Ellipsis:
        hints = (hints[0],) * len(items)
    if len(items) != len(hints):
        raise _wrong(where, f"a list of {len(hints)}", f"one of {len(items)}")
    return tuple(
        decode(hint, item, arrays, f"{where}[{k}]") for k, (hint, item) in enumerate(zip(hints, items, strict=True))
    )


def _array(hints: tuple[Any, ...], plain: Any, arrays: Sequence[Raw], where: str) -> Any:
    asked = cast("dict[str, Any]", plain) if isinstance(plain, dict) else {}
    index, dtype, shape = asked.get(_ARRAY), asked.get("dtype"), asked.get("shape")
    if type(index) is not int or not 0 <= index < len(arrays) or len(asked) != 3:
        raise _wrong(where, "an array", plain)
    if not isinstance(dtype, str) or dtype not in ALLOWED_DTYPES:
        raise _wrong(where, "an array of numbers", dtype)
    wanted = get_args(hints[1]) if len(hints) > 1 else ()
    if wanted and isinstance(wanted[0], type) and np.dtype(wanted[0]) != np.dtype(dtype):
        raise _wrong(where, f"an array of {np.dtype(wanted[0])}", dtype)
    if not isinstance(shape, list) or len(cast("list[Any]", shape)) > MOST_DIMENSIONS:
        raise _wrong(where, "the shape of an array", shape)
    sides = cast("list[Any]", shape)
    if any(type(side) is not int or side < 0 for side in sides):
        raise _wrong(where, "the shape of an array", sides)
    data, size = arrays[index], np.dtype(dtype).itemsize
    for side in sides:
        size *= side
    if size != len(data):
        raise _wrong(where, f"{size} bytes of an array", f"{len(data)} bytes")
    own = data if isinstance(data, bytearray) else bytearray(data)
    return np.frombuffer(own, dtype=dtype).reshape(sides)


def _data_class(hint: type[Any], plain: Any, arrays: Sequence[Raw], where: str) -> Any:
    if not isinstance(plain, dict):
        raise _wrong(where, f"the fields of {hint.__name__}", plain)
    given = cast("dict[str, Any]", plain)
    hints, required = _fields_of(hint)
    for name in given:
        if name not in hints:
            raise Malformed(f"{where}: {hint.__name__} has no field {str(name)[:40]!r}")
    missing = required - given.keys()
    if missing:
        raise Malformed(f"{where}: {hint.__name__} needs {', '.join(sorted(missing))}")
    values = {name: decode(hints[name], value, arrays, f"{where}.{name}") for name, value in given.items()}
    try:
        return hint(**values)
    except (CryoctlError, ValueError) as error:
        raise Malformed(f"{where}: {str(error)[:200]}") from error


@cache
def _fields_of(kind: type[Any]) -> tuple[dict[str, Any], frozenset[str]]:
    hints = get_type_hints(kind)
    fields = dataclasses.fields(kind)
    free = dataclasses.MISSING
    required = {one.name for one in fields if one.default is free and one.default_factory is free}
    return {one.name: hints[one.name] for one in fields}, frozenset(required)


def _wrong(where: str, wanted: str, found: Any) -> Malformed:
    return Malformed(f"{where}: found {str(found)[:40]!r}, wanted is {wanted}")
