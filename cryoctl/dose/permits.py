"""The gate: answers whether an exposure may be made, and issues the permit for it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryoctl.dose.current import KnownCurrent
from cryoctl.dose.footprint import footprint
from cryoctl.dose.ledger import Deposit, DoseLedger
from cryoctl.errors import DoseRefused
from cryoctl.interfaces.beam import Scan, ScanTiming
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.scan_cost import extent_m, scan_cost
from cryoctl.units.constants import dose_e_per_a2


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One exposure as it would be charged: deposits at the upper current, and what the gate reserves on top."""

    deposits: tuple[Deposit, ...]
    reserved: tuple[Deposit, ...]
    upper_current_a: float
    rate_e_per_a2_s: float
    """Dose rate averaged over the field, at the upper current."""
    size: tuple[float, float]
    """See `footprint`."""
    edge_sigma_m: float
    """To add to the position's sigma: a third of how far the edges may lie outside, where pixels are larger."""
    beam_on_s: float
    duration_s: float
    unseen_rel: float = 0.0
    """See `KnownCurrent.unseen_rel`, at its end."""

    @property
    def unseen(self) -> tuple[Deposit, ...]:
        """What it may give beyond its deposits if the current rises unseen."""
        return tuple(replace(one, dose_e_per_a2=one.dose_e_per_a2 * self.unseen_rel) for one in self.deposits)

    @property
    def kept_back(self) -> tuple[Deposit, ...]:
        """What the gate keeps free on top of the deposits."""
        risen = 1 + self.unseen_rel
        reserved = (replace(one, dose_e_per_a2=one.dose_e_per_a2 * risen) for one in self.reserved)
        return (*self.unseen, *reserved)

    @property
    def dose_e_per_a2(self) -> float:
        """Of the scanned field; NaN where it is unknown."""
        return self.deposits[0].dose_e_per_a2 if self.deposits else math.nan


