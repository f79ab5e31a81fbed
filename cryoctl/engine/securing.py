"""The end of a run: the safe state, what it makes of the ending, and both told."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from cryoctl.engine.ending import Ending, EndReason
from cryoctl.engine.machine import StatusMachine
from cryoctl.engine.outfit import Outfit
from cryoctl.engine.safe_state import (
    BIAS,
    BLANK,
    DARK,
    FLUSH,
    SafeAction,
    dangers,
    reach_safe_state,
    shortfalls,
    unconfirmed,
)

_INSTEAD = {
    BLANK: "the blanker failed ({}); the column valves were closed",
    BIAS: "the source could not be brought to rest ({}); it was cut off",
    DARK: "the light may be on ({}); switch it off by hand",
    FLUSH: "data may not have reached the disk ({}); look at it before the run file is used",
}
"""By action: what was done instead."""

TryTo = Callable[[Callable[[], None]], None]


class Securing:
    """
    Args:
        try_to: tells something where telling must not stand in the way of safety.
    """

    def __init__(self, outfit: Outfit, status: StatusMachine, try_to: TryTo) -> None:
        self._outfit = outfit
        self._status = status
        self._recorder = outfit.recorder
        self._try_to = try_to

    async def secure(self, ending: Ending) -> Ending:
        """Reach the safe state and tell the end. Never raises."""
        self._try_to(lambda: self._status.fire("secure"))
        alarm = ending.reason in (EndReason.DEVICE, EndReason.INTERLOCK)
        actions = await reach_safe_state(
            self._outfit.devices,
            alarm=alarm,
            last_bias=self._outfit.monitors.last_bias,
            flush=self._outfit.flush,
        )
        self._outfit.monitors.source.secured = True
        self._try_to(self._outfit.operator.tell_waiting)
        self._tell(actions)
        ending = ending_after(ending, actions)
        if not alarm:
            await self._outfit.desk.books.measure_last(self._outfit.devices.beam)
        with contextlib.suppress(Exception):
            await self._outfit.monitors.sample(force=True)
        self._try_to(self._outfit.desk.books.close)
        level = "info" if ending.exit_code == 0 else "warning"
        self._try_to(lambda: self._recorder.event("end", ending.reason.value, ending.message, level))
        told = {
            "status": ending.status.value,
            "end_reason": ending.reason.value,
            "exit_code": ending.exit_code,
            "message": ending.message,
        }
        self._try_to(lambda: self._recorder.record("end", told, sync=True))
        self._try_to(lambda: self._status.fire(ending.status.value))
        return ending

    def _tell(self, actions: tuple[SafeAction, ...]) -> None:
        told = [{"name": one.name, "confirmed": one.confirmed, "detail": one.detail} for one in actions]
        self._try_to(lambda: self._recorder.record("safe_state", {"actions": told}))
        for action in unconfirmed(actions):
            message = f"safe state: could not {action.name}: {action.detail}"
            self._try_to(lambda name=action.name, text=message: self._recorder.event("fault", name, text, "error"))


def ending_after(ending: Ending, actions: tuple[SafeAction, ...]) -> Ending:
    """What a run ends with once these were tried."""
    if dangerous := dangers(actions):
        worst = dangerous[0]
        return Ending(
            EndReason.UNCONFIRMED,
            f"SAFE STATE NOT CONFIRMED: could not {worst.name} ({worst.detail}); go to the microscope",
        )
    if (short := shortfalls(actions)) and ending.reason is not EndReason.DEVICE:
        return Ending(EndReason.DEVICE, _INSTEAD[short[0].name].format(short[0].detail))
    return ending
