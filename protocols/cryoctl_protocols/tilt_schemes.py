"""In which order a tilt series visits its angles.

Angles are those of the specimen; the stage goes to angle plus pre-tilt. Each scheme has the fields it needs and
refuses those of the others. Sources: dose-symmetric Hagen, Wan and Briggs, J. Struct. Biol. 197 (2017) 191, groups as
in its appendix; increments in 1/cos: Saxton, Baumeister and Hahn, Ultramicroscopy 13 (1984) 57; golden ratio: Koehler,
IEEE NSS 2004, and Kaestner et al., Opt. Eng. 50 (2011) 123201.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cryoctl.units import Degrees, StrictModel

MAX_TILTS = 721
"""Half a degree over a full turn: beyond this a recipe holds a slip of the pen."""

_GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0
_SLACK = 1e-9
_LEAST_DEG = 0.01
"""Two angles nearer than this are the same to a goniometer."""


def _lists_as_tuples(value: Any) -> Any:
    """What a validator before has seen is no JSON any more, and strict Python values are not coerced."""
    return tuple(value) if isinstance(value, list) else value


class _Scheme(StrictModel):
    pretilt_deg: Degrees = Field(default=0.0, ge=-90.0, le=90.0)
    """Stage tilt at which the specimen lies normal to the beam; the stage goes to angle plus pre-tilt."""

    def angles_deg(self) -> tuple[float, ...]:
        """Specimen angles in the order of acquisition."""
        raise NotImplementedError

    def stage_angles_deg(self) -> tuple[float, ...]:
        """Stage tilts in the order of acquisition."""
        return tuple(round(angle + self.pretilt_deg, 6) for angle in self.angles_deg())


class _Range(_Scheme):
    min_deg: Degrees = Field(default=-60.0, ge=-90.0, le=90.0)
    """Lowest specimen angle; the last step may end short of it."""
    max_deg: Degrees = Field(default=60.0, ge=-90.0, le=90.0)
    """Highest specimen angle; the last step may end short of it."""

    @model_validator(mode="after")
    def _ordered(self) -> _Range:
        if self.min_deg > self.max_deg:
            raise ValueError(f"min_deg is {self.min_deg:g}, above max_deg {self.max_deg:g}: exchange them")
        if self.min_deg == self.max_deg:
            raise ValueError(f"min_deg and max_deg are both {self.min_deg:g}: a series needs at least two tilts")
        return self

    @property
    def start_deg(self) -> float:
        """0 degrees where the range holds it, otherwise the end that is nearer to 0."""
        return min(max(0.0, self.min_deg), self.max_deg)


class _Stepped(_Range):
    step_deg: Degrees = Field(default=3.0, gt=0.0, le=90.0)
    """Increment between neighbouring angles."""

    @model_validator(mode="after")
    def _countable(self) -> _Stepped:
        # Saxton's increments shrink towards high tilt, so its count is looked at when the angles are known.
        _check_count(sum(self._sides()) + 1)
        return self

    def _sides(self) -> tuple[int, int]:
        start = self.start_deg
        return (
            math.floor((start - self.min_deg) / self.step_deg + _SLACK),
            math.floor((self.max_deg - start) / self.step_deg + _SLACK),
        )

    def _below(self) -> list[float]:
        return [_clean(self.start_deg - k * self.step_deg) for k in range(1, self._sides()[0] + 1)]

    def _above(self) -> list[float]:
        return [_clean(self.start_deg + k * self.step_deg) for k in range(1, self._sides()[1] + 1)]


class DoseSymmetric(_Stepped):
    """From the start outwards, `group` angles on one side and then on the other."""

    scheme: Literal["dose-symmetric"] = "dose-symmetric"
    group: int = Field(default=1, ge=1, le=MAX_TILTS, strict=True)
    """Angles taken on one side before the other side's turn."""

    def angles_deg(self) -> tuple[float, ...]:
        below, above = self._below(), self._above()
        order = [self.start_deg]
        while below or above:
            order += above[: self.group]
            order += below[: self.group]
            del above[: self.group], below[: self.group]
        return tuple(order)


