"""What every cryo-holder behind a wire has: limits that its controller does not know."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cryoctl.errors import OutOfRange
from cryoctl.interfaces.device_settings import InOrder
from cryoctl.interfaces.holder import HolderCapabilities
from cryoctl.units import Degrees, Kelvin, Seconds
from cryoctl_drivers.link import LinkSettings


class WiredHolderSettings(LinkSettings):
    temperature_range_k: Annotated[tuple[Kelvin, Kelvin], InOrder] = (80.0, 350.0)
    tilt_limits_deg: Annotated[tuple[Degrees, Degrees], InOrder] = (-70.0, 70.0)
    hold_time_s: Annotated[Seconds, Field(gt=0)] = 4 * 3600.0
    """How long the holder's dewar lasts; it can't be measured."""

    def as_capabilities(self) -> HolderCapabilities:
        return HolderCapabilities(
            tilt_limits_deg=self.tilt_limits_deg,
            temperature_range_k=self.temperature_range_k,
            hold_time_s=self.hold_time_s,
        )

    def check_set_point(self, device: str, temperature_k: float) -> None:
        """
        Raises:
            OutOfRange: beyond `temperature_range_k`, or not a number.
        """
        low, high = self.temperature_range_k
        if not low <= temperature_k <= high:
            raise OutOfRange(f"{device}.temperature_k: {temperature_k:g} K is beyond {low:g} to {high:g} K")
