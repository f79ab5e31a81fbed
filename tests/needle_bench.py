"""The devices of one world with coated particles and a needle, and a source that holds a voltage."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.truth import MapGrid
from cryoctl.testing.beam import permit_for
from cryoctl_simulators.devices import beam, holder, image_detector, needle, stage
from cryoctl_simulators.settings import ImageDetectorSettings
from cryoctl_simulators.world.coated_particles import CoatedParticles
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.needle_contact import NeedleContact

GRID = MapGrid(shape=(151, 201), pixel_size_m=20e-9, origin_x_m=-100 * 20e-9, origin_y_m=-75 * 20e-9)
SCAN = Scan(shape=(64, 64), pixel_size_m=4e-9, dwell_s=1e-5)
STILL = {"stage.drift_m_per_s": 0.0, "needle.drift_m_per_s": 0.0, "needle.creep_rel": 0.0, "needle.crosstalk_rel": 0.0}
BEFORE = {"needle.gap_m": 0.3e-6, "needle.offset_m": 0.0, "needle.height_m": 0.0}
"""The needle straight before the foremost particle."""


class NeedleBench:
    """Connected, optics set; `given` are `simulation.` fields by dotted name."""

    def __init__(self, seed: int = 5, given: dict[str, Any] | None = None, **context: Any) -> None:
        simulation = {"specimen.kind": "coated-particles", **STILL, **BEFORE, **(given or {})}
        self.context = DeviceContext(seed=seed, simulation=simulation, **context)
        self.stage = stage.FACTORY("stage", {"runout_m": 0.0}, self.context)
        self.beam = beam.FACTORY("beam", {}, self.context)
        self.haadf = image_detector.HAADF("haadf", {}, self.context)
        self.holder = holder.FACTORY("holder", {"temperature_k": 293.0}, self.context)
        self.needle = needle.FACTORY("needle", {}, self.context)
        self.exposure = -1

    async def __aenter__(self) -> NeedleBench:
        for device in (self.stage, self.beam, self.haadf, self.holder, self.needle):
            await device.connect()
        await self.haadf.insert()
        await self.beam.apply(Optics(name="record", voltage_v=200e3, beam_current_a=1.6e-10))
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.beam.close()

    @property
    def world(self) -> Any:
        return self.context.shared["world"]

    @property
    def contact(self) -> NeedleContact:
        return self.world.contact

    @property
    def specimen(self) -> CoatedParticles:
        return self.world.sample

    def truth(self) -> dict[str, Any]:
        return self.world.truth(GRID, None)

    def gap_m(self) -> float:
        return self.contact.gap_m(self.world.time_s)

    def hold(self, voltage_v: float) -> None:
        """A source holds this voltage from now on."""
        since = [self.world.time_s]

        def carry(time_s: float) -> None:
            began_s, since[0] = since[0], max(since[0], time_s)
            if time_s > began_s:
                self.contact.carry(began_s, time_s, voltage_v, 0.0)

        self.contact.power = carry

    async def touch(self, overlap_m: float = 1e-9) -> float:
        """Drive the tube on until the apex is so far beyond first touch; returns its set point."""
        await self.needle.high_voltage(True)
        x_m = float(self.contact.needle.record["fine_m"][0])
        for _ in range(60):
            ahead_m = self.specimen.nearest(self.apex_m(), self.world.time_s).gap_m + overlap_m
            if self.contact.particle is not None:
                ahead_m = overlap_m - self.contact.overlap_m(self.world.time_s)
            if abs(ahead_m) < 1e-12:
                break
            x_m -= ahead_m
            await self.needle.fine(x_m, 0.0, 0.0)
        return x_m

    def apex_m(self) -> np.ndarray:
        return self.contact.needle.apex_m(self.world.time_s)

    async def take(self, scan: Scan = SCAN, kind: str = "record") -> np.ndarray:
        self.exposure += 1
        await self.beam.shift_image(0.0, 0.0)
        await self.haadf.arm(scan)
        permit = replace(permit_for(self.beam, scan, 1e-9), exposure=self.exposure, kind=kind)
        await self.beam.expose(permit, scan)
        return await self.haadf.read_scan(0)

    def share(self, **changes: Any) -> np.ndarray:
        """Noise-free picture: the share of the electrons that the detector takes."""
        frame = replace(frame_at(self.world.time_s), **changes)
        return self.specimen.scattered(frame, ImageDetectorSettings())[0]


def frame_at(time_s: float) -> ScanFrame:
    return ScanFrame(
        kind="record", exposure=0, index=0, shape=(128, 128), lines=128.0, pixel_size_m=2e-9, nominal_pixel_m=2e-9,
        dwell_s=0.0, current_a=2e-10, voltage_v=200e3, convergence_rad=0.01, axis_deg=0.0, centre_m=(0.0, 0.0),
        defocus_m=0.0, dynamic_focus_rad=0.0, tilt_deg=0.0, x_m=0.0, y_m=0.0, height_m=0.0, content_start_m=(0.0, 0.0),
        content_end_m=(0.0, 0.0), time_s=time_s, temperature_k=293.0,
    )  # fmt: skip
