"""Goniometer of recorded data: stands where it was read to stand."""

from __future__ import annotations

from cryoctl.errors import OutOfRange
from cryoctl.interfaces.stage import StageLimits, StagePosition, StageSettling
from cryoctl_simulators.replay.replay_device import ReplayDevice, ReplayFactory


class ReplayStage(ReplayDevice):
    kind = "stage"
    _moving = False

    @property
    def limits(self) -> StageLimits:
        return self.playback.stage_limits(self.name)[0]

    @property
    def speed_m_per_s(self) -> float:
        return self.playback.stage_limits(self.name)[1]

    @property
    def tilt_speed_deg_per_s(self) -> float:
        return self.playback.stage_limits(self.name)[2]

    @property
    def settling(self) -> StageSettling:
        return self.playback.stage_settling(self.name)

    async def position(self) -> StagePosition:
        self._link()
        return self.playback.at

    async def move(
        self,
        *,
        x_m: float | None = None,
        y_m: float | None = None,
        z_m: float | None = None,
        tilt_deg: float | None = None,
    ) -> StagePosition:
        self._link()
        asked = {"x_m": x_m, "y_m": y_m, "z_m": z_m, "tilt_deg": tilt_deg}
        wanted = {axis: value for axis, value in asked.items() if value is not None}
        for axis, value in wanted.items():
            low, high = getattr(self.limits, axis)
            if not low <= value <= high:
                raise OutOfRange(f"{self.name}.{axis}: {value:g} is beyond its limits {low:g} to {high:g}")
        self._moving = True
        try:
            self.playback.at = await self.playback.move(self.name, wanted)
        finally:
            self._moving = False
        return self.playback.at

    async def is_moving(self) -> bool:
        self._link()
        return self._moving

    async def stop(self) -> None:
        self._link()


FACTORY = ReplayFactory("stage", ReplayStage)
