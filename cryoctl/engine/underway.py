"""One exposure from its intent to its done record, and what the specimen received of it."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from cryoctl.clock import now_s
from cryoctl.dose.current import KnownCurrent
from cryoctl.dose.footprint import footprint, partial_footprint
from cryoctl.dose.ledger import Deposit
from cryoctl.dose.permits import DoseGate, Plan
from cryoctl.engine.taking import Taking
from cryoctl.interfaces.beam import ExposureReport, Scan
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.stage import StagePosition
from cryoctl.steps import Expose


@dataclass(slots=True, kw_only=True)
class Underway:
    """An exposure whose intent is written."""

    step: Expose
    exposure: int
    at: StagePosition
    scan: Scan
    asked: Scan
    """As the beam is told it, with its nominal pixels."""
    plan: Plan
    current: KnownCurrent
    permit: Permit
    row: dict[str, Any]
    taking: Taking
    stop: asyncio.Event

    @property
    def position_sigma_m(self) -> float:
        return self.step.position_sigma_m + self.plan.edge_sigma_m


def received_deposits(
    gate: DoseGate, one: Underway, report: ExposureReport, blanker_latency_s: float
) -> tuple[Deposit, ...]:
    """Rectangles to charge: as planned, the lines that were scanned, or more where the beam was on for longer."""
    plan, step = one.plan, one.step
    if not gate.dose_known:
        return plan.deposits
    deposits = _as_it_drifted(gate, one)
    if report.ended != "complete":
        scanned = partial_footprint(
            one.scan,
            gate.timing,
            x_m=step.x_m,
            y_m=step.y_m,
            tilt_deg=one.at.tilt_deg,
            current_a=plan.upper_current_a,
            beam_on_s=report.beam_on_s,
            extra_s=blanker_latency_s,
            size=plan.size,
            least_height_m=2 * gate.ledger.grid.pixel_size_m,
        )
        deposits = gate.ledger.settled(scanned)
    over_s = report.beam_on_s - plan.beam_on_s
    if over_s > 1e-6 * plan.beam_on_s:
        deposits = (*deposits, dataclasses.replace(plan.reserved[0], dose_e_per_a2=plan.rate_e_per_a2_s * over_s))
    # Reading and registering between scan frames take time in which the current drifts on.
    grown = one.current.upper_a(now_s(), gate.drift_rel_per_s) / plan.upper_current_a
    if grown > 1:
        deposits = tuple(dataclasses.replace(d, dose_e_per_a2=d.dose_e_per_a2 * grown) for d in deposits)
    return deposits


def _as_it_drifted(gate: DoseGate, one: Underway) -> tuple[Deposit, ...]:
    """The plan bounds how far the drift packs the lines; where scan frames were registered it is known."""
    plan, step, scan, taking = one.plan, one.step, one.scan, one.taking
    intervals = len(taking.shifts_px) - 1
    if intervals < 1 or not math.isfinite(taking.sigma_px):
        return plan.deposits
    height_m = scan.shape[0] * scan.pixel_size_m
    seen = taking.corrected_m[1] / height_m / intervals
    unsure = taking.sigma_px / scan.shape[0] / intervals  # it holds what the specimen changed as well: ample
    size = gate.size(seen + unsure)
    if size[1] < plan.size[1] and seen - unsure < 1 - plan.size[1]:
        return plan.deposits
    found = footprint(
        scan,
        gate.timing,
        x_m=step.x_m,
        y_m=step.y_m,
        tilt_deg=one.at.tilt_deg,
        current_a=plan.upper_current_a,
        size=size,
    )
    return gate.ledger.settled(found)
