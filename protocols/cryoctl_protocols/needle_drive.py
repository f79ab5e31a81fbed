"""How a needle is driven: coarse steps whose length is learned on the way, and the tube; both by the picture's side."""

from __future__ import annotations

import math
from typing import Literal

from cryoctl.steps import NeedleAt, PlaceNeedle, ReadNeedle, StepNeedle, Wait, Waited
from cryoctl_protocols.blocks import Block

DRIFTING = "analysis.needle_drift:drifting"
"""(times, places, sigmas, tube) -> place and drift of an apex that the tube moves, along one axis."""

Axis = Literal["x", "y", "z"]
_FIRST_STEP_M = 150e-9
"""What a coarse step is taken for before one was seen."""
TUBE_GAIN = 0.8
"""How far an apex surely goes of what its tube is told: it lags by its hysteresis."""
_KEPT_M = 0.1e-6
"""Of the tube's range, for drift after the touch."""
_MADE_UP_M, _MADE_UP_S = 0.5e-9, 0.5
"""Drift that the tube makes up for at once while nothing is looked at, and the shortest time for it."""
_LEAST_STEP_M = 10e-9
"""Shorter ones are noise of what was seen."""


class NeedleDrive:
    """Remembers where the tube was set to and how long the steps were, each axis and direction by itself."""

    def __init__(self, side: str, fine_range_m: tuple[float, float] = (-math.inf, math.inf)) -> None:
        self._fine_range_m = fine_range_m
        self.axis: Axis = "x" if side in ("left", "right") else "y"
        self.aside: Axis = "y" if self.axis == "x" else "x"
        self.sign = -1 if side in ("right", "bottom") else 1
        """Direction of `axis` that leads to the specimen."""
        self.tube = (0.0, 0.0, 0.0)
        self._steps_m: dict[tuple[Axis, int], float] = {}
        self._longest_m = math.inf
        self.now_s = 0.0
        """When the last picture or the last wait was over."""
        self.drift_m_per_s = (0.0, 0.0, 0.0)
        """What the tube makes up for from one movement to the next: onward, aside, up."""
        self.most_made_up_m = math.inf
        """That the tube goes for drift from one picture to the next, each way: what it does unseen, in contact."""
        self._made_up_s = 0.0
        self._unseen_m = (0.0, 0.0, 0.0)

    def looked(self, time_s: float) -> None:
        """A picture was over."""
        self.now_s = time_s
        self._unseen_m = (0.0, 0.0, 0.0)

    def along(self, place_yx: tuple[float, float]) -> float:
        """Of a place (y, x) in the picture what lies along the needle."""
        return place_yx[1] if self.axis == "x" else place_yx[0]

    def across(self, place_yx: tuple[float, float]) -> float:
        return place_yx[0] if self.axis == "x" else place_yx[1]

    def onward(self, place_yx: tuple[float, float]) -> float:
        """How far a way (y, x) in the picture leads to the specimen."""
        return self.sign * self.along(place_yx)

    @property
    def tube_ways(self) -> tuple[float, float]:
        """Where the tube was set to: onward, aside."""
        x_m, y_m, _ = self.tube
        return (self.sign * x_m, y_m) if self.axis == "x" else (self.sign * y_m, x_m)

    @property
    def reach_m(self) -> float:
        """How much further on an apex surely comes by the tube alone."""
        onward_m, _ = self.tube_ways
        low_m, high_m = self._fine_range_m
        end_m = high_m if self.sign > 0 else -low_m
        return TUBE_GAIN * (end_m - onward_m - _KEPT_M)

    def learn(self, axis: Axis, sign: int, seen_m: float) -> None:
        """A step of this axis and direction was seen to be so long."""
        if _LEAST_STEP_M < seen_m < self._longest_m:
            self._steps_m[axis, sign] = seen_m

    def coarse(self, axis: Axis, wanted_m: float) -> Block[int]:
        """Coarse steps over a distance, as far as the gap surely allows; returns how many."""
        sign = 1 if wanted_m > 0 else -1
        at: NeedleAt = yield from ReadNeedle()
        self._longest_m = at.longest_step_m
        seen_m = at.gap_low_m if at.gap_low_m > 0.0 else 0.0  # nobody knows it after an interruption
        allowed = int(max(0.0, seen_m - 1e-9) / at.longest_step_m)
        count = min(int(abs(wanted_m) / self._steps_m.get((axis, sign), _FIRST_STEP_M)), allowed)
        if count > 0:
            yield from StepNeedle(axis=axis, steps=sign * count)
        return count

    def toward(self, wanted_m: float) -> Block[int]:
        """Coarse steps to the specimen."""
        return (yield from self.coarse(self.axis, self.sign * wanted_m))

    def make_up_for(self, *, onward: float = 0.0, aside: float = 0.0, up: float = 0.0) -> None:
        """From now on, for so much drift (m/s of the tube's own scale)."""
        self.drift_m_per_s = (onward, aside, up)
        self._made_up_s = self.now_s

    def move_tube(self, *, onward_m: float = 0.0, aside_m: float = 0.0, up_m: float = 0.0) -> Block[None]:
        """The tube on by so much: to the specimen, along the other axis of the picture, along the beam."""
        since_s, self._made_up_s = self.now_s - self._made_up_s, self.now_s
        most_m, before_m, rates = self.most_made_up_m, self._unseen_m, self.drift_m_per_s
        unseen_m = [max(-most_m, min(most_m, b + rate * since_s)) for b, rate in zip(before_m, rates, strict=True)]
        onward_m -= unseen_m[0] - before_m[0]
        aside_m -= unseen_m[1] - before_m[1]
        up_m -= unseen_m[2] - before_m[2]
        self._unseen_m = (unseen_m[0], unseen_m[1], unseen_m[2])
        onward_m *= self.sign
        x_m, y_m = (onward_m, aside_m) if self.axis == "x" else (aside_m, onward_m)
        self.tube = (self.tube[0] + x_m, self.tube[1] + y_m, self.tube[2] + up_m)
        yield from PlaceNeedle(x_m=self.tube[0], y_m=self.tube[1], z_m=self.tube[2])

    def wait(self, duration_s: float, reason: str) -> Block[Waited]:
        """The tube makes up for the drift meanwhile, by little each time."""
        fastest = max(abs(rate) for rate in self.drift_m_per_s)
        each_s = max(_MADE_UP_S, _MADE_UP_M / fastest) if fastest > 0.0 else math.inf
        while True:
            waited = yield from Wait(duration_s=min(duration_s, each_s), reason=reason)
            self.now_s = waited.time_s
            duration_s -= each_s
            if duration_s <= 0.0:
                return waited
            yield from self.move_tube()
