"""Needle of recorded data: its steps are answered as they were, and it stands where it was told to stand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from cryoctl.errors import DeviceError
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl_simulators.replay.playback import Playback
from cryoctl_simulators.replay.replay_device import ReplayDevice, ReplayFactory


class ReplayNeedle(ReplayDevice):
    """Answers the steps of the needle as they were answered (`interfaces.recording.RecordedDevice`)."""

    kind = "needle"

    def __init__(self, name: str, playback: Playback) -> None:
        super().__init__(name, playback)
        self._state = NeedleState(coarse_steps=(0, 0, 0), fine_m=(0.0, 0.0, 0.0), high_voltage_on=False)

    @property
    def capabilities(self) -> NeedleCapabilities:
        return cast(NeedleCapabilities, self.playback.capabilities(self.name, NeedleCapabilities))

    async def answer(self, kind: str, asked: Mapping[str, Any]) -> Mapping[str, Any]:
        self._link()
        told = await self.playback.answer(self.name, kind, asked)
        x, y, z = (int(steps) for steps in told["coarse_steps"])
        x_m, y_m, z_m = (float(value) for value in told["fine_m"])
        self._state = NeedleState(
            coarse_steps=(x, y, z),
            fine_m=(x_m, y_m, z_m),
            high_voltage_on=bool(told["high_voltage_on"]),
            hold=NeedleHold(told["hold"]),
        )
        return told

    async def state(self) -> NeedleState:
        self._link()
        return self._state

    async def stop(self) -> None:
        self._link()

    async def step(self, axis: str, steps: int) -> NeedleState:
        raise self._not_recorded(f"{steps} coarse steps along {axis}")

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState:
        raise self._not_recorded(f"the tube at ({x_m:g}, {y_m:g}, {z_m:g}) m")

    async def high_voltage(self, on: bool) -> NeedleState:
        raise self._not_recorded(f"its high voltage {'on' if on else 'off'}")

    async def note_hold(self, hold: NeedleHold) -> NeedleState:
        raise self._not_recorded(f"a hold ({hold})")

    def _not_recorded(self, what: str) -> DeviceError:
        return DeviceError(f"{self.name}: {what} can't be had from recorded data; its steps are answered as they were")


FACTORY = ReplayFactory("needle", ReplayNeedle)
