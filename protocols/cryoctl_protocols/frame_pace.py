"""How long to wait for the next picture of a reaction: by its rate, the events ahead and the dose that is left."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated

from pydantic import Field, model_validator

from cryoctl.units import PerSecond, Seconds, StrictModel

_SPARED = 0.9
"""Of the dose that is left, what pictures are planned with: the gate counts more than the middle of the field."""


class Pace(StrictModel):
    """Under bias the interval follows the area's rate, within its bounds; `frame_interval_s` is the usual one."""

    change: Annotated[float, Field(gt=0.0, le=1.0)] | None = 0.05
    """Of the area over that before the bias, wanted from one picture to the next; null: always the usual interval."""
    shortest_s: Annotated[Seconds, Field(ge=0.0)] = 1.0
    """Also near an event: an area that ends the series, a gap that is suspected, `events_s`."""
    longest_s: Annotated[Seconds, Field(gt=0.0)] | None = None
    """Null: the usual interval. Where the dose would not last to the end of the waveform it may be longer."""
    rate_per_s: Annotated[PerSecond, Field(gt=0.0)] | None = None
    """Expected, of area over that before the bias; until one is measured. Null: the usual interval until then."""
    events_s: Annotated[tuple[Annotated[Seconds, Field(ge=0.0)], ...], Field(max_length=100)] = ()
    """After the bias was switched on, when something is expected to happen, like a coating that breaks; in order."""
    event_width_s: Annotated[Seconds, Field(gt=0.0)] = 10.0
    """Before and after such a time pictures follow at the shortest interval."""

    @model_validator(mode="after")
    def _in_order(self) -> Pace:
        for before_s, after_s in pairwise(self.events_s):
            if not before_s < after_s:
                raise ValueError(f"events_s: {after_s:g} s is not later than {before_s:g} s before it; sort them")
        if self.longest_s is not None and self.longest_s < self.shortest_s:
            raise ValueError(
                f"longest_s is {self.longest_s:g} s, below shortest_s {self.shortest_s:g} s: exchange them"
            )
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is known after a picture; NaN where it isn't. `since_s` counts from the bias on, `left_s` to its end."""

    since_s: float
    left_s: float
    ratio: float
    rate_per_s: float
    suspected: bool
    dose_left_e_per_a2: float
    picture_e_per_a2: float


def interval_s(pace: Pace, usual_s: float, wanted_ratio: float | None, now: Outlook) -> float:
    """From the end of a picture to the next (s). `wanted_ratio` is the area over that before which ends the series."""
    shortest_s = min(pace.shortest_s, usual_s)
    longest_s = max(usual_s, usual_s if pace.longest_s is None else pace.longest_s)
    wanted_s = usual_s
    rate = now.rate_per_s if math.isfinite(now.rate_per_s) else (pace.rate_per_s or math.nan)
    if pace.change is not None and math.isfinite(rate):
        wanted_s = min(max(pace.change / max(abs(rate), 1e-9), shortest_s), longest_s)
    near = any(abs(now.since_s + wanted_s - one) < pace.event_width_s for one in pace.events_s)
    if wanted_ratio is not None and math.isfinite(now.ratio) and rate * (wanted_ratio - now.ratio) > 0:
        wanted_s = min(wanted_s, max(shortest_s, (wanted_ratio - now.ratio) / rate / 2))
    if near or now.suspected:
        wanted_s = shortest_s
    if now.picture_e_per_a2 > 0 and now.left_s > 0:
        pictures = _SPARED * now.dose_left_e_per_a2 / now.picture_e_per_a2
        wanted_s = max(wanted_s, now.left_s / pictures if pictures > 0 else now.left_s)
    return wanted_s