class DoseGate:
    """Reads the ledger, issues single-use permits; the only place where they are made.

    Args:
        second_stop_s: time until the beam is gone when blanking fails (column valve), or until a slow blanker has
            closed where that is longer; its dose is reserved.
        drift_rel_per_s: largest relative drift of the beam current.
        pixel_bound_rel: how much smaller or larger than calibrated a pixel may be, relative (two sigma).
    """

    dose_known: bool = True

    def __init__(
        self,
        ledger: DoseLedger,
        timing: ScanTiming,
        *,
        second_stop_s: float,
        drift_rel_per_s: float,
        pixel_bound_rel: float = 0.0,
    ) -> None:
        self.ledger = ledger
        self.timing = timing
        self._second_stop_s = second_stop_s
        self.drift_rel_per_s = drift_rel_per_s
        self._pixel_bound_rel = pixel_bound_rel
        self._serial = 0

    def plan(
        self,
        scan: Scan,
        *,
        x_m: float,
        y_m: float,
        tilt_deg: float,
        current: KnownCurrent,
        now_s: float,
        drift_m_per_s: float = 0.0,
    ) -> Plan:
        """`drift_m_per_s` bounds how fast the specimen may move with the slow scan, which packs the lines closer.

        Raises:
            DoseRefused: its dose can't be counted: a value that is no number, or a place beyond the ledger's map.
        """
        _check_countable(scan, x_m=x_m, y_m=y_m, tilt_deg=tilt_deg, current=current)
        cost = scan_cost(scan, self.timing)
        upper_a = current.upper_a(now_s + cost.duration_s, self.drift_rel_per_s)
        size = self.size(drift_m_per_s * cost.duration_s / scan.scans / (scan.shape[0] * scan.pixel_size_m))
        found = footprint(scan, self.timing, x_m=x_m, y_m=y_m, tilt_deg=tilt_deg, current_a=upper_a, size=size)
        deposits = self.ledger.settled(found)
        width_m, height_m = (scan.shape[1] * scan.pixel_size_m, scan.shape[0] * scan.pixel_size_m)
        rate = dose_e_per_a2(upper_a, 1.0, width_m * height_m)
        for rectangle in deposits:
            if not self.ledger.holds(rectangle):
                raise DoseRefused(
                    f"exposure at ({x_m * 1e6:.3f}, {y_m * 1e6:.3f}) um of {width_m * 1e6:.3f} x {height_m * 1e6:.3f} "
                    "um: it lies partly beyond the ledger's map, where dose could not be counted; the protocol must "
                    "name it in its covered area"
                )
        field = deposits[0]
        reserve = replace(field, dose_e_per_a2=rate * self._second_stop_s)
        reach_m = width_m / 2 + self.timing.settle_px * scan.pixel_size_m
        reach_m = max(reach_m, height_m / 2 / math.cos(math.radians(tilt_deg)))
        return Plan(
            deposits=deposits,
            reserved=(reserve,),
            upper_current_a=upper_a,
            rate_e_per_a2_s=rate,
            size=size,
            edge_sigma_m=2 * self._pixel_bound_rel * reach_m / 3,  # charged as the smallest, perhaps the largest
            beam_on_s=cost.beam_on_s,
            duration_s=cost.duration_s,
            unseen_rel=current.unseen_rel(now_s + cost.duration_s),
        )

    def size(self, squeeze: float) -> tuple[float, float]:
        """Of what is scanned over what was asked for, at the least; `squeeze` is the share of a scan frame's height by
        which the specimen moves with the slow scan meanwhile (halved at the most)."""
        pixel = 1.0 - self._pixel_bound_rel
        return (pixel, pixel * (1.0 - min(squeeze, 0.5)))

    def run_on(self, plan: Plan, late_s: float) -> tuple[Deposit, ...]:
        """What a beam that stayed on for `late_s` may have done to the field, at least what was reserved."""
        dose = plan.rate_e_per_a2_s * max(self._second_stop_s, late_s)
        return tuple(replace(reserve, dose_e_per_a2=dose) for reserve in plan.reserved)

    def fits(self, peak_e_per_a2: float) -> bool:
        """False as well where the peak is no number."""
        return peak_e_per_a2 <= self.ledger.limit_e_per_a2

    def peak_after(self, deposits: Sequence[Deposit], position_sigma_m: float) -> float:
        """Dose of the worst pixel after these, positions at their worst.

        Raises:
            DoseRefused: the position's uncertainty is no length.
        """
        if not 0 <= position_sigma_m < math.inf:
            raise DoseRefused(f"position_sigma_m: found {position_sigma_m}, it must be a length of 0 m or more")
        return self.ledger.peak_after(deposits, position_sigma_m)

    def next_serial(self) -> int:
        """1, 2, 3, ...: each permit has its own."""
        self._serial += 1
        return self._serial

    def issue(
        self,
        plan: Plan,
        scan: Scan,
        *,
        exposure: int,
        kind: str,
        shift_x_m: float,
        shift_y_m: float,
        position_sigma_m: float,
        now_s: float,
        also: Sequence[Deposit] = (),
    ) -> Permit:
        """A permit for one exposure.

        Args:
            also: what else has to be kept free.

        Raises:
            DoseRefused: some pixel of the specimen would pass the limit.
        """
        wanted = (*plan.deposits, *plan.kept_back, *also)
        peak = self.peak_after(wanted, position_sigma_m + plan.edge_sigma_m)
        if not self.fits(peak):
            raise DoseRefused(
                f"dose.limit_e_per_a2: the next {kind} exposure would bring a pixel to {peak:.4g} e-/A^2, allowed are "
                f"{self.ledger.limit_e_per_a2:.4g} e-/A^2; the series ends here"
            )
        width_m, height_m = extent_m(scan, self.timing)
        return Permit(
            serial=self.next_serial(),
            exposure=exposure,
            kind=kind,
            x_m=shift_x_m,
            y_m=shift_y_m,
            width_m=width_m,
            height_m=height_m,
            beam_on_s=plan.beam_on_s * (1 + 1e-9),
            max_current_a=plan.upper_current_a,
            expires_s=now_s + plan.duration_s * 1.5 + 60.0,
        )


def _check_countable(scan: Scan, *, x_m: float, y_m: float, tilt_deg: float, current: KnownCurrent) -> None:
    """Refuse what would make a dose negative, infinite or no number: it would slip past every comparison."""
    rows, columns = scan.shape
    positive = {
        "shape": float(min(rows, columns)),
        "scans": float(scan.scans),
        "pixel_size_m": scan.pixel_size_m,
        "dwell_s": scan.dwell_s,
        "beam current": current.current_a,
    }
    for name, value in positive.items():
        if not 0 < value < math.inf:
            raise DoseRefused(f"exposure: {name} is {value:g}, its dose can't be counted; it must be above 0")
    finite = {"x_m": x_m, "y_m": y_m, "rotation_deg": scan.rotation_deg, "current sigma": current.sigma_rel}
    for name, value in finite.items():
        if not math.isfinite(value):
            raise DoseRefused(f"exposure: {name} is {value:g}, its dose can't be counted; it must be a number")
    if not abs(tilt_deg) < 89.0:
        raise DoseRefused(f"exposure: the tilt is {tilt_deg:g} deg, its dose can be counted up to 89 deg")
