"""Simulated EDX detector: events of each scan frame after pile-up rejection, live and real time."""

from __future__ import annotations

import asyncio

from cryoctl.errors import DeviceError, OutOfRange
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.edx import EdxCapabilities, EdxEvents
from cryoctl_simulators.devices.simulated_device import SimulatedDevice, SimulatedFactory
from cryoctl_simulators.settings import EdxSettings
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.noise import generator

_MAX_SHAPE = (4096, 4096)


class SimulatedEdx(SimulatedDevice[EdxSettings]):
    kind = "edx"

    def __init__(self, name: str, settings: EdxSettings, world: World) -> None:
        super().__init__(name, settings, world)
        self._inserted = False
        self._armed: Scan | None = None
        self._scans: dict[int, EdxEvents] = {}

    @property
    def capabilities(self) -> EdxCapabilities:
        one = self.settings
        return EdxCapabilities(
            n_channels=one.n_channels,
            energy_offset_ev=one.energy_offset_ev,
            energy_scale_ev=one.energy_scale_ev,
            solid_angle_sr=one.solid_angle_sr,
            tilt_limits_deg=one.tilt_limits_deg,
            max_input_rate_per_s=one.max_input_rate_per_s,
            insert_s=one.insert_s,
        )

    async def insert(self) -> None:
        self._link()
        if not self._inserted:
            await asyncio.sleep(self.settings.insert_s)
        self._inserted = True

    async def retract(self) -> None:
        self._link()
        if self._inserted:
            await asyncio.sleep(self.settings.insert_s)
        self._inserted = False
        self._armed = None

    async def is_inserted(self) -> bool:
        self._link()
        return self._inserted

    async def arm(self, scan: Scan) -> None:
        self._link()
        if not (0 < scan.shape[0] <= _MAX_SHAPE[0] and 0 < scan.shape[1] <= _MAX_SHAPE[1]):
            raise OutOfRange(f"{self.name}: a scan of {scan.shape} is beyond {_MAX_SHAPE}; not armed")
        if not self._inserted:
            raise DeviceError(f"{self.name}: is retracted; insert it before arming")
        self._armed = scan
        self._scans = {}

    async def read_scan(self, index: int) -> EdxEvents:
        self._link()
        events = self._scans.get(index)
        if events is None:
            raise DeviceError(f"{self.name}: events of scan frame {index} never came; look at the scan's trigger line")
        return events

    async def make_safe(self) -> None:
        self._link()
        self._armed = None

    def record_scan(self, frame: ScanFrame) -> None:
        """The beam finished a scan frame; noise is keyed by exposure and scan frame."""
        if self._armed is None or self._armed.shape != frame.shape:
            return
        one = self.settings
        real_s = frame.shape[0] * frame.shape[1] * frame.dwell_s
        rng = generator(self.world.seed, self.name, frame.exposure, frame.index)
        taken = self.world.sample.x_rays(frame, one, real_s, rng)
        pixel, channel = taken.pixel, taken.channel
        rate, live_s = taken.input_rate_hz, taken.live_time_s
        if self.world.faults.find(self.name, "drop-out") is not None:
            pixel, channel = pixel[:0], channel[:0]
        swamped = self.world.faults.find(self.name, "saturation")
        if swamped is not None:
            rate = max(rate, swamped["input_rate_per_s"])
            left = (1 / (1 + rate * one.pulse_s)) * real_s / live_s
            kept = rng.random(len(pixel)) < left
            pixel, channel, live_s = pixel[kept], channel[kept], live_s * left
        self._scans[frame.index] = EdxEvents(
            pixel=pixel, channel=channel, live_time_s=live_s, real_time_s=real_s, input_rate_per_s=rate
        )


FACTORY = SimulatedFactory("edx", EdxSettings, SimulatedEdx)
