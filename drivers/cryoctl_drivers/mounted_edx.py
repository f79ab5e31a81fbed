"""What EDX detectors share that stand where they were mounted, as far as their driver knows."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from pydantic import AfterValidator, Field

from cryoctl.errors import DeviceError
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.device_settings import Settings
from cryoctl.interfaces.edx import EdxCapabilities
from cryoctl.units import Degrees, ElectronVolts, PerSecond, Steradians


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    if interval[0] >= interval[1]:
        raise ValueError(f"found {interval[0]:g} to {interval[1]:g}: the lower end stands first")
    return interval


class MountedEdxSettings(Settings):
    energy_offset_ev: ElectronVolts = 0.0
    energy_scale_ev: Annotated[ElectronVolts, Field(gt=0)] = 10.0
    """Width of a channel."""
    solid_angle_sr: Annotated[Steradians, Field(gt=0, le=4)] = 0.7
    tilt_limits_deg: Annotated[tuple[Degrees, Degrees], AfterValidator(_in_order)] = (-80.0, 80.0)
    max_input_rate_per_s: Annotated[PerSecond, Field(gt=0)] = 2e5


S = TypeVar("S", bound=MountedEdxSettings)


class MountedEdx(Generic[S]):
    """There is no drive: `insert` and `retract` say whether it may be armed. A driver defines `need_link`."""

    def __init__(self, name: str, settings: S) -> None:
        self._name = name
        self.settings = settings
        self._inserted = False
        self._armed: Scan | None = None
        self._next = 0

    @property
    def name(self) -> str:
        return self._name

    def need_link(self) -> None:
        """
        Raises:
            ConnectionLost: not connected.
        """
        raise NotImplementedError

    def capabilities_with(self, n_channels: int, max_pixels: int | None) -> EdxCapabilities:
        one = self.settings
        return EdxCapabilities(
            n_channels=n_channels,
            energy_offset_ev=one.energy_offset_ev,
            energy_scale_ev=one.energy_scale_ev,
            solid_angle_sr=one.solid_angle_sr,
            tilt_limits_deg=one.tilt_limits_deg,
            max_input_rate_per_s=one.max_input_rate_per_s,
            insert_s=0.0,
            max_pixels=max_pixels,
        )

    async def insert(self) -> None:
        self.need_link()
        self._inserted = True

    async def retract(self) -> None:
        self.need_link()
        self._inserted = False
        self._armed = None

    async def is_inserted(self) -> bool:
        self.need_link()
        return self._inserted

    def armed_for(self, index: int) -> Scan:
        """The scan whose next frame this is.

        Raises:
            DeviceError: it is not the next one, or nothing was armed.
        """
        scan = self._armed
        if scan is None or index != self._next or index >= scan.scans:
            raise DeviceError(f"{self._name}: events of scan frame {index} never came; scan frames come in their order")
        return scan
