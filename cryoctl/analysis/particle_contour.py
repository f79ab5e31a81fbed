"""Each particle's own contour: one threshold for all lies inside a faint particle and outside a bright one."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import label

from cryoctl.analysis.particle_segments import Segments

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

FOOT = 0.3
"""Of the rim's height over the surroundings, at which the contour lies: near the foot, as a round particle has no step
and what swells out of one is fainter than the rest."""
RIM_PX = (2.0, 7.0)
"""Depth below the contour between which the rim's height is taken."""
CLEAR = 5.0
"""Standard deviations of the smoothed background by which a contour has to lie above it."""
REACH = 0.4
"""How far a contour may lie outside what was found before, over the particle's radius."""
DIRECTIONS = 32
ROUNDS = 2


def own_contours(segments: Segments) -> Segments:
    """Labels again, each up to where its smoothed relief falls to FOOT of its own rim, direction by direction, over its
    own surroundings.

    What two could claim is the nearer one's. A particle whose own contour would be lost in noise keeps what it has, and
    so does what the frame cuts.
    """
    labels = segments.labels
    for _ in range(ROUNDS):
        labels = _once(segments, labels)
    return dataclasses.replace(segments, labels=labels)


def _once(segments: Segments, labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    smoothed = segments.smoothed
    noise = segments.noise * math.sqrt(segments.correlation / (4 * math.pi)) / segments.smoothing_px
    new = labels.copy()
    boxes = ndimage.find_objects(labels)
    cut = [number for number, box in enumerate(boxes, start=1) if box is not None and _at_edge(box, labels.shape)]
    # What lies before a needle, its oxide, is nearer to it and so nobody's.
    metal = np.isin(labels, cut)
    claims = np.asarray(ndimage.distance_transform_edt(~metal)) if metal.any() else np.full(labels.shape, np.inf)
    for number, box in enumerate(boxes, start=1):
        if box is None or number in cut:
            continue
        own = labels[box] == number
        radius = math.sqrt(float(own.sum()) / math.pi)
        margin = math.ceil(REACH * radius) + 2
        wide = tuple(
            slice(max(0, span.start - margin), min(size, span.stop + margin))
            for span, size in zip(box, labels.shape, strict=True)
        )
        here, relief = labels[wide], smoothed[wide]
        inside = here == number
        level = _level(relief, here, inside, noise)
        if level is None:
            continue
        away = np.asarray(ndimage.distance_transform_edt(np.logical_not(inside)), dtype=np.float64)
        above = (relief > level) & (inside | (here == 0)) & (away <= REACH * radius)
        pieces = np.asarray(label(above, connectivity=1), dtype=np.int32)
        sizes = np.bincount(pieces[inside & above], minlength=1)
        sizes[0] = 0
        if not sizes.any():
            continue
        kept = np.asarray(ndimage.binary_fill_holes(pieces == int(sizes.argmax())), dtype=bool) & (inside | (here == 0))
        if float(kept.sum()) < 0.5 * float(inside.sum()):
            continue
        target, nearest = new[wide], claims[wide]
        target[inside & ~kept] = 0
        taken = kept & (away < nearest)
        target[taken] = number
        nearest[taken] = away[taken]
    return new


def _at_edge(box: tuple[slice, ...], shape: tuple[int, ...]) -> bool:
    return any(span.start == 0 or span.stop == size for span, size in zip(box, shape, strict=True))


def _level(relief: Float, labels: npt.NDArray[np.int32], inside: Mask, noise: float) -> Float | None:
    """Where a particle's contour lies [y, x], by the rim in each direction; None where it would not be clear of the
    noise, or no rim is seen."""
    depth = np.asarray(ndimage.distance_transform_edt(inside), dtype=np.float64)
    rim = (depth > RIM_PX[0]) & (depth <= RIM_PX[1])
    around = relief[np.logical_not(ndimage.binary_dilation(labels != 0, iterations=4))]
    if rim.sum() < 2 * DIRECTIONS or around.size < 20:
        return None
    low = float(np.median(around))
    ys, xs = np.nonzero(inside)
    dy, dx = np.arange(inside.shape[0]) - float(ys.mean()), np.arange(inside.shape[1]) - float(xs.mean())
    turn = np.arctan2(dy[:, None], dx[None, :]) / (2 * np.pi) * DIRECTIONS % DIRECTIONS
    sector = turn.astype(np.intp) % DIRECTIONS
    usual = float(np.median(relief[rim])) - low
    heights = np.full(DIRECTIONS, usual)
    for k in range(DIRECTIONS):
        own = relief[rim & (sector == k)]
        heights[k] = float(np.median(own)) - low if own.size >= 8 else usual
    calm = np.mean([np.roll(heights, k) for k in (-1, 0, 1)], axis=0)
    if FOOT * usual <= CLEAR * noise:
        return None
    at = np.interp(turn, np.arange(-1, DIRECTIONS + 1) + 0.5, np.concatenate([calm[-1:], calm, calm[:1]]))
    return low + np.maximum(FOOT * at, CLEAR * noise)
