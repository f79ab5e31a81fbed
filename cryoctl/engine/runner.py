"""The runner: plays a protocol on an instrument; everything that must never be forgotten stands here.

Before each step: the operator, the interlocks, the journal. After it: the journal again, and the result reaches the
protocol only as the journal's codec gives it back. However the run ends, the safe state comes last.
"""

from __future__ import annotations

import asyncio
import contextlib
import traceback
from collections.abc import Callable
from typing import Any

from cryoctl.engine.actions import Actions
from cryoctl.engine.boundary import Aborted, Boundary, Secured
from cryoctl.engine.ending import Ending, EndReason, RunStatus
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.interlocks import build
from cryoctl.engine.machine import ProtocolMachine, StatusMachine
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.operator import OperatorDesk, Wish
from cryoctl.engine.outfit import Outfit
from cryoctl.engine.patience import outlive
from cryoctl.engine.played import Playing, played
from cryoctl.engine.reconnect import Links
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.replay import chart_ending
from cryoctl.engine.restore import Resumed, Return
from cryoctl.engine.securing import Securing
from cryoctl.engine.set_points import SetPoints
from cryoctl.engine.source_watch import INTERRUPTED
from cryoctl.engine.step_time import StepTime
from cryoctl.engine.thrown import Thrown, outcome_of, told
from cryoctl.errors import CryoctlError, InterlockRefused, Interrupted
from cryoctl.events import operator_said
from cryoctl.protocol import Protocol
from cryoctl.steps import Expose, Exposed, Step
from cryoctl.steps.codec import decode, encode, fingerprint


class _Reached(Exception):
    """The state of --until is about to be entered."""


