"""How a source comes to rest: ramp to the cell's own voltage, output off, and both read back. What drivers share."""

from __future__ import annotations

import asyncio
import contextlib
import math

from cryoctl.errors import DeviceError, ReadBackMismatch
from cryoctl.interfaces.bias import BiasRest, BiasSource, OffMode

RAMP_S = 1.0
RAMP_STEPS = 10
OVERFLOW = 1.5
"""Times its limit; no source is there, and what reads so is no voltage."""
REST_A = 1e-6
"""No more than this flows at rest, offset and noise of any range included."""


async def bring_to_rest(source: BiasSource, rest: BiasRest) -> None:
    """Ramp (see `BiasRest`), switch off, verify output, off mode and current.

    It is switched off though the ramp fails: a jump is better than a bias that stays.

    Raises:
        ReadBackMismatch: it can't be confirmed.
        DeviceError: no answer.
    """
    goal_v = rest.voltage_v
    if goal_v is None and rest.off_mode is not OffMode.HIGH_IMPEDANCE:
        goal_v = 0.0
    status = await source.status()
    if status.output_on and goal_v is not None:
        with contextlib.suppress(DeviceError):
            await _ramp(source, goal_v, status.limits.voltage_limit_v)
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


async def _ramp(source: BiasSource, goal_v: float, limit_v: float) -> None:
    """From the voltage that it reads to the goal, both within its limit; where it reads none or one beyond that (an
    overflow), the goal at once."""
    read_v = (await source.read()).voltage_v
    goal_v = max(-limit_v, min(limit_v, goal_v))
    told = math.isfinite(read_v) and abs(read_v) <= OVERFLOW * limit_v
    at_v = max(-limit_v, min(limit_v, read_v)) if told else goal_v
    for step in range(1, RAMP_STEPS + 1):
        await source.set_voltage(at_v + (goal_v - at_v) * step / RAMP_STEPS)
        await asyncio.sleep(RAMP_S / RAMP_STEPS)
