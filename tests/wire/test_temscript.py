"""Drivers of a Thermo Fisher TEM on its emulated servers: the contracts, and what the interface does not give."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.beam import Beam, Scan
from cryoctl.testing.beam import BeamContract
from cryoctl.testing.image_detector import ImageDetectorContract
from cryoctl.testing.stage import StageContract
from cryoctl.testing.vacuum import VacuumContract
from tests.wire.emulated_tem import SCAN, Microscope

T = TypeVar("T")


class OnAnEmulatedMicroscope:
    kind = ""

    def build(self) -> Any:
        self.microscope = Microscope()
        return self.microscope.driver(self.kind)

    def run(self, check: Coroutine[Any, Any, T]) -> T:
        async def whole() -> T:
            try:
                return await check
            finally:
                self.microscope.tem.close()

        return run_virtual(whole())


class TestStage(OnAnEmulatedMicroscope, StageContract):
    kind = "stage"


class TestBeam(OnAnEmulatedMicroscope, BeamContract):
    kind = "beam"

    def scan(self) -> Scan:
        return SCAN


class TestHaadf(OnAnEmulatedMicroscope, ImageDetectorContract):
    kind = "haadf"

    def build_beam(self) -> Beam:
        return self.microscope.driver("beam")

    def scan(self) -> Scan:
        return Scan(shape=(16, 16), pixel_size_m=20e-9, dwell_s=1e-5, scans=2)


class TestGauge(OnAnEmulatedMicroscope, VacuumContract):
    kind = "vacuum"
