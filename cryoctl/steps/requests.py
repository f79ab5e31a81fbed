"""Steps of a run whose steps come from outside, one after another: from a bluesky plan, or a person at a keyboard."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryoctl.steps.base import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Requested:
    """`step` is what is asked for, encoded as the journal has steps; None where nobody asks for anything any more."""

    step: dict[str, Any] | None
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NextRequest(Step[Requested]):
    """Answers the request before, if there was one, and waits for the next, blanked; interlocks are watched meanwhile.

    `answer` is the result, encoded. Where there was none `refused` names the error and `why` is its sentence.
    """

    answer: Mapping[str, Any] | None = None
    refused: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class MakeSafe(Step[None]):
    """The safe state, each part of it verified, and the run goes on. The run ends where it can't be confirmed."""

    reason: str
