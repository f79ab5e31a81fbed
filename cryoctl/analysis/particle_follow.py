"""Particles from picture to picture: drift, identity, and what each picture adds; one call a picture.

`follow` takes what the picture before left as plain data and gives the same back, so that it can be called while
pictures come in as well as on a whole stack.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.drift import shift
from cryoctl.analysis.particle_contour import own_contours
from cryoctl.analysis.particle_edge import MODELS
from cryoctl.analysis.particle_measure import Seen, by_likelihood, measured
from cryoctl.analysis.particle_parting import parted
from cryoctl.analysis.particle_segments import Labels, Segmenting, Segments, Way, segment

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

BLIND_MODELS = ("disc",)
"""Where the area is that above the threshold anyway: the one that says how far half height lies from it."""
MODEL_PICTURES = 4
"""Pictures in which every edge model is tried on a particle; afterwards the two best go on."""
REMEMBERED_PICTURES = 10
"""For how many pictures a particle that is not found keeps its identity."""
MARKER = 0.6
"""Radius of the disc that stands for a particle seen before, as part of its own."""
CLAIMED = 0.5
BLUR_SIGMA = 0.04
"""Relative; what pictures differ in focus and the edges in sharpness."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Sum of an edge model's badness for a particle over its first pictures."""

    number: int
    model: str
    badness: float
    pictures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A particle that was not found, where it would be now (pixels), for how many pictures."""

    number: int
    y_px: float
    x_px: float
    radius_px: float
    pictures: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """After `pictures` pictures: the particles of the last one, those missed, and what the next picture needs.

    (`drift_y_px`, `drift_x_px`) is how far the content lies from where it lay in the first picture; `related` is the
    part of the particles expected that was found again (1 in the first picture).
    """

    pictures: int
    particles: tuple[Seen, ...]
    missing: tuple[Missing, ...] = ()
    drift_y_px: float = 0.0
    drift_x_px: float = 0.0
    related: float = 1.0
    next_number: int = 1
    way: Way
    blur_px: float = float("nan")
    trials: tuple[Trial, ...] = ()


def follow(
    before: Followed | None,
    picture: npt.ArrayLike,
    previous: npt.ArrayLike | None = None,
    settings: Segmenting | None = None,
) -> tuple[Followed, Labels]:
    """Particles of `picture` [y, x], each with the number that it had in the picture before; and their labels [y, x].

    `previous` is that picture, from which the drift follows by cross-correlation; without it, or where it can't be
    told, by the particles' constellation. A particle is found again by the disc that it left; one region that holds
    the discs of several is parted between them, several regions within one are joined. Raises `ValueError` as
    `segment` does.
    """
    chosen = settings if settings is not None else Segmenting()
    if before is None:
        segments = segment(picture, chosen)
        numbers = np.arange(segments.count + 1, dtype=np.int32)
        return _after(None, segments, numbers, (0.0, 0.0), (), 1.0, chosen)
    expected = [one.number for one in before.particles if one.whole]
    segments, numbers, drift, known = _found_again(before, segment(picture, chosen, before.way), picture, previous)
    if not set(expected) <= set(numbers.tolist()):
        # Something is lost: perhaps no longer where the threshold was sought.
        polarity, scale = "bright" if before.way.bright else "dark", before.way.smoothing_px
        anew = segment(picture, dataclasses.replace(chosen, polarity=polarity, smoothing_px=(scale,)))
        segments, numbers, drift, known = _found_again(before, anew, picture, previous)
    found = {int(n) for n in numbers[1:]}
    waited = {one.number: one.pictures for one in before.missing}
    missing = tuple(
        Missing(number=number, y_px=y, x_px=x, radius_px=radius, pictures=waited.get(number, 0) + 1)
        for number, y, x, radius in known
        if number not in found and waited.get(number, 0) < REMEMBERED_PICTURES
    )
    related = sum(number in found for number in expected) / len(expected) if expected else 1.0
    return _after(before, segments, numbers, drift, missing, related, chosen)


def _found_again(
    before: Followed, segments: Segments, picture: npt.ArrayLike, previous: npt.ArrayLike | None
) -> tuple[Segments, npt.NDArray[np.int32], tuple[float, float], list[tuple[int, float, float, float]]]:
    """The labels by the particles known, their numbers, the drift, and where each known one would be now."""
    drift = _drift(before, segments, picture, previous)
    known = [(one.number, one.y_px + drift[0], one.x_px + drift[1], one.radius_px) for one in before.particles]
    known += [(one.number, one.y_px + drift[0], one.x_px + drift[1], one.radius_px) for one in before.missing]
    segments, numbers = _identified(segments, known, before.next_number)
    return segments, numbers, drift, known


def _after(
    before: Followed | None,
    segments: Segments,
    numbers: npt.NDArray[np.int32],
    drift: tuple[float, float],
    missing: tuple[Missing, ...],
    related: float,
    settings: Segmenting,
) -> tuple[Followed, Labels]:
    trials = {} if before is None else {(one.number, one.model): one for one in before.trials}
    blur = None if before is None or math.isnan(before.blur_px) else (before.blur_px, BLUR_SIGMA)
    blind = is_blind(segments.smoothing_px, settings)
    segments = segments if blind else own_contours(segments)
    seen: list[Seen] = []
    for label, number in enumerate(numbers[1:], start=1):
        models = BLIND_MODELS if blind else _models(trials, int(number))
        one = measured(segments, label, int(number), models, blur)
        seen.append(one)
        for fit in one.fits:
            if math.isnan(fit.badness):
                continue
            so_far = trials.get((one.number, fit.model))
            if so_far is None or so_far.pictures < MODEL_PICTURES:
                trials[one.number, fit.model] = Trial(
                    number=one.number,
                    model=fit.model,
                    badness=fit.badness + (0.0 if so_far is None else so_far.badness),
                    pictures=1 + (0 if so_far is None else so_far.pictures),
                )
    if before is not None:
        drift = _moved(before, seen, drift)
    after = Followed(
        pictures=1 if before is None else before.pictures + 1,
        particles=tuple(seen),
        missing=missing,
        drift_y_px=drift[0] + (0.0 if before is None else before.drift_y_px),
        drift_x_px=drift[1] + (0.0 if before is None else before.drift_x_px),
        related=related,
        next_number=max(int(numbers.max(initial=0)) + 1, 1 if before is None else before.next_number),
        way=segments.way,
        blur_px=_blur(before, seen, trials),
        trials=tuple(trials.values()),
    )
    return after, np.asarray(numbers[segments.labels], dtype=np.int32)


def _moved(before: Followed, seen: list[Seen], drift: tuple[float, float]) -> tuple[float, float]:
    """Drift by the whole particles' centroids, which growth does not displace; else as it was found."""
    old = {one.number: one for one in before.particles if one.whole}
    both = [(old[one.number], one) for one in seen if one.number in old and one.whole]
    pairs = [pair for pair in both if not (pair[0].touching or pair[1].touching)] or both
    if not pairs:
        return drift
    return (
        float(np.median([new.y_px - one.y_px for one, new in pairs])),
        float(np.median([new.x_px - one.x_px for one, new in pairs])),
    )


