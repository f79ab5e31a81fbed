"""The one way to play a chart: who answers its steps decides whether it is a run, a resume's replay or a forecast."""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import Any

from cryoctl.engine.ending import Ending
from cryoctl.engine.machine import ProtocolMachine
from cryoctl.engine.thrown import Thrown, where_uncaught_leads
from cryoctl.protocol import Protocol
from cryoctl.steps import Step

Playing = Generator[Step[Any], Any, Ending | None]


def played(protocol: Protocol, machine: ProtocolMachine, entered: Callable[[str], None]) -> Playing:
    """Yields each step of a protocol; is sent its result, or thrown what came of it instead.

    Args:
        machine: stands where the playing begins, and moves on with it.
        entered: called with each state before it is played; what it raises ends the playing.

    Returns:
        None in a final state; how the run ends where neither protocol nor chart had an answer to what was thrown.
    """
    while not machine.ended:
        entered(machine.state)
        try:
            trigger: str | Ending = yield from getattr(protocol, machine.state)()
        except Thrown as uncaught:
            trigger = where_uncaught_leads(machine, uncaught)
        if isinstance(trigger, Ending):
            return trigger
        machine.fire(trigger)
    return None
