"""Unevenness of an amorphous film, the same wherever and however finely it is looked at."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt
from scipy import ndimage

FloatArray = npt.NDArray[np.float64]
_TEXTURE_PX, _GRAIN_PX = 512, 4


@lru_cache(maxsize=2)
def _tile(seed: int) -> npt.NDArray[np.float32]:
    noise = np.random.default_rng([seed % 2**32, 53]).standard_normal((_TEXTURE_PX, _TEXTURE_PX), dtype=np.float32)
    smooth = ndimage.gaussian_filter(noise, _GRAIN_PX / 3, mode="wrap")
    return smooth / smooth.std()


def texture(x_m: FloatArray, y_m: FloatArray, grain_m: float, seed: int) -> FloatArray:
    """Deviation (standard deviation 1) at places of a plane; it repeats after 128 grains."""
    pitch = grain_m / _GRAIN_PX
    return ndimage.map_coordinates(_tile(seed), [y_m / pitch, x_m / pitch], order=1, mode="grid-wrap")
