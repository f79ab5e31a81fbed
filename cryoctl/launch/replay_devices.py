"""Replay devices for all that recorded, in place of an instrument's own."""

from __future__ import annotations

from typing import Any, cast

from cryoctl.interfaces.context import DeviceContext, DeviceFactory
from cryoctl.interfaces.device import Device
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.recording import Recording
from cryoctl.registry import find


def replay_devices(recording: Recording, seed: int, *, dose_known: bool) -> tuple[DeviceSet, DeviceContext]:
    """The devices (nothing is opened) and the context that they share; there is no truth in recorded data."""
    context = DeviceContext(seed=seed)
    context.shared["recording"] = recording
    by_kind: dict[str, dict[str, Device]] = {}
    for name, kind in recording.devices.items():
        factory = cast(DeviceFactory, find("cryoctl.devices", f"replay-{kind}"))
        by_kind.setdefault(kind, {})[name] = factory(name, {}, context)

    def only(kind: str) -> Any:
        return next(iter(by_kind.get(kind, {}).values()), None)

    devices = DeviceSet(
        stage=only("stage"),
        beam=only("beam"),
        image_detectors=cast(Any, by_kind.get("image_detector", {})),
        edx=only("edx"),
        holder=only("holder"),
        bias=only("bias"),
        needle=only("needle"),
        light=only("light"),
        truth=None,
        dose_known=dose_known,
        durable="process",
    )
    return devices, context
