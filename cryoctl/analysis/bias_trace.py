"""A stretch of what a biasing source sampled, each row with how far the beam was open meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

BLANKED, OPEN = 0.0, 1.0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BiasTrace:
    """Rows in the order of time: times of the run (s), V, A into the specimen's plus, whether a limit of the source
    held, and the share of the row's interval in which the beam was open (0 blanked, 1 open)."""

    time_s: FloatArray
    voltage_v: FloatArray
    current_a: FloatArray
    in_compliance: BoolArray
    beam_open: FloatArray

    def __len__(self) -> int:
        return len(self.time_s)

    def where(self, chosen: BoolArray) -> BiasTrace:
        return BiasTrace(
            time_s=self.time_s[chosen],
            voltage_v=self.voltage_v[chosen],
            current_a=self.current_a[chosen],
            in_compliance=self.in_compliance[chosen],
            beam_open=self.beam_open[chosen],
        )

    def blanked(self) -> BiasTrace:
        """Rows of the cell alone: the beam off all along, no limit holding."""
        return self.where((self.beam_open == BLANKED) & ~self.in_compliance)


def beam_share(time_s: FloatArray, interval_s: float | FloatArray, open_s: Sequence[tuple[float, float]]) -> FloatArray:
    """Share of each row's interval, which its time is the middle of, in which the beam was open.

    Args:
        time_s: in any order.
        interval_s: from one row to the next; 0 for a reading that stands alone.
        open_s: (from, for how long) of each exposure, none open at the same time as another.
    """
    times = np.asarray(time_s, dtype=np.float64)
    half = np.maximum(np.broadcast_to(np.asarray(interval_s, dtype=np.float64), times.shape) / 2, 1e-6)
    starts = np.array([began for began, _ in open_s], dtype=np.float64)
    lasted = np.nan_to_num(np.array([duration for _, duration in open_s], dtype=np.float64))
    order = np.argsort(starts, kind="stable")
    starts, lasted = starts[order], np.maximum(lasted[order], 0.0)
    before = np.concatenate([[0.0], np.cumsum(lasted)])

    def open_until(moment: FloatArray) -> FloatArray:
        count = np.searchsorted(starts, moment, side="right")
        last = np.maximum(count - 1, 0)
        if not len(starts):
            return np.zeros_like(moment)
        within = np.minimum(np.maximum(moment - starts[last], 0.0), lasted[last])
        return np.where(count > 0, before[last] + within, 0.0)

    share = (open_until(times + half) - open_until(times - half)) / (2 * half)
    share[share < 1e-9] = BLANKED
    share[share > 1 - 1e-9] = OPEN
    return np.clip(share, BLANKED, OPEN)
