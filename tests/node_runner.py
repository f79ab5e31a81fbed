"""What `Runner` starts: connects an instrument through its node, and exposes long scan frames until it is ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys

from cryoctl.errors import CryoctlError
from cryoctl.instrument import load_instrument
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.launch.device_building import build_devices
from cryoctl.testing.beam import permit_for


async def expose_on(address: str) -> None:
    devices = build_devices(load_instrument(address), DeviceContext(seed=0), (), "bench")
    detector = devices.image_detectors["haadf"]
    for device in (devices.beam, devices.stage, detector):
        await device.connect()
    await devices.beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
    await detector.insert()
    scan = Scan(shape=(64, 64), pixel_size_m=5e-9, dwell_s=6.0 / 64 / 80, scans=3)

    async def read(index: int) -> tuple[float, float]:
        await detector.read_scan(index)
        return (0.0, 0.0)

    async def look() -> None:
        with contextlib.suppress(CryoctlError):  # the node is gone
            while True:
                await devices.stage.position()
                await asyncio.sleep(0.01)

    looking = asyncio.create_task(look())
    while True:
        await detector.arm(scan)
        await devices.beam.expose(permit_for(devices.beam, scan, 1.0), scan, read)
        looking.done()


if __name__ == "__main__":
    with contextlib.suppress(CryoctlError):
        asyncio.run(expose_on(sys.argv[1]))
