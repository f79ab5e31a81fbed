"""The needle: what moves it, how near it may be, and what must not happen while it is near.

Where the apex is nobody knows; a gap is seen in an image, and from then on every movement is taken off it as if it had
gone towards the specimen, by as much as it can have gone at most.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

from cryoctl.engine.monitors import Monitors
from cryoctl.engine.patience import answered
from cryoctl.engine.recorded import as_recorded
from cryoctl.engine.recorder import Recorder
from cryoctl.errors import BadInput, InterlockRefused, ReadBackMismatch, StepLost
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.needle import Needle, NeedleHold, NeedleState
from cryoctl.interfaces.recording import RecordedDevice
from cryoctl.runfile.fold import RunFold
from cryoctl.steps import (
    NeedleAt,
    NoteGap,
    NoteHold,
    PlaceNeedle,
    ReadNeedle,
    SetNeedleVoltage,
    Step,
    StepNeedle,
    WithdrawNeedle,
)

CLEARANCE = "needle-clearance"
CLEAR_M = 2e-6
"""Least gap with which the stage may move, unless the recipe says otherwise."""
BURST_S = 0.5
"""Coarse steps are sent in bursts that last no longer, so that a pause acts between them."""
BURST_LIMIT_S = 20.0
WITHDRAW_LIMIT_S = 120.0
_MOVES = ("StepNeedle", "PlaceNeedle", "SetNeedleVoltage")


class NeedleDesk:
    """Carries out the needle's steps.

    Args:
        refuse: tells an interlock that forbids a step, and gives what to raise.
        between: awaited between two bursts.
        clear_m: least sure gap with which the stage may move (m).
    """

    def __init__(
        self,
        devices: DeviceSet,
        recorder: Recorder,
        monitors: Monitors,
        refuse: Callable[[str, str], InterlockRefused],
        between: Callable[[], Awaitable[None]],
        clear_m: float = CLEAR_M,
    ) -> None:
        self._devices = devices
        self._recorder = recorder
        self._monitors = monitors
        self._refuse = refuse
        self._between = between
        self._clear_m = clear_m
        self._gap_low_m = math.nan
        self._was_moved = False
        actions: dict[type[Any], Callable[[Any], Awaitable[NeedleAt]]] = {
            NoteGap: self._note_gap,
            NoteHold: self._note_hold,
            PlaceNeedle: self._place,
            ReadNeedle: self._read,
            SetNeedleVoltage: self._set_voltage,
            StepNeedle: self._step,
            WithdrawNeedle: self._withdraw,
        }
        self.table = actions
        if isinstance(devices.needle, RecordedDevice):
            self.table = dict.fromkeys(actions, self._as_recorded)

    def continue_after(self, fold: RunFold) -> None:
        """An earlier session of the run moved it: until its gap is seen again nothing else moves."""
        self._was_moved = any(step.step.get("is") in _MOVES for step in fold.steps.values())

    async def check_stage_move(self) -> None:
        """Raises `InterlockRefused` while the needle may be near. One that the run never moved, and whose tube is not
        live, is where the operator left it: there the stage may move."""
        needle = self._devices.needle
        if needle is None:
            return
        state = await answered(needle.state(), needle.name)
        if state.hold is not NeedleHold.FREE:
            raise self._refuse(
                CLEARANCE, f"the needle is {_SAID[state.hold]}; free and withdraw it, then the stage moves"
            )
        self._check_live(state)
        if (state.high_voltage_on or self._was_moved) and not self._gap_low_m >= self._clear_m:
            raise self._refuse(
                CLEARANCE,
                f"the needle's gap is {_told(self._gap_low_m)}, the stage moves from {self._clear_m * 1e6:.3g} um on; "
                "withdraw it or see its gap again",
            )

    async def _as_recorded(self, step: Step[Any]) -> NeedleAt:
        """What it says of the gap holds for the stage's moves, as it did."""
        needle = self._needle()
        assert isinstance(needle, RecordedDevice)
        at: NeedleAt = await as_recorded(needle, step, self._refuse)
        self._gap_low_m = at.gap_low_m
        if isinstance(step, WithdrawNeedle):
            self._was_moved = False
        elif type(step).__name__ in _MOVES:
            self._was_moved = True
        state = await answered(needle.state(), needle.name)
        if isinstance(step, NoteHold):
            self._tell_hold(state)
        if isinstance(step, SetNeedleVoltage | WithdrawNeedle):
            self._watch(needle, state)
        return at

    async def _read(self, step: ReadNeedle) -> NeedleAt:
        del step
        needle = self._needle()
        return self._at(await answered(needle.state(), needle.name))

    async def _step(self, step: StepNeedle) -> NeedleAt:
        needle = self._needle()
        state = await answered(needle.state(), needle.name)
        self._check_live(state)
        longest_m = needle.capabilities.coarse_step_m[1]
        if state.hold is not NeedleHold.FREE:
            raise self._refuse(CLEARANCE, f"the needle is {_SAID[state.hold]}; coarse steps would tear it off")
        if not self._gap_low_m - abs(step.steps) * longest_m > 0.0:
            raise self._refuse(
                CLEARANCE,
                f"{abs(step.steps)} coarse steps may be {abs(step.steps) * longest_m * 1e6:.3g} um, the needle's gap "
                f"is {_told(self._gap_low_m)}; take fewer, or go on with the tube",
            )
        at_once = max(1, int(BURST_S / needle.capabilities.step_s))
        left = step.steps
        while left:
            burst = max(-at_once, min(at_once, left))
            self._travels(abs(burst) * longest_m)
            before = state.coarse_steps
            state = await answered(needle.step(step.axis, burst), needle.name, BURST_LIMIT_S)
            moved = tuple(after - earlier for after, earlier in zip(state.coarse_steps, before, strict=True))
            if moved != tuple(burst if axis == step.axis else 0 for axis in "xyz"):
                self._gap_low_m = math.nan
                raise ReadBackMismatch(
                    f"{needle.name}: {burst} coarse steps along {step.axis} were sent, its counters went on by "
                    f"{moved}; look where the apex is"
                )
            left -= burst
            if left:
                await self._between()
        return self._at(state)

    async def _place(self, step: PlaceNeedle) -> NeedleAt:
        needle = self._needle()
        before = (await answered(needle.state(), needle.name)).fine_m
        wanted = (step.x_m, step.y_m, step.z_m)
        low_m, high_m = needle.capabilities.fine_range_m
        if not all(low_m <= value <= high_m for value in wanted):
            told = ", ".join(f"{value * 1e6:.3g}" for value in wanted)
            raise StepLost(
                f"{needle.name}: the tube would have to go to ({told}) um, it reaches from {low_m * 1e6:.3g} to "
                f"{high_m * 1e6:.3g} um: bring the needle nearer by coarse steps, or look whether it moved at all"
            )
        self._travels(self._furthest_m(before, wanted))
        state = await answered(needle.fine(*wanted), needle.name)
        if math.dist(state.fine_m, wanted) > 1e-12:
            raise ReadBackMismatch(f"{needle.name}: the tube was set to {wanted} m and reads back {state.fine_m} m")
        return self._at(state)

    async def _set_voltage(self, step: SetNeedleVoltage) -> NeedleAt:
        needle = self._needle()
        state = await answered(needle.state(), needle.name)
        there_m = (0.0, 0.0, 0.0) if step.on else needle.capabilities.grounded_m
        reach_m = self._furthest_m(state.fine_m, there_m)
        if step.on:
            self._check_vacuum(needle, (await self._monitors.sample()).pressure_pa)
        free = state.hold is NeedleHold.FREE and self._gap_low_m > reach_m
        if state.high_voltage_on is not step.on and not free and not (step.on and reach_m == 0.0):
            makes = "bringing its voltage on moves" if step.on else "grounding the tube makes"
            raise self._refuse(
                CLEARANCE,
                f"{makes} the apex {'' if step.on else 'jump '}by up to {reach_m * 1e6:.3g} um, the needle's gap is "
                f"{_told(self._gap_low_m)}; withdraw it",
            )
        self._travels(reach_m)
        state = await answered(needle.high_voltage(step.on), needle.name)
        if state.high_voltage_on is not step.on:
            raise ReadBackMismatch(f"{needle.name}: its high voltage was switched and reads back otherwise")
        self._watch(needle, state)
        return self._at(state)

    def _check_live(self, state: NeedleState) -> None:
        """A tube that lost its voltage by itself: what was seen of the gap holds no more."""
        if self._monitors.needle_live and not state.high_voltage_on:
            self._gap_low_m = math.nan

    def _check_vacuum(self, needle: Needle, pressure_pa: float) -> None:
        limit_pa = needle.capabilities.vacuum_limit_pa
        if not pressure_pa <= limit_pa:
            found = "can't be read" if math.isnan(pressure_pa) else f"is {pressure_pa:.2g} Pa"
            raise self._refuse(
                "needle-vacuum",
                f"the pressure {found}, the needle's high voltage needs {limit_pa:.2g} Pa or less",
            )

    async def _note_gap(self, step: NoteGap) -> NeedleAt:
        if not (step.gap_m >= 0.0 and 0.0 <= step.sigma_m < math.inf):
            raise BadInput(f"gap: found {step.gap_m:g} m, sigma {step.sigma_m:g} m; allowed are 0 m and more")
        self._gap_low_m = max(0.0, step.gap_m - 3 * step.sigma_m)
        return await self._read(ReadNeedle())

    async def _note_hold(self, step: NoteHold) -> NeedleAt:
        needle = self._needle()
        state = await answered(needle.note_hold(NeedleHold(step.hold)), needle.name)
        if state.hold is not NeedleHold.FREE:
            self._gap_low_m = 0.0
        self._tell_hold(state)
        return self._at(state)

    async def _withdraw(self, step: WithdrawNeedle) -> NeedleAt:
        del step
        needle, bias = self._needle(), self._devices.bias
        state = await answered(needle.state(), needle.name)
        if state.hold.is_fast:
            raise self._refuse(CLEARANCE, f"the needle is {_SAID[state.hold]}; it is not withdrawn")
        if bias is not None and (await answered(bias.read(), bias.name)).output_on:
            raise self._refuse(CLEARANCE, f"{bias.name} has its output on; bring it to rest, then withdraw the needle")
        self._gap_low_m = math.nan
        await answered(needle.make_safe(), needle.name, WITHDRAW_LIMIT_S)
        state = await answered(needle.state(), needle.name)
        if state.high_voltage_on:
            raise ReadBackMismatch(f"{needle.name}: withdrawn, yet its high voltage reads back on")
        self._was_moved = False
        self._watch(needle, state)
        return self._at(state)

    async def made_safe(self) -> None:
        """The safe state has brought it to rest: withdrawn, unless it holds or is held by something."""
        needle = self._devices.needle
        if needle is None:
            return
        state = await answered(needle.state(), needle.name)
        self._gap_low_m = math.nan
        if state.hold is NeedleHold.FREE and not state.high_voltage_on:
            self._was_moved = False
        self._watch(needle, state)

    def _tell_hold(self, state: NeedleState) -> None:
        self._recorder.event("note", "needle", f"the needle is {_SAID[state.hold]}")

    def _needle(self) -> Needle:
        if self._devices.needle is None:
            raise BadInput("needle: the instrument file has no needle; name an instrument that has one")
        return self._devices.needle

    def _furthest_m(self, here_m: tuple[float, float, float], there_m: tuple[float, float, float]) -> float:
        """How far the apex may go at most when the tube is sent from one set point to another."""
        return math.dist(here_m, there_m) * (1.0 + 3.0 * self._needle().capabilities.fine_sigma_rel)

    def _travels(self, furthest_m: float) -> None:
        self._was_moved = True
        left_m = self._gap_low_m - furthest_m
        self._gap_low_m = 0.0 if left_m < 0.0 else left_m

    def _watch(self, needle: Needle, state: NeedleState) -> None:
        self._monitors.needle_limit_pa = needle.capabilities.vacuum_limit_pa if state.high_voltage_on else math.inf
        self._monitors.needle_live = state.high_voltage_on

    def _at(self, state: NeedleState) -> NeedleAt:
        return NeedleAt(
            coarse_steps=state.coarse_steps,
            fine_m=state.fine_m,
            high_voltage_on=state.high_voltage_on,
            hold=state.hold.value,
            gap_low_m=self._gap_low_m,
            longest_step_m=self._needle().capabilities.coarse_step_m[1],
            time_s=self._recorder.time_s,
        )


_SAID = {
    NeedleHold.FREE: "free",
    NeedleHold.CONTACT: "in contact",
    NeedleHold.CARRYING: "carrying what hangs on it",
    NeedleHold.BONDED: "bonded",
}


def _told(gap_m: float) -> str:
    return "not known" if math.isnan(gap_m) else f"{gap_m * 1e6:.3g} um at worst"
