"""How far a specimen moved along one direction of the picture, from all of its outlines.

A straight outline tells only what lies across it. So where it runs along the direction that is asked for, the answer
rests on what else is known, and its sigma says so. Pictures are [y, x].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import fft, ndimage

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

OUTLINE_PX = 0.05
"""An outline may look so much further out in one picture than in the other: tilt, focus, and pixels in steps."""
_SMOOTHING_PX = 1.0
_SEARCHED_PX = 2.0
"""Smoothing of the search, which has no use for noise."""
_BLOCK_PX = 12
"""Residuals further apart than that err independently."""
_CLEAR = 4.0
"""Gradients so far above noise belong to an outline."""
_SURE = 3.0
"""By so many deviations what noise alone puts into the outlines' information is taken off."""
_ALIKE = 0.6
"""Least correlation of two pictures of one specimen."""
_LEAST_SHARE = 0.3
"""Of the pictures that must show the same place."""
_LEAST_PX = 60
_TURNS = 25


@dataclass(frozen=True, slots=True, kw_only=True)
class Movement:
    """Of what a picture shows against another one, down it (pixels); `found` is false where they show nothing alike.

    `sigma_px` grows without bound where no outline tells of that direction: beyond `furthest_px` nothing is known.
    """

    found: bool
    down_px: float
    sigma_px: float


def moved_down(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    *,
    clear: tuple[Bool, Bool],
    right_px: float,
    right_sigma_px: float,
    furthest_px: float,
) -> Movement:
    """How far the second picture's content went down, where how far it went to the right is known roughly.

    A search for the whole pixel over the parts that both pictures show, without a window, then least squares of both
    directions with what is known of the second as one more measurement. Sigma: that of the pictures' residuals, summed
    in blocks so that errors of neighbours count as one, over the information that outlines seen in both give (their
    structure tensor), and an outline that looks broader in one of them.

    Args:
        clear: of each picture, [y, x], where nothing stands in the way of the specimen.
        furthest_px: searched down and up.
    """
    a, b = (np.asarray(one, dtype=np.float64) for one in (first, second))
    a, b = _evened(a, b)
    start = _whole(a, b, clear, right_px, right_sigma_px, furthest_px)
    if start is None:
        return Movement(found=False, down_px=math.nan, sigma_px=math.nan)
    return _refined(a, b, clear, start, right_px, right_sigma_px, furthest_px)


def _evened(a: Float, b: Float) -> tuple[Float, Float]:
    """Shot noise alike over bright and dark."""
    low = min(float(a.min()), float(b.min()))
    return np.sqrt(a - low + 0.375), np.sqrt(b - low + 0.375)


def _whole(
    a: Float, b: Float, clear: tuple[Bool, Bool], right_px: float, right_sigma_px: float, furthest_px: float
) -> tuple[float, float] | None:
    """(dy, dx) of the least mean square difference where both are clear; None where they are not alike there."""
    weights = [one.astype(np.float64) for one in clear]
    values = [_smooth(one, _SEARCHED_PX) for one in (a, b)]
    middle = float(np.mean(values))
    values = [(one - middle) * weight for one, weight in zip(values, weights, strict=True)]
    shape = [fft.next_fast_len(2 * size, real=True) for size in a.shape]
    first, second, first2, second2, clear1, clear2 = (
        np.asarray(fft.rfft2(one, s=shape)) for one in (*values, values[0] ** 2, values[1] ** 2, *weights)
    )

    def correlated(one: npt.NDArray[np.complex128], other: npt.NDArray[np.complex128]) -> Float:
        return np.asarray(fft.irfft2(np.conj(one) * other, s=shape), dtype=np.float64)

    common = correlated(clear1, clear2)
    squares = correlated(first2, clear2) + correlated(clear1, second2) - 2 * correlated(first, second)
    down, right = (np.asarray(fft.fftfreq(size, 1 / size)) for size in shape)
    reach = max(1.5, 3 * right_sigma_px)
    allowed = (np.abs(down)[:, None] <= furthest_px) & (np.abs(right - right_px)[None, :] <= reach)
    allowed &= common >= _LEAST_SHARE * min(float(one.sum()) for one in weights)
    if not allowed.any():
        return None
    mean = np.where(allowed, squares / np.maximum(common, 1.0), np.inf)
    iy, ix = (int(i) for i in np.unravel_index(int(np.argmin(mean)), mean.shape))
    return float(down[iy]), float(right[ix])


