"""Alignment of a series while it is acquired: each new image against what the volume so far predicts of it.

The volume of the images themselves (HAADF) is projected at the new tilt; by what the image lies away from that
projection all signals of the tilt are moved back. The first tilt stands where it is and fixes what no image can tell
(a shift of the specimen across the beam and along it). Nothing but the tilts in their order goes into it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cryoctl.reconstruction.alignment import Stack, displacement, moved
from cryoctl.reconstruction.projector import Projector

Array = npt.NDArray[np.float64]
LARGEST_SHARE = 0.2
ROUNDS = 2


def displacement_from(volume: Stack, projector: Projector, image: Stack) -> Array:
    """(dy, dx) in pixels of `image` [y, x] against the projection of `volume` at the projector's only tilt.

    Looked for twice, the second time over what both show; (0, 0) where it comes out above a fifth of the image's
    shorter side, which is a false match.
    """
    expected = projector.forward(volume)[0]
    found = np.zeros(2)
    for _ in range(ROUNDS):
        seen = covered(image.shape, found)
        found = found + displacement(expected * seen, moved(image, found, 0.0) * seen)
    return found if float(np.abs(found).max()) <= LARGEST_SHARE * min(image.shape) else np.zeros(2)


def covered(shape: Sequence[int], shift_px: npt.ArrayLike) -> Stack:
    """1 where an image moved back by `shift_px` still shows the specimen, 0 beyond its edge: [y, x]."""
    inside = moved(np.ones((shape[0], shape[1]), np.float32), shift_px, 0.0)
    return (inside > 0.99).astype(np.float32)
