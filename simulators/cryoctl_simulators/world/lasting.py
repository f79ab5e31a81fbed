"""What dose leaves behind on the specimen plane: lost signal by element, deposited carbon; looked up by pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.ndimage import map_coordinates

from cryoctl.interfaces.truth import MapGrid
from cryoctl_simulators.specimens.phases import ELEMENTS

Atoms = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
_CARBON = ELEMENTS.index("C")


def leave_marks(
    atoms: Atoms,
    grid: MapGrid,
    exponents: Mapping[str, npt.NDArray[Any]],
    carbon: npt.NDArray[Any],
    along_m: FloatArray,
    across_m: FloatArray,
    stretch: float,
) -> None:
    """Weaken columns of atoms [element, y, x] in place by damage, and add the carbon deposited.

    Damage is looked up where the beam crosses the plane z = 0: exact for matter there, approximate by z tan a else.

    Args:
        grid: where the maps lie.
        exponents: element to map of damage exponents [y, x]; what is left is exp of minus them.
        carbon: atoms per m2 of the plane [y, x].
        along_m, across_m: places (x, y) [y, x] of the pixels on the plane.
        stretch: 1/cos of the tilt, by which the beam's way through a film grows.
    """
    columns = (along_m - grid.origin_x_m) / grid.pixel_size_m
    rows = (across_m - grid.origin_y_m) / grid.pixel_size_m
    window, first = _window(rows, columns, grid.shape)
    if window is None:
        return
    places = np.stack([rows - first[0], columns - first[1]])
    for index, element in enumerate(ELEMENTS):
        found = exponents.get(element)
        if found is not None and found[window].any():
            left = np.exp(-found[window])
            atoms[index] *= map_coordinates(left, places, order=1, mode="constant", cval=1.0)
    deposit = carbon[window]
    if deposit.any():
        atoms[_CARBON] += np.float32(stretch) * map_coordinates(deposit, places, order=1, mode="constant", cval=0.0)


def _window(
    rows: FloatArray, columns: FloatArray, shape: tuple[int, int]
) -> tuple[tuple[slice, slice] | None, tuple[int, int]]:
    y0, y1 = max(int(rows.min()) - 1, 0), min(int(rows.max()) + 3, shape[0])
    x0, x1 = max(int(columns.min()) - 1, 0), min(int(columns.max()) + 3, shape[1])
    return (None, (0, 0)) if y0 >= y1 or x0 >= x1 else ((slice(y0, y1), slice(x0, x1)), (y0, x0))
