"""The series of a needle's run: pictures in contact without and under bias, the particles' areas after each of them,
and what ends it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryoctl.errors import StepLost
from cryoctl.steps import (
    BiasRead,
    Checkpoint,
    Compute,
    Exposed,
    FrameRef,
    Note,
    NoteHold,
    NoteParticles,
    ReadBias,
    StartWaveform,
)
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.ending import bias_went_off, told_to_end
from cryoctl_protocols.frame_pace import Outlook, interval_s
from cryoctl_protocols.needle_pictures import NeedlePictures
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters

FOLLOW = "analysis.particle_live:follow_live"
"""(picture, the one before; before, side) -> state, particles, areas, target, gap_px, labels of the picture."""
PROGRESS = "analysis.particle_live:progress"
"""(state, pictures, onset_s) -> ratio, rate_per_s, broken, gap_suspected, gap_open of the particle in contact."""

_FIRST = 8
"""Pictures without bias that the area is compared with while the run goes on."""
_RECENT = 13
"""Latest pictures that are told to `progress`: as many as it looks back on."""
_LOST_WAIT_S = 0.5
"""After a picture that never came, and between pictures that follow each other without an interval: a source whose
waveform is over is found off."""

Ended = tuple[str, str]
"""Trigger of the protocol's chart, and why in words."""


