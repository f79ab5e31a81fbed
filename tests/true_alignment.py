"""What is left between an alignment and the truth once everything that no image can tell is taken away."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class LeftOver:
    """Residual of each tilt in pixels; `axis_deg` found minus true."""

    across_px: Array
    along_px: Array
    axis_deg: float

    def worst_px(self) -> float:
        return float(max(np.abs(self.across_px).max(), np.abs(self.along_px).max()))


def left_over(
    found_px: npt.ArrayLike,
    true_px: npt.ArrayLike,
    tilt_deg: npt.ArrayLike,
    found_axis_deg: float = 0.0,
    true_axis_deg: float = 0.0,
) -> LeftOver:
    """After the best rigid shift of the specimen: b cos + c sin of the tilt across the axis, a constant along it.

    A specimen off the rotation axis moves along a slanted line in the picture; the part of it that an error of the axis
    turns into dx is the same cos and sin, scaled by that error, and is taken away with it (below 0.01 px here).
    """
    angles = np.deg2rad(np.asarray(tilt_deg, np.float64))
    away = np.asarray(found_px, np.float64) - np.asarray(true_px, np.float64)
    basis = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    rigid = np.linalg.lstsq(basis, away[:, 0], rcond=None)[0]
    slant = np.tan(np.deg2rad(true_axis_deg - found_axis_deg))
    along = away[:, 1] - slant * (basis @ rigid)
    return LeftOver(away[:, 0] - basis @ rigid, along - along.mean(), float(found_axis_deg - true_axis_deg))
