"""Builds `transitions` machines from charts; the only module that knows the library.

Callbacks only record: hardware is the runner's business, so a plain `Machine` is enough.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transitions import Machine, MachineError

from cryoctl.engine.ending import RunStatus
from cryoctl.errors import RunFileError
from cryoctl.protocol import Chart, Protocol

_RUN_TRANSITIONS = (
    ("prepare", RunStatus.IDLE, RunStatus.PREPARING),
    ("start", RunStatus.PREPARING, RunStatus.RUNNING),
    ("pause", RunStatus.RUNNING, RunStatus.PAUSED),
    ("go", RunStatus.PAUSED, RunStatus.RUNNING),
    ("secure", RunStatus.IDLE, RunStatus.SECURING),
    ("secure", RunStatus.PREPARING, RunStatus.SECURING),
    ("secure", RunStatus.RUNNING, RunStatus.SECURING),
    ("secure", RunStatus.PAUSED, RunStatus.SECURING),
    ("completed", RunStatus.SECURING, RunStatus.COMPLETED),
    ("limited", RunStatus.SECURING, RunStatus.LIMITED),
    ("aborted", RunStatus.SECURING, RunStatus.ABORTED),
    ("faulted", RunStatus.SECURING, RunStatus.FAULTED),
)


class _Position:
    """The model that `transitions` moves; it adds `state` and nothing else is read."""

    state: str


class ProtocolMachine:
    """Where a protocol is in its chart.

    Args:
        protocol: its chart is checked here: every state has a generator method, every guard exists.

    Raises:
        RunFileError: the chart contradicts the protocol class.
    """

    def __init__(self, protocol: Protocol) -> None:
        chart = protocol.chart
        _check(chart, protocol)
        self._chart = chart
        self._protocol = protocol
        self._position = _Position()
        self._machine: Any = Machine(
            model=self._position,
            states=[*chart.states, *chart.finals],
            initial=chart.initial,
            auto_transitions=False,
            transitions=[
                {
                    "trigger": move.trigger,
                    "source": move.source,
                    "dest": move.dest,
                    "conditions": [getattr(protocol, move.guard)] if move.guard else [],
                }
                for move in chart.transitions
            ],
        )

    @property
    def state(self) -> str:
        return self._position.state

    @property
    def ended(self) -> bool:
        return self.state in self._chart.finals

    def can(self, trigger: str) -> bool:
        """Whether the chart has such a way from here and its guard lets it pass."""
        return any(
            move.trigger == trigger and move.source == self.state and (not move.guard or self._passes(move.guard))
            for move in self._chart.transitions
        )

    def _passes(self, guard: str) -> bool:
        return bool(getattr(self._protocol, guard)())

    def fire(self, trigger: str) -> str:
        """Go on; returns the new state. Raises `RunFileError` where the chart has no such way."""
        fire: Callable[[str], bool] = getattr(self._position, "trigger")  # noqa: B009 - added by transitions
        try:
            moved = fire(trigger)
        except (MachineError, AttributeError) as error:
            raise RunFileError(f"{self.state}: the chart has no transition {trigger!r} from here") from error
        if not moved:
            raise RunFileError(f"{self.state}: no guard lets the transition {trigger!r} pass")
        return self.state


class StatusMachine:
    """The run's own small machine; `on_change` records each new status."""

    def __init__(self, on_change: Callable[[RunStatus], None]) -> None:
        self._on_change = on_change
        self._position = _Position()
        self._machine: Any = Machine(
            model=self._position,
            states=[status.value for status in RunStatus],
            initial=RunStatus.IDLE.value,
            auto_transitions=False,
            transitions=[[name, source.value, dest.value] for name, source, dest in _RUN_TRANSITIONS],
        )

    @property
    def status(self) -> RunStatus:
        return RunStatus(self._position.state)

    def fire(self, trigger: str) -> None:
        fire: Callable[[str], bool] = getattr(self._position, "trigger")  # noqa: B009 - added by transitions
        fire(trigger)
        self._on_change(self.status)


def _check(chart: Chart, protocol: Protocol) -> None:
    missing = [state for state in chart.states if not callable(getattr(protocol, state, None))]
    if missing:
        raise RunFileError(f"protocol {protocol.name}: no method for state {missing[0]!r} of its chart")
    known = {*chart.states, *chart.finals}
    for move in chart.transitions:
        if move.source not in known or move.dest not in known:
            raise RunFileError(f"protocol {protocol.name}: transition {move.trigger!r} names an unknown state")
        if move.guard and not callable(getattr(protocol, move.guard, None)):
            raise RunFileError(f"protocol {protocol.name}: guard {move.guard!r} does not exist")
