"""What a scan costs: its time, the time with the beam on, and the rectangle that a permit has to allow."""

from __future__ import annotations

from dataclasses import dataclass

from cryoctl.interfaces.beam import Scan, ScanTiming


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanCost:
    """Seconds: `duration_s` as the clock runs, `field_s` beam on the field, `strip_s` beam on the overscan strip."""

    duration_s: float
    field_s: float
    strip_s: float

    @property
    def beam_on_s(self) -> float:
        return self.field_s + self.strip_s


def scan_cost(scan: Scan, timing: ScanTiming) -> ScanCost:
    """Time of a whole scan, all scan frames; settling takes as long as scanning as many pixels."""
    rows, columns = scan.shape
    lines = rows * scan.scans
    settle_s = timing.settle_px * scan.dwell_s
    line_s = settle_s + columns * scan.dwell_s + timing.flyback_s
    on_strip_s = timing.latency_s if timing.blanks_flyback else settle_s + timing.flyback_s
    around_s = timing.frame_s * scan.scans
    return ScanCost(
        duration_s=lines * line_s + around_s,
        field_s=lines * columns * scan.dwell_s + around_s,
        strip_s=lines * on_strip_s,
    )


def extent_m(scan: Scan, timing: ScanTiming) -> tuple[float, float]:
    """Beam-normal width and height of the field with a strip on both sides, as a permit bounds it (m)."""
    rows, columns = scan.shape
    return ((columns + 2 * timing.settle_px) * scan.pixel_size_m, rows * scan.pixel_size_m)
