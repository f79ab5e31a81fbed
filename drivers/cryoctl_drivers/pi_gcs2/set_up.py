"""What a PI controller is asked and told when it is connected: limits, references, speeds; nothing moves."""

from __future__ import annotations

from cryoctl.errors import DeviceError, InstrumentError, ReadBackMismatch
from cryoctl_drivers.pi_gcs2.gcs import Gcs, same
from cryoctl_drivers.pi_gcs2.settings import PiSettings


async def check_limits(gcs: Gcs, settings: PiSettings, name: str) -> None:
    low, high = await gcs.numbers("TMN?", settings.fine_axes), await gcs.numbers("TMX?", settings.fine_axes)
    for index, axis in enumerate(settings.fine_axes):
        ends = sorted(settings.fine_position(index, end_m) for end_m in settings.fine_range_m)
        if not low[index] <= ends[0] or not ends[1] <= high[index]:
            raise InstrumentError(
                f"{name}.fine_range_m: needs positions {ends[0]:g} to {ends[1]:g} of axis {axis}, its "
                f"controller allows {low[index]:g} to {high[index]:g}; make the range smaller or set fine_centre_m"
            )


async def check_referenced(gcs: Gcs, settings: PiSettings, name: str) -> None:
    axes = settings.coarse_axes
    for axis, referenced in zip(axes, await gcs.flags("FRF?", axes), strict=True):
        if not referenced:
            raise DeviceError(
                f"{name}: axis {axis} is not referenced; withdraw the needle by hand and reference it with "
                "PI's own program, then connect again"
            )


async def set_speeds(gcs: Gcs, settings: PiSettings, name: str) -> None:
    for axes, speed in (
        (settings.coarse_axes, settings.coarse_velocity_m_per_s / settings.coarse_unit_m),
        (settings.fine_axes, settings.fine_velocity_m_per_s / settings.fine_unit_m),
    ):
        said = "no error"
        if not all(same(found, speed) for found in await gcs.numbers("VEL?", axes)):
            said = await gcs.set("VEL " + " ".join(f"{axis} {speed:.7g}" for axis in axes))
        for axis, found in zip(axes, await gcs.numbers("VEL?", axes), strict=True):
            if not same(found, speed):
                raise ReadBackMismatch(
                    f"{name}: axis {axis} was set to a speed of {speed:g} and reads {found:g} ({said}); change "
                    "the setting"
                )
