"""How a needle drifts: its place while the tube corrects it, and where it goes against a specimen that it touches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryoctl.analysis.box_matching import Way, moved
from cryoctl.analysis.drift import shift
from cryoctl.analysis.needle_view import CLEAR, Side, bodies, darkest, from_the_right, turned, turned_back

Float = npt.NDArray[np.float64]

RATE_SIGMA_M_PER_S = 2e-9
"""What a needle may drift before anything was seen of it."""
GAIN, GAIN_SIGMA = 0.9, 0.1
"""How far an apex goes of what the tube is told: it lags by its hysteresis."""
METAL = 0.3
"""Of the needle's brightness at the picture's border; a particle has far less."""
_ALIKE = 0.5
"""What is so much brighter than METAL is as bright as any other metal."""
_FURTHEST_PX = 12
"""That a specimen goes between two pictures that are compared."""
_LEAST_PX = 24
SPECIMEN_SIGMA_PX = 0.1
"""Of where it is found."""
_TOUCHED_PX = 60
"""So far around the metal a specimen may be moved by it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drifting:
    """Along one axis: place against the specimen at the last measurement (m), its rate (m/s) with the tube still, and
    how far the apex goes of what the tube is told. `cross` is the covariance of place and rate (m^2/s)."""

    place_m: float
    place_sigma_m: float
    rate_m_per_s: float
    rate_sigma_m_per_s: float
    cross: float
    gain: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """Pixels since the first picture, y down: of the specimen, and of the needle against the specimen."""

    found: bool
    specimen_y_px: float
    specimen_x_px: float
    needle_y_px: float
    needle_x_px: float
    sigma_px: float


def drifting(
    time_s: Sequence[float], place_m: Sequence[float], sigma_m: Sequence[float], tube_m: Sequence[float]
) -> Drifting:
    """Places of a drifting apex, measured while the tube stood at `tube_m`: place = a + rate t + gain tube.

    Least squares with what is known before of rate and gain as two more measurements.

    Raises:
        ValueError: no measurement, or lists of unlike length.
    """
    if not time_s or len({len(time_s), len(place_m), len(sigma_m), len(tube_m)}) > 1:
        raise ValueError("times, places, their sigmas and the tube's places must be as many, at least one")
    since = np.asarray(time_s, dtype=np.float64) - time_s[-1]
    tube = np.asarray(tube_m, dtype=np.float64) - tube_m[-1]
    weight = 1 / np.asarray(sigma_m, dtype=np.float64)
    rows = np.column_stack([np.ones_like(since), since, tube]) * weight[:, None]
    prior = np.array([[0.0, 1 / RATE_SIGMA_M_PER_S, 0.0], [0.0, 0.0, 1 / GAIN_SIGMA]])
    design = np.vstack([rows, prior])
    values = np.concatenate([np.asarray(place_m, dtype=np.float64) * weight, [0.0, GAIN / GAIN_SIGMA]])
    # Columns of unlike units: scaled before they are solved.
    scale = np.sqrt((design**2).sum(axis=0))
    covariance = np.linalg.inv((design / scale).T @ (design / scale)) / np.outer(scale, scale)
    place, rate, gain = covariance @ design.T @ values
    return Drifting(
        place_m=float(place),
        place_sigma_m=float(math.sqrt(covariance[0, 0])),
        rate_m_per_s=float(rate),
        rate_sigma_m_per_s=float(math.sqrt(covariance[1, 1])),
        cross=float(covariance[0, 1]),
        gain=float(gain),
    )


def held(first: npt.ArrayLike, picture: npt.ArrayLike, side: Side = "right") -> Held:
    """Where specimen and needle went since a first picture [y, x] of the same scale, in contact or not.

    The needle is taken where its metal is thick, the specimen without what lies about that: it may grow, and go with
    the needle.
    """
    before, now = (turned(np.asarray(one, dtype=np.float64), side) for one in (first, picture))
    level = metal_level(before)
    if level is None:
        return _unseen()
    specimen = _untouched_way(before, now, level)
    needle = shift(metal_alone(before, level), metal_alone(now, level))
    if specimen is None or not needle.found:
        return _unseen()
    specimen_y, specimen_x = turned_back(*specimen, side)
    needle_y, needle_x = turned_back(needle.dy, needle.dx, side)
    return Held(
        found=True,
        specimen_y_px=specimen_y,
        specimen_x_px=specimen_x,
        needle_y_px=needle_y - specimen_y,
        needle_x_px=needle_x - specimen_x,
        sigma_px=math.hypot(SPECIMEN_SIGMA_PX, needle.sigma),
    )


def _untouched_way(before: Float, now: Float, level: float) -> Way | None:
    """(dy, dx) of all that lies ahead of the apex, far enough not to be moved by it."""
    columns = np.flatnonzero((metal_alone(before, level) > 0.0).any(axis=0))
    foremost = int(columns[0]) if columns.size else 0
    rows, _ = before.shape
    box = slice(_FURTHEST_PX, rows - _FURTHEST_PX), slice(_FURTHEST_PX, foremost - _TOUCHED_PX)
    if min(one.stop - one.start for one in box) < _LEAST_PX:
        return None
    return moved(_smooth(before), _smooth(now), box, _FURTHEST_PX)


def metal_level(picture: Float) -> float | None:
    """Brightness above which only a needle's metal is, from the right; None where nothing comes from there."""
    smooth = _smooth(picture)
    vacuum, noise = darkest(smooth)
    brightest = float(smooth[:, -1].max()) - vacuum
    return vacuum + METAL * brightest if brightest > CLEAR * noise else None


def metal_alone(picture: Float, level: float) -> Float:
    """What of a needle is beyond the level, where it is thick all alike: a shank is ever thicker away from its apex."""
    smooth = _smooth(picture)
    body = from_the_right(bodies(np.asarray(smooth > level)), smooth)
    if body is None:
        return np.zeros_like(smooth)
    return body * np.clip(smooth - level, 0.0, _ALIKE * (level - darkest(smooth)[0]))


def _smooth(picture: Float) -> Float:
    return np.asarray(ndimage.gaussian_filter(picture, 1.0), dtype=np.float64)


def _unseen() -> Held:
    nothing = math.nan
    return Held(
        found=False,
        specimen_y_px=nothing,
        specimen_x_px=nothing,
        needle_y_px=nothing,
        needle_x_px=nothing,
        sigma_px=nothing,
    )
