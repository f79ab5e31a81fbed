"""Thermo Fisher drivers where something goes wrong: what the world received is what was permitted and told."""

from __future__ import annotations

import asyncio
import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy.constants import elementary_charge

from cryoctl.clock import now_s
from cryoctl.errors import CryoctlError, DeviceError, InstrumentError, NotReached, ReadBackMismatch, Refused
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import permit_for
from cryoctl.testing.device import begun, refused
from cryoctl_simulators.wire.line_faults import LATE, LOST, RESET, SPLIT, Bent, RandomLineFaults
from tests.wire.emulated_tem import OPTICS, SCAN, Microscope, played

LONG = replace(SCAN, dwell_s=0.02, scans=2)


def open_s(microscope: Microscope) -> float:
    """For how long the beam was open in all."""
    log = microscope.tem.world.column.blanking()
    times, opened = log[:, 0], log[:, 1]
    if opened.size and opened[-1]:
        times, opened = np.append(times, microscope.tem.world.time_s), np.append(opened, 0.0)
    return float(np.sum(times[opened == 0] - times[opened == 1]))


def received(microscope: Microscope) -> float:
    """Electrons that the specimen received, by the world's dose maps."""
    world = microscope.tem.world
    area_a2 = (float(world.file.header["dose_pixel_m"]) * 1e10) ** 2
    return float(world.file.arrays["dose"].sum(dtype=np.float64)) * area_a2


async def exposed(microscope: Microscope, stop_after_s: float | None = None, **beam: float) -> tuple[float, float]:
    """Time told and permitted of one exposure."""
    (driver,) = await microscope.connected("beam", **beam)
    scan = SCAN if stop_after_s is None else LONG
    permit = permit_for(driver, scan, 1.0)
    task = await begun(driver.expose(permit, scan), stop_after_s or 0.0)
    if stop_after_s is not None:
        await driver.stop_exposure()
    report = await task
    assert await driver.is_blanked()
    await driver.close()
    return report.beam_on_s, permit.beam_on_s


@pytest.mark.parametrize("stop_after_s", [None, 1.7, 5.6])
def test_what_is_told_is_what_the_world_received(stop_after_s: float | None) -> None:
    async def check(microscope: Microscope) -> None:
        told_s, permitted_s = await exposed(microscope, stop_after_s)
        true_s = open_s(microscope)
        assert true_s <= told_s <= permitted_s
        assert told_s - true_s < 0.1
        sent = microscope.tem.world.column.emission_a(microscope.tem.world.time_s) * true_s / elementary_charge
        assert received(microscope) == pytest.approx(sent, rel=2e-3)

    played(check)


def test_an_acquisition_that_lasts_longer_than_stated_is_cut_off_within_the_permit() -> None:
    async def check(microscope: Microscope) -> None:
        (driver,) = await microscope.connected("beam", flyback_s=0.0, frame_s=0.02)
        scan = replace(SCAN, scans=1)
        permit = permit_for(driver, scan, 1.0)
        report = await driver.expose(permit, scan)
        assert (report.ended, report.scans_done) == ("stopped", 0)
        assert "flyback_s" in report.detail
        assert open_s(microscope) <= report.beam_on_s <= permit.beam_on_s
        await driver.close()

    played(check)


def test_an_acquisition_under_way_goes_on_in_the_dark_and_the_next_exposure_waits_for_it() -> None:
    async def check(microscope: Microscope) -> None:
        beam, haadf = await microscope.connected("beam", "haadf")
        await haadf.arm(LONG)
        task = await begun(beam.expose(permit_for(beam, LONG, 1.0), LONG), 1.5)
        await beam.stop_exposure()
        assert (await task).scans_done == 0
        await refused(DeviceError, haadf.read_scan(0))
        stopped_s = now_s()
        await haadf.arm(SCAN)
        again = await beam.expose(permit_for(beam, SCAN, 1.0), SCAN)
        assert again.ended == "complete"
        assert again.started_s > stopped_s + 3.0
        assert (await haadf.read_scan(2)).shape == SCAN.shape
        await beam.close()
        await haadf.close()

    played(check)


def test_who_waits_for_an_acquisition_in_the_dark_can_be_stopped() -> None:
    async def check(microscope: Microscope) -> None:
        (beam,) = await microscope.connected("beam")
        task = await begun(beam.expose(permit_for(beam, LONG, 1.0), LONG), 1.5)
        await beam.stop_exposure()
        await task
        waiting = await begun(beam.expose(permit_for(beam, SCAN, 1.0), SCAN), 0.5)
        stopped_s = now_s()
        await beam.stop_exposure()
        report = await waiting
        assert now_s() - stopped_s < 0.5
        assert (report.ended, report.scans_done, report.beam_on_s) == ("stopped", 0, 0.0)
        again = await beam.expose(permit_for(beam, SCAN, 1.0), SCAN)
        assert (again.ended, again.scans_done) == ("complete", 3)
        assert len(microscope.tem.world.column.blanking()) == 2 + 2 * 3
        await beam.close()

    played(check)


