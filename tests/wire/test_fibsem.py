"""Drivers of a FIB-SEM where the microscope does not do as it was told: nothing opens, or it is told."""

from __future__ import annotations

import asyncio
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from cryoctl import registry
from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import DeviceError, InstrumentError, NotReached, ReadBackMismatch, Refused
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import permit_for
from cryoctl.testing.device import begun, refused
from tests.wire.demo_fib_sem import OPTICS, SCAN
from tests.wire.fake_fib_sem import ELECTRONS, IONS, Bench, played


async def ready(bench: Bench) -> tuple[object, object]:
    """Beam with optics, detector armed."""
    beam, detector = bench.driver("beam"), bench.driver("detector")
    await beam.connect()
    await detector.connect()
    await beam.apply(OPTICS)
    await detector.insert()
    await detector.arm(SCAN)
    bench.microscope.events.clear()
    return beam, detector


def test_each_picture_is_opened_for_and_both_columns_are_blanked_after_it() -> None:
    async def check(bench: Bench) -> None:
        beam, detector = await ready(bench)
        report = await beam.expose(permit_for(beam, SCAN, 1.0), SCAN)
        assert report.ended == "complete"
        once = [
            ("blanked", False, ELECTRONS),
            ("acquire",),
            ("blanked", True, ELECTRONS),
            ("blanked", True, IONS),
        ]
        assert bench.microscope.events == [("full frame",), *once * SCAN.scans]
        assert (await detector.read_scan(1)).shape == SCAN.shape
        await beam.close()
        await detector.close()

    played(check)


def test_a_blanker_that_fibsem_can_not_read_is_not_used() -> None:
    """Asked for what a maker's class does not have, fibsem logs a warning and answers None."""

    async def check(bench: Bench) -> None:
        bench.microscope.values[("blanked", ELECTRONS)] = None
        beam = bench.driver("beam")
        error = await refused(DeviceError, beam.connect())
        assert "neither blanked nor open" in str(error)
        await beam.close()

    played(check)


