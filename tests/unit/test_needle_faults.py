"""Each fault of the simulated needle does to the apex what the catalogue says, and what its drive then tells."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.needle import NeedleHold
from cryoctl_simulators.faults import FAULTS
from tests.needle_bench import NeedleBench

Check = Callable[[NeedleBench], Awaitable[None]]


def with_fault(
    fault: str, check: Check, at_s: float = 10.0, given: dict[str, Any] | None = None, **more: float
) -> None:
    """A needle whose fault begins at that run time, 300 nm before the particle at first."""
    entry = {"device": "needle", "fault": fault, "at": {"time_s": at_s}, **more}

    async def whole() -> None:
        async with NeedleBench(given=given, faults=(entry,)) as bench:
            await asyncio.sleep(1.0)
            await check(bench)

    run_virtual(whole())


async def until(bench: NeedleBench, run_time_s: float) -> None:
    await asyncio.sleep(run_time_s - bench.world.run_time_s())
    bench.gap_m()


def final(bench: NeedleBench) -> dict[str, Any]:
    return {path: value for path, value in bench.truth().items() if path.startswith("final/")}


def test_a_tube_ends_beside_its_place_and_says_so() -> None:
    async def check(bench: NeedleBench) -> None:
        await bench.needle.high_voltage(True)
        await asyncio.sleep(10.0)
        told = await bench.needle.fine(-100e-9, 0.0, 0.0)
        assert told.fine_m[0] == pytest.approx(-150e-9)
        assert final(bench)["final/needle_astray_m"] == pytest.approx(50e-9)
        assert (await bench.needle.fine(-100e-9, 0.0, 0.0)).fine_m[0] == pytest.approx(-100e-9), "once"

    with_fault("not-at-place", check)


def test_a_high_voltage_that_does_not_come_on() -> None:
    async def check(bench: NeedleBench) -> None:
        assert not (await bench.needle.high_voltage(True)).high_voltage_on
        assert (await bench.needle.high_voltage(True)).high_voltage_on

    with_fault("voltage-refused", check, at_s=0.0)


def test_a_high_voltage_that_trips_lets_the_apex_jump() -> None:
    async def check(bench: NeedleBench) -> None:
        set_m = await bench.touch()
        assert bench.contact.particle is not None
        await until(bench, 9.9)
        before_m = bench.apex_m()[0]
        await until(bench, 10.1)
        assert bench.apex_m()[0] - before_m == pytest.approx(-set_m, rel=0.15), "less the tube's hysteresis"
        told = await bench.needle.state()
        assert not told.high_voltage_on
        assert told.fine_m == (0.0, 0.0, 0.0)
        assert bench.contact.particle is None

    with_fault("voltage-trip", check)


def test_a_drive_that_is_stuck_counts_and_stands_still() -> None:
    async def check(bench: NeedleBench) -> None:
        await until(bench, 10.5)
        before = bench.apex_m()
        assert (await bench.needle.step("x", 40)).coarse_steps == (40, 0, 0)
        assert (bench.apex_m() == before).all()
        await bench.needle.make_safe()
        assert bench.gap_m() < 2e-6, "nobody but a picture tells that it was not withdrawn"

    with_fault("stuck", check, for_s=1e6)


@pytest.mark.parametrize(("steps", "collides"), [(2, False), (-2, True)])
def test_a_burst_that_goes_on_is_counted(steps: int, collides: bool) -> None:
    async def check(bench: NeedleBench) -> None:
        told = await bench.needle.step("x", steps)
        assert abs(told.coarse_steps[0]) == 22
        assert final(bench)["final/needle_astray_m"] == pytest.approx(20 * 500e-9), "by the longest step"
        assert bool(final(bench)["final/collisions"]) is collides
        assert final(bench)["final/collided_beyond_m"] == 0.0, "no deeper than the steps that nobody asked for"

    clear_of_two_steps = {"needle.gap_m": 1.2e-6}
    with_fault("runs-away", check, at_s=0.0, given=clear_of_two_steps, more_steps=20.0)


def test_a_needle_that_creeps_away_loses_its_contact() -> None:
    async def check(bench: NeedleBench) -> None:
        await bench.touch()
        await bench.needle.note_hold(NeedleHold.CONTACT)
        await until(bench, 10.0)
        assert bench.contact.particle is not None
        await until(bench, 30.0)
        assert bench.contact.particle is None
        assert bench.gap_m() == pytest.approx(100e-9, abs=20e-9)
        assert (await bench.needle.state()).hold is NeedleHold.CONTACT, "the drive does not know"
        assert final(bench)["final/needle_astray_m"] == 0.0
        touches = bench.truth()
        assert list(touches["touch/touching"]) == [True, False]
        assert 10.0 <= float(touches["touch/time_s"][1]) < 15.0

    with_fault("creeps-away", check, for_s=20.0)


def test_a_small_jump_does_not_account_for_a_collision_of_coarse_steps() -> None:
    async def check(bench: NeedleBench) -> None:
        await until(bench, 10.5)
        await bench.needle.step("x", -40)
        told = final(bench)
        assert told["final/collisions"] > 0
        assert told["final/needle_astray_m"] == pytest.approx(1e-10)
        assert told["final/collided_beyond_m"] > 1e-9

    with_fault("jumps", check, toward_m=1e-10)


def test_a_drift_ends_with_its_fault_and_what_it_came_nearer_is_told() -> None:
    async def check(bench: NeedleBench) -> None:
        before = bench.apex_m()
        await until(bench, 10.0)
        await until(bench, 60.0)
        gone = bench.apex_m() - before
        assert gone[0] < 0.0
        assert float((gone**2).sum() ** 0.5) == pytest.approx(100e-9, rel=1e-6)
        assert final(bench)["final/needle_astray_m"] == pytest.approx(100e-9 / 2**0.5, rel=1e-6)
        await until(bench, 90.0)
        assert bench.apex_m() - before == pytest.approx(gone), "the tube's creep apart"

    with_fault("drifts", check, for_s=50.0, drift_m_per_s=2e-9)


@pytest.mark.parametrize(("toward_m", "deeper"), [(60e-9, True), (-400e-9, False)])
def test_a_jump_is_recorded_as_what_it_does_to_the_particle(toward_m: float, deeper: bool) -> None:
    async def check(bench: NeedleBench) -> None:
        await bench.touch()
        before_m = float(final(bench)["final/max_indentation_m"])
        await until(bench, 10.5)
        deepest_m = float(final(bench)["final/max_indentation_m"])
        assert (deepest_m > before_m + 10e-9) is deeper
        assert deepest_m <= before_m + 60e-9
        assert (bench.contact.particle is not None) is deeper
        assert final(bench)["final/needle_astray_m"] == pytest.approx(max(0.0, toward_m))

    with_fault("jumps", check, toward_m=toward_m)


def test_every_fault_of_the_needle_is_tried_here() -> None:
    own = {"not-at-place", "voltage-refused", "voltage-trip", "stuck", "runs-away", "creeps-away", "drifts", "jumps"}
    assert {one.fault for one in FAULTS if one.device == "needle"} == own | {"no-answer", "lost-link"}
