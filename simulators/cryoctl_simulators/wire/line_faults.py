"""What a line does to a reply: bytes that were never sent, bytes that get lost, too late, never, cut.

Either as scheduled by a `--faults` file or drawn at random for tests of a link.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

GARBAGE, DAMAGED, SPLIT, LATE, LOST, RESET = (
    "line-garbage",
    "line-damaged",
    "line-split",
    "line-late",
    "line-lost",
    "line-reset",
)
KINDS = (GARBAGE, DAMAGED, SPLIT, LATE, LOST, RESET)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bent:
    """What becomes of a reply: pieces sent one after another, the whole after `late_s`, or a cut connection."""

    pieces: tuple[bytes, ...] = ()
    late_s: float = 0.0
    reset: bool = False


class LineFaults(Protocol):
    def bend(self, reply: bytes) -> Bent: ...


def bent(kind: str, reply: bytes, rng: np.random.Generator, late_s: float) -> Bent:
    """One kind of fault on one reply."""
    noise = rng.integers(0, 256, int(rng.integers(1, 9)), dtype=np.uint8).tobytes()
    place = int(rng.integers(0, len(reply) + 1))
    match kind:
        case "line-garbage":
            return Bent(pieces=(reply[:place] + noise + reply[place:],))
        case "line-damaged":
            at = min(place, len(reply) - 1)
            hit = b"" if rng.random() < 0.5 else bytes([int(rng.integers(0, 256))])
            return Bent(pieces=(reply[:at] + hit + reply[at + 1 :],))
        case "line-split":
            return Bent(pieces=(reply[:place], reply[place:]))
        case "line-late":
            return Bent(pieces=(reply,), late_s=late_s)
        case "line-lost":
            return Bent()
        case _:
            return Bent(reset=True)


@dataclass(slots=True)
class ScheduledLineFaults:
    """Those of a run: `take(fault)` gives a fault's parameters while it is due, and uses it up."""

    take: Callable[[str], Mapping[str, float] | bool]
    rng: np.random.Generator

    def bend(self, reply: bytes) -> Bent:
        for kind in KINDS:
            due = self.take(kind)
            if due is not False:
                late_s = due.get("late_s", 0.0) if isinstance(due, Mapping) else 0.0
                return bent(kind, reply, self.rng, late_s)
        return Bent(pieces=(reply,))


@dataclass(slots=True)
class RandomLineFaults:
    """A share of all replies is bent; `kinds` counts how many of each were."""

    rng: np.random.Generator
    share: float = 0.3
    late_s: float = 0.05
    among: tuple[str, ...] = KINDS
    kinds: dict[str, int] = field(default_factory=dict[str, int])

    def bend(self, reply: bytes) -> Bent:
        if self.rng.random() >= self.share:
            return Bent(pieces=(reply,))
        kind = self.among[int(self.rng.integers(len(self.among)))]
        self.kinds[kind] = self.kinds.get(kind, 0) + 1
        return bent(kind, reply, self.rng, self.late_s)
