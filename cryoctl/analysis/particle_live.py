"""Particles of a series under a needle as its pictures come in, one call a picture, and what they say so far.

What a call needs of the pictures before goes in and out as plain data, so that it passes through a journal; `courses`
then makes the whole series of what was kept, without a second look at the pictures.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter, ValidationError
from scipy import ndimage

from cryoctl.analysis.needle_view import Side, turned
from cryoctl.analysis.particle_coating import AROUND
from cryoctl.analysis.particle_follow import Followed, follow
from cryoctl.analysis.particle_measure import Seen
from cryoctl.analysis.particle_segments import Labels, Segmenting
from cryoctl.analysis.particle_series import Course, courses
from cryoctl.errors import RunFileError

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

RECENT = 2 * AROUND + 1
"""Pictures behind the latest that `progress` looks back on: as many as a break is judged by."""
_LINE = 4
"""Pictures that the ratio and the rate of now are told from."""
_DIGITS = 5
"""Of a particle's profiles in what is handed on from picture to picture; the series is made of all digits."""
GAP_PX = 3.0
"""How much further than before the bias needle and particle are apart where a gap is told."""
SHRUNK = 0.9
"""A touched particle that all at once has less than this of its area of late was not seen whole: what lithiates grows,
what broke or lost its contact stays as it is, and a faint one is lost to the contrast of the needle beside it."""
_LATELY = 3
"""Pictures that its area of late is the largest of: no more than that are doubted one after the other."""
ADJOINS_PX = 5.0
"""Outlines of a needle and a particle in contact are no further apart, however they are blurred and parted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveState:
    """What the next call needs: `followed` without what was measured, `touched` the number of the particle that the
    needle touches (0: not found yet), and its areas of late."""

    followed: Followed
    touched: int
    lately_px2: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveArea:
    """Of a whole particle as this picture alone tells it, in squared pixels: all together may choose another edge
    model."""

    number: int
    area_px2: float
    sigma_px2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveParticles:
    """One picture's: `particles` as they were measured, `areas` of those that lie whole in it, `target` the touched
    one for `progress` (None: not found, or not seen whole), `gap_px` between the needle's outline and its own, `labels`
    packed."""

    state: LiveState
    particles: tuple[Seen, ...]
    areas: tuple[LiveArea, ...]
    target: Seen | None
    gap_px: float
    labels: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Of the touched particle after its latest picture: A/A0 and its rate (1/s) by a line through the latest pictures,
    the coating's break where one is clear, and how much further than before the bias the needle is from it.

    `ratio` is NaN where it was not measured before the bias or not in the latest picture. `gap_open`: the last two
    pictures show a gap, or no particle that adjoins the needle; `gap_suspected`: the last one does.
    """

    ratio: float
    ratio_sigma: float
    rate_per_s: float
    broken: bool
    broken_s: float
    gap_px: float
    gap_suspected: bool
    gap_open: bool


def follow_live(
    picture: npt.ArrayLike,
    previous: npt.ArrayLike | None = None,
    *,
    before: Mapping[str, Any] | None = None,
    side: Side = "right",
) -> LiveParticles:
    """Particles of a picture [y, x]; `before` is the `state` of the picture before, which is `previous`.

    Raises:
        ValueError: no picture, or a state that is none.
    """
    earlier = _state(before) if before is not None else None
    settings = Segmenting()
    followed, labels = follow(None if earlier is None else earlier.followed, picture, previous, settings)
    touched, gap_px = _beside_the_needle(picture, labels, followed, 0 if earlier is None else earlier.touched, side)
    target = next((one for one in followed.particles if one.number == touched and one.whole), None)
    lately = () if earlier is None else earlier.lately_px2
    if target is not None and target.fits:
        area_px2 = target.fits[0].area_px
        if lately and area_px2 < SHRUNK * max(lately):
            target, gap_px = None, math.nan
        lately = (*lately, area_px2)[-_LATELY:]
    return LiveParticles(
        state=LiveState(followed=_bare(followed), touched=touched, lately_px2=lately),
        particles=followed.particles,
        areas=tuple(
            LiveArea(number=one.number, area_px2=float(one.area_px2[0]), sigma_px2=float(one.total_sigma_px2()[0]))
            for one in courses([followed], [0.0], 0.0, settings)
        ),
        target=None if target is None else _with_lists(target, _DIGITS),
        gap_px=gap_px,
        labels=packed(labels),
    )


