"""One question and its answer, or one command that has none."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

ANYTHING = re.compile(r"[\x20-\x7e]*")


class Shape(Protocol):
    """What an answer has to look like: a regular expression, or an object that looks deeper."""

    def fullmatch(self, string: str, /) -> object | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """`shape` is what the whole answer has to look like, None where there is none.

    `again` says that asking twice does no more than asking once: after a garbled or lost answer it is asked again, and
    on a wire without checksums it is asked until two answers are the same (with `confirm_by`, where the next answer to
    the same question would be another number). What moves, steps or exposes is never `again`.
    """

    send: str
    shape: Shape | None = ANYTHING
    again: bool = False
    confirm: bool = True
    confirm_by: str | None = None
    alike: Callable[[str, str], bool] = operator.eq
    """Whether two answers say the same, where a part of them (a time stamp) differs each time."""
    deadline_s: float | None = None
    secret: bool = False
    """Not told in messages or transcripts: a password."""
    otherwise: str = ""
    """What is wrong where the answer has another shape, and what to do: a login that is refused."""

    @property
    def told(self) -> str:
        return "***" if self.secret else self.send.replace("\n", "; ")[:60]
