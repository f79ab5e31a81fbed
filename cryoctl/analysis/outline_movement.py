"""How far what a picture shows has moved, from all of its outlines.

A straight outline tells only what lies across it. Of the other direction the answer is what was known before, and its
sigma says so. Pictures are [y, x].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Pair = tuple[float, float]
Known = tuple[Pair, Pair]

OUTLINE_PX = 0.05
"""An outline may look so much further out in one picture than in the other: tilt, focus, and pixels in steps."""
_SMOOTHING_PX = 1.0
_SEARCHED_PX = 2.0
"""Smoothing of the search, which has no use for noise."""
_BLOCK_PX = 12
"""Residuals further apart than that err independently."""
_CLEAR = 4.0
"""Gradients so far above noise belong to an outline."""
_SURE = 4.0
"""By so many deviations what noise alone puts into the outlines' information is taken off."""
_ALIKE = 0.6
"""Least correlation of two pictures of one specimen."""
_LEAST_SHARE = 0.3
"""Of the pictures that must show the same place."""
_LEAST_PX = 60
_RIM_PX = 3
"""Smoothing and gradients at a picture's border are not those of what is there."""
_TURNS = 25
_SETTLED_PX = 0.05
_TINY = 1e-30
_SAMPLED = 5
"""Of so many pixels one tells the noise."""
_MEDIAN_OF_SQUARE = 0.455
"""Of a normal variable with variance 1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Of the second picture's content against the first's (pixels), y down, each direction with its own sigma: that of
    what was known before where no outline tells of it. `found` is false where the two show nothing alike."""

    found: bool
    down_px: float
    down_sigma_px: float
    right_px: float
    right_sigma_px: float


def moved_outlines(
    first: npt.ArrayLike, second: npt.ArrayLike, *, clear: tuple[Bool, Bool], known: Known, furthest_px: Pair
) -> Movement:
    """How far the second picture's content went, of which something is known.

    A search for the whole pixel over the parts that both pictures show, without a window, then least squares of both
    directions with what is known as two more measurements. Sigma: that of the pictures' residuals, summed in blocks so
    that errors of neighbours count as one, over the information that outlines seen in both give (their structure
    tensor); and an outline that looks broader in one of them.

    Args:
        clear: of each picture, [y, x], where nothing else stands in the way.
        known: (value, sigma) of down and of right, in pixels.
        furthest_px: from there, that is searched down and to the right.
    """
    a, b = _evened(np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64))
    start = _whole(a, b, clear, known, furthest_px)
    return not_found() if start is None else _refined(a, b, clear, start, known, furthest_px)


def _evened(a: Float, b: Float) -> tuple[Float, Float]:
    """Shot noise alike over bright and dark."""
    low = min(float(a.min()), float(b.min()))
    return np.sqrt(a - low + 0.375), np.sqrt(b - low + 0.375)


def _whole(a: Float, b: Float, clear: tuple[Bool, Bool], known: Known, furthest_px: Pair) -> tuple[float, float] | None:
    """(dy, dx) of the least mean square difference where both are clear; None where they are not alike there."""
    weights = [one.astype(np.float64) for one in clear]
    values = [_smooth(one, _SEARCHED_PX) for one in (a, b)]
    middle = float(np.mean(values))
    values = [(one - middle) * weight for one, weight in zip(values, weights, strict=True)]
    reaches = [max(1.5, reach) for reach in furthest_px]
    furthest = [abs(value) + reach + 1 for (value, _), reach in zip(known, reaches, strict=True)]
    shape = [_fast(size + math.ceil(most)) for size, most in zip(a.shape, furthest, strict=True)]
    first, second, first2, second2, clear1, clear2 = (
        np.asarray(fft.rfft2(one, s=shape)) for one in (*values, values[0] ** 2, values[1] ** 2, *weights)
    )

    def correlated(one: npt.NDArray[np.complex128], other: npt.NDArray[np.complex128]) -> Float:
        return np.asarray(fft.irfft2(np.conj(one) * other, s=shape), dtype=np.float64)

    common = correlated(clear1, clear2)
    squares = correlated(first2, clear2) + correlated(clear1, second2) - 2 * correlated(first, second)
    down, right = (np.fft.fftfreq(size, 1 / size) for size in shape)
    near = [np.abs(one - value) <= reach for one, (value, _), reach in zip((down, right), known, reaches, strict=True)]
    allowed = near[0][:, None] & near[1][None, :]
    allowed &= common >= _LEAST_SHARE * min(float(one.sum()) for one in weights)
    if not allowed.any():
        return None
    mean = np.where(allowed, squares / np.maximum(common, 1.0), np.inf)
    iy, ix = (int(i) for i in np.unravel_index(int(np.argmin(mean)), mean.shape))
    return float(down[iy]), float(right[ix])


def _fast(size: int) -> int:
    """The next length that is transformed fast; scipy's stubs leave its type open."""
    length = fft.next_fast_len(size, real=True)
    assert length is not None
    return int(length)