def kept(values: Mapping[str, Any]) -> tuple[Followed, int]:
    """The `Followed` of a picture from the plain values of its `LiveParticles`, and the number of the touched one.

    Raises:
        RunFileError: they are none.
    """
    try:
        state = _state(values["state"])
        particles = _seen().validate_python(values["particles"])
    except (KeyError, ValueError) as error:
        raise RunFileError(f"particles: what was kept of a picture is none ({str(error)[:80]})") from error
    return dataclasses.replace(state.followed, particles=particles), state.touched


def progress(*, state: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]], onset_s: float) -> Progress:
    """From the first pictures and the latest, each `time_s`, `target` and `gap_px`; the first lie before the onset.

    `state` is that of the latest picture.

    Raises:
        ValueError: no pictures, or a state that is none.
    """
    if not pictures:
        raise ValueError("no pictures")
    latest = _state(state)
    followed = latest.followed
    times = np.array([float(one["time_s"]) for one in pictures])
    targets = [None if one["target"] is None else _one_seen().validate_python(one["target"]) for one in pictures]
    course = _course(followed, targets, times, onset_s)
    ratio, sigma, rate = _now(course, times, onset_s)
    resolved = course is not None and course.resolved
    shown = [one if one is None or resolved else dataclasses.replace(one, ring=(), ring_sigma=()) for one in targets]
    lately = _course(followed, shown[-RECENT:], times[-RECENT:], onset_s)
    broken_s = math.nan if lately is None or lately.break_ is None else lately.break_.time_s
    gaps = [float(one["gap_px"]) for one in pictures]
    wider, least_px = widened_px(gaps, times, onset_s), GAP_PX
    if not latest.touched:
        wider, least_px = np.array(gaps), ADJOINS_PX
    return Progress(
        ratio=ratio,
        ratio_sigma=sigma,
        rate_per_s=rate,
        broken=math.isfinite(broken_s),
        broken_s=broken_s,
        gap_px=float(wider[-1]),
        gap_suspected=bool(wider[-1] > least_px),
        gap_open=is_open(wider[-2:], least_px),
    )


def widened_px(gaps_px: Sequence[float], times_s: Float, onset_s: float) -> Float:
    """By how much each gap is wider than those up to the onset; NaN where none was seen then."""
    gaps = np.asarray(gaps_px, dtype=np.float64)
    first = gaps[(times_s <= onset_s) & np.isfinite(gaps)]
    return gaps - (float(np.median(first)) if first.size else math.nan)


def is_open(widened: Float, least_px: float = GAP_PX) -> bool:
    """Whether two pictures that follow each other show a gap."""
    wide = widened > least_px
    return bool((wide[1:] & wide[:-1]).any())


def packed(labels: Labels) -> str:
    """Labels [y, x] as a short text."""
    return base64.b64encode(zlib.compress(np.asarray(labels, dtype="<u2").tobytes(), 6)).decode("ascii")


def unpacked(text: str, shape: tuple[int, int]) -> Labels:
    """The inverse of `packed`. Raises `RunFileError` where the text is damaged or of another shape."""
    try:
        payload = zlib.decompress(base64.b64decode(text, validate=True))
    except (zlib.error, binascii.Error) as error:
        raise RunFileError("particles: the labels of a picture are damaged") from error
    if len(payload) != 2 * shape[0] * shape[1]:
        raise RunFileError("particles: the labels of a picture have another shape than the picture")
    return np.frombuffer(payload, "<u2").reshape(shape).astype(np.int32)


