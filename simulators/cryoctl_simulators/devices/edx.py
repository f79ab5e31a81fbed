"""Simulated EDX detector: events of each scan frame after pile-up rejection, live and real time."""

from __future__ import annotations

from cryoctl.interfaces.edx import EdxCapabilities, EdxEvents
from cryoctl_simulators.devices.scan_detector import SimulatedScanDetector
from cryoctl_simulators.devices.simulated_device import SimulatedFactory
from cryoctl_simulators.settings import EdxSettings
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.noise import generator


class SimulatedEdx(SimulatedScanDetector[EdxSettings, EdxEvents]):
    kind = "edx"
    frame_called = "events of scan frame"

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

    def record(self, index: int, frame: ScanFrame) -> None:
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
        self._taken[index] = EdxEvents(
            pixel=pixel, channel=channel, live_time_s=live_s, real_time_s=real_s, input_rate_per_s=rate
        )


FACTORY = SimulatedFactory("edx", EdxSettings, SimulatedEdx)
