"""What a network does to datagrams: one lost, late, twice, damaged, cut, in a wrong order, or one that nobody sent.

Either as scheduled by a `--faults` file or drawn at random for tests of a link.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

LOST, LATE, DOUBLED, DAMAGED, CUT, SWAPPED, GARBAGE, REQUEST_LOST, REQUEST_DAMAGED = (
    "datagram-lost",
    "datagram-late",
    "datagram-doubled",
    "datagram-damaged",
    "datagram-cut",
    "datagram-swapped",
    "datagram-garbage",
    "request-lost",
    "request-damaged",
)
KINDS = (LOST, LATE, DOUBLED, DAMAGED, CUT, SWAPPED, GARBAGE, REQUEST_LOST, REQUEST_DAMAGED)
_OF_A_LINE = {
    "line-lost": LOST,
    "line-late": LATE,
    "line-damaged": DAMAGED,
    "line-split": SWAPPED,
    "line-garbage": GARBAGE,
}
"""What the faults of a serial line are on a network; there is no connection that could be reset."""
Delayed = tuple[float, bytes]
"""Seconds until it is sent, and what."""


class DatagramFaults(Protocol):
    def arrives(self, request: bytes) -> bytes | None:
        """What of a request arrives, None where nothing does."""
        ...

    def leaves(self, datagrams: Sequence[bytes]) -> list[Delayed]: ...


def request_bent(kind: str | None, request: bytes, rng: np.random.Generator) -> bytes | None:
    if kind == REQUEST_LOST:
        return None
    return _damaged(request, rng) if kind == REQUEST_DAMAGED else request


def answer_bent(kind: str | None, datagrams: Sequence[bytes], rng: np.random.Generator, late_s: float) -> list[Delayed]:
    """One kind of fault on one datagram of an answer; `late` and `doubled` take the whole answer half of the time."""
    sent: list[Delayed] = [(0.0, datagram) for datagram in datagrams]
    at = int(rng.integers(0, len(sent)))
    whole = bool(rng.random() < 0.5)
    match kind:
        case "datagram-lost":
            del sent[at]
        case "datagram-late":
            sent = [(late_s if whole or index == at else 0.0, data) for index, (_, data) in enumerate(sent)]
        case "datagram-doubled":
            after_s = late_s if rng.random() < 0.5 else 0.0
            sent = sent + [(after_s, data) for _, data in sent] if whole else [*sent, (after_s, sent[at][1])]
        case "datagram-damaged":
            sent[at] = (0.0, _damaged(sent[at][1], rng))
        case "datagram-cut":
            sent[at] = (0.0, sent[at][1][: int(rng.integers(0, len(sent[at][1])))])
        case "datagram-garbage":
            noise = rng.integers(0, 256, int(rng.integers(1, 600)), dtype=np.uint8).tobytes()
            sent.insert(at, (0.0, b"\xf5\xfa" + noise if whole else noise))
        case "datagram-swapped":
            order = rng.permutation(len(sent))
            sent = [sent[int(index)] for index in order]
        case _:
            pass
    return sent


def _damaged(data: bytes, rng: np.random.Generator) -> bytes:
    at = int(rng.integers(0, len(data)))
    return data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :]


@dataclass(slots=True)
class ScheduledDatagramFaults:
    """Those of a run: `take(fault)` gives a fault's parameters while it is due, and uses it up."""

    take: Callable[[str], Mapping[str, float] | None]
    rng: np.random.Generator

    def arrives(self, request: bytes) -> bytes | None:
        return request

    def leaves(self, datagrams: Sequence[bytes]) -> list[Delayed]:
        for of_a_line, kind in _OF_A_LINE.items():
            due = self.take(of_a_line)
            if due is not None:
                return answer_bent(kind, datagrams, self.rng, due.get("late_s", 1.0))
        return [(0.0, datagram) for datagram in datagrams]


@dataclass(slots=True)
class RandomDatagramFaults:
    """A share of all exchanges is bent; `happened` counts how many of each kind were."""

    rng: np.random.Generator
    share: float = 0.2
    latest_s: float = 2.0
    happened: Counter[str] = field(default_factory=Counter)
    _due: str | None = None

    def arrives(self, request: bytes) -> bytes | None:
        self._due = str(self.rng.choice(KINDS)) if self.rng.random() < self.share else None
        if self._due is not None:
            self.happened[self._due] += 1
        return request_bent(self._due, request, self.rng)

    def leaves(self, datagrams: Sequence[bytes]) -> list[Delayed]:
        return answer_bent(self._due, datagrams, self.rng, float(self.rng.uniform(0.0, self.latest_s)))