def _beside_the_needle(
    picture: npt.ArrayLike, labels: Labels, followed: Followed, touched: int, side: Side
) -> tuple[int, float]:
    """Number of the touched particle, which is the one that adjoins the needle in the first picture that shows both,
    and how many pixels lie between their outlines (to the nearest one while none is touched); NaN where needle or
    particle are not seen.

    The needle is the brightest of what the border on its side cuts.
    """
    values = turned(np.asarray(picture, dtype=np.float64), side)
    seen = np.asarray(turned(labels.astype(np.float64), side)).astype(np.int32)
    cut = [int(number) for number in np.unique(seen[:, -1]) if number and number != touched]
    if not cut:
        return touched, math.nan
    needle = max(cut, key=lambda number: float(values[seen == number].mean()))
    away = np.asarray(ndimage.distance_transform_edt(seen != needle), dtype=np.float64)
    gaps = {
        one.number: float(away[seen == one.number].min()) - 1.0
        for one in followed.particles
        if one.whole and one.number != needle and (seen == one.number).any()
    }
    if touched or not gaps:
        return touched, gaps.get(touched, math.nan)
    nearest = min(gaps, key=lambda number: gaps[number])
    return nearest if gaps[nearest] <= ADJOINS_PX else 0, gaps[nearest]


def _bare(followed: Followed) -> Followed:
    """Without what was measured, which the next picture does not need."""
    return dataclasses.replace(followed, particles=tuple(_with_lists(one, None) for one in followed.particles))


def _with_lists(one: Seen, digits: int | None) -> Seen:
    """The same with its profiles rounded, or without all that it has several of."""
    lists = {
        field.name: value for field in dataclasses.fields(one) if isinstance(value := getattr(one, field.name), tuple)
    }
    if digits is None:
        return dataclasses.replace(one, **dict.fromkeys(lists, ()))
    lists.pop("fits")
    rounded = {name: tuple(float(f"{number:.{digits}g}") for number in values) for name, values in lists.items()}
    return dataclasses.replace(one, **rounded)


def _now(course: Course | None, times: Float, onset_s: float) -> tuple[float, float, float]:
    """A/A0 at the last picture, its sigma and its rate, by a line through the latest pictures."""
    nothing = (math.nan, math.nan, math.nan)
    if course is None:
        return nothing
    good = np.isfinite(course.area_px2)
    before = good & (times <= onset_s)
    after = np.flatnonzero(good & (times > onset_s))[-_LINE:]
    if not before.any() or not after.size or after[-1] != times.size - 1:
        return nothing
    area, sigma = course.area_px2, course.sigma_px2
    area0 = float(np.average(area[before], weights=1 / sigma[before] ** 2))
    if after.size == 1:
        at = int(after[0])
        return float(area[at]) / area0, float(sigma[at]) / area0, (float(area[at]) / area0 - 1) / (times[at] - onset_s)
    t, r, s = times[after] - times[-1], area[after] / area0, sigma[after] / area0
    slope, now = np.polyfit(t, r, 1, w=1 / s)
    return float(now), float(np.sqrt((s**2).mean())), float(slope)


def _course(followed: Followed, targets: Sequence[Seen | None], times: Float, onset_s: float) -> Course | None:
    """Of the one particle, None where it was never measured."""
    states = [dataclasses.replace(followed, particles=() if one is None else (one,)) for one in targets]
    found = courses(states, times.tolist(), onset_s)
    return found[0] if found else None


def _state(plain: Mapping[str, Any]) -> LiveState:
    try:
        return _live_state().validate_python(plain)
    except ValidationError as error:
        raise ValueError(f"no state of earlier pictures: {error.errors()[0]['msg']!s}") from error


@cache
def _live_state() -> TypeAdapter[LiveState]:
    return TypeAdapter(LiveState)


@cache
def _seen() -> TypeAdapter[tuple[Seen, ...]]:
    return TypeAdapter(tuple[Seen, ...])


@cache
def _one_seen() -> TypeAdapter[Seen]:
    return TypeAdapter(Seen)
