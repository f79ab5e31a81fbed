"""The devices of one world with a solar cell on a chip: beam, detectors, source and light."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.bias import BiasLimits
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.truth import MapGrid
from cryoctl.testing.beam import permit_for
from cryoctl_simulators.devices import beam, bias, holder, image_detector, light, stage
from cryoctl_simulators.world.perovskite_cell import PerovskiteCell

GRID = MapGrid(shape=(121, 121), pixel_size_m=20e-9, origin_x_m=-60 * 20e-9, origin_y_m=-60 * 20e-9)
LATTICE = Scan(shape=(512, 512), pixel_size_m=1.5e-10, dwell_s=2e-7)
STILL = {"stage.drift_m_per_s": 0.0, "stage.eucentric_error_m": 0.0, "beam.current_error": 0.0}
NOISELESS = {"noise_a": 0.0, "noise_rel": 0.0, "noise_v": 0.0, "offset_a": 0.0, "resolution_rel": 1e-12}
BEAM = {"dose_pixel_m": 1e-8, "tail_fraction": 0.0, "image_shift_sigma_rel": 0.0, "pixel_size_sigma_rel": 0.0}
CURRENT_A = 2e-11


class ChipBench:
    """Connected, optics and limits of the source set; `given` are `simulation.` fields by dotted name."""

    def __init__(self, seed: int = 5, given: dict[str, Any] | None = None, **context: Any) -> None:
        simulation = {"specimen.kind": "perovskite-cell", **STILL, **(given or {})}
        self.context = DeviceContext(seed=seed, simulation=simulation, **context)
        self.stage = stage.FACTORY("stage", {"runout_m": 0.0, "tilt_axis_sigma_deg": 0.0}, self.context)
        self.beam = beam.FACTORY("beam", BEAM, self.context)
        self.haadf = image_detector.HAADF("haadf", {}, self.context)
        settings = {"inner_angle_rad": 0.03, "gain_counts_per_electron": 12.0}
        self.camera = image_detector.CAMERA("camera", settings, self.context)
        self.holder = holder.FACTORY("holder", {"temperature_k": 295.0}, self.context)
        self.bias = bias.FACTORY("bias", NOISELESS, self.context)
        self.light = light.FACTORY("light", {"calibration_sigma_rel": 0.0, "read_sigma_rel": 0.0}, self.context)
        self.exposure = -1

    async def __aenter__(self) -> ChipBench:
        for device in (self.stage, self.beam, self.haadf, self.camera, self.holder, self.bias, self.light):
            await device.connect()
        await self.haadf.insert()
        await self.camera.insert()
        await self.beam.apply(Optics(name="record", voltage_v=200e3, beam_current_a=CURRENT_A))
        if not (await self.bias.status()).output_on:
            await self.bias.set_limits(BiasLimits(voltage_limit_v=5.0, compliance_a=1e-7))
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.beam.close()

    @property
    def world(self) -> Any:
        return self.context.shared["world"]

    @property
    def cell(self) -> PerovskiteCell:
        return self.world.sample

    def truth(self) -> dict[str, Any]:
        return self.world.truth(GRID, None)

    async def expose(self, scan: Scan = LATTICE, at_m: tuple[float, float] = (0.0, 0.0)) -> None:
        """The camera is armed for it; image shift brings the scan there."""
        self.exposure += 1
        await self.camera.arm(scan)
        await self.beam.shift_image(*at_m)
        permit = permit_for(self.beam, scan, 1.1 * CURRENT_A, x_m=at_m[0], y_m=at_m[1])
        await self.beam.expose(replace(permit, exposure=self.exposure), scan)

    async def picture(self, scan: Scan = LATTICE, at_m: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        await self.expose(scan, at_m)
        return await self.camera.read_scan(0)
