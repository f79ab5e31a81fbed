"""Contract of a beam: no way to open it without a permit, and blanked again whatever happens."""

from __future__ import annotations

import asyncio
import itertools
import math
from dataclasses import replace

import pytest

from cryoctl.clock import now_s
from cryoctl.errors import CryoctlError, OutOfRange, Refused
from cryoctl.interfaces.beam import Beam, Optics, Scan
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.scan_cost import extent_m, scan_cost
from cryoctl.testing.device import DeviceContract, acts, begun, refused

_serials = itertools.count(1)
CONTRACT_OPTICS = Optics(name="contract", voltage_v=200e3, beam_current_a=1e-10)


def permit_for(beam: Beam, scan: Scan, current_a: float, *, x_m: float = 0.0, y_m: float = 0.0) -> Permit:
    """A permit that just fits this scan at an image shift."""
    timing = beam.capabilities.timing
    width_m, height_m = extent_m(scan, timing)
    serial = next(_serials)
    return Permit(
        serial=serial,
        exposure=serial,
        kind="record",
        x_m=x_m,
        y_m=y_m,
        width_m=width_m,
        height_m=height_m,
        beam_on_s=scan_cost(scan, timing).beam_on_s * (1 + 1e-9),
        max_current_a=current_a,
        expires_s=now_s() + 600.0,
    )


