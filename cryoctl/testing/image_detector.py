"""Contract of an image detector, checked together with the beam that it sees."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np

from cryoctl.errors import DeviceError, OutOfRange
from cryoctl.interfaces.beam import Beam, Optics, Scan
from cryoctl.interfaces.image_detector import ImageDetector
from cryoctl.testing.beam import CONTRACT_OPTICS, permit_for
from cryoctl.testing.device import DeviceContract, acts, refused


class ImageDetectorContract(DeviceContract[ImageDetector]):
    def build_beam(self) -> Beam:
        """The beam of the same instrument; called after `build`."""
        raise NotImplementedError

    def optics(self) -> Optics:
        return CONTRACT_OPTICS

    def scan(self) -> Scan:
        return Scan(shape=(12, 16), pixel_size_m=20e-9, dwell_s=1e-5, scans=2)

    @acts("puts the detector in and opens the beam on whatever is under it")
    def test_pictures_have_the_shape_of_the_scan(self) -> None:
        async def check(detector: ImageDetector) -> None:
            scan = self.scan()
            async with BeamOn(self.build_beam(), scan, self.optics()) as beam:
                await detector.insert()
                assert await detector.is_inserted()
                await detector.arm(scan)
                taken: list[object] = []

                async def done(index: int) -> tuple[float, float]:
                    frame = await detector.read_scan(index)
                    assert frame.shape == scan.shape
                    assert frame.dtype == np.uint16
                    taken.append(frame)
                    return (0.0, 0.0)

                await beam.expose(permit_for(beam, scan, 1.0), scan, done)
                assert len(taken) == scan.scans
                await detector.arm(scan)
                await refused(DeviceError, detector.read_scan(0))  # of the exposure before
                assert not np.array_equal(np.asarray(taken[0]), np.asarray(taken[1])), "noise of its own a scan frame"

        self.checked(check)

    @acts("puts the detector in")
    def test_a_picture_that_was_not_taken_is_not_invented(self) -> None:
        async def check(detector: ImageDetector) -> None:
            scan = self.scan()
            await detector.insert()
            await detector.arm(scan)
            await refused(DeviceError, detector.read_scan(0))

        self.checked(check)

    @acts("takes the detector out")
    def test_retracted_it_can_not_be_armed(self) -> None:
        async def check(detector: ImageDetector) -> None:
            await detector.retract()
            await refused(DeviceError, detector.arm(self.scan()))

        self.checked(check)

    @acts("puts the detector in")
    def test_refuses_to_arm_beyond_its_shape(self) -> None:
        async def check(detector: ImageDetector) -> None:
            await detector.insert()
            rows, columns = detector.capabilities.max_shape
            await refused(OutOfRange, detector.arm(replace(self.scan(), shape=(rows + 1, columns))))

        self.checked(check)

    @acts("puts the detector in and takes it out")
    def test_inserts_and_retracts(self) -> None:
        async def check(detector: ImageDetector) -> None:
            await detector.insert()
            assert await detector.is_inserted()
            await detector.insert()
            await detector.retract()
            assert not await detector.is_inserted()
            await detector.retract()
            low, high = detector.capabilities.tilt_limits_deg
            assert low < high
            assert detector.capabilities.kind in ("stem", "camera")

        self.checked(check)


class BeamOn:
    """A connected beam with optics set, for detectors' checks; closed at the end."""

    def __init__(self, beam: Beam, scan: Scan, optics: Optics = CONTRACT_OPTICS) -> None:
        self._beam = beam
        self._scan = scan
        self._optics = optics

    async def __aenter__(self) -> Beam:
        await self._beam.connect()
        await self._beam.apply(self._optics)
        await asyncio.sleep(0)
        return self._beam

    async def __aexit__(self, *failure: object) -> None:
        await self._beam.close()
