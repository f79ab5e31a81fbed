"""How well regions agree with masks, particle by particle; and the plainest segmentation to hold against."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.filters import threshold_otsu
from skimage.measure import label

SMALLEST_PX = 100
"""Mask components of fewer pixels are not judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """Over all mask components of at least SMALLEST_PX: `mean_iou` of each with the region that fits it best (0 where
    none does), `median_area_error` relative to the mask. `missed` have no region, `extra` are regions of that size
    that fit no component best."""

    particles: int
    mean_iou: float
    median_iou: float
    median_area_error: float
    missed: int
    extra: int


def agreement(labels: Sequence[npt.NDArray[np.integer]], masks: Sequence[npt.NDArray[np.bool_]]) -> Agreement:
    """Compare label pictures [y, x] with masks [y, x], whose components (sides touching) are particles."""
    ious: list[float] = []
    errors: list[float] = []
    extra = 0
    for regions, mask in zip(labels, masks, strict=True):
        components = np.asarray(label(mask, connectivity=1), dtype=np.int32)
        sizes = np.bincount(components.ravel())
        own = np.bincount(regions.ravel())
        best: set[int] = set()
        for k in range(1, sizes.size):
            if sizes[k] < SMALLEST_PX:
                continue
            shared = np.bincount(regions[components == k], minlength=own.size)
            shared[0] = 0
            iou = shared / (own + sizes[k] - shared)
            top = int(iou.argmax())
            ious.append(float(iou[top]))
            errors.append(abs(float(own[top]) - sizes[k]) / sizes[k] if shared[top] else 1.0)
            if shared[top]:
                best.add(top)
        extra += sum(1 for k in range(1, own.size) if own[k] >= SMALLEST_PX and k not in best)
    nothing = float("nan")
    return Agreement(
        particles=len(ious),
        mean_iou=float(np.mean(ious)) if ious else nothing,
        median_iou=float(np.median(ious)) if ious else nothing,
        median_area_error=float(np.median(errors)) if errors else nothing,
        missed=sum(iou == 0 for iou in ious),
        extra=extra,
    )


def plain_otsu(picture: npt.ArrayLike, sigma_px: float) -> npt.NDArray[np.int32]:
    """Gaussian, Otsu's threshold, components: dark or bright, whichever class is the smaller."""
    smooth = np.asarray(ndimage.gaussian_filter(np.asarray(picture, dtype=np.float64), sigma_px), dtype=np.float64)
    inside = smooth > threshold_otsu(smooth) if np.ptp(smooth) > 0 else np.zeros(smooth.shape, dtype=bool)
    return np.asarray(label(inside if inside.mean() < 0.5 else np.logical_not(inside), connectivity=1), dtype=np.int32)
