"""Drivers of a FIB-SEM on fibsem's own simulated microscope: the contracts."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

import pytest

from cryoctl.interfaces.beam import Beam, Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import BeamContract
from cryoctl.testing.image_detector import ImageDetectorContract
from cryoctl.testing.stage import StageContract
from cryoctl.testing.vacuum import VacuumContract
from tests.wire.demo_fib_sem import OPTICS, SCAN, driver, play

pytestmark = pytest.mark.peers
T = TypeVar("T")


class OnTheDemoMicroscope:
    kind = ""

    @pytest.fixture(autouse=True)
    def patched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def build(self) -> Any:
        self.context = DeviceContext(seed=0)
        return driver(self.kind, self.context)

    def run(self, check: Coroutine[Any, Any, T]) -> T:
        return play(check, self.patch)

    def optics(self) -> Optics:
        return OPTICS

    def scan(self) -> Scan:
        return SCAN


class TestStage(OnTheDemoMicroscope, StageContract):
    kind = "stage"


class TestBeam(OnTheDemoMicroscope, BeamContract):
    kind = "beam"


class TestDetector(OnTheDemoMicroscope, ImageDetectorContract):
    kind = "detector"

    def build_beam(self) -> Beam:
        return driver("beam", self.context)


class TestGauge(OnTheDemoMicroscope, VacuumContract):
    kind = "vacuum"
