"""Where what a box of one picture shows has gone in another."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from skimage.feature import match_template

Float = npt.NDArray[np.float64]
Way = tuple[float, float]
Box = tuple[slice, slice]


def moved(first: Float, picture: Float, box: Box, furthest_px: int) -> Way:
    """(dy, dx) of what a box of the first picture shows, by normalised correlation, to a part of a pixel."""
    template = first[box]
    search = clipped(
        box[0].start - furthest_px,
        box[0].stop + furthest_px,
        box[1].start - furthest_px,
        box[1].stop + furthest_px,
        first.shape,
    )
    score = np.asarray(match_template(picture[search], template), dtype=np.float64)
    y, x = np.unravel_index(int(score.argmax()), score.shape)
    dy, dx = _top(score[:, x], int(y)), _top(score[y], int(x))
    return search[0].start + dy - box[0].start, search[1].start + dx - box[1].start


def _top(line: Float, at: int) -> float:
    if not 0 < at < len(line) - 1:
        return float(at)
    left, middle, right = line[at - 1 : at + 2]
    bend = left - 2 * middle + right
    return at + (0.5 * float((left - right) / bend) if bend < 0 else 0.0)


def clipped(top: int, bottom: int, left: int, right: int, shape: tuple[int, ...]) -> Box:
    """What of a box lies in a picture of this shape."""
    return slice(max(0, top), min(shape[0], bottom)), slice(max(0, left), min(shape[1], right))
