"""Whether a needle touches a particle, from pictures of the approach: contrast, and particle and needle going together.

A current proves little at one particle (science.md, E4). What proves contact: the touched particle scatters otherwise
than before, as it is charged and strained, and it goes where the needle goes. Both are held against the pictures
before, in which nothing was touched; a needle that merely passes above or below covers a particle without either.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.segmentation import clear_border

from cryoctl.analysis.box_matching import Box, Way, clipped, moved
from cryoctl.analysis.needle_drift import metal_alone, metal_level
from cryoctl.analysis.needle_view import Parted, Side, apex_of, parted, turned, turned_back
from cryoctl.analysis.particle_segments import parted as parted_particles

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

CLEAR = 5.0
"""Standard deviations of the pictures before."""
LEAST_CHANGE = 0.015
"""Of the contrast, relative; less is what focus and drift do."""
LEAST_PUSH_PX = 0.25
BEFORE = 3
"""Pictures without contact that are needed to know what noise does."""
_TIP_PX = 28
_SEARCH_PX = 12
_NEEDLE_SEARCH_PX = 110
"""How far a particle and a needle are looked for from where they were in the first picture, the needle at least: over
all of the gap that was there."""
WAIST = 0.8
"""Of the lesser thickness of two: particles that are narrower between them are parted there."""
_LEAST_CORE_PX = 30
_LEAST_PX = 12
_LEAST_WIDTH_PX = 10
_METAL = 0.5
"""Of the needle's brightness where it is thickest: a grid's bars have as much, particles far less."""
_HALO_PX = 5
_EDGE_PX = 2
_FAINTEST = 0.01
"""Of the brightest; below it brightnesses are alike."""
_NEAR_PX = 70
"""So far around what is nearest to the apex, or to where a particle is wanted, particles are told from the film that
they lie on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contact:
    """`found`: the last two pictures both show it; `suspected`: the last one does, take another one as it is.

    `gap_m` is the distance of the outlines in the last picture as the apex has come nearer since the first, negative
    where they overlap; `contrast_change` is relative, `pushed_m` how far the particle went against the rest of the
    specimen. Sigmas are of one picture. `seen` is false where needle or particle were not found: then nothing is told.
    """

    seen: bool
    found: bool
    suspected: bool
    gap_m: float
    gap_sigma_m: float
    contrast_change: float
    contrast_sigma: float
    pushed_m: float
    pushed_sigma_m: float
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """A picture against the first one: the needle's and the particle's way (needle from the right, along the rows), and
    the particle's contrast; all against the rest of the specimen. `gap_px` is that of the first picture.

    (`needle_y_px`, `needle_x_px`) is the needle's way as the picture has it, y down. NaN where something hides it.
    """

    seen: bool
    gap_px: float
    nearer_px: float
    pushed_px: float
    contrast: float
    needle_y_px: float
    needle_x_px: float


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """The first picture, needle from the right: the particle that is meant, the others, and the apex."""

    parts: Parted
    particle: Bool
    core: Bool
    others: Bool
    apex: tuple[float, float]
    gap_px: float


def decide(*pictures: npt.ArrayLike, pixel_size_m: float, side: Side = "right", deepest_m: float = 20e-9) -> Contact:
    """From the pictures of an approach in their order, the first with a visible gap, all [y, x] of one place and scale.

    Raises:
        ValueError: fewer than five pictures, or of unlike shapes.
    """
    steps = [compared(pictures[0], picture, side) for picture in pictures]
    plain = [dataclasses.asdict(step) for step in steps]
    return decided(pictures=plain, pixel_size_m=pixel_size_m, deepest_m=deepest_m)


def compared(first: npt.ArrayLike, picture: npt.ArrayLike, side: Side = "right") -> Compared:
    """What changed since the first picture [y, x] of an approach, in which a gap is seen."""
    scene = _met_first(scenes_of(first, side))
    if scene is None or scene.core.sum() < _LEAST_CORE_PX:
        nothing = math.nan
        return Compared(
            seen=False,
            gap_px=nothing,
            nearer_px=nothing,
            pushed_px=nothing,
            contrast=nothing,
            needle_y_px=nothing,
            needle_x_px=nothing,
        )
    needle, particle, rest, contrast = _compared(scene, turned(np.asarray(picture, dtype=np.float64), side))
    y_px, x_px = turned_back(needle[0] - rest[0], needle[1] - rest[1], side)
    return Compared(
        seen=True,
        gap_px=scene.gap_px,
        nearer_px=needle[1] - rest[1],
        pushed_px=particle[1] - rest[1],
        contrast=contrast,
        needle_y_px=y_px,
        needle_x_px=x_px,
    )


