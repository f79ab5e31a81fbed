"""A recorded tilt series that is no run of cryoctl: at each tilt one map, taken when the stage stands there."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.clock import now_s
from cryoctl.errors import DeviceError
from cryoctl.interfaces.beam import BeamCapabilities, CurrentReading, Optics, Scan, ScanTiming
from cryoctl.interfaces.edx import EdxCapabilities, EdxEvents
from cryoctl.interfaces.image_detector import ImageDetectorCapabilities
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.recording import RecordedSeries
from cryoctl.interfaces.stage import StageLimits, StagePosition
from cryoctl_simulators.replay.playback import Playback, RecordedExposure

_SAME_TILT_DEG = 1e-3
_ANY_TILT = (-90.0, 90.0)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class RecordedTilt:
    """`image` uint16 [y, x]; `real_time_s` NaN where it was not kept."""

    tilt_deg: float
    image: npt.NDArray[np.uint16]
    events: EdxEvents
    real_time_s: float


class SeriesPlayback(Playback):
    """Moves take no time, exposures the real time of their map; beam current and dwell are unknown."""

    def __init__(
        self,
        layout: str,
        series: RecordedSeries,
        tilts: tuple[RecordedTilt, ...],
        *,
        n_channels: int,
        energy_offset_ev: float,
        energy_scale_ev: float,
    ) -> None:
        super().__init__()
        self.layout = layout
        self._series = series
        self._tilts = tilts
        self._n_channels = n_channels
        self._energy = (energy_offset_ev, energy_scale_ev)

    @property
    def series(self) -> RecordedSeries | None:
        return self._series

    @property
    def devices(self) -> Mapping[str, str]:
        return {"stage": "stage", "beam": "beam", "haadf": "image_detector", "edx": "edx"}

    def capabilities(self, name: str, model: type[Any]) -> Any:
        del name
        if model is BeamCapabilities:
            return BeamCapabilities(
                timing=ScanTiming(settle_px=0, flyback_s=0.0, blanks_flyback=True, latency_s=0.0),
                image_shift_range_m=1e-4,
                defocus_range_m=1e-3,
                min_dwell_s=0.0,
                max_dwell_s=math.inf,
                max_scan_px=1 << 16,
                current_range_a=(0.0, math.inf),
                blanker_latency_s=0.0,
                second_stop_s=0.0,
                current_drift_rel_per_s=0.0,
                voltages_v=(self._series.voltage_v,),
            )
        if model is ImageDetectorCapabilities:
            return ImageDetectorCapabilities(
                kind="stem", max_shape=self._series.shape, tilt_limits_deg=_ANY_TILT, insert_s=0.0
            )
        if model is EdxCapabilities:
            return EdxCapabilities(
                n_channels=self._n_channels,
                energy_offset_ev=self._energy[0],
                energy_scale_ev=self._energy[1],
                solid_angle_sr=math.nan,
                tilt_limits_deg=_ANY_TILT,
                max_input_rate_per_s=math.inf,
                insert_s=0.0,
            )
        raise DeviceError(f"replay: a {self.layout} holds nothing that a {model.__name__} could tell")

    def stage_limits(self, name: str) -> tuple[StageLimits, float, float]:
        del name
        everywhere = (-1e-2, 1e-2)
        limits = StageLimits(x_m=everywhere, y_m=everywhere, z_m=everywhere, tilt_deg=_ANY_TILT)
        return limits, math.inf, math.inf

    async def move(self, name: str, wanted: Mapping[str, float]) -> StagePosition:
        del name
        return dataclasses.replace(self.at, **wanted)

    async def apply(self, name: str, optics: Optics) -> None:
        """The column was as it was."""

    async def measure_current(self, name: str) -> CurrentReading:
        """The data do not say."""
        del name
        return CurrentReading(current_a=math.nan, sigma_rel=math.nan, time_s=now_s())

    async def carry(self, name: str, *, insert: bool) -> None:
        """Detectors take no time."""

    async def get_ready(self) -> None:
        """Every moment will do."""

    async def expose(self, name: str, permit: Permit, scan: Scan) -> RecordedExposure:
        here = [tilt for tilt in self._tilts if abs(tilt.tilt_deg - self.at.tilt_deg) <= _SAME_TILT_DEG]
        if permit.kind != "record" or not here:
            raise DeviceError(f"{name}: the data hold no {permit.kind} exposure at {self.at.tilt_deg:g} deg")
        tilt = here[0]
        if scan.shape != tilt.image.shape or scan.scans != 1:
            raise DeviceError(
                f"{name}: asked for {scan.scans} x {scan.shape[0]} x {scan.shape[1]}, the data hold 1 x "
                f"{tilt.image.shape[0]} x {tilt.image.shape[1]} at {tilt.tilt_deg:g} deg"
            )
        lasts_s = tilt.real_time_s if math.isfinite(tilt.real_time_s) else 0.0
        return RecordedExposure(
            images=tilt.image[None],
            edx=(tilt.events,),
            scans_done=1,
            complete=True,
            done_s=now_s() + lasts_s,
        )
