"""How a needle drifts: its place while the tube corrects it, and where it goes against a specimen that it touches."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage

from cryoctl.analysis.drift import shift
from cryoctl.analysis.needle_view import CLEAR, Side, darkest, turned, turned_back

Float = npt.NDArray[np.float64]

RATE_SIGMA_M_PER_S = 2e-9
"""What a needle may drift before anything was seen of it."""
GAIN, GAIN_SIGMA = 0.9, 0.1
"""How far an apex goes of what the tube is told: it lags by its hysteresis."""
METAL = 0.3
"""Of the needle's brightness at the picture's border; a particle has far less."""
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
    specimen = shift(_untouched(before, level), _untouched(now, level))
    needle = shift(metal_alone(before, level), metal_alone(now, level))
    if not (specimen.found and needle.found):
        return _unseen()
    specimen_y, specimen_x = turned_back(specimen.dy, specimen.dx, side)
    needle_y, needle_x = turned_back(needle.dy, needle.dx, side)
    return Held(
        found=True,
        specimen_y_px=specimen_y,
        specimen_x_px=specimen_x,
        needle_y_px=needle_y - specimen_y,
        needle_x_px=needle_x - specimen_x,
        sigma_px=math.hypot(specimen.sigma, needle.sigma),
    )


def metal_level(picture: Float) -> float | None:
    """Brightness above which only a needle's metal is, from the right; None where nothing comes from there."""
    smooth = np.asarray(ndimage.gaussian_filter(picture, 1.0), dtype=np.float64)
    vacuum, noise = darkest(smooth)
    brightest = float(smooth[:, -1].max()) - vacuum
    return vacuum + METAL * brightest if brightest > CLEAR * noise else None


def metal_alone(picture: Float, level: float) -> Float:
    """What a picture has beyond the level."""
    return np.maximum(np.asarray(ndimage.gaussian_filter(picture, 1.0), dtype=np.float64) - level, 0.0)


def _untouched(picture: Float, level: float) -> Float:
    metal = metal_alone(picture, level) > 0.0
    away = np.asarray(ndimage.distance_transform_edt(~metal), dtype=np.float64)
    return np.where(away > _TOUCHED_PX, picture, darkest(picture)[0])


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
