"""X-ray sources of later scan frames of an exposure, from those of the first."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.ndimage import shift

from cryoctl_simulators.optics.cross_sections import atomic_number
from cryoctl_simulators.optics.edx import BREMSSTRAHLUNG, STRAY, Source
from cryoctl_simulators.specimens.phases import ELEMENTS

_DRIFT_PX = 0.1
_Z2 = np.array([atomic_number(element) ** 2 for element in ELEMENTS], dtype=np.float32)


def refreshed(
    sources: list[Source],
    earlier: npt.NDArray[np.float32],
    now: npt.NDArray[np.float32],
    drift_px: tuple[float, float] = (0.0, 0.0),
) -> list[Source]:
    """The same sources after the columns of atoms [element, y, x] drifted by `drift_px` (dy, dx) and lost a little.

    Counts per atom (absorption, view, efficiency) and spectra are kept from the earlier columns, place by place, and
    drift along. Stray lines, which hardly depend on place, are kept as they are.
    """
    found: list[Source] = []
    for source in sources:
        if source.family == STRAY:
            found.append(source)
            continue
        if source.family == BREMSSTRAHLUNG:
            before, after = np.tensordot(_Z2, earlier, axes=1), np.tensordot(_Z2, now, axes=1)
        else:
            before, after = earlier[ELEMENTS.index(source.name)], now[ELEMENTS.index(source.name)]
        filled = before > 1e-3 * float(before.max(initial=0.0))
        if not filled.any():
            found.append(source)
            continue
        rate = np.divide(source.counts_per_electron, before, out=np.zeros(before.shape), where=filled)
        rate[~filled] = float(rate.max())
        if max(map(abs, drift_px)) > _DRIFT_PX:
            rate = shift(rate, drift_px, order=1, mode="nearest")
        found.append(replace(source, counts_per_electron=after * rate))
    return found
