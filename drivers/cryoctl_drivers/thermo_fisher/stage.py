"""CompuStage of a Thermo Fisher TEM. The interface has a call that goes somewhere and comes back when the stage is
there, and none that stops it: see `LeggedStage`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from cryoctl.errors import DeviceError
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_settings import SettingsFactory
from cryoctl.interfaces.stage import StagePosition
from cryoctl_drivers.by_command.stage import LeggedStage
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.identity import identity
from cryoctl_drivers.thermo_fisher.settings import StageSettings

_AXES = {"x_m": "x", "y_m": "y", "z_m": "z", "tilt_deg": "a"}
_LATE_S = 20.0
"""A leg that is not over so much later than it should be never will be."""


class ThermoFisherStage(LeggedStage):
    """Positions in m and degrees, radians only towards the interface."""

    settings: StageSettings

    def __init__(self, name: str, settings: StageSettings) -> None:
        super().__init__(name, settings)
        self._server = ScriptingConnection(name, settings)

    @property
    def leg_limit_s(self) -> float:
        return self.settings.leg_s + _LATE_S

    async def connect(self) -> Identity:
        version = await self._server.open()
        await self._server.be_patient(self.leg_limit_s)
        who = await identity(self._server, version)
        told = await self._server.call("get_stage_limits")
        for axis, short in _AXES.items():
            low, high = (_outward(axis, float(value)) for value in told[short])
            self.hold_limits(axis, low, high)
        return who

    async def close(self) -> None:
        self.end_move()
        await self._server.close()

    async def position(self) -> StagePosition:
        told = await self._server.call("get_stage_position", limit_s=self.leg_limit_s)
        return StagePosition(**{axis: _outward(axis, float(told[short])) for axis, short in _AXES.items()})

    async def send(self, leg: Mapping[str, float], lasts_s: float) -> None:
        del lasts_s
        sent = {_AXES[axis]: _inward(axis, value) for axis, value in leg.items()}
        await self._server.call("set_stage_position", sent, limit_s=self.leg_limit_s, revocable=True)

    async def is_at_rest(self) -> bool:
        status = await self._server.call("get_stage_status", limit_s=self.leg_limit_s)
        if status in ("READY", "GOING", "MOVING"):
            return status == "READY"
        raise DeviceError(f"{self.name}: the stage says {status}, nothing moves; look at holder, pole piece and vacuum")


def _inward(axis: str, value: float) -> float:
    return math.radians(value) if axis == "tilt_deg" else value


def _outward(axis: str, value: float) -> float:
    return math.degrees(value) if axis == "tilt_deg" else value


def _make(name: str, settings: StageSettings, context: DeviceContext) -> ThermoFisherStage:
    del context
    return ThermoFisherStage(name, settings)


FACTORY = SettingsFactory("stage", StageSettings, _make)