def _refined(
    a: Float,
    b: Float,
    clear: tuple[Bool, Bool],
    start: tuple[float, float],
    right_px: float,
    right_sigma_px: float,
    furthest_px: float,
) -> Movement:
    known = np.array([0.0, right_px])
    trust = np.diag([furthest_px**-2, right_sigma_px**-2])
    first, second = _smooth(a, _SMOOTHING_PX), _smooth(b, _SMOOTHING_PX)
    slopes = _slopes(first)
    way = np.array(start)
    nothing = Movement(found=False, down_px=math.nan, sigma_px=math.nan)
    covariance = np.diag([furthest_px**2, right_sigma_px**2])
    for _ in range(_TURNS):
        moved = np.asarray(ndimage.shift(second, -way, order=3, mode="nearest"))
        there = np.asarray(ndimage.shift(clear[1].astype(np.float64), -way, order=1, cval=0.0)) > 0.999
        both = clear[0] & there
        both[:2], both[-2:], both[:, :2], both[:, -2:] = False, False, False, False
        other = _slopes(moved)
        middle = (slopes + other) / 2
        noise = 0.5 * float(np.median((other - slopes)[:, both] ** 2)) / 0.455 if both.any() else math.inf
        # Half the difference of two noises is as large as their mean: what outlines stand out of.
        outline = both & ((middle**2).sum(axis=0) > (_CLEAR**2 * noise))
        outline = both & ndimage.binary_dilation(outline, iterations=1)
        count = int(outline.sum())
        if count < _LEAST_PX:
            return nothing
        left = (moved - first)[outline]
        along = middle[:, outline]
        score, scores = _scores(along, left, outline)
        spread = scores.T @ scores
        seen = (slopes[:, outline] @ other[:, outline].T + other[:, outline] @ slopes[:, outline].T) / 2
        seen = _surely(seen, _SURE * noise * math.sqrt(count * 4 * math.pi * _SMOOTHING_PX**2))
        variance = float(np.trace(spread)) / max(float(np.trace(seen)), 1e-30)
        information = seen / variance + trust
        inverse = np.linalg.inv(information)
        step = inverse @ (-score / variance + trust @ (known - way))
        broader = OUTLINE_PX * (np.hypot(*along) * along).sum(axis=1)
        covariance = inverse @ ((spread + np.outer(broader, broader)) / variance**2 + trust) @ inverse
        way = way + np.clip(step, -2.0, 2.0)
        if float(np.abs(step).max()) < 0.005:
            break
    alike = float(np.corrcoef(first[both], moved[both])[0, 1])
    found = alike >= _ALIKE and abs(way[0]) < furthest_px + 1
    return Movement(found=bool(found), down_px=float(way[0]), sigma_px=math.sqrt(float(covariance[0, 0])))


def _scores(along: Float, left: Float, outline: Bool) -> tuple[Float, Float]:
    """Gradient times residual: the sum (2), and the sums of blocks [block, 2]."""
    rows, columns = np.nonzero(outline)
    wide = outline.shape[1] // _BLOCK_PX + 1
    block = (rows // _BLOCK_PX) * wide + columns // _BLOCK_PX
    sums = np.column_stack([np.bincount(block, weights=one * left) for one in along])
    return np.asarray(sums.sum(axis=0)), sums


def _surely(information: Float, noise: float) -> Float:
    """The part of a symmetric matrix that noise can't have made."""
    values, ways = np.linalg.eigh(information)
    return np.asarray((ways * np.maximum(values - noise, 0.0)) @ ways.T)


def _slopes(smooth: Float) -> Float:
    """[2, y, x]: down and to the right."""
    return np.asarray(np.gradient(smooth), dtype=np.float64)


def _smooth(picture: Float, by_px: float) -> Float:
    return np.asarray(ndimage.gaussian_filter(picture, by_px), dtype=np.float64)
