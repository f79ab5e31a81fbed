"""Beam shift and focus, each read back. `shift_m` is the last that was confirmed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

from cryoctl.errors import OutOfRange, ReadBackMismatch
from cryoctl_drivers.by_command.settings import CommandedBeamSettings

_SAME_M = 1e-9
_SAME_REL = 1e-3


class Deflectors(ABC):
    def __init__(self, name: str, settings: CommandedBeamSettings) -> None:
        self._name = name
        self._shift_range_m = settings.image_shift_range_m
        self._defocus_range_m = settings.defocus_range_m
        self.shift_m = (0.0, 0.0)

    @abstractmethod
    async def set_shift(self, x_m: float, y_m: float) -> tuple[float, float]:
        """As read back."""

    @abstractmethod
    async def read_shift(self) -> tuple[float, float]: ...

    @abstractmethod
    async def set_defocus(self, defocus_m: float) -> float:
        """As read back."""

    async def shift(self, x_m: float, y_m: float) -> tuple[float, float]:
        reach_m = self._shift_range_m
        if not math.hypot(x_m, y_m) <= reach_m:
            raise OutOfRange(f"{self._name}: image shift ({x_m:g}, {y_m:g}) m is beyond {reach_m:g} m; unchanged")
        self._compare(await self.set_shift(x_m, y_m), (x_m, y_m), "was shifted to")
        self.shift_m = (x_m, y_m)
        return self.shift_m

    async def confirm(self) -> None:
        """The beam is where it was confirmed last, at first on the axis.

        Raises:
            ReadBackMismatch: somebody has moved it.
        """
        self._compare(await self.read_shift(), self.shift_m, "should be at")

    def _compare(self, found_m: tuple[float, float], wanted_m: tuple[float, float], how: str) -> None:
        if not math.dist(found_m, wanted_m) <= max(_SAME_M, _SAME_REL * math.hypot(*wanted_m)):
            raise ReadBackMismatch(
                f"{self._name}: the beam {how} ({wanted_m[0]:g}, {wanted_m[1]:g}) m, reads ({found_m[0]:g}, "
                f"{found_m[1]:g}) m; see the microscope's own panel"
            )

    async def focus(self, defocus_m: float) -> float:
        reach_m = self._defocus_range_m
        if not abs(defocus_m) <= reach_m:
            raise OutOfRange(f"{self._name}: defocus {defocus_m:g} m is beyond +-{reach_m:g} m; unchanged")
        found_m = await self.set_defocus(defocus_m)
        if abs(found_m - defocus_m) > max(_SAME_M, _SAME_REL * abs(defocus_m)):
            raise ReadBackMismatch(f"{self._name}: defocus was set to {defocus_m:g} m, reads {found_m:g} m")
        return defocus_m
