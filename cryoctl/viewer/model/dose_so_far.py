"""The dose maps of a run that goes on, laid exposure by exposure, as the ledger and the run file have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.truth import MapGrid
from cryoctl.runfile.deposits import lay
from cryoctl.viewer.model.known import DoseNow

DoseMap = npt.NDArray[np.float64]
Rectangles = Sequence[Mapping[str, Any]]

EARLIER = "earlier runs"
UNDER_WAY = "under way"
"""An exposure of which only the intent is known: what the gate allowed it, at most."""


class DoseSoFar:
    """`lay` what an exposure is charged with; laid again, the later charge counts alone."""

    def __init__(self, grid: MapGrid, limit: float, planned: float, known: bool, prior: DoseMap | None) -> None:
        self._grid = grid
        self._limit, self._planned, self._known = limit, planned, known
        self._maps: dict[str, DoseMap] = {} if prior is None else {EARLIER: prior}
        self._laid: dict[int, tuple[str, Rectangles]] = {}

    def lay(self, exposure: int, kind: str, deposits: Rectangles) -> None:
        before = self._laid.get(exposure)
        if before is not None:
            self._add(*before, sign=-1.0)
        self._add(kind, deposits)
        self._laid[exposure] = (kind, deposits)

    def now(self) -> DoseNow:
        """Shares of each kind at the specimen pixel that received most."""
        if not self._known:
            return DoseNow(known=False, peak=math.nan, limit=self._limit)
        return dose_now(self._maps, self._limit, self._planned)

    def _add(self, kind: str, deposits: Rectangles, sign: float = 1.0) -> None:
        lay(self._maps.setdefault(kind, np.zeros(self._grid.shape)), self._grid, deposits, sign)


def dose_now(maps: Mapping[str, DoseMap], limit: float, planned: float) -> DoseNow:
    """From maps [y, x] by kind, earlier runs as one of them."""
    if not maps:
        return DoseNow(limit=limit, planned=planned)
    total = np.sum(list(maps.values()), axis=0)
    where = np.unravel_index(int(np.argmax(total)), total.shape)
    shares = {kind: max(0.0, float(one[where])) for kind, one in maps.items()}
    peak = max(0.0, float(total[where]))
    return DoseNow(
        peak=peak,
        limit=limit,
        planned=planned,
        by_kind={kind: share for kind, share in shares.items() if share > 1e-9 * peak},
    )
