"""TSP as drivers of Keithley's scripted instruments speak it: answers that end in a sum, prompts that are no answers,
and a script that may be running, which hears nothing but `*TRG` and `abort`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from cryoctl_drivers.link import Lines, Shape

TRIGGER, ABORT, WHO = "*TRG", "abort", "*IDN?"
_PROMPTS = (b"TSP>", b"TSP?", b">>>>")
_SUMMED = re.compile(r"(?P<text>[\x20-\x7e]*)\*(?P<sum>\d{10})")
_MODULUS = 65521


def summed(text: str) -> str:
    """As the script says it: `text*` and Adler-32 of it, its two halves in decimal."""
    a, b = 1, 0
    for byte in text.encode("latin-1"):
        a = (a + byte) % _MODULUS
        b = (b + a) % _MODULUS
    return f"{text}*{b:05d}{a:05d}"


class Summed:
    """An answer of this shape before its sum, which has to be right."""

    def __init__(self, shape: str) -> None:
        self._shape = re.compile(shape)

    def fullmatch(self, string: str, /) -> re.Match[str] | None:
        found = _SUMMED.fullmatch(string)
        if found is None or summed(found["text"]) != string:
            return None
        return self._shape.fullmatch(found["text"])


@dataclass(frozen=True, slots=True)
class Either:
    """One shape or another."""

    shapes: tuple[Shape, ...]

    def fullmatch(self, string: str, /) -> object | None:
        return next((found for shape in self.shapes if (found := shape.fullmatch(string)) is not None), None)


@dataclass(frozen=True, slots=True)
class Literally:
    text: str

    def fullmatch(self, string: str, /) -> bool | None:
        return True if string == self.text else None


@dataclass(frozen=True, slots=True)
class PromptedLines:
    """Lines without the prompts that another program may have switched on."""

    send_end: bytes = b"\n"

    def split(self, received: bytes) -> tuple[bytes, bytes] | None:
        lines = Lines()
        while (found := lines.split(received)) is not None and found[0] in _PROMPTS:
            received = found[1]
        return found


def unprompted(received: bytes) -> tuple[bytes, bytes]:
    """Of bytes that nobody asked for, those that are no prompt, and a prompt of which the end is still to come."""
    *whole, rest = received.split(b"\n")
    stray = b"\n".join(line for line in whole if line.strip() and line.strip() not in _PROMPTS)
    begun = any(one.startswith(rest.strip()) for one in _PROMPTS)
    return (stray, rest) if begun else (stray + rest, b"")


class Caller:
    """Asks who is there: a script that runs answers to a trigger alone, and any other question waits for its end.

    A stranger is asked for its identity before anything else: what a trigger would do there nobody knows.

    Args:
        identity: how an instrument names itself.
        report: what a script answers to a trigger.

    Attributes:
        belief: by the last answer; it is also its user's to set.
    """

    def __init__(self, identity: Shape, report: Shape) -> None:
        self._identity, self._report = identity, report
        self.belief: Literal["stranger", "idle", "runs", "unsure"] = "stranger"
        self._asked = 0

    @property
    def send(self) -> str:
        self._asked += 1
        if self.belief == "idle" or (self.belief == "stranger" and self._asked % 2):
            return WHO
        return TRIGGER if self.belief == "runs" else f"{TRIGGER}\n{WHO}"

    @property
    def shape(self) -> Shape:
        return self

    def fullmatch(self, string: str, /) -> object | None:
        for shape, belief in ((self._report, "runs"), (self._identity, "idle")):
            if (found := shape.fullmatch(string)) is not None:
                self.belief, self._asked = belief, 0  # type: ignore[assignment]
                return found
        return None
