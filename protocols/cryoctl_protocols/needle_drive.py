"""How a needle is driven: coarse steps whose length is learned on the way, and the tube; both by the picture's side."""

from __future__ import annotations

import math
from typing import Literal

from cryoctl.steps import NeedleAt, PlaceNeedle, ReadNeedle, StepNeedle
from cryoctl_protocols.blocks import Block

DRIFTING = "analysis.needle_drift:drifting"
"""(times, places, sigmas, tube) -> place and drift of an apex that the tube moves, along one axis."""

Axis = Literal["x", "y", "z"]
_FIRST_STEP_M = 150e-9
"""What a coarse step is taken for before one was seen."""
_LEAST_STEP_M = 10e-9
"""Shorter ones are noise of what was seen."""


class NeedleDrive:
    """Remembers where the tube was set to and how long the steps were, each axis and direction by itself."""

    def __init__(self, side: str) -> None:
        self.axis: Axis = "x" if side in ("left", "right") else "y"
        self.aside: Axis = "y" if self.axis == "x" else "x"
        self.sign = -1 if side in ("right", "bottom") else 1
        """Direction of `axis` that leads to the specimen."""
        self.tube = (0.0, 0.0, 0.0)
        self._steps_m: dict[tuple[Axis, int], float] = {}
        self._longest_m = math.inf
        self.now_s = 0.0
        """When the last picture was over."""
        self.drift_m_per_s = (0.0, 0.0, 0.0)
        """What the tube makes up for from one movement to the next: onward, aside, up."""
        self.most_made_up_m = math.inf
        """That the tube goes for drift at once, each way: what it does unseen, in contact."""
        self._made_up_s = 0.0

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
        most_m = self.most_made_up_m
        onward_m, aside_m, up_m = (
            wanted - max(-most_m, min(most_m, rate * since_s))
            for wanted, rate in zip((onward_m, aside_m, up_m), self.drift_m_per_s, strict=True)
        )
        onward_m *= self.sign
        x_m, y_m = (onward_m, aside_m) if self.axis == "x" else (aside_m, onward_m)
        self.tube = (self.tube[0] + x_m, self.tube[1] + y_m, self.tube[2] + up_m)
        yield from PlaceNeedle(x_m=self.tube[0], y_m=self.tube[1], z_m=self.tube[2])
