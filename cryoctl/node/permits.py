"""The node's own enforcement of permits: it trusts no runner, and knows what each may still open.

A permit is used once, under the lease of its runner, within its bounds and before its time is over. Its time comes as
a duration and runs on the node's clock; its serial is the node's own for the device, since each runner counts from 1.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

from cryoctl.clock import now_s
from cryoctl.errors import Refused
from cryoctl.interfaces.beam import BeamCapabilities, Scan
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.scan_cost import extent_m, scan_cost

LONGEST_SPARE_S = 3600.0
"""A permit that lasts longer than its scan by more than this is none that a gate issues."""
_TOLERANCE_M = 1e-12


class PermitBook:
    """Permits of one node. `shift_m` is where the beam was last sent and `current_a` what it was last measured to be,
    as they went through the node; None where neither did."""

    def __init__(self, beam: str) -> None:
        self._beam = beam
        self._used: set[tuple[int, int]] = set()
        self._serials = itertools.count(1)
        self.shift_m: tuple[float, float] | None = None
        self.current_a: float | None = None

    def admit(self, lease: int, permit: Permit, scan: Scan, can: BeamCapabilities) -> Permit:
        """The permit for the device; this one is used up.

        Args:
            lease: number of the lease under which it came.
            permit: its `expires_s` is the time from now on.

        Raises:
            Refused: the beam stays blanked.
        """
        if (lease, permit.serial) in self._used:
            raise self._refused(permit, "was used before; a permit is for one exposure")
        self._used.add((lease, permit.serial))
        self._check_numbers(permit, scan)
        cost = scan_cost(scan, can.timing)
        if permit.expires_s <= 0.0:
            raise self._refused(permit, f"expired {-permit.expires_s:.3f} s ago; ask for another")
        if permit.expires_s > 2 * cost.duration_s + LONGEST_SPARE_S:
            raise self._refused(permit, f"would last {permit.expires_s:.4g} s, the scan takes {cost.duration_s:.4g} s")
        if cost.beam_on_s > permit.beam_on_s * (1 + 1e-9):
            raise self._refused(
                permit, f"allows {permit.beam_on_s:.6g} s of beam, the scan takes {cost.beam_on_s:.6g} s"
            )
        if self.current_a is not None and self.current_a > permit.max_current_a:
            raise self._refused(permit, f"allows {permit.max_current_a:.4g} A, the beam has {self.current_a:.4g} A")
        self._check_area(permit, scan, can)
        return replace(permit, serial=next(self._serials), expires_s=now_s() + permit.expires_s)

    def _check_numbers(self, permit: Permit, scan: Scan) -> None:
        positive = (permit.width_m, permit.height_m, permit.beam_on_s, permit.max_current_a, scan.pixel_size_m)
        places = (permit.x_m, permit.y_m, permit.expires_s, scan.rotation_deg, scan.dynamic_focus_rad)
        counts = (*scan.shape, scan.scans)
        sound = (
            all(0.0 < value < math.inf for value in (*positive, scan.dwell_s))
            and all(map(math.isfinite, places))
            and all(0 < count < 1 << 31 for count in counts)
        )
        if not sound:
            raise self._refused(permit, "or its scan has a bound that is no number above 0; ask for another")

    def _check_area(self, permit: Permit, scan: Scan, can: BeamCapabilities) -> None:
        width_m, height_m = extent_m(scan, can.timing)
        x_m, y_m = (permit.x_m, permit.y_m) if self.shift_m is None else self.shift_m
        strip_m = can.timing.settle_px * scan.pixel_size_m  # half of one is left for what a shift reads back beside
        outside_m = max(
            abs(x_m - permit.x_m) + width_m / 2 - permit.width_m / 2 - strip_m / 2,
            abs(y_m - permit.y_m) + height_m / 2 - permit.height_m / 2,
        )
        if outside_m > _TOLERANCE_M:
            raise self._refused(
                permit,
                f"allows {permit.width_m:.4g} x {permit.height_m:.4g} m around ({permit.x_m:.4g}, {permit.y_m:.4g}), "
                f"the scan with its strip covers {width_m:.4g} x {height_m:.4g} m around ({x_m:.4g}, {y_m:.4g})",
            )

    def _refused(self, permit: Permit, why: str) -> Refused:
        return Refused(f"{self._beam}: permit {permit.serial} {why}; the beam stayed blanked")
