"""Records of what happened: one line in `--events`, one row in /entry/events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """`event` is its kind: status, state, exposure, frame, interlock, fault, operator, decision, target, note, end.

    `data` holds plain values that belong to it (frame: frame, exposure, sha256).
    """

    event: str
    time_s: float
    level: str
    name: str
    message: str
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


def operator_said(command: Mapping[str, Any]) -> str:
    """The sentence for a command (`command source text who`): ``operator (tell, anna@lab): note ice on the left``."""
    how = ", ".join(str(command[key]) for key in ("source", "who") if command.get(key))
    return f"operator ({how}): {command['command']} {command.get('text', '')}".strip()
