"""How much of what a region seems to hold belongs to its neighbour: the reconstruction's blur, told without the truth.

Each region, filled evenly, is projected at the series' tilts and reconstructed as the volume was. What is then found in
each of the regions is a column of the transfer matrix (Rousset, Ma and Evans, J. Nucl. Med. 39 (1998) 904); its inverse
says what the regions would hold if each were even and ended where it seems to end. As neither is quite true the
difference is not corrected for: it joins the uncertainty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.projector import Projector

Float = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Stack = npt.NDArray[np.float32]

MOST_AMPLIFIED = 5.0
"""Regions that the reconstruction mixes more than this (norm of the inverse) are not told apart by it."""


def transfer_matrix(
    filled: Mapping[str, Mask],
    measured: Mapping[str, Mask],
    tilt_deg: Sequence[float],
    reconstruct: Callable[[Stack], npt.NDArray[np.float32]],
) -> Float:
    """Mean found in each of the masks `measured` [z, y, x], for each of `filled` holding 1 a voxel: [measured, filled].

    reconstruct: projections [tilt, y, x] to a volume, as the volume in question was made.
    """
    n_z, n_y, _ = next(iter(filled.values())).shape
    projector = Projector(TiltGeometry(tuple(tilt_deg), n_y, n_z, n_y))
    columns: list[list[float]] = []
    for mask in filled.values():
        found = reconstruct(projector.forward(mask.astype(np.float32)))
        columns.append([float(found[inside].mean()) if inside.any() else 0.0 for inside in measured.values()])
    return np.array(columns, dtype=np.float64).T


def spill(matrix: Float, means: Sequence[float]) -> Float:
    """By how much each region's mean may be its neighbours' or have gone to them, in the unit of `means`."""
    counted = np.asarray(means, dtype=np.float64)
    if not np.linalg.norm(np.linalg.pinv(matrix), 2) <= MOST_AMPLIFIED:
        return np.full(counted.shape, float(np.abs(counted).max()))
    held = np.maximum(np.linalg.solve(matrix, counted), 0.0)
    return np.abs(counted - held)
