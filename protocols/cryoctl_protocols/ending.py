"""What stops a state of a protocol that has something to bring to rest: the run goes on, in good order, to its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar

from cryoctl.errors import DoseRefused, InterlockRefused, Interrupted, StepLost
from cryoctl.protocol import Steps
from cryoctl.steps import Command

STOPPED = (DoseRefused, InterlockRefused, Interrupted, StepLost)


class EndsInGoodOrder(Protocol):
    def end_by(self, error: Exception) -> str:
        """Remembers why, and gives the trigger that leads to rest."""
        ...


P = TypeVar("P", bound=EndsInGoodOrder)


def ending_well(state: Callable[[P], Steps]) -> Callable[[P], Steps]:
    """A state after which, whatever stops it, the run goes on to rest."""

    @wraps(state)
    def guarded(protocol: P) -> Steps:
        try:
            return (yield from state(protocol))
        except STOPPED as error:
            return protocol.end_by(error)

    return guarded


def bias_went_off(stopped_by: str) -> tuple[str, str]:
    """Trigger of the last state, and why in words, after a bias that ended otherwise than with its waveform; see
    `BiasRead.stopped_by`."""
    why = f"the bias went off ({stopped_by}) and is not switched on again by itself"
    if stopped_by == "pause":
        return "stopped", why
    return "held" if stopped_by.startswith("interlock ") else "lost", why


def ended_by(error: Exception) -> str:
    """Trigger of the last state: dose, held (by an interlock), or lost."""
    ways: tuple[tuple[type[Exception], str], ...] = ((DoseRefused, "dose"), (InterlockRefused, "held"))
    return next((name for kind, name in ways if isinstance(error, kind)), "lost")


def told_to_end(command: Command) -> tuple[str, str]:
    """Trigger of the last state, and why in words, where the operator ends the run or skips its only target."""
    return "stopped" if command.command == "stop-after" else "lost", command.command
