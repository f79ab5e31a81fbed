"""Text like `20 um` to a number in the unit of its field, and back to text that a person reads.

A bare number is in the field's unit already. Text without a unit, with a unit of another kind, with a decimal comma
or beyond reason is refused by `QuantityError`, whose text reads on from the field's name.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal

from cryoctl.errors import BadInput
from cryoctl.units.dimensions import DIMENSIONS, PREFIXES, Dimension, kinds_with_unit, normal_spelling

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_QUANTITY = re.compile(rf"({NUMBER})\s*([^\s\d.,_][^\n]*|)", re.ASCII)
_INVERSE = re.compile(rf"({NUMBER})\s+(1/[^\n]+)", re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+\D*.*", re.ASCII)
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "\u2212": "-"})
_LONGEST = 80


class QuantityError(BadInput, ValueError):
    """A quantity can't be read; pydantic takes it for the ValueError it also is."""


def parse_quantity(value: object, dimension: Dimension) -> float:
    """The value in `dimension.unit`; QuantityError says what was found, what is allowed and what to write."""
    if isinstance(value, bool):
        raise QuantityError(f"found {str(value).lower()} where {dimension.name} is wanted: {_write(dimension)}")
    if isinstance(value, int | float):
        return _within(
            _as_float(value, dimension), repr(value) if abs(value) < 1e300 else "a number without bound", dimension
        )
    if not isinstance(value, str):
        found = "nothing" if value is None else f"a {_KINDS.get(type(value).__name__, type(value).__name__)}"
        raise QuantityError(f"found {found} where {dimension.name} is wanted: {_write(dimension)}")
    return _parse_text(value, dimension)


_KINDS = {"dict": "mapping", "list": "list", "tuple": "list", "set": "set"}


def _as_float(value: float, dimension: Dimension) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if math.isnan(number):
        raise QuantityError(f"found nan, which is not a number, where {dimension.name} is wanted: {_write(dimension)}")
    return number


def _parse_text(value: str, dimension: Dimension) -> float:
    text = value.translate(_SPACES).strip()
    shown = quoted(value)
    if len(text) > _LONGEST:
        raise QuantityError(f"found {shown} where {dimension.name} is wanted: {_write(dimension)}")
    match = _INVERSE.fullmatch(text) or _QUANTITY.fullmatch(text)
    if match is None:
        if _COMMA.fullmatch(text):
            raise QuantityError(f"found {shown} with a comma in the number: write a decimal point and no commas")
        raise QuantityError(f"found {shown} where {dimension.name} is wanted: {_write(dimension)}")
    number, unit = match.group(1), match.group(2).strip()
    if not unit:
        raise QuantityError(f"found quoted text {shown} without a unit: {_write(dimension)}, or a number unquoted")
    known = dimension.units.get(normal_spelling(unit))
    if known is None:
        raise QuantityError(_wrong_unit(unit, shown, dimension))
    factor, offset = known
    try:
        result = float(Decimal(number) * factor + offset)
    except (ArithmeticError, OverflowError, ValueError):
        result = math.inf
    return _within(result, shown, dimension)


def _wrong_unit(unit: str, shown: str, dimension: Dimension) -> str:
    spelling = normal_spelling(unit)
    kinds = kinds_with_unit(spelling)
    units = ", ".join(dimension.shown)
    if kinds:
        return f"found {shown}, {kinds[0]}, where {dimension.name} is wanted: {_write(dimension)} (units: {units})"
    near = [u for u in dimension.shown if normal_spelling(u).lower() == spelling.lower()]
    hint = f"did you mean {near[0]}; " if near else ""
    return f"found {shown} with an unknown unit: {hint}the units of {dimension.name} are {units}"


def _write(dimension: Dimension) -> str:
    return f"write it like '{dimension.example}'"


def _within(number: float, shown: str, dimension: Dimension) -> float:
    if dimension.smallest <= number <= dimension.largest:
        return number
    low, high, unit = dimension.smallest, dimension.largest, dimension.unit
    raise QuantityError(f"found {shown}, beyond reason for {dimension.name}: allowed are {low:g} to {high:g} {unit}")


def quoted(text: str, longest: int = 40) -> str:
    """Text in quotes for a message: one line, shortened, encodable in cp1252 (others as backslash escapes)."""
    plain = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: longest + 1])
    plain = plain.encode("cp1252", "backslashreplace").decode("cp1252")
    return "'" + (plain if len(plain) <= longest else plain[: longest - 3] + "...") + "'"


_PREFIXED = frozenset({"m", "s", "A", "V", "eV", "Pa", "Hz", "C", "W", "B", "ohm", "F"})


def format_quantity(value: float, unit: str, digits: int = 4) -> str:
    """A number with an engineering prefix, ASCII: `format_quantity(2e-5, "m")` is `20 um`; nan is `n/a`.

    Units that take no prefix (deg, K, e-/A^2) are shown as they are.
    """
    if math.isnan(value):
        return "n/a"
    if math.isinf(value):
        return f"{'-' if value < 0 else ''}infinite"
    if unit not in _PREFIXED or value == 0.0:
        return _with_unit(_plain(value, digits), unit)
    scales = sorted(((float(f), p) for p, f in PREFIXES.items()), reverse=True)
    for factor, prefix in scales:
        rounded = float(f"{abs(value) / factor:.{digits}g}")
        if rounded >= 1.0:
            return _with_unit(_plain(value / factor, digits), prefix + unit)
    smallest, prefix = scales[-1]
    return _with_unit(_plain(value / smallest, digits), prefix + unit)


def _plain(value: float, digits: int) -> str:
    text = f"{value:.{digits}g}"
    if "e" in text and 1e-3 <= abs(value) < 1e6:
        text = f"{float(text):.0f}"
    return text.replace("e+0", "e").replace("e-0", "e-").replace("e+", "e")


def _with_unit(number: str, unit: str) -> str:
    return number if unit in ("", "1") else f"{number} {unit}"


def format_duration(seconds: float) -> str:
    """`42 s`, `12 min 5 s`, `3 h 20 min`; nan is `n/a`."""
    if not math.isfinite(seconds):
        return "n/a"
    if abs(seconds) < 60.0:
        return f"{seconds:.0f} s" if abs(seconds) >= 10.0 else format_quantity(seconds, "s", 3)
    sign, whole = ("-" if seconds < 0 else ""), round(abs(seconds))
    if whole < 3600:
        return f"{sign}{whole // 60} min {whole % 60} s"
    return f"{sign}{whole // 3600} h {whole % 3600 // 60} min"


def suffix_dimension(suffix: str) -> Dimension:
    """The dimension of a suffix such as `_m`; KeyError for one that does not exist."""
    return DIMENSIONS[suffix]
