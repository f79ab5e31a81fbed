"""What beam and detectors of one column share: an acquisition is asked for by the beam and gives their pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.context import DeviceContext


class Pictures:
    """By the detector's name at the microscope."""

    def __init__(self) -> None:
        self._armed: dict[str, tuple[int, int]] = {}
        self._taken: dict[tuple[str, int], npt.NDArray[Any]] = {}

    @classmethod
    def of(cls, context: DeviceContext, column: str) -> Pictures:
        """Those of one column: the same for all devices of an instrument."""
        found = context.shared.get(f"{column}-pictures")
        if found is None:
            found = context.shared[f"{column}-pictures"] = cls()
        return found

    def arm(self, detector: str, scan: Scan) -> None:
        """What was taken before is forgotten."""
        self.disarm(detector)
        self._armed[detector] = scan.shape

    def disarm(self, detector: str) -> None:
        self._armed.pop(detector, None)
        self._taken = {key: picture for key, picture in self._taken.items() if key[0] != detector}

    def wanted(self, scan: Scan) -> tuple[str, ...]:
        """Detectors that are armed for this scan."""
        return tuple(name for name, shape in self._armed.items() if shape == scan.shape)

    def keep(self, index: int, taken: Mapping[str, Any]) -> None:
        for name in self._armed:
            if name in taken:
                self._taken[(name, index)] = np.asarray(taken[name])

    def take(self, detector: str, index: int) -> npt.NDArray[Any] | None:
        return self._taken.get((detector, index))
