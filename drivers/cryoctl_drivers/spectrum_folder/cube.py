"""A spectrum image as a file holds it, and the events of a scan frame that it is turned into."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.edx import EdxEvents


class Incomplete(Exception):
    """The file is not whole yet, as far as one can tell; the argument says why."""


class Unfit(Exception):
    """The file is whole and holds something else than a spectrum image of counts; the argument says what."""


@dataclass(frozen=True, slots=True, eq=False)
class Cube:
    """`counts` [y, x, channel]; what a file does not tell is NaN."""

    counts: npt.NDArray[Any]
    energy_offset_ev: float = math.nan
    energy_scale_ev: float = math.nan
    live_time_s: float = math.nan
    real_time_s: float = math.nan

    @property
    def digest(self) -> str:
        return hashlib.sha256(np.ascontiguousarray(self.counts).tobytes()).hexdigest()


def counts_of(data: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Whole numbers from 0 on, in whatever type they were stored.

    Raises:
        Unfit: anything else.
    """
    if data.ndim != 3:
        raise Unfit(f"data of {data.ndim} dimensions")
    if data.dtype.kind not in "uif":
        raise Unfit(f"data of type {data.dtype}")
    if data.dtype.kind == "f":
        whole = np.rint(data)
        if not np.array_equal(whole, data):
            raise Unfit("numbers that are not counts")
        data = whole.astype(np.int64)
    if data.size and data.min() < 0:
        raise Unfit("counts below 0")
    return data


def events_of(cube: Cube, real_time_s: float, live_time_s: float) -> EdxEvents:
    """Pixel by pixel; the rate is what was counted per live time, which lacks what was rejected as pile-up."""
    flat = cube.counts.reshape(-1, cube.counts.shape[2])
    pixel, channel = np.nonzero(flat)
    counts = flat[pixel, channel].astype(np.int64)
    counted = int(counts.sum())
    return EdxEvents(
        pixel=np.repeat(pixel.astype(np.uint32), counts),
        channel=np.repeat(channel.astype(np.uint16), counts),
        live_time_s=live_time_s,
        real_time_s=real_time_s,
        input_rate_per_s=counted / live_time_s if live_time_s > 0 else 0.0,
    )
