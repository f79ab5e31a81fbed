"""What a bare word of YAML means, by the core schema of YAML 1.2: `1e-6` is a number, `on` and `1:30` are text."""

from __future__ import annotations

import math
import re

_INT = re.compile(r"[-+]?[0-9]+", re.ASCII)
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII)
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)", re.ASCII)
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_LARGEST_INT = 2**63


class NotANumber(ValueError):
    """A bare word means a number that is refused everywhere; the text reads on from `found`."""


def bare_word(text: str) -> bool | int | float | str | None:
    """The value of an unquoted scalar; NotANumber for nan, infinities, overflow and underflow."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return _whole(text, 10)
    if _BASED.fullmatch(text):
        return _whole(text[2:], 8 if text[1] == "o" else 16)
    if _FLOAT.fullmatch(text):
        number = float(text) if len(text) <= 400 else math.inf
        if math.isinf(number):
            raise NotANumber("a number too large to be one")
        if number == 0.0 and re.search("[1-9]", re.split("[eE]", text)[0]):
            raise NotANumber("a number too small to be told from 0")
        return number
    if _NOT_FINITE.fullmatch(text):
        raise NotANumber(f"{text}, which is not a finite number")
    return text


def _whole(digits: str, base: int) -> int:
    if len(digits) > 64:
        raise NotANumber(f"a whole number of {len(digits)} digits")
    number = int(digits, base)
    if not -_LARGEST_INT <= number < _LARGEST_INT:
        raise NotANumber(f"a whole number of {len(digits)} digits, beyond 2**63-1")
    return number