@pytest.mark.parametrize("column", [ELECTRONS, IONS])
def test_a_column_that_stays_open_is_told(column: str) -> None:
    async def check(bench: Bench) -> None:
        beam, detector = await ready(bench)
        bench.microscope.set = lambda key, value, column=None: None
        bench.microscope.values[("blanked", column)] = False
        await refused(ReadBackMismatch, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        await refused(ReadBackMismatch, beam.make_safe())
        assert not bench.opened
        await beam.close_valves()
        assert not await beam.valves_open()
        assert not bench.microscope.is_on(ELECTRONS)
        assert not bench.microscope.is_on(IONS)
        await beam.close()
        await detector.close()

    played(check)


def test_a_field_that_is_clipped_is_refused() -> None:
    async def check(bench: Bench) -> None:
        beam, detector = await ready(bench)
        bench.microscope.field_limit_m = 1e-6
        error = await refused(Refused, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        assert "1e-06" in str(error)
        assert not bench.opened
        await beam.close()
        await detector.close()

    played(check)


def test_one_detector_at_a_time() -> None:
    async def check(bench: Bench) -> None:
        beam, detector = await ready(bench)
        bench.microscope.detector = "TLD"  # chosen at the microscope's own panel
        await refused(ReadBackMismatch, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        other = bench.driver("detector", detector="TLD")
        await other.connect()
        await other.insert()
        await other.arm(SCAN)
        await refused(Refused, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        assert not bench.opened
        for one in (beam, detector, other):
            await one.close()

    played(check)


def test_a_picture_of_another_place_is_told() -> None:
    async def check(bench: Bench) -> None:
        beam, detector = await ready(bench)
        bench.microscope.pixel_factor = 1.5
        await refused(ReadBackMismatch, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        assert await beam.is_blanked()
        await refused(DeviceError, detector.read_scan(0))
        await beam.close()
        await detector.close()

    played(check)


def test_a_picture_that_takes_too_long_is_cut_off_within_the_permit() -> None:
    async def check(bench: Bench) -> None:
        beam, detector = await ready(bench)
        bench.microscope.lasts_s = 9.0
        permit = permit_for(beam, SCAN, 1.0)
        report = await beam.expose(permit, SCAN)
        assert (report.ended, report.scans_done) == ("stopped", 0)
        assert "frame_s" in report.detail
        assert report.beam_on_s <= permit.beam_on_s * (1 + 1e-9)
        assert await beam.is_blanked()
        await beam.close()
        await detector.close()

    played(check)


def test_an_opening_that_comes_late_is_blanked_again_by_itself() -> None:
    async def check(bench: Bench) -> None:
        beam, detector = await ready(bench)
        microscope = bench.microscope
        at_once = microscope.set

        def late(key: str, value: object, column: str | None = None) -> None:
            if value is False:
                microscope._sleep(8.0)
            at_once(key, value, column)

        microscope.set = late
        await refused(DeviceError, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        assert await beam.is_blanked()
        assert not bench.opened
        await asyncio.sleep(10.0)
        assert bench.opened
        assert microscope.open_s() <= 2 * microscope.call_s
        assert await beam.is_blanked()
        await beam.close()
        await detector.close()

    played(check)


@pytest.mark.parametrize("fault", ["late", "reset", "refused"])
def test_whichever_call_fails_the_beam_is_blanked_and_no_open_time_is_hidden(fault: str) -> None:
    """Each call of an exposure in turn, of what may fail and of what may be stopped."""

    def once(calls: int, stop_after_s: float | None) -> tuple[str, bool]:
        async def check(bench: Bench) -> tuple[str, bool]:
            beam, detector = await ready(bench)
            microscope = bench.microscope
            before_s = microscope.open_s()
            permit = permit_for(beam, SCAN, 1.0)
            microscope.fault, microscope.calls_to_fault = fault, calls
            task = await begun(beam.expose(permit, SCAN), stop_after_s or 0.0)
            if stop_after_s is not None:
                await beam.stop_exposure()
            began_s = now_s()
            try:
                report = await task
            except DeviceError as error:
                outcome = type(error).__name__
                assert len(str(error)) <= 300
            else:
                outcome = report.ended
                assert microscope.open_s() - before_s <= report.beam_on_s + 1e-9
            assert now_s() - began_s < 20.0
            fired = microscope.calls_to_fault <= 0
            microscope.fault = ""
            await asyncio.sleep(35.0)  # what was late has come by now
            assert await beam.is_blanked()
            assert microscope.values[("blanked", ELECTRONS)] is True
            assert microscope.open_s() - before_s <= permit.beam_on_s + 2 * 1.0 + 0.1  # two silences of the blanker
            await detector.arm(SCAN)
            assert (await beam.expose(permit_for(beam, SCAN, 1.0), SCAN)).ended == "complete"
            await beam.close()
            await detector.close()
            return outcome, fired

        return played(check)

    seen: dict[str, int] = {}
    for stop_after_s in (None, 0.4):
        for calls in range(1, 40):
            outcome, fired = once(calls, stop_after_s)
            seen[outcome] = seen.get(outcome, 0) + 1
            if not fired:
                break
    assert sum(seen.values()) > 20


def test_a_current_that_is_not_to_be_had_is_told() -> None:
    async def check(bench: Bench) -> None:
        beam = bench.driver("beam")
        await beam.connect()
        bench.microscope.current_factor = 1.3
        await refused(ReadBackMismatch, beam.apply(OPTICS))
        await refused(DeviceError, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        assert not bench.opened
        await beam.close()

    played(check)


def test_a_slow_blanker_is_refused_at_connect() -> None:
    async def check(bench: Bench) -> None:
        bench.microscope.call_s = 0.05
        beam = bench.driver("beam")
        await refused(InstrumentError, beam.connect())
        await beam.close()

    played(check)


def test_squares_only_where_only_squares_are_made() -> None:
    async def check(bench: Bench) -> None:
        beam = bench.driver("beam", square_px=[16, 32])
        await beam.connect()
        await beam.apply(OPTICS)
        bench.microscope.events.clear()
        assert beam.capabilities.square_px == (16, 32)
        await refused(Refused, beam.expose(permit_for(beam, SCAN, 1.0), SCAN))
        assert not bench.opened
        square = replace(SCAN, shape=(16, 16))
        assert (await beam.expose(permit_for(beam, square, 1.0), square)).ended == "complete"
        await beam.close()

    played(check)


def test_legs_name_no_rotation_and_no_leg_follows_a_stop() -> None:
    async def check(bench: Bench) -> None:
        stage = bench.driver("stage")
        await stage.connect()
        began_s = now_s()
        moving = await begun(stage.move(x_m=4e-3, tilt_deg=5.0), 5.0)
        await stage.stop()
        await refused(NotReached, moving)
        legs = [event[1] for event in bench.microscope.events if event[0] == "move"]
        assert 1 <= len(legs) <= (now_s() - began_s) / stage.settings.leg_s + 1
        assert all(set(leg) == {"x", "t"} for leg in legs)
        furthest_m = stage.settings.leg_s * stage.speed_m_per_s
        way = [0.0, *(leg["x"] for leg in legs)]
        assert max(b - a for a, b in pairwise(way)) <= furthest_m * (1 + 1e-9)
        assert not await stage.is_moving()
        await stage.close()

    played(check)


def test_an_axis_that_is_silently_left_out_is_told() -> None:
    """fibsem drops z where it takes the stage for one that looks at its light microscope."""

    async def check(bench: Bench) -> None:
        stage = bench.driver("stage")
        await stage.connect()
        bench.microscope.deaf_axes = ("z",)
        await refused(NotReached, stage.move(z_m=5.1e-3))
        await stage.close()

    played(check)


@pytest.mark.parametrize("state", ["stage_homed", "stage_linked"])
def test_a_stage_that_does_not_know_where_it_is_is_not_driven(state: str) -> None:
    async def check(bench: Bench) -> None:
        bench.microscope.values[(state, None)] = False
        stage = bench.driver("stage")
        await refused(InstrumentError, stage.connect())
        await stage.close()

    played(check)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        ({"manufacturer": "Tescan"}, "blanks"),
        ({"manufacturer": "Zeiss"}, "empty"),
        ({"manufacturer": "Odemis"}, "lock"),
        ({"manufacturer": "ThermoFisher"}, "host"),
    ],
)
def test_makers_that_are_not_driven_are_named_with_the_reason(settings: dict[str, str], part: str) -> None:
    with pytest.raises(InstrumentError, match=part):
        registry.find("cryoctl.devices", "fibsem-vacuum").check(settings)


def test_without_the_package_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "fibsem"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fibsem", None)

    async def check() -> None:
        gauge = registry.find("cryoctl.devices", "fibsem-vacuum")(
            "gauge", {"manufacturer": "Demo"}, DeviceContext(seed=0)
        )
        error = await refused(InstrumentError, gauge.connect())
        assert "cryoctl[fibsem]" in str(error)
        await gauge.close()

    run_virtual(check())
