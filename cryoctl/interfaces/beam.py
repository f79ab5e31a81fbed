"""Electron beam, optics and scan generator. There is no verb to unblank: `expose` with a permit is the only way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from cryoctl.interfaces.device import Device
from cryoctl.interfaces.permit import Permit


@dataclass(frozen=True, slots=True, kw_only=True)
class Optics:
    """One complete state of the column; changed only while blanked."""

    name: str
    voltage_v: float
    mode: str = "stem"
    spot: int = 6
    condenser_aperture_m: float = 50e-6
    objective_aperture_m: float | None = None
    camera_length_m: float = 0.1
    convergence_rad: float = 0.01
    scan_rotation_deg: float = 0.0
    dynamic_focus: bool = True
    beam_current_a: float = 2e-10


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A raster of `scans` successive scan frames; x (columns) is the fast axis and lies along the tilt axis.

    `shape` is (rows y, columns x). `dynamic_focus_rad` is the height change per beam-normal distance along y
    (tan of the tilt) that the dynamic focus follows, 0 where it is off.
    """

    shape: tuple[int, int]
    pixel_size_m: float
    dwell_s: float
    scans: int = 1
    rotation_deg: float = 0.0
    dynamic_focus_rad: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanTiming:
    """How this scan generator treats the ends of lines: what a line costs in time and where its dose goes.

    A line is settled in an overscan strip of `settle_px` pixels before its first pixel, then scanned, then flown
    back during `flyback_s`. Where the generator blanks both, the beam is still on for `latency_s` a line in the
    strip; where it can't, settling and flyback are spread over the strip as dose. Where the beam is opened and blanked
    by commands around each scan frame, it is on for at most `frame_s` a scan frame besides its lines, on the field.
    """

    settle_px: int
    flyback_s: float
    blanks_flyback: bool
    latency_s: float
    frame_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CurrentReading:
    """Beam current into the Faraday cup with its one-sigma relative uncertainty (a bound at two sigma)."""

    current_a: float
    sigma_rel: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BeamCapabilities:
    timing: ScanTiming
    image_shift_range_m: float
    defocus_range_m: float
    min_dwell_s: float
    max_dwell_s: float
    max_scan_px: int
    current_range_a: tuple[float, float]
    blanker_latency_s: float
    second_stop_s: float
    current_drift_rel_per_s: float
    voltages_v: tuple[float, ...]
    optics_s: float = 0.0
    """What a change of optics takes."""
    measure_s: float = 0.0
    """What a measurement of the current takes, and its one-sigma relative uncertainty."""
    measure_sigma_rel: float = 0.0
    square_px: tuple[int, ...] = ()
    """Sides of the pictures of a scan generator that makes no others than these; empty: any shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExposureReport:
    """What an exposure was, told after blank has been read back.

    `scans_done` counts whole scan frames, `beam_on_s` the time the specimen was irradiated within the scan,
    `ended` is one of complete, stopped, fault; `detail` says why.
    """

    started_s: float
    ended_s: float
    beam_on_s: float
    scans_done: int
    ended: str
    detail: str = ""


ScanFrameDone = Callable[[int], Awaitable[tuple[float, float]]]
"""Called blanked after each whole scan frame with its index; returns the correction (x_m, y_m) to add to the image
shift for the next ones."""


@runtime_checkable
class Beam(Device, Protocol):
    @property
    def capabilities(self) -> BeamCapabilities: ...

    async def optics(self) -> Optics: ...

    async def apply(self, optics: Optics) -> Optics:
        """Set the column, blanked, and read it back."""
        ...

    async def shift_image(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Where the centre of the next scan lies relative to the optical axis, beam-normal; read back."""
        ...

    async def focus(self, defocus_m: float) -> float:
        """Set the defocus relative to the eucentric plane on the optical axis; read back."""
        ...

    async def measure_current(self) -> CurrentReading:
        """Deflect the beam into the Faraday cup: the specimen sees nothing."""
        ...

    async def expose(self, permit: Permit, scan: Scan, scan_frame_done: ScanFrameDone | None = None) -> ExposureReport:
        """Open the beam within the permit, scan, blank, read the blank back. The only verb that opens a beam.

        Raises:
            Refused: the permit is used, expired, or narrower than the scan; the beam stayed blanked.
            DeviceError: blanked (or not: see `is_blanked`) after a fault; what was exposed is in no report.
        """
        ...

    async def stop_exposure(self) -> None:
        """Ask the exposure under way to end; it is over when `expose` returns. Shares nothing with moves."""
        ...

    async def blank(self) -> None: ...

    async def is_blanked(self) -> bool:
        """Read back from the hardware, never remembered."""
        ...

    async def close_valves(self) -> None:
        """The second way of stopping the beam; slower than blanking."""
        ...

    async def valves_open(self) -> bool: ...
