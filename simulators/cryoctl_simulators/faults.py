"""Scheduled faults: what can go wrong with a simulated device, when it does, and for how long."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryoctl.errors import InstrumentError
from cryoctl.units import quoted
from cryoctl_simulators.fault_catalogue import FAULTS, WIRE

_KEYS = ("device", "fault", "at", "for_s")
_ONCE = (
    "current-jump",
    "refill-shakes",
    "valve-closed",
    "compliance-trip",
    "restarted",
    "voltage-trip",
    "jumps",
    "goes-out",
)
_MOMENTS = ("time_s", "exposure", "state", "visit")


@dataclass(slots=True)
class Scheduled:
    """A fault of this run.

    Without `for_s` it lasts until it has acted once, or to the end of the exposure that set it off; a state of things
    (current drift, beam lost, nitrogen low ...) set off by a time or a state of the protocol then lasts to the end.
    """

    device: str
    fault: str
    parameters: dict[str, float]
    time_s: float | None
    exposure: int | None
    state: str | None
    visit: int
    for_s: float | None
    began_s: float | None = None
    spent: bool = False

    def active(self, now_s: float) -> bool:
        if self.began_s is None and self.time_s is not None and now_s >= self.time_s:
            self.began_s = self.time_s if self.for_s is not None else now_s
        if self.began_s is None or self.spent:
            return False
        return self.for_s is None or now_s < self.began_s + self.for_s


class FaultSchedule:
    """The faults of a run and what set them off.

    Args:
        entries: of a `--faults` file.
        clock: gives the run's time (s).

    Raises:
        InstrumentError: an entry that could never act, in one sentence.
    """

    def __init__(self, entries: Sequence[Mapping[str, Any]], clock: Callable[[], float]) -> None:
        self._clock = clock
        self._kinds: dict[str, str] = {}
        self._wired: set[str] = set()
        self._scheduled = [_read(index, entry) for index, entry in enumerate(entries)]
        self._visits: dict[str, int] = {}
        self.on_begin: Callable[[Scheduled], None] = lambda one: None
        """Told each fault that a state or an exposure sets off."""

    def register(self, device: str, kind: str, *, wired: bool = False) -> None:
        """A device of the instrument and its kind, so that faults can name either; `wired` where it is emulated."""
        self._kinds[device] = kind
        if wired:
            self._wired.add(device)

    def check(self) -> None:
        """Every fault names a device of this instrument, and one that its kind knows.

        Raises:
            InstrumentError: otherwise.
        """
        known = {*self._kinds, *self._kinds.values()}
        for index, one in enumerate(self._scheduled):
            kind = self._kinds.get(one.device, one.device)
            wired = one.device == WIRE or any(one.device in (name, self._kinds[name]) for name in self._wired)
            if self._wired and wired and any((entry.device, entry.fault) == (WIRE, one.fault) for entry in FAULTS):
                continue
            if one.device not in known:
                near = _near(one.device, known)
                raise InstrumentError(f"faults[{index}].device: {quoted(one.device)} is not in this instrument; {near}")
            if not any(entry.device == kind and entry.fault == one.fault for entry in FAULTS):
                names = ", ".join(entry.fault for entry in FAULTS if entry.device == kind) or "none"
                raise InstrumentError(f"faults[{index}].fault: a {kind} has no fault {one.fault!r}; it has {names}")

    def timed(self, devices: Sequence[str]) -> list[Scheduled]:
        """Those of these devices that are set off by a run time."""
        return [one for one in self._scheduled if one.time_s is not None and one.device in devices]

    def note_state(self, state: str, visit: int = 0) -> None:
        """The engine entered a state of the protocol, the how-manieth time counted from 1 (0: count here)."""
        count = visit or self._visits.get(state, 0) + 1
        self._visits[state] = count
        for one in self._scheduled:
            if one.state == state and one.visit == count and one.began_s is None:
                one.began_s = self._clock()
                self.on_begin(one)

    def note_exposure(self, exposure: int) -> None:
        """An exposure begins; what was set off by an earlier one and has no duration is over."""
        for one in self._scheduled:
            if one.exposure is not None and one.exposure != exposure and one.began_s is not None and one.for_s is None:
                one.spent = True
            if one.exposure == exposure and one.began_s is None:
                one.began_s = self._clock()
                self.on_begin(one)

    def has(self, device: str, fault: str) -> bool:
        return any(one.device == device and one.fault == fault for one in self._scheduled)

    def find(self, device: str, fault: str) -> dict[str, float] | None:
        """Parameters of a fault that is active now, None where there is none; does not use it up."""
        one = self._active(device, fault)
        return None if one is None else one.parameters

    def take(self, device: str, fault: str) -> dict[str, float] | None:
        """As `find`, and a fault without a duration, or one that happens but once, is thereby over."""
        one = self._active(device, fault)
        if one is None:
            return None
        if one.for_s is None or one.fault in _ONCE:
            one.spent = True
        return one.parameters

    def _active(self, device: str, fault: str) -> Scheduled | None:
        if not self._scheduled:
            return None
        now, kind = self._clock(), self._kinds.get(device, device)
        for one in self._scheduled:
            named = (
                one.device in (device, kind)
                or (one.device == WIRE and device in self._wired)
                or self._kinds.get(one.device) == device
            )
            if one.fault == fault and named and one.active(now):
                return one
        return None


def _read(index: int, entry: Mapping[str, Any]) -> Scheduled:
    here = f"faults[{index}]"
    for key in ("device", "fault", "at"):
        if key not in entry:
            raise InstrumentError(f"{here}.{key}: is missing; give device, fault and at: {{time_s | exposure | state}}")
    device, name = _text(f"{here}.device", entry["device"]), _text(f"{here}.fault", entry["fault"])
    kinds = [kind for kind in FAULTS if kind.fault == name]
    if not kinds:
        raise InstrumentError(
            f"{here}.fault: {quoted(name)} is unknown; {_near(name, {kind.fault for kind in FAULTS})}"
        )
    kind = next((one for one in kinds if one.device == device), kinds[0])
    parameters = dict(kind.parameters)
    for key, value in entry.items():
        if key in _KEYS:
            continue
        if key not in parameters:
            allowed = (*_KEYS, *parameters)
            raise InstrumentError(f"{here}: {name} has no parameter {quoted(str(key))}; {_near(str(key), allowed)}")
        parameters[key] = _number(f"{here}.{key}", value)
    at = entry["at"]
    if not isinstance(at, Mapping) or any(key not in _MOMENTS for key in at):
        found = quoted(str(dict(at)) if isinstance(at, Mapping) else str(at), 60)[1:-1]
        raise InstrumentError(f"{here}.at: found {found}; give one of time_s, exposure, or state with visit")
    if len([key for key in at if key != "visit"]) != 1 or ("visit" in at and "state" not in at):
        found = quoted(str(dict(at)), 60)[1:-1]
        raise InstrumentError(f"{here}.at: found {found}; give exactly one of time_s, exposure, state (and visit)")
    for_s = entry.get("for_s")
    return Scheduled(
        device=device,
        fault=name,
        parameters=parameters,
        time_s=_number(f"{here}.at.time_s", at["time_s"], least=0.0) if "time_s" in at else None,
        exposure=_count(f"{here}.at.exposure", at["exposure"], least=0) if "exposure" in at else None,
        state=_text(f"{here}.at.state", at["state"]) if "state" in at else None,
        visit=_count(f"{here}.at.visit", at.get("visit", 1), least=1),
        for_s=None if for_s is None else _number(f"{here}.for_s", for_s, least=0.0),
    )


def _near(name: str, known: Iterable[str]) -> str:
    """The nearest name, else all of them."""
    there = sorted(set(known))
    near = difflib.get_close_matches(name[:80], there, n=1)
    return f"did you mean {near[0]}" if near else f"there are {', '.join(there)}"[:200]


def _text(where: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise InstrumentError(f"{where}: found {quoted(str(value))[1:-1]}, allowed is a name: write it as text")
    return value


def _number(where: str, value: Any, least: float = -math.inf) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InstrumentError(f"{where}: found {quoted(str(value))[1:-1]}, allowed is a finite number")
    if value < least:
        raise InstrumentError(f"{where}: found {value:g}, allowed is {least:g} or more")
    return float(value)


def _count(where: str, value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InstrumentError(f"{where}: found {quoted(str(value))[1:-1]}, allowed is a whole number from {least} on")
    return value
