"""What plans give as numbers: Python's own and numpy's, never a text or a truth value."""

from __future__ import annotations

from numbers import Integral, Real
from typing import Any


def is_number(given: Any) -> bool:
    return not isinstance(given, bool) and isinstance(given, Real)


def is_whole(given: Any) -> bool:
    """1.0 is no whole number: nothing is rounded or guessed."""
    return not isinstance(given, bool) and isinstance(given, Integral)


def shown(given: Any) -> str:
    return repr(given)[:40]
