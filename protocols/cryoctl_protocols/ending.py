"""What stops a state of a protocol that has something to bring to rest: the run goes on, in good order, to its end."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Protocol, TypeVar

from cryoctl.errors import DoseRefused, InterlockRefused, Interrupted, StepLost
from cryoctl.protocol import Steps

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


def ended_by(error: Exception) -> str:
    """Trigger of the last state: dose, held (by an interlock), or lost."""
    ways: tuple[tuple[type[Exception], str], ...] = ((DoseRefused, "dose"), (InterlockRefused, "held"))
    return next((name for kind, name in ways if isinstance(error, kind)), "lost")
