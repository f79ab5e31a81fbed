"""Beam shift and focus, each read back. `shift_m` is the last that was confirmed."""

from __future__ import annotations

import math

from cryoctl.errors import OutOfRange, ReadBackMismatch
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.settings import BeamSettings

_SAME_M = 1e-9
_SAME_REL = 1e-3


class Deflectors:
    def __init__(self, name: str, settings: BeamSettings, server: ScriptingConnection) -> None:
        self._name = name
        self._settings = settings
        self._server = server
        self.shift_m = (0.0, 0.0)

    async def shift(self, x_m: float, y_m: float) -> tuple[float, float]:
        reach_m = self._settings.image_shift_range_m
        if not math.hypot(x_m, y_m) <= reach_m:
            raise OutOfRange(f"{self._name}: image shift ({x_m:g}, {y_m:g}) m is beyond {reach_m:g} m; unchanged")
        await self._server.call("set_beam_shift", (x_m, y_m))
        found = tuple(float(value) for value in await self._server.call("get_beam_shift"))
        if math.dist(found, (x_m, y_m)) > max(_SAME_M, _SAME_REL * math.hypot(x_m, y_m)):
            raise ReadBackMismatch(
                f"{self._name}: the beam was shifted to ({x_m:g}, {y_m:g}) m, reads ({found[0]:g}, {found[1]:g}) m; "
                "see the microscope's own panel"
            )
        self.shift_m = (x_m, y_m)
        return self.shift_m

    async def focus(self, defocus_m: float) -> float:
        reach_m = self._settings.defocus_range_m
        if not abs(defocus_m) <= reach_m:
            raise OutOfRange(f"{self._name}: defocus {defocus_m:g} m is beyond +-{reach_m:g} m; unchanged")
        unit_m = self._settings.focus_m_per_unit
        await self._server.call("set_defocus", defocus_m / unit_m)
        found_m = unit_m * float(await self._server.call("get_defocus"))
        if abs(found_m - defocus_m) > max(_SAME_M, _SAME_REL * abs(defocus_m)):
            raise ReadBackMismatch(f"{self._name}: defocus was set to {defocus_m:g} m, reads {found_m:g} m")
        return defocus_m
