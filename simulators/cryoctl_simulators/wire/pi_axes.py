"""The axes of an emulated PI controller: closed-loop moves at a speed, servos, tubes that relax without voltage."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from cryoctl_simulators.world.needle_contact import NeedleContact
from cryoctl_simulators.world.noise import cut_normal, generator

if TYPE_CHECKING:
    from cryoctl_simulators.wire.pi_gcs2 import EmulatedPi

AXES = "xyz"
COARSE, FINE = ("1", "2", "3"), ("4", "5", "6")
NAMES = (*COARSE, *FINE)
_UNIT_M = {**dict.fromkeys(COARSE, 1e-3), **dict.fromkeys(FINE, 1e-6)}
_LIMITS = {**dict.fromkeys(COARSE, (-10.0, 10.0)), **dict.fromkeys(FINE, (-0.5, 5.5))}
_SPEED = {**dict.fromkeys(COARSE, 0.1), **dict.fromkeys(FINE, 50.0)}
_UM_PER_V = 0.05
_TICK_S = 2e-3
_THERE = 1e-9
_SENSOR_M = 5e-11
_WINDOW_M = 2e-9
"""So far off a position may be and count as on target."""


class PiAxes:
    """`record` is its part of the world's record, by axis: position and target in its unit, servo, volts, speed, goal
    (where it truly goes)."""

    def __init__(self, emulator: EmulatedPi) -> None:
        self._of = emulator
        self._timer: asyncio.TimerHandle | None = None
        self._seen_s = 0.0

    @property
    def record(self) -> dict[str, Any]:
        record = self._of.world.file.record
        if "pi_gcs2" not in record:
            record["pi_gcs2"] = {
                axis: {"position": 0.0, "target": 0.0, "goal": 0.0, "servo": False, "volts": 0.0, "speed": _SPEED[axis]}
                for axis in NAMES
            }
        return record["pi_gcs2"]

    @property
    def contact(self) -> NeedleContact:
        contact = self._of.world.contact
        assert contact is not None, "the world has a needle where its instrument has one"
        return contact

    def close(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def look(self) -> None:
        """Bring it to now: moves under way, and what befell the needle by itself."""
        self._advance()
        self.contact.look(self._of.world.time_s)
        if not self.contact.needle.record["high_voltage_on"] and any(self._is_live(axis) for axis in FINE):
            for axis in FINE:
                self.record[axis].update(position=0.0, target=0.0, goal=0.0, servo=False, volts=0.0)

    # What it says

    def limits(self, axis: str) -> tuple[float, float]:
        return _LIMITS[axis]

    def position(self, axis: str) -> float:
        """As its sensor reads."""
        rng = generator(self._of.world.seed, "pi", "sensor", f"{axis} {self._of.world.time_s:.4f}")
        return float(self.record[axis]["position"]) + cut_normal(rng, _SENSOR_M) / _UNIT_M[axis]

    def on_target(self, axis: str) -> bool:
        one = self.record[axis]
        off_m = abs(one["position"] - one["target"]) * _UNIT_M[axis]
        return bool(one["servo"]) and not self._moves(axis) and off_m <= _WINDOW_M

    def moving(self) -> int:
        """One bit an axis."""
        return sum(1 << index for index, axis in enumerate(NAMES) if self._moves(axis))

    # What it does

    def go(self, axis: str, target: float) -> None:
        one, astray = self.record[axis], 0.0
        if axis in COARSE:
            away = self._of.fault("runs-away")
            if isinstance(away, Mapping):
                way = 1.0 if target >= one["position"] else -1.0
                astray = way * away["more_steps"] * self._of.settings.step_m
        elif axis == FINE[0]:
            wrong = self._of.fault("not-at-place")
            astray = -wrong["beyond_m"] if isinstance(wrong, Mapping) else 0.0
        self.contact.record["astray_m"] += abs(astray)
        one.update(target=target, goal=target + astray / _UNIT_M[axis])
        self.contact.needle.record["parked"] = False
        self._seen_s = self._of.world.time_s
        self._tick()

    def stop(self, axes: Iterable[str]) -> None:
        for axis in axes:
            one = self.record[axis]
            if self._moves(axis):
                one.update(target=one["position"], goal=one["position"])

    def servo(self, axis: str, on: bool) -> None:
        """On: where it is becomes its target. Off: it keeps its voltage."""
        one = self.record[axis]
        if bool(one["servo"]) is on:
            return
        one.update(servo=on, target=one["position"], goal=one["position"])
        if axis in FINE:
            one["volts"] = one["position"] / _UM_PER_V
            self._apply(always=on)
        self._of.world.commit()

    def open_loop(self, axis: str, volts: float) -> None:
        position = volts * _UM_PER_V
        self.record[axis].update(volts=volts, position=position, target=position, goal=position)
        self._apply()
        self._of.world.commit()

    def switch_on_anew(self) -> None:
        """After a power cut no servo is on and no voltage on the tube; positioners stay where they are."""
        self.contact.record["astray_m"] += float(np.linalg.norm(self.contact.needle.record["fine_m"]))
        for axis in NAMES:
            one = self.record[axis]
            place = one["position"] if axis in COARSE else 0.0
            one.update(position=place, target=place, goal=place, servo=False, volts=0.0, speed=_SPEED[axis])
        self._apply()
        self._of.world.commit()

    def _moves(self, axis: str) -> bool:
        one = self.record[axis]
        return abs(one["goal"] - one["position"]) * _UNIT_M[axis] > _THERE * 1e-3

    def _is_live(self, axis: str) -> bool:
        return bool(self.record[axis]["servo"]) or self.record[axis]["volts"] != 0.0

    def _tick(self) -> None:
        self._advance()
        self.close()
        if self.moving():
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _advance(self) -> None:
        now_s = self._of.world.time_s
        passed_s, self._seen_s = now_s - self._seen_s, now_s
        moved = [axis for axis in NAMES if self._moves(axis)]
        if not moved or passed_s <= 0.0:
            return
        for axis in moved:
            one = self.record[axis]
            way = float(np.clip(one["goal"] - one["position"], -one["speed"] * passed_s, one["speed"] * passed_s))
            if axis in FINE:
                one["position"] += way
            elif self._of.world.faults.find(self._of.name, "stuck") is None:
                one["position"] += way
                by_m = np.zeros(3)
                by_m[COARSE.index(axis)] = way * _UNIT_M[axis]
                self.contact.jump(by_m, now_s)
        if any(axis in FINE for axis in moved):
            self._apply()
        self._of.world.commit()

    def _apply(self, always: bool = False) -> None:
        """The tube goes where servos and voltages hold it; with none of them it is relaxed."""
        contact, now_s = self.contact, self._of.world.time_s
        if not always and not any(self._is_live(axis) for axis in FINE):
            if contact.needle.record["high_voltage_on"]:
                contact.ground(now_s)
            return
        contact.needle.record["high_voltage_on"] = True
        x_m, y_m, z_m = (self.record[axis]["position"] * _UNIT_M[axis] for axis in FINE)
        if (x_m, y_m, z_m) != tuple(contact.needle.record["fine_m"]):
            contact.fine((x_m, y_m, z_m), now_s)
