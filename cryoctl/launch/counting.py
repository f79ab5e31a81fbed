"""What counts the dose of a run: its ledger and the gate that reads it."""

from __future__ import annotations

from cryoctl.dose.ledger import DoseLedger, DoseMap, grid_over
from cryoctl.dose.permits import DoseGate
from cryoctl.dose.unknown import UnknownDose
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.prior import EarlierDose
from cryoctl.protocol import InstrumentFacts, Protocol
from cryoctl.runfile.fold import RunFold


def make_ledger(protocol: Protocol, earlier: EarlierDose) -> DoseLedger:
    """A ledger over all that the protocol can reach and all that earlier runs left."""
    box = protocol.covered_area_m()
    others = earlier.box_m()
    if others is not None:
        box = (min(box[0], others[0]), max(box[1], others[1]), min(box[2], others[2]), max(box[3], others[3]))
    grid = grid_over(box, protocol.dose_pixel_m())
    prior = earlier.on(grid) if earlier.maps else None
    return DoseLedger(grid, protocol.dose_limit_e_per_a2(), prior, earlier.position_sigma_m)


def ledger_again(fold: RunFold, prior: DoseMap | None) -> DoseLedger:
    """The ledger of an interrupted run as it began; what the run itself exposed is charged by who goes on with it."""
    return DoseLedger(fold.grid, fold.limit_e_per_a2, prior, float(fold.head["dose"].get("prior_sigma_m") or 0.0))


def make_gate(devices: DeviceSet, facts: InstrumentFacts, ledger: DoseLedger) -> DoseGate:
    """A gate with what the beam states of its blanking and its drift; one that gates nothing where dose is unknown."""
    beam = devices.beam.capabilities
    if not devices.dose_known:
        return UnknownDose(ledger, beam.timing)
    pixel_size = facts.calibrations.get("pixel_size")
    return DoseGate(
        ledger,
        beam.timing,
        second_stop_s=max(beam.second_stop_s, beam.blanker_latency_s),
        drift_rel_per_s=beam.current_drift_rel_per_s,
        pixel_bound_rel=0.0 if pixel_size is None else 2 * pixel_size.sigma / pixel_size.value[0],
    )
