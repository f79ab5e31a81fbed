"""The piezo needle for plans: set point of its fine tube, coarse steps, read as what the drive knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from cryoctl.bluesky.given import is_number, is_whole, shown
from cryoctl.bluesky.readings import DataKeys, Reading, flag_key, number_key, readings, text_key
from cryoctl.bluesky.status import RequestStatus, failed
from cryoctl.errors import BadInput
from cryoctl.interfaces.needle import NeedleCapabilities
from cryoctl.steps import NeedleAt, NoteGap, PlaceNeedle, ReadNeedle, SetNeedleVoltage, StepNeedle, WithdrawNeedle

if TYPE_CHECKING:
    from cryoctl.bluesky.session import Session


class NeedleTube:
    """Readable, Movable (x, y, z of the tube in m) and Checkable. What might touch is refused by the run."""

    name = "needle"
    parent: Any = None

    def __init__(self, session: Session, capabilities: NeedleCapabilities) -> None:
        self._session = session
        self._capabilities = capabilities

    @property
    def hints(self) -> dict[str, Any]:
        return {"fields": ["needle_fine_m"]}

    def check_value(self, value: Sequence[float]) -> None:
        """Raises `BadInput` beyond what the tube reaches."""
        low_m, high_m = self._capabilities.fine_range_m
        given: Any = value
        three = list(cast(Iterable[Any], given)) if isinstance(given, Iterable) else []
        if len(three) != 3 or not all(is_number(one) and low_m <= one <= high_m for one in three):
            found = ", ".join(map(shown, three)) or shown(given)
            raise BadInput(f"needle: found {found}, allowed are three lengths from {low_m:g} to {high_m:g} m"[:300])

    def set(self, value: Sequence[float]) -> RequestStatus:
        """Set point of the fine tube."""
        try:
            self.check_value(value)
        except BadInput as error:
            return failed(error)
        x_m, y_m, z_m = (float(one) for one in value)
        return self._ask(PlaceNeedle(x_m=x_m, y_m=y_m, z_m=z_m))

    def step(self, axis: Any, steps: Any) -> RequestStatus:
        """Coarse steps in open loop, along x, y or z."""
        if axis not in ("x", "y", "z"):
            return failed(BadInput(f"needle: found axis {str(axis)[:20]!r}; it has x, y and z"))
        if not is_whole(steps):
            return failed(BadInput(f"needle: found {shown(steps)} steps, allowed are whole numbers"))
        return self._ask(StepNeedle(axis=axis, steps=int(steps)))

    def high_voltage(self, on: Any) -> RequestStatus:
        if not isinstance(on, bool):
            return failed(BadInput(f"needle: found {shown(on)} for its high voltage, allowed are True and False"))
        return self._ask(SetNeedleVoltage(on=on))

    def saw_gap(self, gap_m: float, sigma_m: float) -> RequestStatus:
        """The distance from the specimen as it was seen in an image; without one nothing near moves."""
        if not (is_number(gap_m) and is_number(sigma_m) and gap_m >= 0.0 and 0.0 <= sigma_m < float("inf")):
            told = f"needle: gap {shown(gap_m)} m, sigma {shown(sigma_m)} m; allowed are 0 m and more"
            return failed(BadInput(told))
        return self._ask(NoteGap(gap_m=float(gap_m), sigma_m=float(sigma_m)))

    def withdraw(self) -> RequestStatus:
        """Until it is certainly clear."""
        return self._ask(WithdrawNeedle())

    async def read(self) -> Reading:
        at: NeedleAt = await asyncio.wrap_future(self._session.ask(ReadNeedle()))
        return readings(
            {
                "needle_fine_m": list(at.fine_m),
                "needle_coarse_steps": list(at.coarse_steps),
                "needle_high_voltage_on": at.high_voltage_on,
                "needle_hold": at.hold,
                "needle_gap_low_m": at.gap_low_m,
            }
        )

    async def describe(self) -> DataKeys:
        fine = {"source": "needle.fine_m", "dtype": "array", "dtype_numpy": "<f8", "shape": [3], "units": "m"}
        steps = {"source": "needle.coarse_steps", "dtype": "array", "dtype_numpy": "<i8", "shape": [3]}
        return {
            "needle_fine_m": fine,
            "needle_coarse_steps": steps,
            "needle_high_voltage_on": flag_key("needle.high_voltage_on"),
            "needle_hold": text_key("needle.hold"),
            "needle_gap_low_m": number_key("needle.gap_low_m", "m"),
        }

    def _ask(self, step: Any) -> RequestStatus:
        return RequestStatus(self._session.ask(step))
