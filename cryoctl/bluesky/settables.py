"""What a plan sets and reads back: stage axes, light, holder. A value beyond its limits is refused, never clipped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from cryoctl.bluesky.given import is_number, shown
from cryoctl.bluesky.readings import DataKeys, Reading, number_key, readings
from cryoctl.bluesky.status import RequestStatus, failed
from cryoctl.engine.requests import Views
from cryoctl.errors import BadInput
from cryoctl.steps import MoveStage, SetLight, SetTemperature, Step

if TYPE_CHECKING:
    from cryoctl.bluesky.session import Session


class Settable:
    """One number: Readable, Movable, Locatable, Checkable and Stoppable.

    Args:
        source: where its values come from, for data keys.
        step: what sets it to a value.
        read: what reads it back.
    """

    parent: Any = None

    def __init__(
        self,
        session: Session,
        name: str,
        *,
        source: str,
        units: str,
        limits: tuple[float, float],
        step: Callable[[float], Step[Any]],
        read: Callable[[Views], Awaitable[float]],
        or_zero: bool = False,
    ) -> None:
        self._session = session
        self.name = name
        self._source = source
        self._units = units
        self.limits = limits
        self._step = step
        self._read = read
        self._or_zero = or_zero
        self._setpoint: float | None = None
        self._moving: RequestStatus | None = None

    @property
    def hints(self) -> dict[str, Any]:
        return {"fields": [self.name]}

    def check_value(self, value: float) -> None:
        """Raises `BadInput` beyond its limits, or for what is no number."""
        if not is_number(value):
            raise BadInput(f"{self.name}: found {shown(value)}, allowed is a number in {self._units}, without unit")
        low, high = self.limits
        if not (low <= value <= high or (self._or_zero and value == 0.0)):
            raise BadInput(f"{self.name}: {value:g} {self._units} is beyond the {low:g} to {high:g} that are allowed")

    def set(self, value: float) -> RequestStatus:
        """Done when it reads back; failed where it is refused, and then nothing has moved."""
        try:
            self.check_value(value)
        except BadInput as error:
            return failed(error)
        self._setpoint = float(value)
        self._moving = RequestStatus(self._session.ask(self._step(float(value))))
        return self._moving

    def stop(self, success: bool = True) -> None:
        """What it still does is not wanted any more: a stage stops. Nothing happens where it has arrived."""
        del success
        if self._moving is not None and not self._moving.done and not self._session.pausing:
            self._session.withdraw()

    async def read(self) -> Reading:
        return readings({self.name: await self._value()})

    async def describe(self) -> DataKeys:
        return {self.name: number_key(self._source, self._units, self.limits)}

    async def locate(self) -> dict[str, float]:
        value = await self._value()
        return {"setpoint": value if self._setpoint is None else self._setpoint, "readback": value}

    async def _value(self) -> float:
        return float(await asyncio.wrap_future(self._session.look(self._read)))


def stage_axis(session: Session, name: str, axis: str, limits: tuple[float, float]) -> Settable:
    """`axis` is x_m, y_m, z_m or tilt_deg; moves end upwards, free of backlash."""

    async def read(views: Views) -> float:
        return getattr(await views.position(), axis)

    return Settable(
        session,
        name,
        source=f"stage.{axis}",
        units="deg" if axis == "tilt_deg" else "m",
        limits=limits,
        step=lambda value: MoveStage(**{axis: value}),
        read=read,
    )


def light(session: Session, limits_w_per_m2: tuple[float, float]) -> Settable:
    """0 is off."""

    async def read(views: Views) -> float:
        return await views.irradiance()

    return Settable(
        session,
        "light",
        source="light.irradiance_w_per_m2",
        units="W/m2",
        limits=limits_w_per_m2,
        step=lambda value: SetLight(irradiance_w_per_m2=value),
        read=read,
        or_zero=True,
    )


def holder(session: Session, limits_k: tuple[float, float]) -> Settable:
    """Set, it is done once the set point is taken: the approach is watched by reading."""

    async def read(views: Views) -> float:
        found = await views.temperature()
        return found.temperature_k if found.valid else float("nan")

    return Settable(
        session,
        "temperature",
        source="holder.temperature_k",
        units="K",
        limits=limits_k,
        step=lambda value: SetTemperature(temperature_k=value),
        read=read,
    )
