"""Particles in one grey-value picture: which pixels belong to which, with one set of parameters for every picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu

from cryoctl.analysis.particle_parting import parted

Float = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

POLARITIES = ("auto", "bright", "dark")
SURFACE_POINTS = 4000
RIMLESS_PX = 60
FAR_BRIGHTER = 30.0
CUT = 2.0
"""Times the level that parts a picture's logarithm in two: where its brightest hundredth is beyond the first it is cut
at the second. Tungsten and copper are at 60 and more beside particles, pictures without metal at up to 11."""
FAINTEST = 50.0
"""So many times fainter than the middle of a picture is as dark as its darkest: in any unit, counts or not."""
FLATTER = 0.9
"""A surface is taken off where it brings the background's spread below this part of what it was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segmenting:
    """The one set of parameters; lengths in pixels.

    The picture is smoothed by the least of `smoothing_px` at which particles stand `clear` standard deviations of the
    smoothed background above it. Below `least` at the strongest smoothing there is nothing to see: noise cut in two
    by its own threshold gives 2.65. Two touching particles are two where the waist between them is below `waist` of
    the narrower one, at the strongest smoothing below `blurred_waist`: noise that needs it makes waists. A
    particle has at least `smallest` pixels per squared smoothing length.
    """

    smoothing_px: tuple[float, ...] = (1.25, 2.5, 5.0)
    clear: float = 9.0
    least: float = 4.0
    waist: float = 0.75
    blurred_waist: float = 0.4
    smallest: float = 2.0
    polarity: str = "auto"

    def waist_at(self, smoothing_px: float) -> float:
        blurred = len(self.smoothing_px) > 1 and smoothing_px >= max(self.smoothing_px)
        return self.blurred_waist if blurred else self.waist


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How a picture was cut, to cut the next one of a series alike: smoothed by `smoothing_px`, the `nested`-th of
    nested thresholds (from 1), `uneven` where a surface was taken off."""

    smoothing_px: float
    nested: int
    uneven: bool
    bright: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Segments:
    """`labels` [y, x]: 0 background, 1 to n a particle each. `relief` [y, x] is the picture less its background, its
    sign such that particles are positive, `smoothed` the same smoothed by `smoothing_px`, metal cut off. `noise` is a
    pixel's standard deviation in the background and `correlation` by how much larger than for uncorrelated pixels the
    variance of means over many of them is. `bright` tells the sign."""

    labels: Labels
    relief: Float
    smoothed: Float
    threshold: float
    smoothing_px: float
    noise: float
    correlation: float
    contrast: float
    bright: bool
    nested: int = 1
    uneven: bool = False

    @property
    def way(self) -> Way:
        return Way(smoothing_px=self.smoothing_px, nested=self.nested, uneven=self.uneven, bright=self.bright)

    @property
    def count(self) -> int:
        return int(self.labels.max())


def segment(picture: npt.ArrayLike, settings: Segmenting | None = None, like: Way | None = None) -> Segments:
    """Particles of a picture [y, x] on an uneven background; `like` fixes what is chosen otherwise (a series keeps its
    first picture's, which also takes a tenth of the time).

    Background: a surface of second order through what is no particle, where that leaves it clearly flatter. Threshold:
    Otsu's, again below itself for as long as that separates (a needle far brighter than the particles would take the
    only threshold for itself); what is far brighter still is cut off before. Holes are filled; touching particles are
    parted by the watershed of the distance from the outline. Raises `ValueError` unless the picture is 2-D and at least
    16 pixels a side.
    """
    chosen = settings if settings is not None else Segmenting()
    values = np.asarray(picture, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 16:
        raise ValueError(f"a picture [y, x] of at least 16 pixels a side is needed, found shape {values.shape}")
    values = np.where(np.isfinite(values), values, np.nanmedian(values) if np.isfinite(values).any() else 0.0)
    dark = chosen.polarity == "dark" if like is None else not like.bright
    uncut, values = values, values if dark else _without_metal(values)
    level = _level(values, chosen.smoothing_px[0], chosen) if like is None else _level_like(values, like, chosen)
    for scale in chosen.smoothing_px[1:] if like is None else ():
        if level.separation >= chosen.clear:
            break
        level = _level(values, scale, chosen)
    noise, correlation = _noise(values - level.surface, ~level.near)
    inside = level.relief > level.threshold
    if level.separation < chosen.least:
        inside = np.zeros_like(inside)
    labels = parted(np.asarray(ndimage.binary_fill_holes(inside), dtype=bool), chosen.waist_at(level.scale))
    return Segments(
        labels=_large_enough(labels, chosen.smallest * max(level.scale, 2.5) ** 2),
        relief=level.sign * (uncut - level.surface),
        smoothed=level.relief,
        threshold=level.threshold,
        smoothing_px=level.scale,
        noise=noise,
        correlation=correlation,
        contrast=level.separation,
        bright=level.sign > 0,
        nested=level.nested,
        uneven=level.uneven,
    )


def _without_metal(values: Float) -> Float:
    """Cut off above what is no particle: a needle or a grid bar, tens of times brighter than all else, would take each
    threshold and each surface for itself. Where nothing stands out so far the picture is as it was."""
    low, middle = (float(np.percentile(values, share)) for share in (2, 50))
    faintest = (middle - low) / FAINTEST if middle > low else float(values[values > low].min(initial=np.inf)) - low
    if not math.isfinite(faintest):
        return values
    above = np.maximum(values - low, faintest)
    parting = float(np.exp(threshold_otsu(np.log(above))))
    if float(np.percentile(above, 99)) < FAR_BRIGHTER * parting:
        return values
    return np.minimum(values, low + CUT * parting)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Level:
    """Where the picture smoothed by `scale` is cut; `near` holds the particles and what adjoins them."""

    scale: float
    sign: float
    surface: Float
    relief: Float
    threshold: float
    separation: float
    nested: int
    uneven: bool
    near: Mask


def _level(values: Float, scale: float, settings: Segmenting) -> _Level:
    smooth = np.asarray(ndimage.gaussian_filter(values, scale), dtype=np.float64)
    bright = settings.polarity == "bright" or (settings.polarity == "auto" and _is_bright(smooth))
    sign = 1.0 if bright else -1.0
    flat = _cut(smooth, np.zeros_like(smooth), scale, sign, settings)
    uneven = flat
    for _ in range(3):
        taken = uneven.near
        uneven = _cut(smooth, _surface(smooth, taken), scale, sign, settings)
        if np.array_equal(taken, uneven.near):
            break
    if _spread(uneven) >= FLATTER * _spread(flat):
        return flat
    waist = settings.waist
    fewer = _whole(uneven.relief > uneven.threshold, waist) < _whole(flat.relief > flat.threshold, waist)
    return flat if fewer else uneven


def _level_like(values: Float, like: Way, settings: Segmenting) -> _Level:
    smooth = np.asarray(ndimage.gaussian_filter(values, like.smoothing_px), dtype=np.float64)
    sign = 1.0 if like.bright else -1.0
    flat = _cut(smooth, np.zeros_like(smooth), like.smoothing_px, sign, settings, like.nested)
    if not like.uneven:
        return flat
    return _cut(smooth, _surface(smooth, flat.near), like.smoothing_px, sign, settings, like.nested)


def _cut(
    smooth: Float, surface: Float, scale: float, sign: float, settings: Segmenting, nested: int | None = None
) -> _Level:
    relief = sign * (smooth - surface)
    threshold, separation, depth = _threshold(relief, sign, settings, round(2 * scale) + 2, nested)
    near = ndimage.binary_dilation(relief > threshold, iterations=max(1, round(2 * scale)))
    return _Level(
        scale=scale,
        sign=sign,
        surface=surface,
        relief=relief,
        threshold=threshold,
        separation=separation,
        nested=depth,
        uneven=bool(surface.any()),
        near=np.asarray(near, dtype=bool),
    )


def _spread(level: _Level) -> float:
    """Robust standard deviation of the background; what stands beyond the threshold does not count."""
    below = level.relief[level.relief <= level.threshold]
    return 1.4826 * float(np.median(np.abs(below - np.median(below)))) if below.size else float("inf")


def _is_bright(smooth: Float) -> bool:
    """Whether the smaller of the two classes is the brighter; the background is the larger."""
    return bool((smooth > threshold_otsu(smooth)).mean() < 0.5) if np.ptp(smooth) > 0 else True


def _threshold(
    relief: Float, sign: float, settings: Segmenting, rim_px: int, nested: int | None = None
) -> tuple[float, float, int]:
    """The lowest of nested Otsu thresholds that separates (class means apart over the lower class's spread), by how
    much, and which one it is; the first one where none does. A lower one is sought beyond `rim_px` of what is there, as
    a blurred edge is no class of its own, and has to show more particles that the frame does not cut: a film that they
    lie on would swallow them. With `nested` it is that one."""
    best = (float(relief.max()), 0.0, 0)
    whole = -1
    rest = relief.ravel()
    while rest.size > max(100, relief.size / 2 if best[2] else 0) and np.ptp(rest) > 0 and best[2] != nested:
        # Of grey values as they are, in the usual 256 bins: as anyone would take it, and masks were.
        threshold = sign * float(threshold_otsu(sign * rest))
        below, above = rest[rest <= threshold], rest[rest > threshold]
        middle = float(np.median(below))
        spread = 1.4826 * float(np.median(np.abs(below - middle)))
        separation = (float(above.mean()) - float(below.mean())) / max(spread, 1e-12 * abs(middle), 1e-300)
        if best[2]:
            if separation < settings.least or above.size < RIMLESS_PX:
                break
            if nested is None:
                whole = _whole(relief > best[0], settings.waist) if whole < 0 else whole
                more = _whole(relief > threshold, settings.waist)
                if more <= whole:
                    break
                whole = more
        best = (threshold, separation, best[2] + 1)
        if best[2] != nested:
            known = np.asarray(ndimage.binary_dilation(relief > threshold, iterations=rim_px), dtype=bool)
            rest = relief[np.logical_not(known)]
    return best


def _whole(inside: Mask, waist: float) -> int:
    """How many particles of RIMLESS_PX and more the frame's edge does not cut."""
    labels = parted(np.asarray(ndimage.binary_fill_holes(inside), dtype=bool), waist)
    large = np.bincount(labels.ravel()) >= RIMLESS_PX
    large[0] = False
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        large[edge] = False
    return int(large.sum())


def _surface(smooth: Float, taken: Mask) -> Float:
    """Second-order surface through the pixels that are not `taken`, outliers weighed down."""
    ny, nx = smooth.shape
    free = np.flatnonzero(~taken)
    if free.size < 100:
        return np.full_like(smooth, float(np.median(smooth)))
    y, x = np.linspace(-1, 1, ny), np.linspace(-1, 1, nx)
    picked = free[:: max(1, free.size // SURFACE_POINTS)]
    py, px = y[picked // nx], x[picked % nx]
    rows = np.stack([np.ones(picked.size), py, px, py * py, px * px, px * py], axis=-1)
    values = smooth.ravel()[picked]
    weights = np.ones(values.size)
    c = np.zeros(6)
    for _ in range(3):
        c = np.linalg.lstsq(rows * weights[:, None], values * weights, rcond=None)[0]
        off = np.abs(values - rows @ c)
        scale = 1.4826 * float(np.median(off))
        if scale <= 0:
            break
        weights = np.sqrt(np.minimum(1.0, 2.0 * scale / np.maximum(off, 1e-300)))
    along_y, along_x = c[1] * y + c[3] * y * y, c[2] * x + c[4] * x * x
    return np.asarray(c[0] + along_y[:, None] + along_x[None, :] + c[5] * np.outer(y, x), dtype=np.float64)


def _noise(flat: Float, outside: Mask) -> tuple[float, float]:
    """Standard deviation of a background pixel, and the variance of its Gaussian mean over that of white noise."""
    if outside.sum() < 100:
        fine = flat - ndimage.gaussian_filter(flat, 1.0)
        return 1.25 * 1.4826 * float(np.median(np.abs(fine - np.median(fine)))), 1.0
    shade = ndimage.gaussian_filter(np.where(outside, flat, 0.0), 12.0, truncate=2.0)
    share = ndimage.gaussian_filter(outside.astype(np.float64), 12.0, truncate=2.0)
    rest = np.where(outside, flat - shade / np.maximum(share, 1e-3), 0.0)
    noise = float(rest[outside].std())
    width = 2.0
    mean = ndimage.gaussian_filter(rest, width)
    deep = np.asarray(ndimage.binary_erosion(outside, iterations=4), dtype=bool)
    if noise <= 0 or deep.sum() < 100:
        return noise, 1.0
    return noise, max(1.0, float(mean[deep].var()) * 4 * np.pi * width**2 / noise**2)


def _large_enough(labels: Labels, smallest_px: float) -> Labels:
    sizes = np.bincount(labels.ravel())
    kept = np.flatnonzero(sizes >= smallest_px)
    kept = kept[kept > 0]
    new = np.zeros(sizes.size, dtype=np.int32)
    new[kept] = np.arange(1, kept.size + 1)
    return new[labels]
