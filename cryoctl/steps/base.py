"""What a step is."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

R = TypeVar("R")


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameRef:
    """A stored picture, by stream (image, search, focus, track) and index; protocols never hold pixels."""

    stream: str
    index: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Generic[R]):
    """One request to the runner. ``result = yield from SomeStep(...)`` gives the typed result.

    `on_interrupt` says what a resume does with a step that was under way when the process died: `repeat`
    (absolute and idempotent) or `never` (exposes, mills, moves in open loop).
    """

    on_interrupt: ClassVar[str] = "repeat"

    def __iter__(self) -> Generator[Step[Any], Any, R]:
        result: R = yield self
        return result