class BeamContract(DeviceContract[Beam]):
    stop_within_s = 0.1

    def optics(self) -> Optics:
        return CONTRACT_OPTICS

    def other_optics(self) -> Optics | None:
        """Of another current; None where the instrument has only one preset."""
        return replace(self.optics(), name="other", beam_current_a=self.optics().beam_current_a * 2)

    def scan(self) -> Scan:
        return Scan(shape=(16, 20), pixel_size_m=10e-9, dwell_s=1e-4, scans=3)

    async def prepare(self, device: Beam) -> None:
        await device.apply(self.optics())

    async def permit(self, beam: Beam, scan: Scan) -> Permit:
        reading = await beam.measure_current()
        return permit_for(beam, scan, reading.current_a * (1 + 2 * reading.sigma_rel))

    def test_no_verb_unblanks(self) -> None:
        async def check(beam: Beam) -> None:
            verbs = [name for name in dir(beam) if not name.startswith("_")]
            assert not [name for name in verbs if "unblank" in name or name.startswith("open")]
            assert await beam.is_blanked()

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    def test_exposes_within_a_permit_and_is_blanked_afterwards(self) -> None:
        async def check(beam: Beam) -> None:
            scan = self.scan()
            permit = await self.permit(beam, scan)
            seen: list[tuple[int, bool]] = []

            async def done(index: int) -> tuple[float, float]:
                seen.append((index, await beam.is_blanked()))
                return (0.0, 0.0)

            report = await beam.expose(permit, scan, done)
            assert await beam.is_blanked()
            assert seen == [(index, True) for index in range(scan.scans)]
            assert report.ended == "complete"
            assert report.scans_done == scan.scans
            assert 0 < report.beam_on_s <= permit.beam_on_s
            field_s = math.prod(scan.shape) * scan.scans * scan.dwell_s
            assert report.beam_on_s >= field_s * (1 - 1e-6)
            assert report.ended_s - report.started_s >= field_s

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    @pytest.mark.parametrize("without", ["used", "expired", "narrow", "low", "elsewhere", "short", "weak"])
    def test_refuses_a_permit_that_does_not_cover_the_scan(self, without: str) -> None:
        async def check(beam: Beam) -> None:
            scan = self.scan()
            permit = await self.permit(beam, scan)
            if without == "used":
                await beam.expose(permit, scan)
            wrong = {
                "used": permit,
                "expired": replace(permit, expires_s=now_s() - 1e-3),
                "narrow": replace(permit, width_m=permit.width_m / 2),
                "low": replace(permit, height_m=permit.height_m / 2),
                "elsewhere": replace(permit, x_m=permit.x_m + permit.width_m),
                "short": replace(permit, beam_on_s=permit.beam_on_s / 2),
                "weak": replace(permit, max_current_a=permit.max_current_a / 2),
            }[without]
            calls: list[int] = []

            async def done(index: int) -> tuple[float, float]:
                calls.append(index)
                return (0.0, 0.0)

            await refused(Refused, beam.expose(wrong, scan, done))
            assert await beam.is_blanked()
            assert not calls

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    def test_stop_ends_an_exposure_within_its_bound(self) -> None:
        async def check(beam: Beam) -> None:
            scan = self._long()
            permit = await self.permit(beam, scan)
            task = await begun(beam.expose(permit, scan), 2.3)
            assert not await beam.is_blanked()
            asked_s = now_s()
            await beam.stop_exposure()
            report = await task
            assert now_s() - asked_s <= self.stop_within_s
            assert await beam.is_blanked()
            assert report.ended == "stopped"
            assert report.scans_done == 0
            assert 0 < report.beam_on_s < permit.beam_on_s
            # The lines that were scanned in that time are told: dose is charged by them.
            timing = beam.capabilities.timing
            field_s = scan.shape[1] * scan.dwell_s
            line_s = field_s + timing.settle_px * scan.dwell_s + timing.flyback_s
            lines = int((asked_s - report.started_s) / line_s)
            assert lines >= 1
            assert report.beam_on_s >= lines * field_s * (1 - 1e-6)

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    def test_blank_during_an_exposure_ends_it(self) -> None:
        async def check(beam: Beam) -> None:
            scan = self._long()
            permit = await self.permit(beam, scan)
            task = await begun(beam.expose(permit, scan), 1.7)
            await beam.blank()
            assert await beam.is_blanked()
            assert (await task).ended == "stopped"
            assert await beam.is_blanked()

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    @pytest.mark.parametrize("times", [1, 2])
    def test_cancelled_exposure_is_blanked(self, times: int) -> None:
        async def check(beam: Beam) -> None:
            scan = self._long()
            permit = await self.permit(beam, scan)
            task = await begun(beam.expose(permit, scan), 1.7)
            for _ in range(times):
                task.cancel()
                await asyncio.sleep(0.01)
            await asyncio.wait([task])
            assert task.cancelled() or task.exception() is None
            assert await beam.is_blanked()

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    def test_a_failing_callback_leaves_it_blanked(self) -> None:
        async def check(beam: Beam) -> None:
            scan = self.scan()
            permit = await self.permit(beam, scan)

            async def done(index: int) -> tuple[float, float]:
                raise ValueError(index)

            with pytest.raises(ValueError):
                await beam.expose(permit, scan, done)
            assert await beam.is_blanked()

        self.checked(check)

    @acts("changes the optics")
    def test_changes_of_optics_are_blanked_and_read_back(self) -> None:
        async def check(beam: Beam) -> None:
            wanted = self.other_optics() or self.optics()
            applied = await beam.apply(wanted)
            assert applied.beam_current_a == pytest.approx(wanted.beam_current_a, rel=0.2)
            assert await beam.optics() == applied
            assert await beam.is_blanked()

        self.checked(check)

    @acts("shifts image and focus, beam blanked")
    def test_out_of_range_changes_nothing(self) -> None:
        async def check(beam: Beam) -> None:
            can = beam.capabilities
            kept = await beam.shift_image(can.image_shift_range_m / 4, 0.0)
            await refused(OutOfRange, beam.shift_image(can.image_shift_range_m * 1.1, 0.0))
            await refused(OutOfRange, beam.shift_image(math.nan, 0.0))
            await refused(OutOfRange, beam.focus(can.defocus_range_m * 1.1))
            await refused(OutOfRange, beam.focus(math.nan))
            await refused(OutOfRange, beam.apply(replace(self.optics(), beam_current_a=can.current_range_a[1] * 10)))
            await refused(OutOfRange, beam.apply(replace(self.optics(), voltage_v=max(can.voltages_v) * 1.5)))
            assert kept[0] == pytest.approx(can.image_shift_range_m / 4, rel=1e-3)
            assert await beam.optics() == await beam.optics()
            assert await beam.is_blanked()
            for scan in (
                replace(self.scan(), shape=(can.max_scan_px + 1, 8)),
                replace(self.scan(), dwell_s=can.max_dwell_s * 2),
                replace(self.scan(), dwell_s=can.min_dwell_s / 2),
            ):
                permit = permit_for(beam, scan, 1.0, x_m=kept[0], y_m=kept[1])
                await refused((OutOfRange, Refused), beam.expose(permit, scan))
                assert await beam.is_blanked()
            # What was refused left everything else as it was: the scan itself is still possible there.
            permit = permit_for(beam, self.scan(), 1.0, x_m=kept[0], y_m=kept[1])
            assert (await beam.expose(permit, self.scan())).ended == "complete"

        self.checked(check)

    @acts("shifts image and focus, beam blanked")
    def test_shift_and_focus_are_read_back(self) -> None:
        async def check(beam: Beam) -> None:
            can = beam.capabilities
            shift_m = (can.image_shift_range_m / 8, -can.image_shift_range_m / 6)
            assert await beam.shift_image(*shift_m) == pytest.approx(shift_m, rel=1e-3)
            assert await beam.focus(-can.defocus_range_m / 5) == pytest.approx(-can.defocus_range_m / 5, rel=1e-3)

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    def test_a_correction_that_leads_away_ends_the_exposure(self) -> None:
        async def check(beam: Beam) -> None:
            scan = self.scan()
            permit = await self.permit(beam, scan)

            async def away(index: int) -> tuple[float, float]:
                return (20 * permit.width_m, 0.0)

            report = await beam.expose(permit, scan, away)
            assert report.ended == "stopped"
            assert report.scans_done == 1
            assert await beam.is_blanked()

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    def test_one_exposure_at_a_time(self) -> None:
        async def check(beam: Beam) -> None:
            scan = self._long()
            first, second = await self.permit(beam, scan), await self.permit(beam, scan)
            task = await begun(beam.expose(first, scan), 1.3)
            await refused(CryoctlError, beam.expose(second, scan))
            await beam.stop_exposure()
            assert (await task).ended == "stopped"
            assert await beam.is_blanked()

        self.checked(check)

    @acts("opens the beam on whatever is under it")
    @pytest.mark.parametrize("verb", ["make_safe", "close"])
    def test_made_safe_or_closed_it_ends_an_exposure(self, verb: str) -> None:
        async def check(beam: Beam) -> None:
            scan = self._long()
            permit = await self.permit(beam, scan)
            task = await begun(beam.expose(permit, scan), 1.7)
            await getattr(beam, verb)()
            done, _ = await asyncio.wait((task,), timeout=self.stop_within_s)
            assert done, "it ended within the bound"
            task.exception()
            await beam.connect()
            assert await beam.is_blanked()

        self.checked(check)

    @acts("deflects the beam into the Faraday cup")
    def test_faraday_cup_reads_within_two_sigma_of_itself(self) -> None:
        async def check(beam: Beam) -> None:
            first, second = await beam.measure_current(), await beam.measure_current()
            assert first.current_a > 0
            assert 0 < first.sigma_rel < 0.5
            assert second.time_s > first.time_s
            assert second.current_a == pytest.approx(first.current_a, rel=4 * first.sigma_rel)
            assert await beam.is_blanked()

        self.checked(check)

    @acts("closes the column valves")
    def test_valves_close_and_say_so(self) -> None:
        async def check(beam: Beam) -> None:
            assert await beam.valves_open()
            began_s = now_s()
            await beam.close_valves()
            assert now_s() - began_s <= beam.capabilities.second_stop_s
            assert not await beam.valves_open()

        self.checked(check)

    def _long(self) -> Scan:
        """A scan of many seconds a scan frame."""
        scan = self.scan()
        dwell_s = min(beam_dwell_s(scan), 0.1)
        return replace(scan, dwell_s=dwell_s)


def beam_dwell_s(scan: Scan, frame_s: float = 10.0) -> float:
    """Dwell (s) at which a scan frame lasts about so long."""
    return frame_s / math.prod(scan.shape)
