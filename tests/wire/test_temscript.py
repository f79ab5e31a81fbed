"""Drivers of a Thermo Fisher TEM on its emulated servers: the contracts, and what the interface does not give."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from cryoctl import registry
from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.beam import Beam, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import BeamContract
from cryoctl.testing.image_detector import ImageDetectorContract
from cryoctl.testing.stage import StageContract

T = TypeVar("T")
BEAM = {
    "presets": {
        "contract": {"current_a": 1e-10, "current_sigma_rel": 0.05, "intensity": 0.25},
        "other": {"current_a": 2e-10, "current_sigma_rel": 0.05, "intensity": 0.5},
    },
    "idle_probe": "scans",
    "full_frame_px": 256,
    "field_at_unit_magnification_m": 0.1,
    "max_dwell_s": 0.1,
}
EMULATED_BEAM = {"full_frame_px": 256}
HAADF = {"kept_inserted": True, "max_shape": [256, 256]}


class Microscope:
    """Stage, beam and HAADF detector of one emulated TEM; made in the running loop."""

    def __init__(self, context: DeviceContext | None = None, **beam: Any) -> None:
        self.context = context or DeviceContext(seed=11)
        kinds = {"stage": {}, "beam": EMULATED_BEAM, "haadf": {}}
        self.emulators = {
            kind: registry.find("cryoctl.emulators", f"thermo-fisher-{kind}")(kind, settings, self.context)
            for kind, settings in kinds.items()
        }
        self.tem = self.emulators["beam"].tem
        self.settings = {"stage": {}, "beam": {**BEAM, **beam}, "haadf": HAADF}
        for emulator in self.emulators.values():
            emulator.attach()

    def driver(self, kind: str, **other: Any) -> Any:
        told = {**self.settings[kind], **self.emulators[kind].open(), **other}
        return registry.find("cryoctl.devices", f"thermo-fisher-{kind}")(kind, told, self.context)


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
        return Scan(shape=(16, 16), pixel_size_m=10e-9, dwell_s=1e-4, scans=3)


class TestHaadf(OnAnEmulatedMicroscope, ImageDetectorContract):
    kind = "haadf"

    def build_beam(self) -> Beam:
        return self.microscope.driver("beam")

    def scan(self) -> Scan:
        return Scan(shape=(16, 16), pixel_size_m=20e-9, dwell_s=1e-5, scans=2)
