"""What follows a run: sinks get events and durable pictures in order and never hold the run up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from cryoctl.events import Event
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.runfile.event_store import ScanEvents
from cryoctl.runfile.registered import registered_events, registered_sum


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Picture:
    """One durable frame: `scans` uint16 [scan frame, y, x], residual shift (dy, dx) px of each scan frame,
    EDX events of each scan frame (empty where none were taken)."""

    stream: str
    index: int
    exposure: int
    target: str
    tilt_deg: float
    time_s: float
    dose_e_per_a2: float
    sha256: str
    scans: npt.NDArray[np.uint16]
    shifts_px: tuple[tuple[float, float], ...]
    edx: tuple[EdxEvents, ...] = ()

    def registered_sum(self) -> npt.NDArray[np.uint32]:
        """Scan frames moved back by whole pixels and summed [y, x], as the run file has them."""
        return registered_sum(self.scans, self.shifts_px)

    def registered_events(self) -> ScanEvents:
        """Pixel (y * columns + x) and channel of all events, registered alike."""
        rows, columns = self.scans.shape[1:]
        return registered_events([(one.pixel, one.channel) for one in self.edx], self.shifts_px, (rows, columns))


class Sink(Protocol):
    """Verbs must return quickly; one that raises is dropped by the recorder."""

    def event(self, event: Event) -> None: ...

    def picture(self, picture: Picture) -> None: ...
