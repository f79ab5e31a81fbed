"""A column's own enforcement of permits, driver or simulator: it trusts nobody who asks it to open the beam."""

from __future__ import annotations

from cryoctl.clock import now_s
from cryoctl.errors import OutOfRange, Refused
from cryoctl.interfaces.beam import BeamCapabilities, Scan
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.scan_cost import scan_cost

_TOLERANCE_M = 1e-12
_LARGEST_CORRECTION_M = 300e-9


class PermitCheck:
    """Remembers the permits it has seen, and the current as far as the column knows it."""

    def __init__(self, name: str, capabilities: BeamCapabilities) -> None:
        self._name = name
        self._can = capabilities
        self._seen: set[int] = set()
        self._reading_a: float | None = None

    def know_current(self, current_a: float) -> None:
        self._reading_a = current_a

    def forget_current(self) -> None:
        """Other optics: back to the nominal value."""
        self._reading_a = None

    def use(self, permit: Permit, scan: Scan, shift_m: tuple[float, float], nominal_a: float) -> None:
        """Use up a permit for a scan.

        Raises:
            Refused: the permit is used, expired, or narrower than the scan; nothing was opened.
            OutOfRange: no scan generator can do this scan; the permit is not used up.
        """
        self._check_scan(scan)
        if permit.serial in self._seen:
            raise self._refused(permit, "was used before; a permit is for one exposure")
        self._seen.add(permit.serial)
        if now_s() > permit.expires_s:
            raise self._refused(permit, f"expired at {permit.expires_s:.3f} s, it is {now_s():.3f} s; ask for another")
        on_s = scan_cost(scan, self._can.timing).beam_on_s
        if on_s > permit.beam_on_s * (1 + 1e-9):
            raise self._refused(permit, f"allows {permit.beam_on_s:.6g} s of beam, the scan takes {on_s:.6g} s")
        current_a = nominal_a if self._reading_a is None else self._reading_a
        if current_a > permit.max_current_a:
            raise self._refused(permit, f"allows {permit.max_current_a:.4g} A, the beam has {current_a:.4g} A")
        self._check_area(permit, scan, shift_m)

    def leads_away(self, permit: Permit, shift_m: tuple[float, float]) -> bool:
        """Live corrections follow the specimen; further than this they would lead somewhere else."""
        return max(abs(shift_m[0] - permit.x_m), abs(shift_m[1] - permit.y_m)) > _LARGEST_CORRECTION_M

    def _check_area(self, permit: Permit, scan: Scan, shift_m: tuple[float, float]) -> None:
        rows, columns = scan.shape
        half_y = rows * scan.pixel_size_m / 2
        right = columns * scan.pixel_size_m / 2
        left = right + self._can.timing.settle_px * scan.pixel_size_m
        x, y = shift_m[0] - permit.x_m, shift_m[1] - permit.y_m
        inside = (
            x - left >= -permit.width_m / 2 - _TOLERANCE_M
            and x + right <= permit.width_m / 2 + _TOLERANCE_M
            and abs(y) + half_y <= permit.height_m / 2 + _TOLERANCE_M
        )
        if not inside:
            raise self._refused(
                permit,
                f"allows {permit.width_m:.4g} x {permit.height_m:.4g} m around ({permit.x_m:.4g}, {permit.y_m:.4g}), "
                f"the scan with its strip covers {left + right:.4g} x {2 * half_y:.4g} m around ({shift_m[0]:.4g}, "
                f"{shift_m[1]:.4g})",
            )

    def _check_scan(self, scan: Scan) -> None:
        one = self._can
        rows, columns = scan.shape
        if not (1 <= rows <= one.max_scan_px and 1 <= columns <= one.max_scan_px and scan.scans >= 1):
            raise OutOfRange(f"{self._name}: a scan of {rows} x {columns} is beyond 1 to {one.max_scan_px}; not opened")
        if not one.min_dwell_s <= scan.dwell_s <= one.max_dwell_s:
            raise OutOfRange(
                f"{self._name}.dwell_s: {scan.dwell_s:g} s is beyond {one.min_dwell_s:g} to {one.max_dwell_s:g} s; "
                "not opened"
            )
        if not scan.pixel_size_m > 0:
            raise OutOfRange(f"{self._name}.pixel_size_m: {scan.pixel_size_m:g} m is not positive; not opened")

    def _refused(self, permit: Permit, why: str) -> Refused:
        return Refused(f"{self._name}: permit {permit.serial} {why}; the beam stayed blanked")
