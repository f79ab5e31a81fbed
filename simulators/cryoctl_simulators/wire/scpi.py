"""What emulated instruments share that speak SCPI: headers in long and short form, chained commands, an error queue."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from cryoctl_simulators.wire.emulator import Emulator, S

UNKNOWN = (-113, "Undefined header")
MISSING = (-109, "Missing parameter")
BAD_TYPE = (-104, "Data type error")
BAD_VALUE = (-224, "Illegal parameter value")
OUT_OF_RANGE = (-222, "Parameter data out of range")
CONFLICT = (-221, "Settings conflict")
INIT_IGNORED = (-213, "Init ignored")
_OPTIONAL = (
    (re.compile(r":(LEV|IMM|AMPL|NEXT$|DC)(?=:|$)"), ""),
    (re.compile(r"^(OUTP|INIT):STAT$"), r"\1"),
    (re.compile(r"^SOUR:FUNC:MODE$"), "SOUR:FUNC"),
    (re.compile(r"^SENS:FUNC:ON$"), "SENS:FUNC"),
    (re.compile(r"^FORM$"), "FORM:DATA"),
)
_VOWELS = "AEIOU"
Take = Callable[[str], Any]
"""What a setting makes of a parameter."""


class ScpiError(Exception):
    def __init__(self, code: tuple[int, str]) -> None:
        super().__init__(code[1])
        self.code = code


def short(header: str) -> str:
    """A header in its short form, without what may be left out: `:SOURce1:VOLTage:LEVel` is `SOUR:VOLT`."""
    if header.lstrip(":").startswith("*"):
        return header.lstrip(":").upper()
    nodes = [_short_node(node) for node in header.lstrip(":").split(":")]
    nodes[0] = re.sub(r"^(SOUR|SENS|OUTP)1$", r"\1", nodes[0])
    found = ":".join(nodes)
    if found.startswith(("TRIG:BLOC", "SYST:EVEN")):
        return found
    for pattern, instead in _OPTIONAL:
        found = pattern.sub(instead, found)
    return found


def _short_node(node: str) -> str:
    """Four letters, three where the fourth is a vowel; what is no longer than four stays."""
    word, digits = re.fullmatch(r"([^\d]*)(\d*)", node.upper()).groups()  # type: ignore[union-attr]
    if len(word) > 4:
        word = word[:3] if word[3] in _VOWELS else word[:4]
    return word + digits


def split(text: str, at: str) -> list[str]:
    """Parts between `at`, quoted ones whole."""
    return [part.strip() for part in re.findall(rf"""(?:[^{at}"']|"[^"]*"|'[^']*')+""", text)]


def number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ScpiError(BAD_TYPE) from None
    if not low <= value <= high:
        raise ScpiError(OUT_OF_RANGE)
    return value


def switch(text: str) -> int:
    known = {"ON": 1, "OFF": 0, "1": 1, "0": 0}
    if text.upper() not in known:
        raise ScpiError(BAD_VALUE)
    return known[text.upper()]


def between(low: float, high: float) -> Take:
    return lambda text: number(text, low, high)


def word(*allowed: str) -> Take:
    """One of these, in their short forms, taken in any."""

    def take(text: str) -> str:
        found = short(text.strip("\"'").split(":", 1)[0])
        if found not in allowed:
            raise ScpiError(BAD_VALUE)
        return found

    return take


class ScpiEmulator(Emulator[S]):
    """An instrument defines `query` and `command`, which raise `ScpiError`, and `note_error`."""

    reply_end = b"\n"

    def answer(self, command: str, session: dict[str, Any]) -> str | None:
        self.look()
        replies: list[str] = []
        path, acts = "", False
        for part in split(command, ";"):
            header, _, rest = part.partition(" ")
            asks = header.endswith("?")
            acts = acts or not asks
            header = header.rstrip("?")
            full = header if header.startswith((":", "*")) else path + header
            if not header.startswith("*"):
                path = full.rpartition(":")[0] + ":"
            try:
                name, arguments = short(full), split(rest, ",")
                reply = self.query(name, arguments, session) if asks else self.command(name, arguments, session)
            except ScpiError as error:
                self.note_error(error.code)
            except IndexError:
                self.note_error(MISSING)
            else:
                if reply is not None:
                    replies.append(reply)
        if acts:
            self.world.commit()
        return ";".join(replies) if replies else None

    def look(self) -> None:
        """What happens by itself, before each command."""

    def query(self, header: str, arguments: list[str], session: dict[str, Any]) -> str | None:
        raise NotImplementedError

    def command(self, header: str, arguments: list[str], session: dict[str, Any]) -> str | None:
        raise NotImplementedError

    def note_error(self, code: tuple[int, str]) -> None:
        raise NotImplementedError
