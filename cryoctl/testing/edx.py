"""Contract of an EDX detector, checked together with the beam that makes its X-rays."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from cryoctl.errors import DeviceError, OutOfRange
from cryoctl.interfaces.beam import Beam, Optics, Scan
from cryoctl.interfaces.edx import EdxDetector, EdxEvents
from cryoctl.testing.beam import CONTRACT_OPTICS, permit_for
from cryoctl.testing.device import DeviceContract, acts, refused
from cryoctl.testing.image_detector import BeamOn


class EdxContract(DeviceContract[EdxDetector]):
    def build_beam(self) -> Beam:
        """The beam of the same instrument; called after `build`."""
        raise NotImplementedError

    def optics(self) -> Optics:
        return CONTRACT_OPTICS

    def scan(self) -> Scan:
        return Scan(shape=(12, 16), pixel_size_m=20e-9, dwell_s=1e-2, scans=2)

    def fitting(self, detector: EdxDetector) -> Scan:
        """The scan, or a single point where the detector can't follow it."""
        scan, most = self.scan(), detector.capabilities.max_pixels
        if most is None or math.prod(scan.shape) <= most:
            return scan
        return replace(scan, shape=(1, 1), dwell_s=0.1)

    @acts("puts the detector in and opens the beam on whatever is under it")
    def test_events_are_whole_and_in_pixel_order(self) -> None:
        async def check(detector: EdxDetector) -> None:
            scan = self.fitting(detector)
            async with BeamOn(self.build_beam(), scan, self.optics()) as beam:
                await detector.insert()
                await detector.arm(scan)
                taken: list[EdxEvents] = []

                async def done(index: int) -> tuple[float, float]:
                    taken.append(await detector.read_scan(index))
                    return (0.0, 0.0)

                await beam.expose(permit_for(beam, scan, 1.0), scan, done)
                assert len(taken) == scan.scans
                await detector.arm(scan)
                await refused(DeviceError, detector.read_scan(0))  # of the exposure before
                for events in taken:
                    assert events.pixel.dtype == np.uint32
                    assert events.channel.dtype == np.uint16
                    assert len(events.pixel) == len(events.channel)
                    assert np.all(np.diff(events.pixel.astype(np.int64)) >= 0)
                    assert np.all(events.pixel < math.prod(scan.shape))
                    assert np.all(events.channel < detector.capabilities.n_channels)
                    assert 0 <= events.live_time_s <= events.real_time_s
                    assert events.real_time_s >= math.prod(scan.shape) * scan.dwell_s * 0.9
                    # The rate is an average of the processor's; what was counted scatters about it.
                    fewest = len(events.pixel) - 5 * math.sqrt(len(events.pixel)) - 5
                    assert events.input_rate_per_s * events.real_time_s >= fewest
                assert sum(len(events.pixel) for events in taken) >= 20, "the beam makes X-rays"

        self.checked(check)

    @acts("puts the detector in")
    def test_events_that_were_not_taken_are_not_invented(self) -> None:
        async def check(detector: EdxDetector) -> None:
            await detector.insert()
            await detector.arm(self.fitting(detector))
            await refused(DeviceError, detector.read_scan(0))

        self.checked(check)

    @acts("puts the detector in")
    def test_a_scan_that_it_can_not_follow_is_refused(self) -> None:
        async def check(detector: EdxDetector) -> None:
            most = detector.capabilities.max_pixels
            if most is not None:
                await detector.insert()
                await refused(OutOfRange, detector.arm(replace(self.scan(), shape=(1, most + 1))))

        self.checked(check)

    @acts("takes the detector out")
    def test_retracted_it_can_not_be_armed(self) -> None:
        async def check(detector: EdxDetector) -> None:
            await detector.retract()
            await refused(DeviceError, detector.arm(self.scan()))

        self.checked(check)

    @acts("puts the detector in and takes it out")
    def test_inserts_and_retracts(self) -> None:
        async def check(detector: EdxDetector) -> None:
            await detector.insert()
            assert await detector.is_inserted()
            await detector.retract()
            assert not await detector.is_inserted()
            can = detector.capabilities
            assert can.n_channels > 0
            assert can.energy_scale_ev > 0
            assert 0 < can.solid_angle_sr < 4 * math.pi

        self.checked(check)
