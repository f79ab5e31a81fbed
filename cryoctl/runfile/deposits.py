"""Dose as the journal has it, laid on a map."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.dose.rasterise import deposit
from cryoctl.interfaces.truth import MapGrid
from cryoctl.runfile.exposure_table import number


def lay(
    dose_map: npt.NDArray[np.float64], grid: MapGrid, rectangles: Iterable[Mapping[str, Any]], sign: float = 1.0
) -> None:
    """Add an exposure's deposits to a map [y, x] in e-/A^2; with `sign` -1 take them off again."""
    for rect in rectangles:
        deposit(
            dose_map,
            grid,
            x_m=rect["x_m"],
            y_m=rect["y_m"],
            width_m=rect["width_m"],
            height_m=rect["height_m"],
            rotation_deg=rect.get("rotation_deg", 0.0),
            dose_e_per_a2=sign * number(rect["dose_e_per_a2"]),
        )