def is_blind(smoothing_px: float, settings: Segmenting) -> bool:
    """Whether the strongest smoothing was needed, at which a pixel's edge can't be told."""
    return len(settings.smoothing_px) > 1 and smoothing_px >= max(settings.smoothing_px)


def ranked(trials: dict[tuple[int, str], Trial], number: int) -> list[str]:
    """Edge models of a particle, the best first; only such as did as many pictures as any."""
    own = [one for key, one in trials.items() if key[0] == number]
    most = max((one.pictures for one in own), default=0)
    return by_likelihood({one.model: one.badness for one in own if one.pictures == most})


def _models(trials: dict[tuple[int, str], Trial], number: int) -> tuple[str, ...]:
    best = ranked(trials, number)
    tried = max((one.pictures for key, one in trials.items() if key[0] == number), default=0)
    return tuple(best[:1]) if tried >= MODEL_PICTURES else MODELS


def _blur(before: Followed | None, seen: list[Seen], trials: dict[tuple[int, str], Trial]) -> float:
    """Median over the particles of their best model's, averaged over the pictures so far."""
    own: list[float] = []
    for one in seen:
        best = ranked(trials, one.number)
        fit = one.fit(best[0]) if best else None
        if fit is not None:
            own.append(fit.blur_px)
    if not own:
        return float("nan") if before is None else before.blur_px
    now = float(np.median(own))
    if before is None or math.isnan(before.blur_px):
        return now
    n = min(before.pictures, 20)
    return (before.blur_px * n + now) / (n + 1)


