"""How a source comes to rest: ramp to the cell's own voltage, output off, and both read back. What drivers share."""

from __future__ import annotations

import asyncio

from cryoctl.errors import ReadBackMismatch
from cryoctl.interfaces.bias import BiasRest, BiasSource, OffMode

RAMP_S = 1.0
RAMP_STEPS = 10
REST_A = 1e-6
"""No more than this flows at rest, offset and noise of any range included."""


async def bring_to_rest(source: BiasSource, rest: BiasRest) -> None:
    """Ramp (see `BiasRest`), switch off, verify output, off mode and current.

    Raises:
        ReadBackMismatch: it can't be confirmed.
        DeviceError: no answer.
    """
    goal_v = rest.voltage_v
    if goal_v is None and rest.off_mode is not OffMode.HIGH_IMPEDANCE:
        goal_v = 0.0
    status = await source.status()
    if status.output_on and goal_v is not None:
        limit_v = status.limits.voltage_limit_v
        at_v = max(-limit_v, min(limit_v, (await source.read()).voltage_v))
        goal_v = max(-limit_v, min(limit_v, goal_v))
        for step in range(1, RAMP_STEPS + 1):
            await source.set_voltage(at_v + (goal_v - at_v) * step / RAMP_STEPS)
            await asyncio.sleep(RAMP_S / RAMP_STEPS)
    if await source.output(False):
        raise ReadBackMismatch(f"{source.name}: told to switch off, the output reads back on; switch it off by hand")
    mode = await source.set_rest(rest)
    if mode is not rest.off_mode:
        raise ReadBackMismatch(f"{source.name}: is to rest in {rest.off_mode}, reads back {mode}; disconnect it")
    reading = await source.read()
    if reading.output_on or abs(reading.current_a) > REST_A:
        raise ReadBackMismatch(
            f"{source.name}: off, yet {reading.current_a:g} A flow; at rest at most {REST_A:g} A: disconnect it"
        )
