"""Back to where a run was interrupted: set points are driven back, and what has drifted is measured beside the target.

A picture that was taken beside the target, where the stage still stands, is taken once more. By how much the specimen
has moved on against it every later image shift is corrected, so that what the protocol believes holds again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Any

from cryoctl.clock import now_s
from cryoctl.engine.earlier_session import current_before
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.replay import Standing
from cryoctl.engine.set_points import Look
from cryoctl.errors import DoseRefused, StepLost
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.runfile.fold import RunFold
from cryoctl.steps import Compute, Computed, Exposed, MeasureCurrent, MoveStage, Step

DISPLACEMENT = "analysis.tracking:displacement"
LEAST_QUALITY = 12.0
"""Peak of the correlation over its spread below which a picture is not believed; noise alone gives up to 7.5."""
REPEATABILITY_M = 300e-9
"""By so much a stage that had to be driven back may stand elsewhere. What is found further away than this and the
drift meanwhile is another thing."""

CarryOut = Callable[[Step[Any]], Awaitable[Any]]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Resumed:
    """What a session goes on from.

    `session` counts from 1 for the first resume; `gap_s` is how long nobody watched; `states_told` is how many states
    the journal says were entered.
    """

    standing: Standing
    fold: RunFold
    session: int
    gap_s: float

    @property
    def states_told(self) -> int:
        return self.fold.states_entered


class Return:
    """Drives an instrument back; every step goes through the runner's own door."""

    def __init__(
        self, resumed: Resumed, devices: DeviceSet, desk: ExposureDesk, recorder: Recorder, carry_out: CarryOut
    ) -> None:
        self._resumed = resumed
        self._devices = devices
        self._desk = desk
        self._recorder = recorder
        self._carry_out = carry_out

    async def drive_back(self) -> None:
        """Raises what a step raises; the run then ends as by any step."""
        standing = self._resumed.standing
        moves_on = isinstance(standing.step, MoveStage) and standing.outcome is None
        at = await self._devices.stage.position()
        for step in standing.set_points.way_back(at, stage=not moves_on):
            if isinstance(step, MeasureCurrent):
                self._desk.current.recall(*current_before(self._resumed.fold, now_s() - self._recorder.time_s))
            await self._carry_out(step)
        self._desk.unwatched(self._resumed.gap_s)
        look = standing.set_points.look
        if look is not None and not moves_on:
            await self._find_again(look)

    async def _find_again(self, look: Look) -> None:
        pixel_m = look.step.pixel_size_m
        try:
            taken: Exposed = await self._carry_out(look.step)
            if taken.frame is None:
                raise StepLost(f"{look.step.kind} exposure {taken.exposure}: no picture was kept")
            found: Computed = await self._carry_out(Compute(function=DISPLACEMENT, frames=(look.frame, taken.frame)))
        except (StepLost, DoseRefused) as error:
            self._warn(f"where the specimen went could not be measured ({error.message[:150]})")
            return
        x_m, y_m = float(found.values["dx_px"]) * pixel_m, float(found.values["dy_px"]) * pixel_m
        furthest_m = (
            REPEATABILITY_M + 3 * look.step.position_sigma_m + look.step.drift_bound_m_per_s * self._resumed.gap_s
        )
        believed = found.values["found"] and float(found.values["quality"]) >= LEAST_QUALITY
        if not believed or not max(abs(x_m), abs(y_m)) <= furthest_m:
            told = f"({x_m * 1e9:.0f}, {y_m * 1e9:.0f}) nm, quality {float(found.values['quality']):.1f}"
            self._warn(f"the specimen was not recognised in a picture beside the target ({told})")
            return
        self._desk.found_moved(x_m, y_m)
        self._desk.unwatched(0.0)
        self._recorder.event(
            "note", "resume", f"the specimen had moved by ({x_m * 1e9:.0f}, {y_m * 1e9:.0f}) nm: image shifts follow it"
        )

    def _warn(self, found: str) -> None:
        self._recorder.event(
            "note", "resume", f"{found}: places are less sure until the protocol tracks again", "warning"
        )
