"""The devices of a session's instrument as bluesky devices."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

from cryoctl.bluesky.bias import Bias
from cryoctl.bluesky.detectors import EdxSpectrum, PictureDetector
from cryoctl.bluesky.needle import NeedleTube
from cryoctl.bluesky.settables import Settable, holder, light, stage_axis
from cryoctl.bluesky.shots import Shots
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.protocol import InstrumentFacts

if TYPE_CHECKING:
    from cryoctl.bluesky.session import Session

_EDX = "edx"


@dataclass(frozen=True, slots=True, kw_only=True)
class Devices:
    """None for what the instrument has not. Iterated, it gives those that are there."""

    x: Settable
    y: Settable
    z: Settable
    tilt: Settable
    pictures: Mapping[str, PictureDetector]
    """By their names in the instrument file."""
    edx: EdxSpectrum | None = None
    bias: Bias | None = None
    needle: NeedleTube | None = None
    light: Settable | None = None
    temperature: Settable | None = None

    def __getitem__(self, name: str) -> Any:
        """By name: x, tilt, haadf, bias ... Raises `KeyError`."""
        return {one.name: one for one in self}[name]

    def __iter__(self) -> Iterator[Any]:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "pictures":
                yield from value.values()
            elif value is not None:
                yield value


def devices_of(session: Session, devices: DeviceSet, facts: InstrumentFacts) -> Devices:
    """Of whatever instrument: what they may be set to is what its devices and the operator's limits allow."""
    stage, edx = facts.stage, devices.edx
    shots = Shots(session, "" if edx is None else _EDX, None if edx is None else edx.capabilities.max_pixels)
    scanning = next(iter(devices.image_detectors), "")
    return Devices(
        x=stage_axis(session, "x", "x_m", stage.x_m),
        y=stage_axis(session, "y", "y_m", stage.y_m),
        z=stage_axis(session, "z", "z_m", stage.z_m),
        tilt=stage_axis(session, "tilt", "tilt_deg", stage.tilt_deg),
        pictures={name: PictureDetector(session, name, shots) for name in devices.image_detectors},
        edx=None if edx is None else EdxSpectrum(session, _EDX, shots, scanning, edx.capabilities.n_channels),
        bias=None if devices.bias is None or facts.bias is None else Bias(session, facts.bias),
        needle=None if facts.needle is None else NeedleTube(session, facts.needle),
        light=None if facts.light is None else light(session, facts.light.irradiance_w_per_m2),
        temperature=None
        if devices.holder is None
        else holder(session, devices.holder.capabilities.temperature_range_k),
    )
