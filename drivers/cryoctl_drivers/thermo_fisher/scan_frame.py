"""How a scan is asked for: size and binning of an acquisition, and the magnification at which its pixels are right."""

from __future__ import annotations

from dataclasses import dataclass

from cryoctl.errors import Refused
from cryoctl.interfaces.beam import Scan
from cryoctl_drivers.thermo_fisher.settings import BeamSettings

_SIZES = (("FULL", 1), ("HALF", 2), ("QUARTER", 4))
"""Names of the interface, and by what the scanned field is smaller; it stays in the middle."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanFrame:
    image_size: str
    binning: int
    magnification: float
    dwell_s: float

    @property
    def parameters(self) -> dict[str, object]:
        return {"image_size": self.image_size, "binning": self.binning, "dwell_time(s)": self.dwell_s}


def sides_px(settings: BeamSettings) -> tuple[int, ...]:
    """Of the pictures that it can make."""
    parts = {smaller * binning for _, smaller in _SIZES for binning in settings.binnings}
    return tuple(sorted(settings.full_frame_px // part for part in parts if settings.full_frame_px % part == 0))


def scan_frame(name: str, scan: Scan, settings: BeamSettings) -> ScanFrame:
    """
    Raises:
        Refused: a picture that this scan generator does not make.
    """
    full_px = settings.full_frame_px
    rows, columns = scan.shape
    if rows == columns and rows > 0:
        for image_size, smaller in _SIZES:
            binning, rest = divmod(full_px, smaller * rows)
            if rest == 0 and binning in settings.binnings:
                field_m = rows * scan.pixel_size_m * smaller
                return ScanFrame(
                    image_size=image_size,
                    binning=binning,
                    magnification=settings.field_at_unit_magnification_m / field_m,
                    dwell_s=scan.dwell_s,
                )
    raise Refused(
        f"{name}: a scan of {rows} x {columns} pixels is not among this generator's, which are square, with "
        f"{', '.join(map(str, sides_px(settings)))} pixels a side; not opened"
    )
