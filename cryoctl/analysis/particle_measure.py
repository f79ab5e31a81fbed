"""One particle in one picture: where it is, its area with uncertainty, its core and coating where they can be told."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.particle_edge import (
    MODELS,
    RAYS,
    EdgeFit,
    Outline,
    fit_edge,
    outline_of,
    polar,
    profile_of,
)
from cryoctl.analysis.particle_segments import Segments

Float = npt.NDArray[np.float64]

THRESHOLD = "threshold"
"""The area above the threshold, where no edge model can be told."""
SECTORS = 64
GAP_BELOW = 0.7
SWOLLEN_PX = 1.0
"""By how much an outline has to lie outside what would carry it on across a gap."""
RESOLVED = 10.0
"""By how much the BIC of a coated model has to be lower: odds of 150 to 1."""
CARRIED_ON = 0.008
"""Relative uncertainty of the radius where a neighbour hides the outline."""
CONTACT_PX = 0.7
"""Uncertainty of a pixel of the line at which two touching particles are parted."""
_NAN = float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelArea:
    """What one edge model says; `badness` as in `EdgeFit`; a core's area only of coated models. `hidden_px` is what is
    uncertain where neighbours hide the outline, much the same from picture to picture and not in `sigma_px`."""

    model: str
    area_px: float
    sigma_px: float
    badness: float
    blur_px: float = _NAN
    core_px: float = _NAN
    core_sigma_px: float = _NAN
    hidden_px: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """One particle in one picture, lengths in pixels, areas in squared pixels; plain data.

    `whole` is false where the frame's edge cuts it: it is followed, not measured. `fits` holds the area above the
    threshold, then what each edge model says. `ring` is the mean brightness over the surroundings of the outermost
    `ring_px` at SECTORS angles (from +x towards +y), NaN where a neighbour is; `ring_sigma` its uncertainty; both are
    empty where no coated model was fitted. `shape` is the outline's distance from the centroid at the same angles, NaN
    where a neighbour is.
    """

    number: int
    y_px: float
    x_px: float
    radius_px: float
    whole: bool
    touching: bool
    fits: tuple[ModelArea, ...] = ()
    ring: tuple[float, ...] = ()
    ring_sigma: tuple[float, ...] = ()
    shape: tuple[float, ...] = ()

    def fit(self, model: str) -> ModelArea | None:
        return next((one for one in self.fits if one.model == model), None)


def by_likelihood(badness: Mapping[str, float]) -> list[str]:
    """Edge models, the likeliest first; a coating has to be resolved, as its parameters move the edge as well."""
    return sorted(badness, key=lambda model: badness[model] + (RESOLVED if model.startswith("coated-") else 0.0))


def measured(
    segments: Segments,
    label: int,
    number: int,
    models: tuple[str, ...] = MODELS,
    blur: tuple[float, float] | None = None,
) -> Seen:
    """Measure the particle that has `label` and call it `number`; `blur` (pixels, relative sigma) is what earlier
    pictures say of the edge's blur."""
    inside = segments.labels == label
    ys, xs = np.nonzero(inside)
    ny, nx = inside.shape
    whole = bool(ys.min() > 0 and xs.min() > 0 and ys.max() < ny - 1 and xs.max() < nx - 1)
    y, x, area = float(ys.mean()), float(xs.mean()), float(ys.size)
    guard = 2 * segments.smoothing_px + 2
    outline = outline_of(segments, label, guard) if whole else None
    plain = Seen(
        number=number,
        y_px=y,
        x_px=x,
        radius_px=math.sqrt(area / math.pi),
        whole=whole,
        touching=outline is not None and not bool(outline.free.all()),
    )
    if not whole:
        return plain
    if outline is None:
        return _with(plain, (ModelArea(model=THRESHOLD, area_px=area, sigma_px=_rough(area, segments), badness=_NAN),))
    pixels = polar(segments, outline, label)
    fits, best = _fits(segments, outline, pixels, area, models, blur)
    if best is None:
        return _with(plain, fits, shape=_outline_shape(outline))
    ring, sigma = _ring(best, pixels, segments)
    gap = _gap(ring, sigma)
    if gap.any():
        # The area is that within the outline: a gap in a coating is no notch, what swells out of it counts.
        across = outline_of(segments, label, guard, np.repeat(gap, RAYS // SECTORS))
        if across is not None:
            swollen = np.nan_to_num(across.seen - across.radius) > SWOLLEN_PX
            if swollen.any():
                across = outline_of(segments, label, guard, np.repeat(gap, RAYS // SECTORS) & ~swollen) or across
            fits, _ = _fits(segments, across, polar(segments, across, label), area, models, blur)
    return _with(plain, fits, ring, sigma, _outline_shape(outline))


def _fits(
    segments: Segments,
    outline: Outline,
    pixels: tuple[Float, Float, Float],
    area_px: float,
    models: tuple[str, ...],
    blur: tuple[float, float] | None,
) -> tuple[tuple[ModelArea, ...], EdgeFit | None]:
    """All areas, and the best coated model's edge."""
    free, contact = outline.length()
    depth, _, relief = pixels
    noise = _contour_sigma(segments, outline, depth, relief) * math.sqrt(max(free, 1.0) * _patch(segments))
    by_contact = CONTACT_PX * math.sqrt(contact)
    hidden = float(np.hypot(CARRIED_ON * contact * outline.mean_radius, outline.contact_sigma_px2))
    by_threshold = ModelArea(
        model=THRESHOLD,
        area_px=area_px,
        sigma_px=float(np.hypot(noise, by_contact)),
        badness=_NAN,
        hidden_px=hidden,
    )
    profile = profile_of(depth, relief, segments.noise, segments.correlation, 0.8 * outline.mean_radius)
    tried = [] if profile is None else [fit_edge(profile, outline.mean_radius, model, blur) for model in models]
    edges = [edge for edge in tried if edge is not None]
    coated = [edge for edge in edges if edge.model.startswith("coated-")]
    return (
        (by_threshold, *(_area_of(edge, outline, by_contact, hidden) for edge in edges)),
        min(coated, key=lambda edge: edge.badness) if coated else None,
    )


def _with(
    seen: Seen,
    fits: tuple[ModelArea, ...],
    ring: tuple[float, ...] = (),
    ring_sigma: tuple[float, ...] = (),
    shape: tuple[float, ...] = (),
) -> Seen:
    return Seen(
        number=seen.number,
        y_px=seen.y_px,
        x_px=seen.x_px,
        radius_px=seen.radius_px,
        whole=seen.whole,
        touching=seen.touching,
        fits=fits,
        ring=ring,
        ring_sigma=ring_sigma,
        shape=shape,
    )


def _outline_shape(outline: Outline) -> tuple[float, ...]:
    return tuple(float(value) for value in outline.seen.reshape(SECTORS, -1).mean(axis=1))


def _rough(area_px: float, segments: Segments) -> float:
    """Of a shape that no ray reaches: half a smoothing length along a circle of that area."""
    return 0.5 * segments.smoothing_px * 2 * math.sqrt(math.pi * area_px)


def _patch(segments: Segments) -> float:
    """Length along the outline over which the smoothed noise is one."""
    return 2 * math.sqrt(math.pi) * segments.smoothing_px


def _contour_sigma(segments: Segments, outline: Outline, depth: Float, relief: Float) -> float:
    """By how much noise moves the threshold's contour: smoothed noise over the mean slope at the outline."""
    near = 2 * segments.smoothing_px + 1
    inner, outer = relief[(depth > 0) & (depth < near)], relief[(depth < 0) & (depth > -near)]
    if inner.size < 4 or outer.size < 4:
        return segments.smoothing_px
    slope = (float(inner.mean()) - float(outer.mean())) / near
    smoothed = segments.noise * math.sqrt(segments.correlation / (4 * math.pi)) / segments.smoothing_px
    return min(smoothed / slope, outline.mean_radius) if slope > 0 else outline.mean_radius


def _area_of(edge: EdgeFit, outline: Outline, by_contact: float, hidden_px: float) -> ModelArea:
    free, _ = outline.length()
    area = outline.area(edge.offset_px)
    inner = outline.area(edge.offset_px - edge.coating_px) if math.isfinite(edge.coating_px) else _NAN
    return ModelArea(
        model=edge.model,
        area_px=area,
        sigma_px=float(np.hypot(free * edge.offset_sigma_px, by_contact)),
        badness=edge.badness,
        blur_px=edge.blur_px,
        core_px=inner,
        core_sigma_px=float(np.hypot(free * np.hypot(edge.offset_sigma_px, edge.coating_sigma_px), by_contact)),
        hidden_px=hidden_px,
    )


def _ring(
    edge: EdgeFit, pixels: tuple[Float, Float, Float], segments: Segments
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    depth, turn, relief = pixels
    depth = depth + edge.offset_px
    outside = relief[depth < -3.0]
    level = float(np.median(outside)) if outside.size else 0.0
    within = (depth > -0.5) & (depth < max(edge.coating_px, 1.5) + 0.5)
    sector = (turn[within] * SECTORS / RAYS).astype(np.intp) % SECTORS
    values = relief[within] - level
    n = np.bincount(sector, minlength=SECTORS)
    mean = np.where(n > 1, np.bincount(sector, values, minlength=SECTORS) / np.maximum(n, 1), np.nan)
    # The background's noise is the least it can be; shot noise grows with brightness.
    spread = np.bincount(sector, np.square(values - mean[sector]), minlength=SECTORS)
    variance = np.maximum(spread / np.maximum(n - 1, 1), segments.noise**2)
    sigma = np.where(n > 1, np.sqrt(variance * segments.correlation / np.maximum(n, 1)), np.nan)
    return tuple(float(v) for v in mean), tuple(float(v) for v in sigma)


def _gap(ring: tuple[float, ...], sigma: tuple[float, ...]) -> npt.NDArray[np.bool_]:
    """Sectors where the coating is clearly missing, and their neighbours; none where that would be much of the ring."""
    values, spread = np.asarray(ring), np.asarray(sigma)
    known = np.isfinite(values)
    if known.sum() < SECTORS / 4:
        return np.zeros(SECTORS, dtype=bool)
    usual = float(np.median(values[known]))
    gap = known & (values < GAP_BELOW * usual) & (usual - values > 4 * spread)
    gap = gap | np.roll(gap, 1) | np.roll(gap, -1)
    return gap if gap.sum() <= SECTORS / 4 else np.zeros(SECTORS, dtype=bool)