def _refined(
    a: Float,
    b: Float,
    clear: tuple[Bool, Bool],
    start: tuple[float, float],
    known: Known,
    furthest_px: Pair,
) -> Movement:
    expected, trusted = np.array(known).T
    trust = np.diag(trusted**-2)
    first, second = _smooth(a, _SMOOTHING_PX), _smooth(b, _SMOOTHING_PX)
    splines, slopes = ndimage.spline_filter(second), _slopes(first)
    inside = clear[1].astype(np.float64)
    inside[:_RIM_PX], inside[-_RIM_PX:], inside[:, :_RIM_PX], inside[:, -_RIM_PX:] = 0.0, 0.0, 0.0, 0.0
    way = np.array(start)
    covariance, moved, both, last = np.diag(trusted**2), second, clear[0], math.inf
    for _ in range(_TURNS):
        moved = np.asarray(ndimage.shift(splines, -way, order=3, mode="mirror", prefilter=False))
        there = np.asarray(ndimage.shift(inside, -way, order=1)) > 0.999
        both = clear[0] & there
        other = _slopes(moved)
        middle = (slopes + other) / 2
        outline = _outline(middle, other - slopes, both)
        if int(outline.sum()) < _LEAST_PX:
            return not_found()
        along = middle[:, outline]
        scores = _scores(along, (moved - first)[outline], outline)
        seen, told = _told(slopes[:, outline], other[:, outline])
        score, spread = told @ scores.sum(axis=0), told @ scores.T @ scores @ told
        variance = max(float(np.trace(spread)) / max(float(np.trace(seen)), _TINY), _TINY)
        inverse = np.linalg.inv(seen / variance + trust)
        step = inverse @ (-score / variance + trust @ (expected - way))
        broader = OUTLINE_PX * told @ (np.hypot(*along) * along).sum(axis=1)
        covariance = inverse @ ((spread + np.outer(broader, broader)) / variance**2 + trust) @ inverse
        way = way + np.clip(step, -2.0, 2.0)
        last = float(np.abs(step).max())
        if last < _SETTLED_PX / 10:
            break
    alike = float(np.corrcoef(first[both], moved[both])[0, 1])
    within = (np.abs(way - expected) < np.array(furthest_px) + 1).all()
    down_sigma, right_sigma = (math.sqrt(float(one)) for one in np.diag(covariance))
    return Movement(
        found=bool(alike >= _ALIKE and within and last < _SETTLED_PX),
        down_px=float(way[0]),
        down_sigma_px=down_sigma,
        right_px=float(way[1]),
        right_sigma_px=right_sigma,
    )


def _outline(slopes: Float, change: Float, both: Bool) -> Bool:
    """Where gradients stand out of their noise, and what lies beside; none where nothing is seen in both pictures."""
    if not both.any():
        return both
    noise = float(np.median(change[:, both][:, ::_SAMPLED] ** 2)) / 2 / _MEDIAN_OF_SQUARE
    steep = both & np.asarray((slopes**2).sum(axis=0) > _CLEAR**2 * noise, dtype=bool)
    return both & np.asarray(ndimage.binary_dilation(steep), dtype=bool)


def _scores(along: Float, left: Float, outline: Bool) -> Float:
    """Gradient times residual, summed in blocks [block, 2]."""
    rows, columns = np.nonzero(outline)
    wide = outline.shape[1] // _BLOCK_PX + 1
    block = (rows // _BLOCK_PX) * wide + columns // _BLOCK_PX
    return np.column_stack([np.bincount(block, weights=one * left).astype(np.float64) for one in along])


def _told(first: Float, second: Float) -> tuple[Float, Float]:
    """Information [2, 2] in gradients [2, n] of two pictures, less what noise may add to it, and the projection [2, 2]
    on the directions where that leaves most of it: in others outlines tell nothing."""
    product = first @ second.T
    values, ways = np.linalg.eigh((product + product.T) / 2)
    noise = ((ways.T @ (second - first)) ** 2).mean(axis=1) / 2
    doubtful = _SURE * noise * math.sqrt(first.shape[1] * 4 * math.pi * _SMOOTHING_PX**2)
    told = values > 2 * doubtful
    kept = np.where(told, values - doubtful, 0.0)
    return np.asarray((ways * kept) @ ways.T), np.asarray((ways * told) @ ways.T)


def _slopes(smooth: Float) -> Float:
    """[2, y, x]: down and to the right."""
    return np.asarray(np.gradient(smooth), dtype=np.float64)


def _smooth(picture: Float, by_px: float) -> Float:
    return np.asarray(ndimage.gaussian_filter(picture, by_px), dtype=np.float64)


def not_found() -> Movement:
    return Movement(found=False, down_px=math.nan, down_sigma_px=math.nan, right_px=math.nan, right_sigma_px=math.nan)