def _drift(
    before: Followed, segments: Segments, picture: npt.ArrayLike, previous: npt.ArrayLike | None
) -> tuple[float, float]:
    """(dy, dx) of the content since the picture before: of two proposals the one that finds more particles again."""
    proposals = [(0.0, 0.0)]
    if previous is not None:
        moved = shift(previous, picture)
        if moved.found:
            proposals.insert(0, (moved.dy, moved.dx))
    old = np.array([(one.y_px, one.x_px, one.radius_px) for one in before.particles])
    new = _places(segments)
    if not old.size or not new.size:
        return proposals[0]
    best = max(proposals, key=lambda way: (_hits(old, new, way), -proposals.index(way)))
    if _hits(old, new, best) >= 0.5 * len(old):
        return best
    ways = [(float(n[0] - o[0]), float(n[1] - o[1])) for o in old for n in new if 0.5 < n[2] / o[2] < 2.0]
    voted = max(ways, key=lambda way: (_hits(old, new, way), -math.hypot(*way)), default=best)
    # Any pair of particles gives a way on which one of them is found again.
    return voted if _hits(old, new, voted) > max(_hits(old, new, best), 1 if len(old) > 1 else 0) else best


def _places(segments: Segments) -> Float:
    """(y, x, radius) of each label."""
    ny, nx = segments.labels.shape
    flat = segments.labels.ravel()
    n = np.bincount(flat, minlength=segments.count + 1).astype(np.float64)
    y = np.bincount(flat, np.repeat(np.arange(ny), nx), minlength=n.size) / np.maximum(n, 1)
    x = np.bincount(flat, np.tile(np.arange(nx), ny), minlength=n.size) / np.maximum(n, 1)
    return np.stack([y, x, np.sqrt(n / np.pi)], axis=1)[1:]


def _hits(old: Float, new: Float, way: tuple[float, float]) -> int:
    away = np.hypot(old[:, None, 0] + way[0] - new[None, :, 0], old[:, None, 1] + way[1] - new[None, :, 1])
    alike = np.abs(np.log(new[None, :, 2] / old[:, None, 2])) < 0.35
    return int(((away < 0.4 * old[:, None, 2]) & alike).any(axis=1).sum())


def _disc(shape: tuple[int, int], y: float, x: float, radius: float) -> Bool:
    return np.asarray((np.arange(shape[0])[:, None] - y) ** 2 + (np.arange(shape[1])[None, :] - x) ** 2 <= radius**2)


def _identified(
    segments: Segments, known: list[tuple[int, float, float, float]], next_number: int
) -> tuple[Segments, npt.NDArray[np.int32]]:
    """Labels parted and joined as the particles known ask, and the number of each label (index 0 unused)."""
    labels = segments.labels.copy()
    shape = (int(labels.shape[0]), int(labels.shape[1]))
    claims: dict[int, list[tuple[int, Bool]]] = {}
    for number, y, x, radius in known:
        disc = _disc(shape, y, x, max(MARKER * radius, 1.5))
        under = np.bincount(labels[disc], minlength=1)
        if under.size < 2:
            continue
        under[0] = 0
        top = int(under.argmax())
        if under.sum() >= CLAIMED * max(int(disc.sum()), 1) and under[top] > 0:
            claims.setdefault(top, []).append((number, disc))
            # Regions that lie within the particle, and that nobody else can claim, are parts of it.
            whole = _disc(shape, y, x, 1.1 * radius)
            sizes = np.bincount(labels.ravel())
            inner = np.bincount(labels[whole], minlength=sizes.size)
            for part in np.flatnonzero(inner > 0.8 * sizes):
                if part not in (0, top) and not any(
                    labels[min(max(round(b), 0), shape[0] - 1), min(max(round(c), 0), shape[1] - 1)] == part
                    for a, b, c, _ in known
                    if a != number
                ):
                    labels[labels == part] = top
    new = np.zeros_like(labels)
    numbers = [0]
    for label in range(1, segments.count + 1):
        region = labels == label
        if not region.any():
            continue
        own = claims.get(label, [])
        if len(own) > 1:
            markers = np.zeros_like(labels)
            for index, (_, disc) in enumerate(own, start=1):
                markers[disc & region & (markers == 0)] = index
            pieces = parted(region, 1.0, markers)
            for index, (number, _) in enumerate(own, start=1):
                if (pieces == index).any():
                    numbers.append(number)
                    new[pieces == index] = len(numbers) - 1
        else:
            numbers.append(own[0][0] if own else next_number)
            next_number += 0 if own else 1
            new[region] = len(numbers) - 1
    return dataclasses.replace(segments, labels=new), np.asarray(numbers, dtype=np.int32)