def decided(*, pictures: Sequence[Mapping[str, Any]], pixel_size_m: float, deepest_m: float = 20e-9) -> Contact:
    """From what `compared` told of each picture of an approach in their order, as plain values by name.

    What touches overlaps by no more than it is indented, at most `deepest_m`: where the outlines overlap by more they
    lie at two heights, or the needle is too deep, and nothing is told but that.

    Raises:
        ValueError: fewer than five pictures.
    """
    if len(pictures) < BEFORE + 2:
        raise ValueError(f"{len(pictures)} pictures; {BEFORE + 2} are needed to tell contact from noise")
    if not all(picture["seen"] for picture in pictures):
        return _unseen("needle and particle are not both seen apart in the first picture")
    nearer, pushed, contrast = (
        np.array([float(picture[name]) for picture in pictures]) for name in ("nearer_px", "pushed_px", "contrast")
    )
    before = slice(0, len(pictures) - 2)
    change, change_sigma = _against(contrast / contrast[before].mean(), before)
    pushed = np.where(np.isfinite(pushed), pushed, 0.0)  # the needle hides where it would be seen
    away, away_sigma = _against(pushed, before)
    shows = [
        (abs(change[k]) > max(CLEAR * change_sigma, LEAST_CHANGE))
        or (away[k] < -max(CLEAR * away_sigma, LEAST_PUSH_PX))
        for k in (-2, -1)
    ]
    gap_m = (float(pictures[0]["gap_px"]) + nearer[-2:] - pushed[-2:]) * pixel_size_m
    if not gap_m.min() > -deepest_m:
        return _unseen(f"needle and particle overlap by {-gap_m.min() * 1e9:.0f} nm: it passes above or below")
    return Contact(
        seen=True,
        found=all(shows),
        suspected=bool(shows[1]),
        gap_m=float(gap_m[-1]),
        gap_sigma_m=math.hypot(0.5, away_sigma) * pixel_size_m,
        contrast_change=float(change[-1]),
        contrast_sigma=change_sigma,
        pushed_m=-float(away[-1]) * pixel_size_m,
        pushed_sigma_m=away_sigma * pixel_size_m,
    )


def _against(values: Float, before: slice) -> tuple[Float, float]:
    """Difference of each value from the mean of those before, and the sigma of one."""
    known = values[before]
    spread = float(known.std(ddof=1)) if len(known) > 1 else 0.0
    return values - float(known.mean()), spread * math.sqrt(1 + 1 / len(known))


def scenes_of(picture: npt.ArrayLike, side: Side, middle: bool = False) -> list[Scene]:
    """One for each particle that might be meant, nearest to the apex first, or nearest to the picture's middle."""
    parts = parted(picture, side)
    if parts is None:
        return []
    # Tungsten has a halo of the probe's tails, which may reach the specimen while the gap is open.
    specimen = parts.specimen & ~_wider(parts.needle)
    if not specimen.any():
        return []
    smooth = np.asarray(ndimage.gaussian_filter(parts.picture, 1.0), dtype=np.float64)
    metal = smooth - parts.vacuum > _METAL * (float(smooth[parts.needle].max()) - parts.vacuum)
    specimen &= ~_wider(np.asarray(metal & specimen))  # the grid's bars, which are no particles
    if not specimen.any():
        return []
    apex = apex_of(parts)
    wanted = ((specimen.shape[0] - 1) / 2, (specimen.shape[1] - 1) / 2) if middle else apex
    rows, columns = np.nonzero(specimen)
    ahead = int(np.hypot(rows - wanted[0], columns - wanted[1]).argmin())
    away_y, away_x = np.indices(specimen.shape)
    near = specimen & (np.hypot(away_y - rows[ahead], away_x - columns[ahead]) <= _NEAR_PX)
    above = smooth - parts.vacuum
    above = np.log(np.maximum(above, _FAINTEST * float(above[near].max())))
    bright = np.asarray(specimen & (above > threshold_otsu(above[near])))
    bodies = np.asarray(clear_border(parted_particles(bright, WAIST)), dtype=np.int32)
    scenes: list[tuple[float, Scene]] = []
    for number in range(1, int(bodies.max(initial=0)) + 1):
        particle = np.asarray(bodies == number)
        rows, columns = np.nonzero(particle)
        if len(rows) < _LEAST_PX:
            continue
        distance = float(np.hypot(rows - wanted[0], columns - wanted[1]).min())
        away = _along(parts.needle, apex[1], particle)
        if math.isinf(away):
            away = float(np.hypot(rows - apex[0], columns - apex[1]).min())
        core, others = _within(particle), _within(np.asarray((bodies > 0) & ~particle))
        scene = Scene(parts=parts, particle=particle, core=core, others=others, apex=apex, gap_px=away)
        scenes.append((distance, scene))
    return [scene for _, scene in sorted(scenes, key=lambda one: one[0])]