class Runner:
    """One run of one protocol.

    Args:
        outfit: everything a run needs (devices, stores, sinks, gate), connected by `launch`.
        until: name of a state at whose entry the run ends in good order, or empty.
        resumed: where an earlier session of this run left the protocol, and what it left.
    """

    def __init__(self, protocol: Protocol, outfit: Outfit, until: str = "", resumed: Resumed | None = None) -> None:
        self._protocol = protocol
        self._outfit = outfit
        self._until = until
        self._resumed = resumed
        self._machine = ProtocolMachine(protocol) if resumed is None else resumed.standing.machine
        self._set_points = SetPoints() if resumed is None else resumed.standing.set_points
        self._recorder: Recorder = outfit.recorder
        self._monitors: Monitors = outfit.monitors
        self._operator: OperatorDesk = outfit.operator
        self._desk: ExposureDesk = outfit.desk
        self._shelf: FrameShelf = outfit.shelf
        self._status = StatusMachine(self._tell_status)
        limits = protocol.interlock_limits()
        interlocks = build(limits, protocol.interlock_policies())
        links = Links(outfit.devices, outfit.identities, self._recorder, self._set_again, self._meet)
        links.set_points = lambda: self._set_points
        self._boundary = Boundary(self._operator, self._monitors, interlocks, self._recorder, self._status, links.mend)
        self._key = 0 if resumed is None else resumed.standing.key
        self._visits: dict[str, int] = {} if resumed is None else resumed.standing.visits
        self._beside = 0
        self.untold: list[str] = []
        """What could not be recorded on the way to the safe state."""
        self._devices = outfit.devices
        self._actions = Actions(
            outfit.devices,
            outfit.optics,
            self._desk,
            self._shelf,
            self._recorder,
            self._monitors,
            self._operator,
            self._boundary.cross,
            outfit.allowed,
            links,
            self._boundary.refuse,
            limits,
        )
        self._boundary.rest_bias = self._monitors.source.rest
        links.source = self._monitors.source
        if resumed is not None:
            self._monitors.source.continue_after(resumed.fold)
            self._actions.needle.continue_after(resumed.fold)
        self._step_time = StepTime(self._actions, self._desk, self._operator, self._boundary, self._tell_fault)
        self._securing = Securing(outfit, self._status, self._try_to)

    @property
    def interlocks_met(self) -> list[dict[str, Any]]:
        """Those of the run so far, as the summary has them."""
        return self._boundary.met

    async def run(self, prepared: Callable[[], None] = lambda: None) -> Ending:
        """Play the protocol to an end and reach the safe state.

        Never raises for what an experiment can meet, an error of the software included. A cancellation of this task is
        taken as an abort, so that the beam is blanked and the file whole before the process goes.

        Args:
            prepared: called once the devices answered, before the first step.
        """
        playing = asyncio.create_task(self._played(prepared))
        await outlive(playing, lambda: self._operator.take("abort", "the process was told to stop"))
        try:
            ending = playing.result()
        except BaseException as error:  # Ctrl-C in Python itself, or the loop's own end
            ending = Ending(EndReason.OPERATOR, f"the process was told to stop ({type(error).__name__})")
        securing = asyncio.create_task(self._securing.secure(ending))
        await outlive(securing)
        return securing.result()

    async def _played(self, prepared: Callable[[], None]) -> Ending:
        self._operator.open()
        self._operator.tell(self._tell_command)
        try:
            self._status.fire("prepare")
            await self._monitors.source.begin(None)
            await self._monitors.sample(force=True)
            await self._monitors.source.begin(self._monitors.last_bias)
            prepared()
            self._status.fire("start")
            return await self._play_chart()
        except Aborted:
            return Ending(EndReason.OPERATOR, f"ended by the operator ({self._operator.abort_source})")
        except Secured as tripped:
            return Ending(EndReason.INTERLOCK, str(tripped))
        except CryoctlError as error:
            return self._faulted(error.message)
        except TimeoutError as error:  # an OSError to Python, and no fault of the disk
            return self._faulted(f"a device did not answer in time ({error or 'no answer'}); the run ends here, safe")
        except OSError as error:
            self._outfit.on_disk_fault()
            return self._faulted(f"disk or file: {error.strerror or error}; the run ends here, safe")
        except Exception as error:
            told = f"cryoctl met an error of its own ({type(error).__name__}: {str(error)[:150]}); the run ends here"
            return self._faulted(told, {"traceback": "".join(traceback.format_exception(error))})

    def _faulted(self, message: str, data: dict[str, Any] | None = None) -> Ending:
        self._try_to(lambda: self._recorder.event("fault", self._machine.state, message, "error", data))
        return Ending(EndReason.DEVICE, message)

    def _tell_fault(self, name: str, message: str) -> None:
        self._try_to(lambda: self._recorder.event("fault", name, message, "warning"))

    def _try_to(self, tell: Callable[[], None]) -> None:
        """Telling must not stand in the way of safety: a full disk takes no words any more."""
        try:
            tell()
        except Exception as error:
            self.untold.append(f"{type(error).__name__}: {error}")

    async def _play_chart(self) -> Ending:
        try:
            if self._resumed is None:
                ending = await self._play(played(self._protocol, self._machine, self._enter))
            else:
                ending = await self._take_up(self._resumed)
        except _Reached as reached:
            return Ending(EndReason.CONDITION, f"stopped on entering {reached}, as asked by --until")
        if ending is not None:
            return ending
        self._enter(self._machine.state)
        ending = chart_ending(self._protocol, self._machine.state)
        secured_by = self._boundary.secured_by
        return Ending(ending.reason, secured_by) if secured_by and ending.reason is EndReason.INTERLOCK else ending

    async def _take_up(self, resumed: Resumed) -> Ending | None:
        """Go on where the journal ends: what is certain of the step under way is told first, the instrument is driven
        back, and the protocol is answered as if nothing had been."""
        standing = resumed.standing
        if standing.playing is None or standing.step is None:
            return standing.ending
        standing.entered = self._enter
        self._desk.state = standing.state
        if sum(self._visits.values()) > resumed.states_told:
            self._tell_state(standing.state)
        outcome = standing.outcome
        await self._actions.darken(INTERRUPTED)
        if lost := (*self._protocol.lost_by_interruption(), *resumed.fold.bias_left_on()):
            if str(standing.key) not in resumed.fold.steps:
                self._tell_asked(standing.step, str(standing.key))  # a result without its step would be nobody's
            outcome = Interrupted(f"the run was interrupted: {', '.join(lost)} can't be driven back", lost)
            self._set_points.light = None
        else:
            await Return(resumed, self._devices, self._desk, self._recorder, self._carry_out_beside).drive_back()
        return await self._play(standing.playing, standing.step, outcome)

    async def _carry_out_beside(self, step: Step[Any]) -> Any:
        """A step that the protocol did not ask for; its key has the session before the point."""
        self._beside += 1
        return await self._carry_out(step, f"r{self._resumed.session if self._resumed else 0}.{self._beside}")

    def _enter(self, state: str) -> None:
        if state == self._until:
            raise _Reached(state)
        self._visits[state] = self._visits.get(state, 0) + 1
        self._desk.state = state
        self._tell_state(state)

    def _tell_state(self, state: str) -> None:
        visit = self._visits[state]
        label = self._protocol.chart.labels.get(state, state.replace("_", " "))
        self._recorder.record("state", {"state": state, "label": label})
        self._recorder.event("state", state, label, data={"visit": visit})
        for hook in self._outfit.on_state:
            hook(state, visit)

    async def _play(
        self, playing: Playing, asked: Step[Any] | None = None, outcome: Exposed | CryoctlError | None = None
    ) -> Ending | None:
        """Carry out what a protocol asks for, to its end (see `played`).

        Args:
            asked: what an earlier session was asked for last.
            outcome: what is known to have come of that.
        """
        step, result, error = asked, None, None
        while True:
            if step is None:
                try:
                    step = playing.send(result) if error is None else playing.throw(error)
                except StopIteration as over:
                    return over.value
            result, error = None, None
            try:
                if outcome is not None:
                    result = self._conclude(step, self._next_key(), outcome)
                else:
                    result = await self._carry_out(step, self._next_key())
            except Thrown as thrown:
                error = thrown
            except BaseException:
                with contextlib.suppress(Exception):  # a protocol that yields in `finally` must not hide the reason
                    playing.close()
                raise
            step, outcome = None, None

    def _next_key(self) -> str:
        self._key += 1
        return str(self._key - 1)

    async def _carry_out(self, step: Step[Any], key: str) -> Any:
        forbidden: InterlockRefused | None = None
        try:
            await self._boundary.cross(exposes=isinstance(step, Expose))
        except InterlockRefused as error:
            forbidden = error  # the step's own result, which a resume is told again
        self._tell_asked(step, key)
        try:
            outcome = forbidden or await self._step_time.carry_out(step)
        except Thrown as error:
            outcome = error
        return self._conclude(step, key, outcome)

    def _tell_asked(self, step: Step[Any], key: str) -> None:
        asked = encode(step)
        assert asked is not None
        self._recorder.record("step", {"key": key, "step": asked, "fp": fingerprint(asked)})

    def _conclude(self, step: Step[Any], key: str, outcome: Any) -> Any:
        """Journal what came of a step; the protocol is given what the journal holds, an error is raised."""
        if isinstance(outcome, CryoctlError):
            kept = {"key": key, "outcome": outcome_of(outcome), "result": None, "error": told(outcome)}
            self._recorder.record("result", kept)
            self._recorder.event("decision", type(step).__name__, outcome.message, "warning")
            raise outcome
        encoded = encode(outcome)
        self._recorder.record("result", {"key": key, "outcome": "done", "result": encoded, "error": None})
        result = decode(encoded)
        self._set_points.note(step, result)
        return result

    def _meet(self, name: str, policy: str, found: str) -> dict[str, Any]:
        return self._boundary.meet(name, policy, found)

    async def _set_again(self, step: Step[Any]) -> None:
        await self._actions.set_again(step)

    def _tell_status(self, status: RunStatus) -> None:
        self._recorder.record("status", {"status": status.value})
        self._recorder.tell("status", status.value, status.value)

    def _tell_command(self, wish: Wish) -> None:
        told = {"command": wish.command, "source": wish.source, "text": wish.text, "who": wish.who}
        self._recorder.record("command", told)
        self._recorder.event(
            "operator", wish.command, operator_said(told), data={"source": wish.source, "who": wish.who}
        )
