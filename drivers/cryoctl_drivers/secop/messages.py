"""Lines of the protocol: which are answers, and to what."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from cryoctl_drivers.link import Exchange

_EVENTS = (b"update ", b"error_update ", b"log ")
"""What a node says by itself."""
_LAST_S = 1e12
"""No clock shows more."""
_SAME_TIME_S = 5.0
"""Two answers to the same question have time stamps as near as this."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Framing: a reply is a line that is no event."""

    send_end: bytes = b"\n"

    def split(self, received: bytes) -> tuple[bytes, bytes] | None:
        while True:
            line, end, received = received.partition(b"\n")
            if not end:
                return None
            if not line.startswith(_EVENTS):
                return line.removesuffix(b"\r"), received


def unasked(received: bytes) -> tuple[bytes, bytes]:
    """Events may come at any time, whole or begun; anything else that nobody asked for is odd."""
    *lines, begun = received.split(b"\n")
    if any(line and not line.startswith(_EVENTS) for line in lines):
        return received, b""
    if begun and not any(begun.startswith(event) or event.startswith(begun) for event in _EVENTS):
        return received, b""
    return b"", begun


@dataclass(frozen=True, slots=True)
class Report:
    """A value; `node_s` is when the node obtained it, by its own clock, NaN where it does not say."""

    value: Any
    node_s: float = math.nan


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error reply; `kind` is one of the specification's error classes, or one that it does not know."""

    kind: str
    text: str

    def __str__(self) -> str:
        return f"{self.kind}: {' '.join(self.text.split())[:90]}"


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, and the shape of its answer: all of it has to be there, or it is none."""

    action: str
    reply: str
    specifier: str = ""
    data: Any = field(default=None)

    def exchange(self, *, again: bool, confirm: bool = True) -> Exchange:
        words = [self.action, self.specifier] if self.specifier else [self.action]
        if self.data is not None:
            words.append(json.dumps(self.data, allow_nan=False))
        return Exchange(send=" ".join(words), shape=self, again=again, confirm=confirm, alike=self.alike)

    def fullmatch(self, answer: str, /) -> Report | Refusal | None:
        action, _, rest = answer.partition(" ")
        specifier, _, data = rest.partition(" ")
        if self.specifier and specifier != self.specifier:
            return None
        try:
            told = json.loads(data.encode("latin-1").decode(), parse_constant=_not_a_number)
        except (ValueError, RecursionError):
            return None
        if action == f"error_{self.action}":
            return _refusal(told)
        if action != self.reply:
            return None
        return Report(told) if self.action == "describe" else _report(told)

    def alike(self, answer: str, other: str) -> bool:
        one, two = self.fullmatch(answer), self.fullmatch(other)
        if not isinstance(one, Report) or not isinstance(two, Report):
            return isinstance(one, Refusal) and isinstance(two, Refusal) and one.kind == two.kind
        apart_s = abs(one.node_s - two.node_s)
        both = math.isnan(one.node_s) == math.isnan(two.node_s)
        return one.value == two.value and both and not apart_s > _SAME_TIME_S


def _report(told: Any) -> Report | None:
    match told:
        case [value, {"t": int() | float() as node_s}, *_] if not isinstance(node_s, bool) and abs(node_s) < _LAST_S:
            return Report(value, float(node_s))
        case [value, {}, *_]:
            return Report(value)
    return None


def _refusal(told: Any) -> Refusal | None:
    match told:
        case [str() as kind, str() as text, *_]:
            return Refusal(kind, text)
    return None


def _not_a_number(word: str) -> None:
    raise ValueError(f"{word} is no JSON")
