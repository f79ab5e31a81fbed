"""Where each scan frame truly lay, kept so that shifts and drift can be told afterwards."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.dose_truth import KINDS

COLUMNS = (
    "run", "exposure", "index", "kind", "time_s", "tilt_deg", "x_m", "y_m", "height_m", "axis_deg",
    "content_x_m", "content_y_m", "centre_x_m", "centre_y_m", "current_a", "lines", "rows", "temperature_k",
    "defocus_m", "pixel_size_m", "middle_s",
)  # fmt: skip
FRAME_LOG = ((32768, len(COLUMNS)), "<f8")


class FrameLog:
    """One row a scan frame; `record` is its part of the world's record."""

    def __init__(self, rows: npt.NDArray[np.float64], record: dict[str, Any]) -> None:
        self._rows = rows
        self.record = record
        if not record:
            record |= {"run": 0, "logged": 0}

    @property
    def logged(self) -> int:
        """Rows so far, of all runs: the number of the next one."""
        return int(self.record["logged"])

    def begin_run(self) -> None:
        self.record["run"] += 1

    def add(self, frame: ScanFrame) -> None:
        index = self.record["logged"]
        if index >= len(self._rows):
            return
        start, end = frame.content_start_m, frame.content_end_m
        content = ((start[0] + end[0]) / 2, (start[1] + end[1]) / 2)  # at its middle line, which shows the target
        self._rows[index] = (
            self.record["run"], frame.exposure, frame.index, KINDS.index(frame.kind), frame.time_s, frame.tilt_deg,
            frame.x_m, frame.y_m, frame.height_m, frame.axis_deg, *content, *frame.centre_m,
            frame.current_a, frame.lines, frame.shape[0], frame.temperature_k, frame.defocus_m, frame.pixel_size_m,
            frame.middle_s,
        )  # fmt: skip
        self.record["logged"] = index + 1

    def of_run(self) -> dict[str, npt.NDArray[np.float64]]:
        """Columns of this run's scan frames."""
        rows = self._rows[self.numbers_of_run()]
        return {name: rows[:, index].copy() for index, name in enumerate(COLUMNS)}

    def numbers_of_run(self) -> npt.NDArray[np.int64]:
        """Rows in which they stand."""
        return np.flatnonzero(self._rows[: self.logged, 0] == self.record["run"])


def image_of(
    log: dict[str, npt.NDArray[np.float64]], x_m: float, y_m: float, z_m: float = 0.0
) -> npt.NDArray[np.float64]:
    """[scan frame, 2]: where each picture shows a specimen point, (dy, dx) from its centre in m."""
    a = log["tilt_deg"] * math.pi / 180
    v = x_m - log["x_m"] + log["content_x_m"] - log["centre_x_m"]
    u = (y_m - log["y_m"]) * np.cos(a) + (z_m + log["height_m"]) * np.sin(a) + log["content_y_m"] - log["centre_y_m"]
    axis = log["axis_deg"] * math.pi / 180
    return np.stack([v * np.sin(axis) + u * np.cos(axis), v * np.cos(axis) - u * np.sin(axis)], axis=1)
