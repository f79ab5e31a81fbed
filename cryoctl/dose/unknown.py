"""The gate of a replay whose data hold no beam current or dwell: dose is unknown, so nothing is charged or refused.

No beam is opened in such a replay. `launch` takes this gate only where the devices answer from recorded data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from cryoctl.dose.current import KnownCurrent
from cryoctl.dose.ledger import Deposit, DoseLedger
from cryoctl.dose.permits import DoseGate, Plan
from cryoctl.interfaces.beam import Scan, ScanTiming
from cryoctl.interfaces.permit import Permit


class UnknownDose(DoseGate):
    """Issues permits without bounds in time and current; its ledger stays empty."""

    dose_known = False

    def __init__(self, ledger: DoseLedger, timing: ScanTiming) -> None:
        super().__init__(ledger, timing, second_stop_s=0.0, drift_rel_per_s=0.0)

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
        """A plan without deposits; current and times are NaN."""
        del scan, x_m, y_m, tilt_deg, current, now_s, drift_m_per_s
        return Plan(
            deposits=(),
            reserved=(),
            upper_current_a=math.nan,
            rate_e_per_a2_s=math.nan,
            size=(1.0, 1.0),
            edge_sigma_m=0.0,
            beam_on_s=math.nan,
            duration_s=math.nan,
        )

    def peak_after(self, deposits: Sequence[Deposit], position_sigma_m: float) -> float:
        """NaN: nobody knows."""
        del deposits, position_sigma_m
        return math.nan

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
        """Never refuses."""
        del plan, position_sigma_m, now_s, also
        return Permit(
            serial=self.next_serial(),
            exposure=exposure,
            kind=kind,
            x_m=shift_x_m,
            y_m=shift_y_m,
            width_m=scan.shape[1] * scan.pixel_size_m,
            height_m=scan.shape[0] * scan.pixel_size_m,
            beam_on_s=math.inf,
            max_current_a=math.inf,
            expires_s=math.inf,
        )
