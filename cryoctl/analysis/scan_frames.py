"""Scan frames of one exposure, brought together by the displacements measured while they were taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import shift as move

Image = npt.NDArray[np.float32]


def registered_image(scans: npt.NDArray[Any], shifts_px: Sequence[Sequence[float]]) -> Image:
    """Sum [y, x] of scan frames [scan, y, x], each moved back by its (dy, dx) against the first, fractions included.

    Moving by whole pixels would leave half a pixel of a slow drift in the sum, which then stands up to that far from
    the first scan frame. Linear interpolation keeps counts non-negative; edges repeat.
    """
    total = np.zeros(scans.shape[1:], dtype=np.float32)
    for scan, (dy, dx) in zip(scans, shifts_px, strict=True):
        image = scan.astype(np.float32)
        if dy or dx:
            image = np.asarray(move(image, (-dy, -dx), order=1, mode="nearest"), dtype=np.float32)
        total += image
    return total
