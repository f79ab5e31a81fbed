"""Needle and specimen: how far apart they are, what happens when they meet, and the cell that they then are.

They are looked at whenever something acts on them or wants to see them. What drifted meanwhile is made up for: the
moment at which drift closed or opened a contact is sought between two looks, so that what happens does not hang on how
often anybody looks.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.world.cell import Straight
from cryoctl_simulators.world.piezo_needle import PiezoNeedle
from cryoctl_simulators.world.specimen import Specimen

Place = npt.NDArray[np.float64]
_STOPS_M = 50e-9
"""So deep a coarse step gets into matter; then the drive only slips."""
_SPACING_M = 5e-9
_MOST_SAMPLES = 400
_HALVINGS = 40
_MOST_TOUCHES = 200
_STEP_S = 0.5
"""Between so long a source may take voltage and resistance as they are."""
_ASTRAY_SHARE = math.sqrt(2.0)
"""By so much more than it comes nearer a needle that drifts goes in all: as far aside."""
_GROWS_M = 2e-6
"""No specimen comes so far towards the needle by itself."""


class NeedleContact:
    """`record` is its part of the world's record.

    `touching` in it is a particle's number, `grid`, or None; `touches` lists (time, what) of each beginning and end,
    `met_m` is where the apex was when it first touched a particle, `voltage_v` what was applied last, `astray_m` how
    far faults can have brought the apex nearer, `drawn_live` how often it was withdrawn from a source that was on,
    `collided_beyond_m` by how much a collision went deeper than faults had brought the apex.
    """

    def __init__(self, needle: PiezoNeedle, specimen: Specimen, record: dict[str, Any]) -> None:
        self.needle = needle
        self.specimen = specimen
        self.record = record
        if not record:
            record |= {"touching": None, "seen_s": 0.0, "collisions": 0, "max_indentation_m": 0.0, "max_overlap_m": 0.0}
            record |= {"touches": [], "met_m": None, "voltage_v": 0.0}
            record |= {"astray_m": 0.0, "astray_seen_s": 0.0, "drawn_live": 0}
            record |= {"collided_beyond_m": 0.0}
        self.power: Callable[[float], None] = lambda time_s: None
        """Brings a source that is wired to it to a time, by `carry`."""
        self.befall: Callable[[float], None] = lambda time_s: None
        """What goes wrong by itself, up to a time."""
        self._clear: tuple[Place, float] | None = None
        specimen.meet(self)

    @property
    def particle(self) -> int | None:
        """Number of the particle that is touched, None where none is."""
        touching = self.record["touching"]
        return touching if isinstance(touching, int) else None

    # What acts

    def step(self, axis: str, sign: int, time_s: float, temperature_k: float) -> None:
        """One coarse pulse; into matter it is a collision."""
        self.look(time_s)
        before = self.needle.apex_m(time_s)
        furthest, moved = self.needle.next_step(axis, sign, temperature_k)
        peak = self._deepest(before, furthest)
        if peak > 0 and peak > self._overlap_m(before) + 1e-12:
            self._collided(peak)
            moved = moved * self._stopped_at(before, moved)
            self._note_depth(min(peak, _STOPS_M), before + moved)
        self.needle.stepped(axis, sign, moved)
        self._settle(time_s)

    def fine(self, wanted_m: tuple[float, float, float], time_s: float) -> None:
        self._carry(lambda: self.needle.set_fine(wanted_m, time_s), time_s)

    def ground(self, time_s: float) -> None:
        self._carry(lambda: self.needle.ground(time_s), time_s)

    def jump(self, by_m: Place, time_s: float) -> None:
        self._carry(lambda: self.needle.displace(by_m), time_s)

    def shake(self, time_s: float) -> None:
        """A stage move: the apex swings about its place, and hits what is nearer."""
        self.look(time_s)
        apex = self.needle.apex_m(time_s)
        depth = self.needle.shaken_m() + self._overlap_m(apex)
        if depth > 0:
            self._collided(depth)
            self._note_depth(min(depth, _STOPS_M), apex)

    # What is seen

    def gap_m(self, time_s: float) -> float:
        """Distance of the surfaces; in contact the indentation, negative."""
        self.look(time_s)
        apex = self.needle.apex_m(time_s)
        return self._gap_m(apex) if self.record["touching"] is None else -self._indentation_m(self._overlap_m(apex))

    def overlap_m(self, time_s: float) -> float:
        """How far the apex has come beyond first touch of what it touches; negative where that follows it back."""
        return self._overlap_m(self.needle.apex_m(time_s))

    def push_m(self, time_s: float) -> float:
        """By how much the touched particle is displaced, away from the needle."""
        hold = self.specimen.hold(self.particle)
        return hold.push_share * min(max(self.overlap_m(time_s), -hold.adhesion_m), hold.push_m)

    def look(self, time_s: float) -> None:
        """Bring source, contact and reaction to this time."""
        self.power(time_s)
        self._look(time_s)
        self.befall(time_s)

    def _look(self, time_s: float) -> None:
        record = self.record
        since_s = record["seen_s"]
        while since_s < time_s:
            until_s = self._moment(since_s, time_s) if self._parts(time_s) else time_s
            record["seen_s"] = since_s = until_s
            self._settle(until_s)

    # The cell that a source is wired to (`cryoctl_simulators.world.cell`)

    @property
    def step_s(self) -> float:
        return math.inf if self.record["touching"] is None else _STEP_S

    def load(self, times_s: Place) -> Straight:
        del times_s
        return Straight(*self.specimen.circuit(self.record["touching"], self.record["voltage_v"]))

    def carry(self, since_s: float, until_s: float, voltage_v: float, current_a: float) -> None:
        """What the voltage does while a particle is touched."""
        self._look(until_s)
        self.record["voltage_v"] = voltage_v
        touches = self.record["touches"]
        for (began_s, what), (ended_s, _) in pairwise([*touches, [math.inf, None]]):
            low, high = max(since_s, began_s), min(until_s, ended_s)
            if isinstance(what, int) and low < high:
                self.specimen.react(what, (low, high), voltage_v)

    # Mechanics

    def _carry(self, act: Callable[[], None], time_s: float) -> None:
        """The apex goes smoothly from where it is to where `act` leaves it."""
        self.look(time_s)
        before = self.needle.apex_m(time_s)
        act()
        moved = self.needle.apex_m(time_s) - before
        deepest = self._deepest(before, moved)
        if deepest > 0:
            self._note_depth(deepest, before + moved)
        self._settle(time_s)

    def _collided(self, depth_m: float) -> None:
        """`depth_m` is how deep the move would have gone had nothing stopped it."""
        record = self.record
        record["collisions"] += 1
        beyond_m = depth_m - _ASTRAY_SHARE * record["astray_m"]
        record["collided_beyond_m"] = max(record["collided_beyond_m"], beyond_m)

    def _settle(self, time_s: float) -> None:
        """Touch or part by where the apex is now."""
        record, apex = self.record, self.needle.apex_m(time_s)
        if self._surely_clear(apex):
            return
        if record["touching"] is not None and self._parts(time_s):
            if self.particle is not None:
                self.specimen.part(self.particle, time_s)
            self._enter(None, time_s)
        if record["touching"] is None:
            near = self.specimen.nearest(apex, time_s)
            if near.gap_m <= 0:
                if near.body is not None:
                    self.specimen.touch(near.body, time_s)
                self._enter("grid" if near.body is None else near.body, time_s)
        if record["touching"] is not None:
            self._note_depth(self._overlap_m(apex), apex)

    def _enter(self, touching: int | str | None, time_s: float) -> None:
        if isinstance(touching, int) and self.record["met_m"] is None:
            self.record["met_m"] = [float(value) for value in self.needle.apex_m(time_s)]
        self.record["touching"] = touching
        self.record["touches"] = [*self.record["touches"], [time_s, touching]][-_MOST_TOUCHES:]

    def _parts(self, time_s: float) -> bool:
        """Whether at this time the contact would be another one than it is now."""
        apex = self.needle.apex_m(time_s)
        if self._surely_clear(apex):
            return False
        if self.record["touching"] is None:
            return self._gap_m(apex, time_s) <= 0
        return self._overlap_m(apex) < -self.specimen.hold(self.particle).adhesion_m

    def _moment(self, since_s: float, until_s: float) -> float:
        """When between the two it changes, to a part in 2^40."""
        for _ in range(_HALVINGS):
            middle_s = 0.5 * (since_s + until_s)
            if self._parts(middle_s):
                until_s = middle_s
            else:
                since_s = middle_s
        return until_s

    def _gap_m(self, apex: Place, time_s: float | None = None) -> float:
        gap = self.specimen.nearest(apex, self.record["seen_s"] if time_s is None else time_s).gap_m
        self._clear = (apex, gap)
        return gap

    def _surely_clear(self, apex: Place, reach_m: float = 0.0) -> bool:
        """By how far it was when it was last measured, and how far it has come since; free needles only."""
        if self.record["touching"] is not None or self._clear is None:
            return False
        where, gap = self._clear
        return gap - float(np.linalg.norm(apex - where)) > reach_m + _GROWS_M

    def _overlap_m(self, apex: Place) -> float:
        """Beyond first touch of what is touched, or of what is nearest."""
        if self.particle is not None:
            return self.specimen.overlap(self.particle, apex)
        return -self._gap_m(apex)

    def _deepest(self, before: Place, moved: Place) -> float:
        """Largest overlap on a straight way; below 0 where it stays clear."""
        length = float(np.linalg.norm(moved))
        if self._surely_clear(before, length):
            return -math.inf
        if self.record["touching"] is None and -self._overlap_m(before) > length:
            return -math.inf
        count = min(_MOST_SAMPLES, 2 + math.ceil(length / _SPACING_M))
        return max(self._overlap_m(before + share * moved) for share in np.linspace(0.0, 1.0, count))

    def _stopped_at(self, before: Place, moved: Place) -> float:
        """Share of a coarse step that matter lets through."""
        if self._overlap_m(before + moved) <= _STOPS_M:
            return 1.0
        low, high = 0.0, 1.0
        for _ in range(20):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if self._overlap_m(before + middle * moved) <= _STOPS_M else (low, middle)
        return low

    def _note_depth(self, overlap_m: float, apex: Place) -> None:
        record = self.record
        touched = (
            self.particle if record["touching"] is not None else self.specimen.nearest(apex, record["seen_s"]).body
        )
        record["max_overlap_m"] = max(record["max_overlap_m"], overlap_m)
        record["max_indentation_m"] = max(record["max_indentation_m"], self._indentation_m(overlap_m, touched))

    def _indentation_m(self, overlap_m: float, body: int | None = None) -> float:
        hold = self.specimen.hold(self.particle if body is None else body)
        return max(0.0, overlap_m) - hold.push_share * min(max(0.0, overlap_m), hold.push_m)
