"""Pictures of lattice fringes drawn for the tests: plane waves in round patches on an uneven film, Poisson counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, map_coordinates

Float = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Patch:
    """`angle_deg` is that of the wave vector, from +x towards +y."""

    name: str
    spacing_px: float
    angle_deg: float
    y_px: float
    x_px: float
    radius_px: float = 60.0
    contrast: float = 0.12


def film(shape: tuple[int, int], seed: int, roughness: float = 0.15) -> Float:
    """Coarse thickness on a larger field, so that it can drift."""
    random = np.random.default_rng([seed, 5])
    field = gaussian_filter(random.normal(size=(shape[0] + 80, shape[1] + 80)), 9.0)
    return np.asarray(1 + roughness * field / field.std(), dtype=np.float64)


def picture(
    patches: Sequence[Patch],
    shares: Sequence[float],
    shape: tuple[int, int],
    counts: float,
    seed: int,
    *,
    film_seed: int = 1,
    drift_px: tuple[float, float] = (0.0, 0.0),
) -> Float:
    """Counts [y, x], each patch with this share of its contrast left, all moved by the drift (y, x)."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    y, x = y - drift_px[0], x - drift_px[1]
    mean = map_coordinates(film(shape, film_seed), [y + 40, x + 40], order=1, mode="nearest")
    for patch, share in zip(patches, shares, strict=True):
        angle = np.radians(patch.angle_deg)
        phase = 2 * np.pi * (np.sin(angle) * y + np.cos(angle) * x) / patch.spacing_px
        distance = np.hypot(y - patch.y_px, x - patch.x_px)
        inside = 1 / (1 + np.exp((distance - patch.radius_px) / 4))
        mean = mean * (1 + share * patch.contrast * inside * np.cos(phase + patch.y_px))
    return np.random.default_rng([seed, 9]).poisson(counts * np.maximum(mean, 0)).astype(float)
