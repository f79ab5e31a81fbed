"""Plays a protocol against its journal: steps that it holds are answered from it, up to the one where it ends.

Pure: nothing is moved, exposed or written. A step that differs from the journal's is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from cryoctl.engine.ending import Ending, EndReason
from cryoctl.engine.exposure_row import exposed_again
from cryoctl.engine.machine import ProtocolMachine
from cryoctl.engine.played import Playing, played
from cryoctl.engine.set_points import SetPoints
from cryoctl.engine.thrown import thrown_again
from cryoctl.errors import BadInput, CryoctlError, RunFileError, StepLost
from cryoctl.protocol import Protocol
from cryoctl.runfile.fold import FoldedStep, RunFold
from cryoctl.steps import Expose, Exposed, Step
from cryoctl.steps.codec import decode, encode, fingerprint

_SHOWN = 110
"""Characters of a step in a message."""


@dataclass(slots=True, kw_only=True)
class Standing:
    """Where a protocol stands when its journal has been played.

    `playing` waits for the answer to `step`, which the journal has not; both are None where the run had come to its
    end. `outcome` is what came of that step nevertheless, where the journal tells: its exposure was settled, or is
    lost. `ending` is set where the run had ended without a final state.
    """

    machine: ProtocolMachine
    visits: dict[str, int] = field(default_factory=dict[str, int])
    key: int = 0
    playing: Playing | None = None
    entered: Callable[[str], None] = lambda state: None
    """Called by `playing` with each state that is entered; to be set by who goes on with it."""
    step: Step[Any] | None = None
    outcome: Exposed | CryoctlError | None = None
    ending: Ending | None = None
    set_points: SetPoints = field(default_factory=SetPoints)

    @property
    def state(self) -> str:
        return self.machine.state

    def enter(self, state: str) -> None:
        self.entered(state)


def replay(protocol: Protocol, fold: RunFold) -> Standing:
    """
    Raises:
        BadInput: a step differs from what the journal holds; both are named.
        RunFileError: the journal contradicts itself.
    """
    return _Replay(protocol, fold).play()


class _Replay:
    def __init__(self, protocol: Protocol, fold: RunFold) -> None:
        self._protocol = protocol
        self._fold = fold
        told = protocol.describe()
        spared = tuple(str(name) for name in told.get("targets", ())) if told.get("tilts") else ()
        self._at = Standing(machine=ProtocolMachine(protocol), set_points=SetPoints(targets=spared))

    def play(self) -> Standing:
        at = self._at
        at.entered = self._count
        playing = played(self._protocol, at.machine, at.enter)
        result: Any = None
        error: CryoctlError | None = None
        while True:
            try:
                step = playing.send(result) if error is None else playing.throw(error)
            except StopIteration as over:
                at.ending = over.value
                return at
            held = self._held(step)
            if held is None or not held.outcome:
                at.playing, at.step = playing, step
                if held is not None and type(step).on_interrupt == "never":
                    at.outcome = self._outcome(step, held)
                return at
            at.key += 1
            result, error = None, None
            if held.outcome == "done":
                result = decode(held.result)
                at.set_points.note(step, result)
            else:
                error = thrown_again(held.error or {})

    def _count(self, state: str) -> None:
        self._at.visits[state] = self._at.visits.get(state, 0) + 1

    def _held(self, step: Step[Any]) -> FoldedStep | None:
        """What the journal holds of the step; it must be the same one."""
        held = self._fold.steps.get(str(self._at.key))
        if held is None:
            return None
        asked = cast("dict[str, Any]", encode(step))
        if fingerprint(asked) != held.fingerprint:
            raise BadInput(
                f"step {self._at.key} in {self._at.state}: the journal holds {_shown(held.step)}, the protocol asks "
                f"for {_shown(asked)}: resume with the recipe and cryoctl of the run"[:300]
            )
        return held

    def _outcome(self, step: Step[Any], held: FoldedStep) -> Exposed | CryoctlError | None:
        """Of a step that is never repeated by itself; None where it had not begun."""
        if not isinstance(step, Expose):
            return StepLost(f"{type(step).__name__}: under way when the run was interrupted; look what came of it")
        if held.exposure is None:
            return None
        exposure = self._fold.exposures.get(held.exposure)
        if exposure is None:
            raise RunFileError(f"journal: step {held.key} made exposure {held.exposure}, of which there is no record")
        told = exposed_again(held.exposure, exposure, step, self._fold)
        if told is None:
            return StepLost(
                f"{exposure.row.get('kind')} exposure {held.exposure}: under way when the run was interrupted; its "
                "dose is charged in full"
            )
        return told


def _shown(step: dict[str, Any]) -> str:
    """A step in a few words: what it is, and its fields up to a length."""
    fields = ", ".join(f"{name} {value}" for name, value in step.items() if name != "is")
    text = f"{step.get('is')} ({fields})"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def chart_ending(protocol: Protocol, state: str) -> Ending:
    """Of a final state."""
    return Ending(EndReason(protocol.chart.finals[state]), protocol.closing_message(state))
