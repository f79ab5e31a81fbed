"""Stage of a FIB-SEM, in its raw coordinates: x, y, z and tilt. Its rotation stays as it is.

fibsem's calls come back when the stage is there, and none stops it: see `LeggedStage`. How long a leg takes is the
stage's own affair, since fibsem sets no speed; the next one is not sent sooner than the stated speed allows.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cryoctl.clock import now_s
from cryoctl.errors import InstrumentError, NoAnswer
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.stage import StagePosition
from cryoctl_drivers.by_command.stage import LeggedStage
from cryoctl_drivers.fibsem.connection import MicroscopeConnection
from cryoctl_drivers.fibsem.library import Library
from cryoctl_drivers.fibsem.settings import StageSettings

_AXES = {"x_m": "x", "y_m": "y", "z_m": "z", "tilt_deg": "t"}
_LATE_S = 60.0
"""A leg that is not over so much later than it should be never will be."""

_STANDS_S = 0.5
"""Within which a stage that still moves is seen to."""


class FibsemStage(LeggedStage):
    """Positions in m and degrees, radians only towards fibsem."""

    settings: StageSettings

    def __init__(self, name: str, settings: StageSettings, library: Library) -> None:
        super().__init__(name, settings)
        self._connection = MicroscopeConnection(name, settings, library)
        self._left_moving = False

    @property
    def stop_s(self) -> float:
        return self.settings.stop_s

    @property
    def leg_limit_s(self) -> float:
        return self.settings.leg_s + _LATE_S

    async def connect(self) -> Identity:
        """
        Raises:
            InstrumentError: limits beyond the stage's own, or a stage that does not know where it is.
        """
        who = await self._connection.open()
        limits, homed, linked = await self._connection.call("tell its limits", _told)
        for axis, short in _AXES.items():
            self.hold_limits(axis, float(limits[short].min), float(limits[short].max))
        if homed is False:
            raise InstrumentError(f"{self.name}: the stage is not homed, its positions mean nothing; home it by hand")
        if linked is False:
            raise InstrumentError(
                f"{self.name}: z is not linked to the working distance, its limits mean nothing; focus and link it"
            )
        return who

    async def close(self) -> None:
        self.end_move()
        await self._connection.close()

    async def position(self) -> StagePosition:
        at = await self._connection.call("tell its position", lambda one: one.get_stage_position(), self.leg_limit_s)
        return StagePosition(x_m=float(at.x), y_m=float(at.y), z_m=float(at.z), tilt_deg=math.degrees(float(at.t)))

    async def send(self, leg: Mapping[str, float], lasts_s: float) -> None:
        until_s = now_s() + lasts_s
        sent = {_AXES[axis]: math.radians(value) if axis == "tilt_deg" else value for axis, value in leg.items()}
        target = self._connection.library.stage_position(**sent)

        def act(microscope: Any) -> None:
            microscope.move_stage_absolute(target)

        try:
            await self._connection.call("move the stage", act, self.leg_limit_s)
        except NoAnswer:
            self._left_moving = True
            raise
        self._left_moving = False
        await asyncio.sleep(max(0.0, until_s - now_s()))

    async def is_at_rest(self) -> bool:
        """The call that moves it comes back when it is, and whoever asks waits for that. Where it was given up, two
        readings are compared."""
        at = await self.position()
        if not self._left_moving:
            return True
        await asyncio.sleep(_STANDS_S)
        return self.is_at(await self.position(), asdict(at))


def _told(microscope: Any) -> tuple[Any, Any, Any]:
    """Limits (m, degrees) by axis; homed and linked, where the stage has such states."""
    if microscope.stage_is_compustage:
        return microscope._get_axis_limits(), None, None
    return microscope._get_axis_limits(), microscope.get("stage_homed"), microscope.get("stage_linked")


def _make(name: str, settings: StageSettings, context: DeviceContext) -> FibsemStage:
    return FibsemStage(name, settings, Library.of(context))


FACTORY = SettingsFactory("stage", StageSettings, _make)
