"""What the runner throws into a protocol, and where it leads when the protocol does not catch it."""

from __future__ import annotations

from typing import Any

from cryoctl.engine.ending import Ending, EndReason
from cryoctl.engine.machine import ProtocolMachine
from cryoctl.errors import CryoctlError, DoseRefused, InterlockRefused, Interrupted, RunFileError, StepLost

THROWN: dict[type[CryoctlError], tuple[str, EndReason]] = {
    StepLost: ("lost", EndReason.TARGET_LOST),
    DoseRefused: ("dose_spent", EndReason.DOSE),
    InterlockRefused: ("interlocked", EndReason.INTERLOCK),
    Interrupted: ("interrupted", EndReason.TARGET_LOST),
}
"""Trigger that an uncaught one fires where the chart has it, and why the run ends where it has not."""

OUTCOMES = {StepLost: "lost", DoseRefused: "refused", InterlockRefused: "refused", Interrupted: "interrupted"}
"""How the journal calls a step that ended so."""

Thrown = (StepLost, DoseRefused, InterlockRefused, Interrupted)


def where_uncaught_leads(machine: ProtocolMachine, error: CryoctlError) -> str | Ending:
    """A trigger of the chart, or the end of the run."""
    for kind, (trigger, reason) in THROWN.items():
        if isinstance(error, kind):
            return trigger if machine.can(trigger) else Ending(reason, error.message)
    raise error


def outcome_of(error: CryoctlError) -> str:
    """The journal's word for it."""
    return next(outcome for kind, outcome in OUTCOMES.items() if isinstance(error, kind))


def told(error: CryoctlError) -> dict[str, Any]:
    """As the journal keeps it: so that a resumed run can throw it again."""
    kept: dict[str, Any] = {"type": type(error).__name__, "message": error.message}
    return {**kept, "lost": list(error.lost)} if isinstance(error, Interrupted) else kept


def thrown_again(kept: dict[str, Any]) -> CryoctlError:
    """The inverse of `told`. Raises `RunFileError` for what the runner never threw."""
    if kept.get("type") == Interrupted.__name__:
        return Interrupted(str(kept.get("message", "")), tuple(kept.get("lost", ())))
    for kind in THROWN:
        if kind.__name__ == kept.get("type"):
            return kind(str(kept.get("message", "")))
    raise RunFileError(f"journal: a step ended by {kept.get('type')!r}, which no step ends by; use another copy of it")
