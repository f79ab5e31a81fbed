"""The exposure table: one row an exposure of any kind, its columns and their kinds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_FLOAT = (
    "time_s",
    "duration_s",
    "tilt_deg",
    "x_m",
    "y_m",
    "z_m",
    "width_m",
    "height_m",
    "rotation_deg",
    "defocus_m",
    "beam_current_a",
    "charge_c",
    "dose_e_per_a2",
    "cumulative_dose_e_per_a2",
    "bias_v",
    "bias_a",
    "temperature_k",
    "position_sigma_m",
    "image_shift_x_m",
    "image_shift_y_m",
    "pixel_size_m",
)
_TEXT = (
    "kind",
    "state",
    "target",
    "area",
    "stream",
    "outcome",
    "dose_source",
)

COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(_FLOAT, "f8"),
    **dict.fromkeys(_TEXT, "text"),
    "frame": "i4",
    "scans": "i4",
}
"""Name to kind: f8, i4 or text. `shape` [row, 2] stands beside them. `frame` is -1 where no picture was kept."""


def column(rows: Sequence[Mapping[str, Any]], name: str) -> npt.NDArray[Any] | list[str]:
    """One column; a missing number is NaN (-1 for `frame`, 0 for `scans`), a missing text empty."""
    kind = COLUMNS[name]
    if kind == "text":
        return ["" if (value := row.get(name)) is None else str(value) for row in rows]
    if kind == "i4":
        missing = -1 if name == "frame" else 0
        values = [missing if (value := row.get(name)) is None else int(value) for row in rows]
        return np.array(values, dtype=np.int32)
    return np.array([number(row.get(name)) for row in rows], dtype=np.float64)


def shapes(rows: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.int32]:
    """Rows and columns of the scan of each exposure, 0 where there was none."""
    found = [tuple(row.get("shape") or (0, 0)) for row in rows]
    return np.array(found, dtype=np.int32).reshape(len(found), 2)


def number(value: Any) -> float:
    """A journaled number as float; NaN for a missing one, for what is no number, and for a journaled NaN."""
    if isinstance(value, Mapping):
        return float(str(value.get("$float", "nan")))
    if isinstance(value, (int, float)):
        return float(value)
    return math.nan


def table(rows: Sequence[Mapping[str, Any]]) -> dict[str, npt.NDArray[Any] | list[str]]:
    """All columns by name, `shape` among them."""
    return {**{name: column(rows, name) for name in COLUMNS}, "shape": shapes(rows)}
