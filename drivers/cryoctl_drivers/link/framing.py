"""Where a reply ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


class Framing(Protocol):
    @property
    def send_end(self) -> bytes: ...

    def split(self, received: bytes) -> tuple[bytes, bytes] | None:
        """The first whole reply without its end, and what comes after it; None while it is not whole."""
        ...


@dataclass(frozen=True, slots=True)
class Lines:
    """A reply is a line. `reply_end` is what ends one, of which leading blanks and carriage returns are no part."""

    send_end: bytes = b"\n"
    reply_end: bytes = b"\n"

    def split(self, received: bytes) -> tuple[bytes, bytes] | None:
        line, end, rest = received.partition(self.reply_end)
        return (line.strip(b"\r\n\0 "), rest) if end else None
