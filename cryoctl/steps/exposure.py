"""The one step that opens a beam, and the question whether the dose allows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cryoctl.steps.base import FrameRef, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Exposed:
    """What came of an exposure.

    `outcome` is done or partial (stopped; `scans_done` whole scan frames are kept). `frame` is None where nothing is
    kept. `dose_e_per_a2` is what the ledger was charged at the centre (upper current). `drift_x_m drift_y_m` is the
    displacement of the last scan frame against the first, found by live registration. `edx_counts` is the number of
    EDX events recorded.
    """

    exposure: int
    outcome: str
    frame: FrameRef | None
    dose_e_per_a2: float
    started_s: float
    duration_s: float
    scans_done: int
    drift_x_m: float = 0.0
    drift_y_m: float = 0.0
    edx_counts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(Step[Exposed]):
    """Scan an area once, in `scans` successive scan frames.

    `x_m y_m` is where in the specimen's frame the scan is believed to lie: there the ledger is charged.
    `shift_x_m shift_y_m` is the image shift that brings it there, corrections included, beam-normal. Rows of
    `shape` run along y, across the tilt axis. `position_sigma_m` bounds (at three sigma) how far the belief may be
    off. `drift_bound_m_per_s` is how fast the specimen may still move: with the slow scan it packs the lines closer.
    `detector` is empty where no picture is wanted (shower).

    Thrown at the yield: `DoseRefused`, `InterlockRefused` (nothing was exposed), `StepLost` (the frame never came,
    the dose is charged).
    """

    on_interrupt: ClassVar[str] = "never"

    kind: str
    area: str
    target: str
    x_m: float
    y_m: float
    shift_x_m: float
    shift_y_m: float
    defocus_m: float
    shape: tuple[int, int]
    pixel_size_m: float
    dwell_s: float
    scans: int = 1
    rotation_deg: float = 0.0
    dynamic_focus: bool = False
    detector: str = "haadf"
    edx: bool = False
    register: bool = False
    position_sigma_m: float = 50e-9
    drift_bound_m_per_s: float = 2e-9
    planned_dose_e_per_a2: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Affordable:
    """`peak_e_per_a2` is what the worst pixel of the first exposure that does not fit would have received."""

    fits: bool
    peak_e_per_a2: float
    limit_e_per_a2: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Afford(Step[Affordable]):
    """Would these exposures, one after another, stay below the limit? Asked before dose is spent on tracking."""

    exposures: tuple[Expose, ...]
    tilt_deg: float
    """The tilt they would be made at."""