def _met_first(scenes: Sequence[Scene]) -> Scene | None:
    """Whose particle the needle meets first where it comes on along its axis, else the one nearest to the apex."""
    ahead = [one for one in scenes if not math.isinf(_along(one.parts.needle, one.apex[1], one.particle))]
    return min(ahead, key=lambda one: one.gap_px) if ahead else next(iter(scenes), None)


def _along(needle: Bool, apex_column: float, particle: Bool) -> float:
    """How far a needle from the right may come on until the outlines meet; infinite where it passes beside."""
    rows = np.flatnonzero(needle.any(axis=1) & particle.any(axis=1))
    if not rows.size:
        return math.inf
    outline = needle.argmax(axis=1)
    foremost = particle.shape[1] - 1 - particle[:, ::-1].argmax(axis=1)
    return float((outline[rows] - outline[needle.any(axis=1)].min() - foremost[rows]).min()) + apex_column


def _compared(scene: Scene, picture: Float) -> tuple[Way, Way, Way, float]:
    """(dy, dx) of needle, particle and the rest of the specimen since the first picture; the particle's contrast.

    Where no other particle is seen whole, the rest goes as this one does, and no push is told: a film has too little in
    it, and the needle comes before it.
    """
    first = scene.parts.picture
    row, column = round(scene.apex[0]), round(scene.apex[1])
    tip = clipped(row - _TIP_PX, row + _TIP_PX + 1, column - 3, column + 2 * _TIP_PX, first.shape)
    # Of the metal alone: what the apex comes near to would draw the match on.
    level = metal_level(first) or scene.parts.vacuum
    furthest = max(_NEEDLE_SEARCH_PX, math.ceil(scene.gap_px) + _SEARCH_PX)
    needle = moved(metal_alone(first, level), metal_alone(picture, level), tip, furthest)
    covered = _wider(_shifted(scene.parts.needle, needle))
    box = _box(scene.particle, 2)
    reached = np.flatnonzero(covered[box].any(axis=0))  # what a needle hides tells nothing of the particle's place
    free = box[0], slice(box[1].start, box[1].start + int(reached[0]) if reached.size else box[1].stop)
    particle = (
        moved(first, picture, free, _SEARCH_PX)
        if free[1].stop - free[1].start >= _LEAST_WIDTH_PX
        else (math.nan, math.nan)
    )
    if scene.others.any():
        rest = moved(first, picture, _box(scene.others, 4), _SEARCH_PX)
    else:
        rest = particle if math.isfinite(particle[0]) else (0.0, 0.0)
    own = particle if math.isfinite(particle[0]) else rest
    brightness = _brighter(scene, picture, scene.core, own, covered)
    against = _brighter(scene, picture, scene.others, rest, covered) if scene.others.any() else 1.0
    return needle, particle, rest, brightness / against


def _brighter(scene: Scene, picture: Float, mask: Bool, way: Way, covered: Bool) -> float:
    """How much brighter than in the first picture above vacuum, at the same places of what went this `way` since; NaN
    where the needle hides nearly all of it. A particle's middle is brighter than its edge."""
    back = (-way[0], -way[1])
    seen = mask & ~_shifted(covered, back)
    if seen.sum() < _LEAST_CORE_PX:
        return math.nan
    vacuum = scene.parts.vacuum
    now = np.asarray(ndimage.shift(picture, back, order=1, mode="nearest"), dtype=np.float64)
    return (_mean(now, seen) - vacuum) / (_mean(scene.parts.picture, seen) - vacuum)


def _shifted(mask: Bool, by: Way) -> Bool:
    return np.asarray(
        ndimage.shift(mask, (round(by[0]), round(by[1])), order=0, mode="constant", cval=False), dtype=bool
    )


def _wider(mask: Bool) -> Bool:
    return np.asarray(ndimage.binary_dilation(mask, iterations=_HALO_PX), dtype=bool)


def _within(mask: Bool) -> Bool:
    """Without the edge, which says less of what it is made of."""
    return np.asarray(ndimage.binary_erosion(mask, iterations=_EDGE_PX), dtype=bool)


def _mean(picture: Float, mask: Bool) -> float:
    return float(picture[mask].mean()) if mask.any() else math.nan


def _box(mask: Bool, margin: int) -> Box:
    """Around all of a mask."""
    rows, columns = np.nonzero(mask)
    return clipped(
        int(rows.min()) - margin,
        int(rows.max()) + margin + 1,
        int(columns.min()) - margin,
        int(columns.max()) + margin + 1,
        mask.shape,
    )


def _unseen(message: str) -> Contact:
    nothing = math.nan
    return Contact(
        seen=False,
        found=False,
        suspected=False,
        gap_m=nothing,
        gap_sigma_m=nothing,
        contrast_change=nothing,
        contrast_sigma=nothing,
        pushed_m=nothing,
        pushed_sigma_m=nothing,
        message=message,
    )