class Bidirectional(_Stepped):
    """From the start to the highest angle, then from beside the start to the lowest."""

    scheme: Literal["bidirectional"] = "bidirectional"

    def angles_deg(self) -> tuple[float, ...]:
        return (self.start_deg, *self._above(), *self._below())


class Unidirectional(_Stepped):
    """From the lowest angle to the highest."""

    scheme: Literal["unidirectional"] = "unidirectional"

    def angles_deg(self) -> tuple[float, ...]:
        return (*reversed(self._below()), self.start_deg, *self._above())


class Saxton(_Stepped):
    """From the lowest angle to the highest; the increment shrinks with the cosine, `step_deg` at 0 degrees."""

    scheme: Literal["saxton"] = "saxton"

    @model_validator(mode="after")
    def _countable_saxton(self) -> Saxton:
        _check_count(len(self.angles_deg()))
        return self

    def angles_deg(self) -> tuple[float, ...]:
        return (*reversed(self._walk(-1.0, self.min_deg)), self.start_deg, *self._walk(1.0, self.max_deg))

    def _walk(self, sign: float, end: float) -> list[float]:
        step = math.sin(math.radians(self.step_deg))
        angle, found = self.start_deg, list[float]()
        while len(found) <= MAX_TILTS:
            increment = math.degrees(math.asin(step * math.cos(math.radians(angle))))
            angle += sign * increment
            if increment < _LEAST_DEG or sign * (angle - end) > _SLACK:
                break
            found.append(_clean(angle))
        return found


class GoldenRatio(_Range):
    """`count` angles, each in the largest gap that the earlier ones left; the series may end at any time."""

    scheme: Literal["golden-ratio"] = "golden-ratio"
    count: int = Field(default=41, ge=2, le=MAX_TILTS, strict=True)
    """Number of tilts."""

    def angles_deg(self) -> tuple[float, ...]:
        span = self.max_deg - self.min_deg
        first = (self.start_deg - self.min_deg) / span
        return tuple(_clean(self.min_deg + span * ((first + n * _GOLDEN) % 1.0)) for n in range(self.count))


class ListOfTilts(_Scheme):
    """The angles themselves, in the order of acquisition."""

    scheme: Literal["list"] = "list"
    list_deg: Annotated[tuple[Annotated[Degrees, Field(ge=-90.0, le=90.0)], ...], BeforeValidator(_lists_as_tuples)]
    """Specimen angles in the order of acquisition."""

    @model_validator(mode="after")
    def _distinct(self) -> ListOfTilts:
        _check_count(len(self.list_deg), "list_deg")
        seen: list[float] = sorted(self.list_deg)
        for one, other in pairwise(seen):
            if other - one < _LEAST_DEG:
                raise ValueError(f"list_deg holds {other:g} twice: each angle may be there once")
        return self

    def angles_deg(self) -> tuple[float, ...]:
        return self.list_deg


def _clean(angle_deg: float) -> float:
    return round(angle_deg, 6) + 0.0


def _check_count(count: int, field: str = "step_deg") -> None:
    if count < 2:
        raise ValueError(f"{field}: the series has {count} tilt(s): at least two are wanted")
    if count > MAX_TILTS:
        raise ValueError(f"{field}: the series has {count} tilts, allowed are up to {MAX_TILTS}: take larger steps")


def _default_scheme(value: Any) -> Any:
    """What passes through here is no longer JSON to pydantic: strict, it then takes tuples for tuples only."""
    if not isinstance(value, dict):
        return value
    fields = {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
    return {"scheme": "dose-symmetric", **fields}


AnyScheme = DoseSymmetric | Bidirectional | Unidirectional | Saxton | GoldenRatio | ListOfTilts
Tilts = Annotated[
    Annotated[AnyScheme, Field(discriminator="scheme")],
    BeforeValidator(_default_scheme),
]
"""Field type of `tilts`: the scheme decides which other fields there are; dose-symmetric where none is named."""
