"""The one door through which a beam reaches the specimen: gate, write-ahead, exposure, frame, done record.

The order is: intent on disk, beam, frame durable, done record. A crash can over-count dose, never under-count it.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Awaitable, Callable

import numpy as np

from cryoctl.clock import now_s
from cryoctl.dose.current import KnownCurrent
from cryoctl.dose.ledger import Deposit
from cryoctl.dose.permits import DoseGate, Plan
from cryoctl.engine.beam_current import Charged
from cryoctl.engine.beam_time import BeamFound, irradiate, stop_beam
from cryoctl.engine.books import Books
from cryoctl.engine.earlier_session import charged_before
from cryoctl.engine.exposure_row import STREAMS, check_belief, planned_row, scan_of
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.patience import answered, outlive
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.taking import Taking
from cryoctl.engine.underway import Underway, received_deposits
from cryoctl.errors import DeviceError, Refused, StepLost
from cryoctl.interfaces.beam import CurrentReading, ExposureReport, Scan
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.runfile.fold import RunFold
from cryoctl.steps import Afford, Affordable, Expose, Exposed, FrameRef
from cryoctl.steps.codec import plain
from cryoctl.streaming.sink import Picture
from cryoctl.units.constants import dose_e_per_a2


class ExposureDesk:
    """Carries out `Expose` and answers `Afford`.

    Args:
        pixel_ratio: true pixel size over nominal, as calibrated: the beam is asked for so much less.
    """

    def __init__(
        self,
        devices: DeviceSet,
        gate: DoseGate,
        recorder: Recorder,
        shelf: FrameShelf,
        monitors: Monitors,
        pixel_ratio: float = 1.0,
    ) -> None:
        self._devices = devices
        self._gate = gate
        self._recorder = recorder
        self._shelf = shelf
        self._monitors = monitors
        self._pixel_ratio = pixel_ratio
        self._count = 0
        self._stop: asyncio.Event | None = None
        self._moved_m = (0.0, 0.0)
        self._unwatched_s = 0.0
        self.books = Books(gate, recorder)
        self.current = self.books.current
        self.open_s: list[tuple[float, float]] = []
        """When the beam was opened in this run (s), and for how long; at its longest where that is not known."""
        self.state = ""
        """The protocol's state, for the exposure table."""
        self.held_up: Callable[[], Awaitable[bool]] = _nobody
        """Awaited when all is ready for a beam; the operator may have asked to wait. True where it took time."""
        self.heed: Callable[[], None] = _nothing
        """Called before each scan frame; it may `stop` the exposure."""

    @property
    def count(self) -> int:
        return self._count

    @property
    def beam_time(self) -> bool:
        """From an intent to its done record: not to be cancelled, only to be asked to `stop`."""
        return self._stop is not None

    def continue_after(self, fold: RunFold) -> None:
        """Take over what an earlier session exposed: the ledger is charged with it, one under way in full."""
        self._count = max(fold.exposures, default=-1) + 1
        self._moved_m = fold.moved_m
        self.open_s = fold.beam_open_s()
        for charged in charged_before(fold):
            self._gate.ledger.charge(charged.kind, charged.deposits, charged.position_sigma_m)

    def found_moved(self, x_m: float, y_m: float) -> None:
        """After an interruption the specimen was found so much further on (beam-normal): every image shift follows."""
        self._moved_m = (self._moved_m[0] + x_m, self._moved_m[1] + y_m)
        self._recorder.record("moved", {"x_m": self._moved_m[0], "y_m": self._moved_m[1]})

    def unwatched(self, time_s: float) -> None:
        """Nobody saw where the specimen went for so long: places are less sure until a track picture is taken."""
        self._unwatched_s = time_s

    def where_it_is_now(self, step: Expose) -> Expose:
        """The exposure as it has to be made after what an interruption left."""
        sigma_m = step.position_sigma_m + step.drift_bound_m_per_s * self._unwatched_s / 3
        shift_x_m, shift_y_m = step.shift_x_m + self._moved_m[0], step.shift_y_m + self._moved_m[1]
        return dataclasses.replace(step, shift_x_m=shift_x_m, shift_y_m=shift_y_m, position_sigma_m=sigma_m)

    def dose_rate_e_per_a2_s(self, step: Expose) -> float:
        """Averaged over the field, at the largest current that it may have."""
        area_m2 = step.shape[0] * step.shape[1] * step.pixel_size_m**2
        upper_a = self.current.now().upper_a(now_s(), self._gate.drift_rel_per_s)
        return dose_e_per_a2(upper_a, 1.0, area_m2)

    def stop(self) -> None:
        """Ask the exposure under way to end; it is over when `expose` returns."""
        if self._stop is not None:
            self._stop.set()

    def learn_current(self, reading: CurrentReading) -> None:
        """See `Books.learn_current`."""
        self.books.learn_current(reading)

    def afford(self, step: Afford) -> Affordable:
        """Gate the exposures together, as if all had been made at `tilt_deg`.

        Raises:
            DoseRefused: the dose of one of them can't be counted.
        """
        if not self._gate.dose_known:
            return Affordable(fits=True, peak_e_per_a2=math.nan, limit_e_per_a2=self._gate.ledger.limit_e_per_a2)
        deposits: list[Deposit] = []
        unmeasured = list(self.books.unmeasured())
        limit = self._gate.ledger.limit_e_per_a2
        peak = sigma_m = 0.0
        for wanted in map(self.where_it_is_now, step.exposures):
            plan = self._plan(wanted, scan_of(wanted, step.tilt_deg), step.tilt_deg, self.current.now())
            deposits += plan.deposits
            sigma_m = max(sigma_m, wanted.position_sigma_m + plan.edge_sigma_m)
            peak = self._gate.peak_after((*deposits, *plan.kept_back, *unmeasured), sigma_m)
            unmeasured += plan.unseen
            if not self._gate.fits(peak):
                return Affordable(fits=False, peak_e_per_a2=peak, limit_e_per_a2=limit)
        return Affordable(fits=True, peak_e_per_a2=peak, limit_e_per_a2=limit)

    def _plan(self, step: Expose, scan: Scan, tilt_deg: float, current: KnownCurrent) -> Plan:
        return self._gate.plan(
            scan,
            x_m=step.x_m,
            y_m=step.y_m,
            tilt_deg=tilt_deg,
            current=current,
            now_s=now_s(),
            drift_m_per_s=step.drift_bound_m_per_s,
        )

    async def expose(self, step: Expose) -> Exposed:
        """See `Expose` for what it gives and raises. Cancelled, it asks the beam to stop and ends when it has."""
        beam, stage = self._devices.beam, self._devices.stage
        at = await answered(stage.position(), stage.name)
        check_belief(step, at)
        scan = scan_of(step, at.tilt_deg)
        self._plan(step, scan, at.tilt_deg, self.current.now())  # what can't be counted moves nothing
        stop = asyncio.Event()
        taking = Taking(self._devices, step, stop, self.heed)
        await answered(beam.shift_image(step.shift_x_m, step.shift_y_m), beam.name)
        await answered(beam.focus(step.defocus_m), beam.name)
        asked = dataclasses.replace(scan, pixel_size_m=scan.pixel_size_m / self._pixel_ratio)
        await taking.arm(asked)
        readings = await self._monitors.sample(force=True)
        while await self.held_up():
            readings = await self._monitors.sample(force=True)
        # From here to the beam nothing is awaited, so that no cancellation falls between gate, intent and beam.
        current = self.current.now()
        self._monitors.keep("beam_current", current.current_a, force=True)
        plan = self._plan(step, scan, at.tilt_deg, current)
        exposure = self._count
        permit = self._gate.issue(
            plan,
            asked,
            exposure=exposure,
            kind=step.kind,
            shift_x_m=step.shift_x_m,
            shift_y_m=step.shift_y_m,
            position_sigma_m=step.position_sigma_m,
            now_s=now_s(),
            also=tuple(self.books.unmeasured()),
        )
        self._count += 1
        row = planned_row(step, at, plan, current.current_a, self.state, self._recorder.time_s)
        row |= {"bias_v": readings.bias_v, "bias_a": readings.bias_a, "temperature_k": readings.temperature_k}
        intended = (*plan.deposits, *plan.unseen)
        at_worst = math.fsum(one.dose_e_per_a2 for one in intended if one.covers(step.x_m, step.y_m))
        intent = {
            "exposure": exposure,
            "row": {**row, "dose_e_per_a2": at_worst} if self._gate.dose_known else row,
            "deposits": [plain(rectangle) for rectangle in intended],
        }
        self._recorder.record("intent", intent, sync=True)
        underway = Underway(
            step=step,
            exposure=exposure,
            at=at,
            scan=scan,
            asked=asked,
            plan=plan,
            current=current,
            permit=permit,
            row=row,
            taking=taking,
            stop=stop,
        )
        self._stop = stop
        self.heed()  # the disk may have taken its time
        try:
            irradiating = asyncio.create_task(self._irradiate(underway))
            cancelled = await outlive(irradiating, stop.set)
        finally:
            self._stop = None
        if cancelled:
            irradiating.exception()
            raise asyncio.CancelledError
        return irradiating.result()

    async def _irradiate(self, one: Underway) -> Exposed:
        opened_s = now_s()
        beam = self._devices.beam
        if one.stop.is_set():
            return self._finish(one, _never_opened(opened_s))
        try:
            report = await irradiate(beam, one.permit, one.asked, one.taking.scan_frame_done, one.stop)
            told = 0 <= report.beam_on_s < math.inf or not self._gate.dose_known
            if not (told and report.ended in ("complete", "stopped")):
                raise DeviceError(f"{beam.name}: the exposure ended by a fault ({report.detail or report.ended})")
        except BaseException as error:
            failed_s = now_s()
            found = await stop_beam(beam)
            if isinstance(error, Refused) and found is BeamFound.BLANKED:
                one.row |= {"duration_s": 0.0, "charge_c": 0.0}
                self._settle(one, (), "partial", "measured")
            else:
                # The beam may have stayed until the second way of stopping it closed, or as long as it really took.
                late_s = max(now_s() - failed_s, now_s() - opened_s - one.plan.duration_s)
                extra = self._gate.run_on(one.plan, late_s)
                charged = (*one.plan.deposits, *extra)
                if found is BeamFound.UNKNOWN:
                    self.books.leave_open(one)
                self._settle(one, charged, "charged-in-full", "intended")
            raise
        return self._finish(one, report)

    def _finish(self, one: Underway, report: ExposureReport) -> Exposed:
        """The beam is off: keep the frame, charge what was exposed, tell it."""
        step, taking = one.step, one.taking
        complete = report.ended == "complete"
        one.row |= {
            "duration_s": report.ended_s - report.started_s,
            "charge_c": one.plan.upper_current_a * report.beam_on_s,
        }
        reference: FrameRef | None = None
        failure: Exception | None = taking.error
        whole = min(report.scans_done, len(taking.scans), len(taking.shifts_px))
        keep = bool(step.detector) and whole > 0 and not taking.problem and failure is None and step.kind in STREAMS
        if keep:
            try:
                reference = self._keep(one, whole)
            except Exception as error:  # a full disk: the dose is charged all the same
                failure = error
        if step.kind == "track":
            self._unwatched_s = 0.0
        latency_s = self._devices.beam.capabilities.blanker_latency_s
        received = received_deposits(self._gate, one, report, latency_s)
        dose = self._settle(one, received, "settled" if complete else "partial", "measured")
        if failure is not None:
            raise failure
        if reference is not None:
            self._tell_frame(one, reference, whole, dose)
        if taking.problem:
            raise StepLost(
                f"{step.kind} exposure {one.exposure}: no frame came ({taking.problem}); the dose is charged"
            )
        return Exposed(
            exposure=one.exposure,
            outcome="done" if complete else "partial",
            frame=reference,
            dose_e_per_a2=dose,
            started_s=one.row["time_s"],
            duration_s=one.row["duration_s"],
            scans_done=report.scans_done,
            drift_x_m=taking.corrected_m[0],
            drift_y_m=taking.corrected_m[1],
            edx_counts=sum(len(events.channel) for events in taking.edx),
        )

    def _keep(self, one: Underway, whole: int) -> FrameRef:
        taking, stream = one.taking, STREAMS[one.step.kind]
        reference = self._shelf.keep(stream, taking.scans[:whole], taking.edx, taking.shifts_px, one.exposure)
        one.row |= {"stream": stream, "frame": reference.index if one.step.kind == "record" else -1}
        return reference

    def _tell_frame(self, one: Underway, reference: FrameRef, whole: int, dose: float) -> None:
        step, taking = one.step, one.taking
        picture = Picture(
            stream=reference.stream,
            index=reference.index,
            exposure=one.exposure,
            target=step.target,
            tilt_deg=one.at.tilt_deg,
            time_s=one.row["time_s"],
            dose_e_per_a2=dose,
            sha256=self._shelf.sha256(reference),
            scans=np.stack(taking.scans[:whole]),
            shifts_px=tuple(taking.shifts_px[:whole]),
            edx=tuple(taking.edx[:whole]),
        )
        self._recorder.picture(picture)
        if step.kind == "record":
            self._recorder.event(
                "frame",
                step.target,
                f"frame {reference.index} at {one.at.tilt_deg:.2f} deg",
                data={"frame": reference.index, "exposure": one.exposure, "sha256": picture.sha256},
            )

    def _settle(self, one: Underway, deposits: tuple[Deposit, ...], outcome: str, source: str) -> float:
        """Charge the ledger, then write the done record; returns the dose at the exposure's place."""
        step, ledger = one.step, self._gate.ledger
        ledger.charge(step.kind, deposits, one.position_sigma_m)
        dose, cumulative, said = math.nan, math.nan, "dose unknown"
        if self._gate.dose_known:
            dose = math.fsum(one.dose_e_per_a2 for one in deposits if one.covers(step.x_m, step.y_m))
            cumulative, said = ledger.at(step.x_m, step.y_m), f"{dose:.4g} e-/A^2"
        self.open_s.append((float(one.row["time_s"]), float(one.row["duration_s"])))
        row = one.row = {
            **one.row,
            "dose_e_per_a2": dose,
            "cumulative_dose_e_per_a2": cumulative,
            "outcome": outcome,
            "dose_source": source,
        }
        self.current.note(
            Charged(
                exposure=one.exposure,
                kind=step.kind,
                position_sigma_m=one.position_sigma_m,
                unseen_rel=one.current.unseen_rel(now_s()),
                upper_current_a=one.plan.upper_current_a,
                row=row,
                deposits=deposits,
            )
        )
        told = {"exposure": one.exposure, "row": row, "deposits": [plain(rectangle) for rectangle in deposits]}
        self._recorder.record("exposed", told, sync=True)
        self._recorder.event(
            "exposure",
            step.kind,
            f"{step.kind} exposure {one.exposure} of {step.target or step.area}: {said}, {outcome}",
            data={
                "exposure": one.exposure,
                "kind": step.kind,
                "dose_e_per_a2": dose,
                "outcome": outcome,
                "peak_e_per_a2": ledger.peak_e_per_a2 if self._gate.dose_known else math.nan,
            },
        )
        return dose


async def _nobody() -> bool:
    return False


def _nothing() -> None:
    """Nobody has anything to say."""


def _never_opened(now: float) -> ExposureReport:
    return ExposureReport(started_s=now, ended_s=now, beam_on_s=0.0, scans_done=0, ended="stopped")