def test_a_beam_that_somebody_has_shifted_is_not_opened() -> None:
    async def check(microscope: Microscope) -> None:
        (beam,) = await microscope.connected("beam")
        microscope.tem.world.column.record["shift_x_m"] = 4e-7
        error = await refused(ReadBackMismatch, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        assert "(4e-07, 0) m" in str(error)
        assert open_s(microscope) == 0.0
        await beam.shift_image(0.0, 0.0)
        assert (await beam.expose(permit_for(beam, SCAN, 1.0), SCAN)).ended == "complete"
        await beam.close()

    played(check)


def test_a_blanker_of_another_microscope_is_refused() -> None:
    async def check(microscope: Microscope) -> None:
        other = Microscope(DeviceContext(seed=12))
        beam = microscope.driver("beam", blanker_port=other.tem.open()["blanker"])
        try:
            assert "blanker_port" in str(await refused(InstrumentError, beam.connect()))
        finally:
            await beam.close()
            other.tem.close()

    played(check)


def test_an_opening_that_is_not_answered_ends_with_the_permit() -> None:
    async def check(microscope: Microscope) -> None:
        (beam,) = await microscope.connected("beam")
        scan = replace(SCAN, scans=1)
        permit = permit_for(beam, scan, 1.0)
        bend = microscope.tem.bend

        def lose_the_opening(path: str, reply: bytes) -> Bent:
            opened = path.endswith("beam_blanked") and not microscope.tem.world.column.record["blanked"]
            return Bent(pieces=()) if opened else bend(path, reply)

        for server in microscope.tem._servers:
            server._bend = lose_the_opening
        await refused(DeviceError, beam.expose(permit, scan))
        assert await beam.is_blanked()
        assert 0.0 < open_s(microscope) <= permit.beam_on_s
        await beam.close()

    played(check)


def test_a_blanker_that_reads_open_is_told_and_the_valves_end_it() -> None:
    async def check(microscope: Microscope) -> None:
        (driver,) = await microscope.connected("beam")
        await refused(ReadBackMismatch, driver.expose(permit_for(driver, SCAN, 1.0), SCAN))
        assert not await driver.is_blanked()
        await refused(ReadBackMismatch, driver.make_safe())
        await driver.close_valves()
        assert not await driver.valves_open()
        assert microscope.tem.world.column.emission_a(microscope.tem.world.time_s) == 0.0
        await driver.close()

    played(check, {"device": "beam", "fault": "reads-open", "at": {"exposure": 0}})


@pytest.mark.parametrize("fault", ["blank-not-acknowledged", "lost-link", "no-answer"])
def test_a_blanker_that_is_silent_once_is_told_twice(fault: str) -> None:
    async def check(microscope: Microscope) -> None:
        (driver,) = await microscope.connected("beam")
        permit = permit_for(driver, SCAN, 1.0)
        try:
            report = await driver.expose(permit, SCAN)
        except DeviceError as error:
            assert len(str(error)) <= 300
        else:
            # What a silence takes is time of the permit; what is left over may be too little for the next scan frame.
            assert report.beam_on_s >= open_s(microscope)
        assert microscope.tem.world.column.record["blanked"]
        assert await driver.is_blanked()
        await driver.close()

    played(check, {"device": "beam", "fault": fault, "at": {"exposure": 0}})


def test_a_blanker_that_is_late_leaves_the_second_way_free() -> None:
    async def check(microscope: Microscope) -> None:
        (driver,) = await microscope.connected("beam")
        await refused(DeviceError, driver.expose(permit_for(driver, SCAN, 1.0), SCAN))
        began_s = now_s()
        await driver.close_valves()
        assert now_s() - began_s < 5.0
        assert not await driver.valves_open()
        await driver.close()

    played(check, {"device": "beam", "fault": "blank-late", "late_s": 30.0, "at": {"exposure": 0}})


@pytest.mark.parametrize(("fault", "tilt_deg"), [("not-at-angle", 3.0), ("stall", 10.0), ("touch-alarm", 5.0)])
def test_a_stage_that_ends_elsewhere_is_told(fault: str, tilt_deg: float) -> None:
    async def check(microscope: Microscope) -> None:
        (stage,) = await microscope.connected("stage")
        await refused((NotReached, DeviceError), stage.move(tilt_deg=tilt_deg))
        assert abs((await stage.position()).tilt_deg - tilt_deg) > 0.05
        assert not await stage.is_moving()
        await stage.close()

    played(check, {"device": "stage", "fault": fault, "at": {"time_s": 0.0}, "for_s": 60.0})


def test_a_frame_that_never_came_is_told_by_the_detector() -> None:
    async def check(microscope: Microscope) -> None:
        beam, haadf = await microscope.connected("beam", "haadf")
        await haadf.arm(SCAN)
        assert (await beam.expose(permit_for(beam, SCAN, 1.0), SCAN)).ended == "complete"
        await refused(DeviceError, haadf.read_scan(0))
        await haadf.read_scan(1)
        await beam.close()
        await haadf.close()

    played(check, {"device": "haadf", "fault": "frame-missing", "at": {"exposure": 0}})


def test_a_beam_that_blanks_too_slowly_is_refused_at_connect() -> None:
    async def check(microscope: Microscope) -> None:
        driver = microscope.driver("beam", blanker_latency_limit_s=5e-3)
        error = await refused(CryoctlError, driver.connect())
        assert "blanker_latency_limit_s" in str(error)
        await driver.close()
        (driver,) = await microscope.connected("beam")
        told_s = driver.capabilities.blanker_latency_s
        settings = microscope.tem.column.settings
        assert told_s == pytest.approx(2 * settings.call_s + settings.blanker_latency_s, rel=1e-6)
        await driver.close()

    played(check)


def test_what_this_scan_generator_does_not_make_is_refused_before_the_beam_opens() -> None:
    async def check(microscope: Microscope) -> None:
        (driver,) = await microscope.connected("beam")
        for shape in ((16, 32), (24, 24), (512, 512)):
            scan = replace(SCAN, shape=shape)
            await refused((Refused, DeviceError), driver.expose(permit_for(driver, scan, 1.0), scan))
        await refused(DeviceError, driver.apply(replace(OPTICS, name="search")))
        await refused(DeviceError, driver.apply(replace(OPTICS, mode="tem")))
        await refused(DeviceError, driver.apply(replace(OPTICS, camera_length_m=0.3)))
        assert open_s(microscope) == 0.0
        await driver.close()

    played(check)


@pytest.mark.parametrize("cases", [12, pytest.param(1000, marks=pytest.mark.campaign)])
def test_on_a_bad_line_nothing_is_believed_that_is_not_so(cases: int) -> None:
    """Replies late, lost, in pieces, connections reset: bytes of a TCP connection are damaged by no line."""

    async def check(microscope: Microscope) -> tuple[int, float, dict[str, int]]:
        stage, beam, haadf = await microscope.connected("stage", "beam", "haadf")
        world, draw = microscope.tem.world, random.Random(5)
        bad = RandomLineFaults(np.random.default_rng(cases), share=0.04, late_s=9.0, among=(SPLIT, LATE, LOST, RESET))
        succeeded, slowest_s, permitted_s = 0, 0.0, 0.0

        async def act() -> None:
            nonlocal permitted_s
            tilt_deg = round(draw.uniform(-1.0, 1.0), 3)
            assert (await stage.move(tilt_deg=tilt_deg)).tilt_deg == pytest.approx(tilt_deg, abs=1e-9)
            assert world.stage.encoders[3] == pytest.approx(tilt_deg, abs=1e-9)
            x_m = round(draw.uniform(-1e-6, 1e-6), 9)
            assert await beam.shift_image(x_m, 0.0) == (x_m, 0.0)
            assert world.column.record["shift_x_m"] == x_m
            await haadf.arm(SCAN)
            permit = permit_for(beam, SCAN, 1.0, x_m=x_m)
            before_s = open_s(microscope)
            try:
                report = await beam.expose(permit, SCAN)
            finally:
                microscope.tem.line_faults = None
                await beam.blank()
                assert world.column.record["blanked"]
                # A reply that is lost may hide for a while that the beam was opened, or is not blanked yet.
                assert open_s(microscope) - before_s <= permit.beam_on_s + 2.5
            assert open_s(microscope) - before_s <= report.beam_on_s
            if report.ended == "complete":
                assert (await haadf.read_scan(2)).shape == SCAN.shape

        for _ in range(cases):
            microscope.tem.line_faults = bad
            began_s = now_s()
            try:
                await act()
                succeeded += 1
            except CryoctlError as error:
                assert "\n" not in str(error)
                assert len(str(error)) <= 300
            slowest_s = max(slowest_s, now_s() - began_s)
            microscope.tem.line_faults = None
            await asyncio.gather(stage.connect(), beam.connect(), haadf.connect())
            await stage.stop()
            await beam.apply(OPTICS)
        for driver in (stage, beam, haadf):
            await driver.close()
        return succeeded, slowest_s, bad.kinds

    succeeded, slowest_s, kinds = played(check)
    print(f"{cases} cases, {succeeded} succeeded, slowest {slowest_s:.1f} s of virtual time, {kinds}")
    assert succeeded > 0.2 * cases
    assert slowest_s < 60.0
    assert math.isfinite(slowest_s)