class NeedleSeries:
    """Remembers what the pictures so far said of the particle in contact, as plain numbers."""

    def __init__(self, recipe: NeedleBiasingParameters, pictures: NeedlePictures, pixel_m: float) -> None:
        self._recipe = recipe
        self._pictures = pictures
        self._pixel_m = pixel_m
        self._latest: FrameRef | None = None
        self._state: Mapping[str, Any] | None = None
        self._first: list[Mapping[str, Any]] = []
        self._recent: list[Mapping[str, Any]] = []
        self._onset_s = math.inf
        self._now: Mapping[str, Any] | None = None
        self._told = False
        """Whether the latest picture came and said something."""
        self._picture_e_per_a2 = 0.0

    def unbiased(self) -> Block[Ended | None]:
        """In contact without bias; None where the bias may come on: the last picture then tells of no gap."""
        recipe = self._recipe
        count = unbiased_pictures(recipe)
        for k in range(count):
            yield from self._picture()
            if self._gap_open:
                return (yield from self._contact_lost("before the bias"))
            command = yield from Checkpoint(progress=0.0, label=f"picture {k + 1} of {count} without bias")
            if command.command:
                return told_to_end(command)
            yield from self._pictures.wait(max(recipe.frame_interval_s, _LOST_WAIT_S), "interval")
        if self._gap_suspected or not self._told:
            yield from self._picture()
        if not self._told:
            return "lost", "the last pictures before the bias did not show the particle in contact"
        return (yield from self._contact_lost("before the bias")) if self._gap_open else None

    def under_bias(self) -> Block[Ended]:
        recipe = self._recipe
        waveform = recipe.bias.played()
        began = yield from StartWaveform(waveform=waveform, sample_interval_s=recipe.bias.sample_interval_s)
        self._onset_s = began.began_s
        last_s = math.inf if recipe.end.time_s is None else began.began_s + recipe.end.time_s
        while True:
            yield from self._picture()
            if self._gap_open:
                return (yield from self._contact_lost(f"{self._since_s:.0f} s after the bias"))
            if reached := self._reached():
                return "condition", reached
            waited_s = self._interval_s(min(last_s, began.ends_s))
            waited = yield from self._pictures.wait(max(waited_s, _LOST_WAIT_S), "interval")
            found: BiasRead = yield from ReadBias()
            if not found.output_on:
                return _bias_off(found)
            if waited.time_s >= last_s:
                return "condition", ""
            since_s = waited.time_s - began.began_s
            share = min(1.0, since_s / waveform.duration_s)
            command = yield from Checkpoint(progress=share, label=f"{since_s:.0f} s under bias")
            if command.command:
                return told_to_end(command)

    # Parts

    def _picture(self) -> Block[None]:
        """One more, and what it says; where the particles can't be told from it the series goes on without."""
        self._told = False
        done: Exposed | None = yield from self._pictures.record(self._pixel_m)
        if done is None or done.frame is None:
            return
        self._picture_e_per_a2 = done.dose_e_per_a2
        before, self._latest = self._latest, done.frame
        try:
            yield from self._follow(done.frame, before, done.started_s)
            self._told = True
        except StepLost as error:
            self._now = None
            yield from Note(name="particles", message=str(error), level="warning")

    def _follow(self, frame: FrameRef, before: FrameRef | None, time_s: float) -> Block[None]:
        told = yield from Compute(
            function=FOLLOW,
            frames=(frame,) if before is None or self._state is None else (frame, before),
            arguments={"before": self._state, "side": self._recipe.needle.side},
        )
        values = told.values
        self._state = values["state"]
        seen = {"time_s": time_s, "target": values["target"], "gap_px": values["gap_px"]}
        if math.isinf(self._onset_s) and len(self._first) < _FIRST:
            self._first.append(seen)
        else:
            self._recent = [*self._recent, seen][-_RECENT:]
        now = yield from Compute(
            function=PROGRESS,
            arguments={
                "state": self._state,
                "pictures": [*self._first, *self._recent],
                "onset_s": self._onset_s,
            },
        )
        self._now = now.values
        yield from self._show(frame, time_s, values)

    def _show(self, frame: FrameRef, time_s: float, values: Mapping[str, Any]) -> Block[None]:
        touched, pixel_m2 = int(values["state"]["touched"]), self._pixel_m**2
        areas = values["areas"]
        ratio = self._number("ratio")
        biased = math.isfinite(self._onset_s)
        yield from NoteParticles(
            frame=frame.index,
            time_s=time_s,
            name=tuple(f"p{one['number']}" for one in areas),
            area_m2=tuple(float(one["area_px2"]) * pixel_m2 for one in areas),
            area_m2_sigma=tuple(float(one["sigma_px2"]) * pixel_m2 for one in areas),
            control=tuple(not biased or int(one["number"]) != touched for one in areas),
            message=f"A/A0 {ratio:.3f} of p{touched}" if math.isfinite(ratio) else f"{len(areas)} particles",
        )

    def _interval_s(self, ends_s: float) -> float:
        recipe = self._recipe
        if recipe.frame_interval_s == 0.0 or math.isnan(self._since_s):
            return recipe.frame_interval_s
        now = Outlook(
            since_s=self._since_s,
            left_s=ends_s - self._onset_s - self._since_s,
            ratio=self._number("ratio"),
            rate_per_s=self._number("rate_per_s"),
            suspected=self._gap_suspected,
            dose_left_e_per_a2=recipe.dose.limit_e_per_a2 - self._pictures.dose_e_per_a2,
            picture_e_per_a2=self._picture_e_per_a2,
        )
        return interval_s(recipe.pace, recipe.frame_interval_s, recipe.end.area_ratio, now)

    @property
    def _since_s(self) -> float:
        """Of the latest picture, after the bias; NaN before."""
        return float(self._recent[-1]["time_s"]) - self._onset_s if self._recent else math.nan

    @property
    def _gap_suspected(self) -> bool:
        return self._now is not None and bool(self._now["gap_suspected"])

    @property
    def _gap_open(self) -> bool:
        return self._now is not None and bool(self._now["gap_open"])

    def _number(self, name: str) -> float:
        return math.nan if self._now is None else float(self._now[name])

    def _reached(self) -> str:
        """What of the recipe's conditions is met, in words; empty where none is."""
        end, ratio = self._recipe.end, self._number("ratio")
        wanted = end.area_ratio
        if wanted is not None and math.isfinite(ratio) and (ratio >= wanted if wanted > 1.0 else ratio <= wanted):
            sigma = self._number("ratio_sigma")
            return f"the area came to {ratio:.3f} +- {sigma:.3f} of that before, {self._since_s:.0f} s after the bias"
        if end.broken and self._now is not None and self._now["broken"]:
            return f"the coating was seen broken {self._number('broken_s'):.0f} s after the bias"
        return ""

    def _contact_lost(self, when: str) -> Block[Ended]:
        yield from NoteHold(hold="free")
        gap_m = self._number("gap_px") * self._pixel_m
        return "no_contact", f"the contact was lost {when}: a gap of {gap_m * 1e9:.0f} nm is seen before the needle"


def planned_pictures(recipe: NeedleBiasingParameters) -> int:
    """Under bias, at the usual interval."""
    lasts_s = recipe.bias.played().duration_s
    if recipe.end.time_s is not None:
        lasts_s = min(lasts_s, recipe.end.time_s)
    return math.ceil(lasts_s / max(recipe.frame_interval_s, _LOST_WAIT_S))


def unbiased_pictures(recipe: NeedleBiasingParameters) -> int:
    """In contact before the bias."""
    return max(recipe.before, math.ceil(recipe.unbiased_share * planned_pictures(recipe)))


def _bias_off(found: BiasRead) -> Ended:
    if found.stopped_by == "complete":
        return "done", ""
    return bias_went_off(found.stopped_by)
