"""Messages between runner and node: a format byte, a JSON header, and the bytes of arrays, each a frame of its own.

A request is ``{"n": 7, "session": ..., "do": "stage.move", "with": {...}}``. Its reply is ``{"n": 7, "is": ..., "at_s":
...}`` or ``{"n": 7, "error": ..., "message": ...}``, where `at_s` is the node's clock. What the node says unasked has
`of` (a scan frame is done) or `notice`. Never pickle: whoever reads a message runs nothing of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from cryoctl.node.codec import Malformed, Raw

FORMAT = b"J"
LARGEST_REQUEST = 1_000_000
"""Bytes, all frames together: the longest waveform has a tenth of it."""
LARGEST_REPLY = 1_000_000_000
MOST_FRAMES = 64
DEEPEST = 32


def pack(header: dict[str, Any], arrays: Sequence[Raw] = ()) -> list[Raw]:
    return [FORMAT, json.dumps(header, separators=(",", ":")).encode(), *arrays]


def unpack(frames: Sequence[Raw], largest: int) -> tuple[dict[str, Any], list[bytes]]:
    """Header and arrays.

    Raises:
        Malformed: too large, of another format, or no JSON object; one sentence.
    """
    size = sum(map(len, frames))
    if size > largest:
        raise Malformed(f"message: found {size} bytes, allowed are {largest}")
    if not 2 <= len(frames) <= MOST_FRAMES:
        raise Malformed(f"message: found {len(frames)} frames, allowed are 2 to {MOST_FRAMES}")
    if bytes(frames[0]) != FORMAT:
        raise Malformed(f"message: found the format {bytes(frames[0])[:8]!r}, allowed is {FORMAT!r}")
    try:
        header: Any = json.loads(bytes(frames[1]))
    except (ValueError, RecursionError):
        raise Malformed("message: its header is no JSON") from None
    if not isinstance(header, dict):
        raise Malformed("message: its header is no JSON object")
    if _deeper_than(header, DEEPEST):
        raise Malformed(f"message: its header is nested deeper than {DEEPEST}")
    return cast("dict[str, Any]", header), [bytes(one) for one in frames[2:]]


def _deeper_than(value: Any, depth: int) -> bool:
    """Without recursion: what is nested deeply must not end who looks at it."""
    level: list[Any] = [value]
    for _ in range(depth):
        level = [
            inner
            for one in level
            for inner in (
                cast("dict[str, Any]", one).values()
                if isinstance(one, dict)
                else cast("list[Any]", one)
                if isinstance(one, list)
                else ()
            )
        ]
        if not level:
            return False
    return True
