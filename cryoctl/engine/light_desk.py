"""The light on the specimen: set and read back, and off when a run stops for a while."""

from __future__ import annotations

import math

from cryoctl.engine.monitors import Monitors
from cryoctl.engine.patience import answered
from cryoctl.engine.recorder import Recorder
from cryoctl.errors import BadInput, ReadBackMismatch
from cryoctl.interfaces.light import Light
from cryoctl.steps import LightSet, SetLight


class LightDesk:
    """Carries out what is asked of a light; `light` is None where the instrument has none."""

    def __init__(self, light: Light | None, monitors: Monitors, recorder: Recorder) -> None:
        self._light = light
        self._monitors = monitors
        self._recorder = recorder

    async def set(self, step: SetLight) -> LightSet:
        light, wanted = self._light, step.irradiance_w_per_m2
        if light is None:
            raise BadInput("light: the instrument file has no light that could be set")
        self._monitors.light_w_per_m2 = math.nan
        found = await light.set_irradiance(wanted)
        if not abs(found - wanted) <= light.capabilities.read_back_rel * wanted:
            raise ReadBackMismatch(f"{light.name}: set to {wanted:g} W/m2, reads back {found:g} W/m2; look at it")
        self._monitors.light_w_per_m2 = wanted
        self._monitors.keep("light", found, force=True)
        return LightSet(irradiance_w_per_m2=found, time_s=self._recorder.time_s)

    async def darken(self, why: str) -> None:
        """Light off, verified, where there is one that shines. Raises `DeviceError`."""
        light = self._light
        if light is None or await answered(light.irradiance(), light.name) == 0.0:
            return
        await answered(light.make_safe(), light.name)
        self._monitors.keep("light", 0.0, force=True)
        self._recorder.event("note", light.name, f"light off: {why}")
