"""Touching particles apart."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from skimage.measure import label
from skimage.morphology import local_maxima, reconstruction
from skimage.segmentation import watershed

Float = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]

LARGE_PX = 10_000


def parted(inside: Mask, waist: float, markers: Labels | None = None) -> Labels:
    """Touching particles apart: watershed of the distance from the outline.

    From `markers` where they are given, else from its maxima, of which two count where the distance falls below
    `waist` of the lower one between them.
    """
    parts = np.zeros(inside.shape, dtype=np.int32)
    regions = np.asarray(label(inside, connectivity=2), dtype=np.int32)
    count = 0
    # Region by region: most of a picture is background, and the watershed's cost is that of the rectangle it works on.
    for number, box in enumerate(ndimage.find_objects(regions), start=1):
        region = np.asarray(regions[box] == number)
        # A frame's edge is no outline: a particle that it cuts must not be parted for that.
        ends = zip(box, inside.shape, strict=True)
        outside = tuple((int(span.start > 0), int(span.stop < size)) for span, size in ends)
        framed = np.pad(np.pad(region, outside), [(1 - first, 1 - last) for first, last in outside], mode="edge")
        distance = np.asarray(ndimage.distance_transform_edt(framed), dtype=np.float64)[1:-1, 1:-1]
        depth = np.where(region, np.log(np.maximum(ndimage.gaussian_filter(distance, 1.0), 0.5)), -1.0)
        if markers is None:
            own = _tops(depth, waist, region)
            own[own > 0] += count
            count = max(count, int(own.max(initial=0)))
        else:
            own = np.where(region, markers[box], 0)
        parts[box] += np.where(region, watershed(-depth, own, mask=region), 0).astype(np.int32)
    return parts


def _tops(depth: Float, waist: float, region: Mask) -> Labels:
    """The logarithm's maxima that stand by `waist` above the way to a higher one; of a large region on each second
    pixel, which its waists are many pixels wider than."""
    every = 2 if depth.size > LARGE_PX else 1
    thinned = depth[::every, ::every]
    lowered = np.asarray(reconstruction(thinned + np.log(waist), thinned), dtype=np.float64)
    tops = np.asarray(local_maxima(lowered, connectivity=2), dtype=bool) & region[::every, ::every]
    own = np.zeros(depth.shape, dtype=np.int32)
    own[::every, ::every] = label(tops, connectivity=2)
    return own
