"""The safe state in the middle of a run that goes on afterwards: what a plan has left behind is brought to rest."""

from __future__ import annotations

import math

from cryoctl.engine.monitors import Monitors
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.safe_state import dangers, reach_safe_state, unconfirmed
from cryoctl.errors import DeviceError
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.steps import MakeSafe


async def make_safe(step: MakeSafe, devices: DeviceSet, monitors: Monitors, recorder: Recorder) -> None:
    """
    Raises:
        DeviceError: a beam, a bias or a needle is not confirmed safe.
    """
    await monitors.source.rest(step.reason)
    actions = await reach_safe_state(devices, alarm=False, last_bias=monitors.last_bias)
    told = [{"name": one.name, "confirmed": one.confirmed, "detail": one.detail} for one in actions]
    recorder.record("safe_state", {"actions": told})
    recorder.event("note", "safe state", f"safe state: {step.reason}", "warning")
    for one in unconfirmed(actions):
        recorder.event("fault", one.name, f"safe state: could not {one.name}: {one.detail}", "error")
    if worst := dangers(actions):
        raise DeviceError(f"safe state: could not {worst[0].name} ({worst[0].detail}); go to the microscope")
    if devices.light is not None:
        monitors.light_w_per_m2 = math.nan
        monitors.keep("light", await devices.light.irradiance(), force=True)
