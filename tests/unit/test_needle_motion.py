"""Slip-stick steps, tube, creep and drift of the simulated needle, and what it does to what it meets."""

from __future__ import annotations

import asyncio
import math
from dataclasses import asdict

import numpy as np
import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.needle import NeedleHold
from cryoctl_simulators.devices import needle
from cryoctl_simulators.settings import NeedleSettings
from cryoctl_simulators.specimens.coated_particles import HalfGrid, load_coated_particles
from cryoctl_simulators.world.needle_shape import gap_to_edge_m, gap_to_sphere
from cryoctl_simulators.world.piezo_needle import HiddenNeedle, PiezoNeedle, draw
from tests.needle_bench import NeedleBench

PUSH = load_coated_particles().contact


def piezo(seed: int = 3, settings: dict[str, float] | None = None, **given: float) -> PiezoNeedle:
    one = NeedleSettings(**(settings or {}))
    return PiezoNeedle(one, draw(one, seed, True, given), {}, seed)


def steps_m(one: PiezoNeedle, axis: str, sign: int, count: int, temperature_k: float) -> np.ndarray:
    found = []
    for _ in range(count):
        _, moved = one.next_step(axis, sign, temperature_k)
        one.stepped(axis, sign, moved)
        found.append(moved)
    return np.array(found)


@pytest.mark.parametrize(("scatter", "ratio", "temperature_k"), [(0.05, 0.6, 293.0), (0.15, 1.6, 95.0)])
def test_coarse_steps_scatter_differ_by_direction_and_are_shorter_cold(scatter, ratio, temperature_k) -> None:
    one = piezo(step_m=120e-9, scatter_rel=scatter, direction_ratio=ratio)
    forth, back = (steps_m(one, "x", sign, 800, temperature_k) for sign in (1, -1))
    cold = 0.5 + 0.5 * temperature_k / 293.0
    assert forth[:, 0].mean() == pytest.approx(120e-9 * cold, rel=4 * scatter / math.sqrt(800))
    assert forth[:, 0].std() / forth[:, 0].mean() == pytest.approx(scatter, rel=0.12)
    assert -back[:, 0].mean() / forth[:, 0].mean() == pytest.approx(ratio, rel=6 * scatter / math.sqrt(800))
    assert 0 < np.abs(forth[:, 1:]).max() <= 2.01 * 0.02 * forth[:, 0].max(), "a little goes aside"
    assert one.record["steps"] == [0, 0, 0], "and nobody who counts steps knows where it is"
    assert abs(one.apex_m(0.0)[0] - one.hidden.start_m[0]) > 1e-6


def test_steps_are_keyed_by_seed_and_pulse() -> None:
    first, again, other = (steps_m(piezo(seed), "y", 1, 5, 293.0) for seed in (3, 3, 4))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_what_is_drawn_is_cut_and_a_rehearsal_draws_none() -> None:
    settings = NeedleSettings(gap_m=60e-6, gap_sigma_m=10e-6, offset_m=5e-6, offset_sigma_m=2e-6, height_m=3e-6)
    drawn = [draw(settings, seed, True, {}) for seed in range(40)]
    gaps = [one.start_m[0] for one in drawn]
    assert 40e-6 <= min(gaps) < 55e-6 < 65e-6 < max(gaps) <= 80e-6
    assert {math.copysign(1, one.start_m[1]) for one in drawn} == {1.0, -1.0}
    assert all(abs(one.start_m[2]) == pytest.approx(3e-6) for one in drawn)
    speeds = [float(np.linalg.norm(one.drift_m_per_s)) for one in drawn]
    assert 0 < min(speeds) < max(speeds) <= settings.drift_m_per_s
    assert draw(settings, 1, False, {}) == draw(settings, 2, False, {})
    assert draw(settings, 1, True, {"drift_m_per_s": 2e-9}).drift_m_per_s != (0.0, 0.0, 0.0)
    assert HiddenNeedle.read(asdict(drawn[0])) == drawn[0]


def test_the_tube_lags_when_it_turns_round_creeps_and_drifts() -> None:
    one = piezo(hysteresis_rel=0.1, creep_rel=0.04, drift_m_per_s=0.0)
    start = one.apex_m(0.0)[0]
    one.set_fine((-1e-7, 0.0, 0.0), 0.0)
    assert start - one.apex_m(0.0)[0] == pytest.approx(1e-7 * (1 - 0.1 - 0.04))
    at_10_s = 1e-7 * (1 - 0.1 - 0.02 * (math.exp(-10 / 4) + math.exp(-10 / 60)))
    assert start - one.apex_m(10.0)[0] == pytest.approx(at_10_s)
    one.set_fine((-1e-7, 0.0, 0.0), 10.0)
    assert start - one.apex_m(10.0)[0] == pytest.approx(at_10_s), "nothing asked, nothing done"
    one.set_fine((0.0, 0.0, 0.0), 1e4)
    assert one.apex_m(1e5)[0] == pytest.approx(start, abs=1e-12)
    drifting = piezo(drift_m_per_s=2e-9)
    assert np.linalg.norm(drifting.apex_m(100.0) - drifting.apex_m(0.0)) == pytest.approx(2e-7)


def test_distances_from_the_needle_are_those_of_a_cone_with_a_round_apex() -> None:
    one = piezo(settings={"axis_sigma_deg": 0.0}, tip_radius_m=30e-9, lixo_m=10e-9).hidden
    apex = np.array([1e-6, 0.0, 0.0])
    ahead, away = gap_to_sphere(one, apex, np.array([0.5e-6, 0.0, 0.0]), 50e-9)
    assert ahead == pytest.approx(450e-9)
    assert away == pytest.approx([-1.0, 0.0, 0.0])
    askew, _ = gap_to_sphere(one, apex, np.array([0.9e-6, 0.0, 30e-9]), 50e-9)
    assert askew == pytest.approx(math.hypot(140e-9, 30e-9) - 90e-9)
    beside, away = gap_to_sphere(one, apex, np.array([11.04e-6, 5e-6, 0.0]), 50e-9)
    angle = one.half_angle_rad
    assert beside == pytest.approx(5e-6 * math.cos(angle) - 10e-6 * math.sin(angle) - 90e-9)
    assert away == pytest.approx([-math.sin(angle), math.cos(angle), 0.0])


def test_height_decides_whether_copper_is_hit() -> None:
    grid = HalfGrid(load_coated_particles({"grid": {"roughness_m": 0.0}}), 1)
    one = piezo(settings={"axis_sigma_deg": 0.0}, tip_radius_m=30e-9, lixo_m=10e-9).hidden
    p = grid.parameters.grid
    for z_m, gap in ((0.0, 1e-6 + 0.4e-6), (-10e-6, 1e-6 + 0.4e-6), (3e-6, math.hypot(1.44e-6, 3e-6) - 40e-9)):
        found = gap_to_edge_m(one, np.array([1e-6, 0.0, z_m]), grid.edge, p.lip_m, (-p.copper_m, 0.0))
        assert found == pytest.approx(gap, rel=1e-6)


def test_beyond_touch_a_particle_is_pushed_then_indented_and_follows_back_as_far_as_it_sticks() -> None:
    async def check() -> None:
        async with NeedleBench() as bench:
            set_m = await bench.touch(0.0)
            rest = bench.specimen.places_m(bench.world.time_s)[0]
            gain = 1 - bench.contact.needle.hidden.hysteresis_rel
            for beyond_m in (4e-9, 12e-9, 25e-9):
                await bench.needle.fine(set_m - beyond_m / gain, 0.0, 0.0)
                overlap = bench.contact.overlap_m(bench.world.time_s)
                assert overlap == pytest.approx(beyond_m, rel=0.06)
                pushed = PUSH.push_share * min(overlap, PUSH.push_m)
                moved = bench.specimen.places_m(bench.world.time_s)[0] - rest
                assert np.linalg.norm(moved) == pytest.approx(pushed, rel=1e-3)
                assert moved[0] < 0, "away from the needle"
                assert bench.gap_m() == pytest.approx(-(overlap - pushed))
            deepest = bench.truth()["final/max_indentation_m"]
            assert deepest == pytest.approx(overlap - pushed)
            await bench.touch(-0.8 * PUSH.adhesion_m)
            assert bench.contact.particle == 0
            assert bench.specimen.places_m(bench.world.time_s)[0][0] > rest[0], "it sticks"
            await bench.needle.fine(set_m + 30e-9, 0.0, 0.0)
            assert bench.contact.particle is None
            assert bench.specimen.places_m(bench.world.time_s)[0] == pytest.approx(rest, abs=1e-12)
            final = bench.truth()
            assert final["final/collisions"] == 0, "that was the tube's, not a coarse step's"
            assert final["final/max_indentation_m"] == deepest

    run_virtual(check())


def test_drift_closes_a_contact_at_its_time_however_seldom_anybody_looks() -> None:
    async def met_s(looks: int) -> float:
        async with NeedleBench(given={"needle.gap_m": 0.11e-6}) as bench:
            object.__setattr__(bench.contact.needle.hidden, "drift_m_per_s", (-1e-9, 0.0, 0.0))
            began_s = bench.world.time_s
            assert bench.gap_m() > 20e-9
            for _ in range(looks):
                await asyncio.sleep(200.0 / looks)
                bench.contact.look(bench.world.time_s)
            assert bench.contact.particle == 0
            touched_s = bench.contact.record["touches"][0][0]
            apex = bench.contact.needle.apex_m(touched_s)
            assert bench.specimen.overlap(0, apex) == pytest.approx(0.0, abs=1e-12)
            return touched_s - began_s

    assert run_virtual(met_s(1)) == pytest.approx(run_virtual(met_s(300)), abs=1e-6)


def test_a_coarse_step_into_matter_is_a_collision_and_goes_no_further() -> None:
    async def check() -> None:
        async with NeedleBench(given={"needle.gap_m": 1e-6}) as bench:
            for _ in range(40):
                await bench.needle.step("x", -1)
            final = bench.truth()
            assert final["final/collisions"] >= 1
            assert final["final/collided_beyond_m"] > 0.0, "no fault had brought it nearer"
            assert final["final/max_indentation_m"] > 20e-9
            assert final["final/needle_gap_m"] > -60e-9
            assert final["results/contact/found"]

    run_virtual(check())


def test_grounding_the_tube_makes_the_apex_jump_into_what_is_near() -> None:
    async def check() -> None:
        async with NeedleBench(given={"needle.gap_m": 0.1e-6}) as bench:
            await bench.needle.high_voltage(True)
            await bench.needle.fine(1e-6, 0.0, 0.0)
            for _ in range(4):
                await bench.needle.step("x", -1)
            assert bench.gap_m() > 0
            await bench.needle.high_voltage(False)
            assert bench.gap_m() < 0
            assert bench.truth()["final/max_indentation_m"] > 0

    run_virtual(check())


def test_a_stage_move_with_the_needle_near_is_a_collision() -> None:
    async def collisions(gap_m: float) -> int:
        async with NeedleBench(given={"needle.gap_m": gap_m}) as bench:
            for tilt in (5.0, -5.0, 5.0, -5.0, 0.0):
                await bench.stage.move(tilt_deg=tilt)
            return bench.truth()["final/collisions"]

    assert run_virtual(collisions(0.06e-6)) > 0
    assert run_virtual(collisions(2.1e-6)) == 0


@pytest.mark.parametrize(
    ("given", "temperature_k"),
    [({"needle.step_m": 20e-9, "needle.direction_ratio": 2.5}, 95.0), ({"needle.step_m": 500e-9}, 300.0), ({}, 95.0)],
)
def test_made_safe_in_contact_the_needle_ends_clear_and_free(given: dict[str, float], temperature_k: float) -> None:
    async def check() -> None:
        async with NeedleBench(given=given) as bench:
            bench.world.cold.record |= {"temperature_k": temperature_k, "set_k": temperature_k}
            await bench.touch(3e-9)
            await bench.needle.note_hold(NeedleHold.CONTACT)
            await bench.needle.make_safe()
            final = bench.truth()
            assert final["final/needle_gap_m"] >= 2e-6
            assert final["final/needle_state"] == "free"
            assert final["final/collisions"] == 0
            assert not (await bench.needle.state()).high_voltage_on
            pulses = bench.contact.needle.record["pulses"]
            await bench.needle.make_safe()
            assert bench.contact.needle.record["pulses"] == pulses, "parked, it stays"

    run_virtual(check())


def test_bonded_it_is_held() -> None:
    async def check() -> None:
        async with NeedleBench() as bench:
            await bench.touch(1e-9)
            before = bench.apex_m()
            await bench.needle.note_hold(NeedleHold.BONDED)
            await bench.needle.make_safe()
            assert bench.apex_m() == pytest.approx(before)
            assert bench.truth()["final/needle_state"] == "bonded"

    run_virtual(check())


def test_a_burst_under_way_does_not_go_on_when_the_needle_is_withdrawn() -> None:
    async def check() -> None:
        async with NeedleBench(given={"needle.gap_m": 20e-6}) as bench:
            burst = asyncio.ensure_future(bench.needle.step("x", -900))
            await asyncio.sleep(0.1)
            await bench.needle.make_safe()
            steps = (await burst).coarse_steps[0]
            assert bench.apex_m()[0] > 20e-6
            await asyncio.sleep(2.0)
            assert (await bench.needle.state()).coarse_steps[0] == steps or bench.apex_m()[0] > 20e-6

    run_virtual(check())


def test_a_wire_has_nothing_to_do_with_the_needle() -> None:
    async def check() -> None:
        context = DeviceContext(seed=1)
        one = needle.FACTORY("needle", {}, context)
        await one.connect()
        world = context.shared["world"]
        await one.step("x", 10)
        assert not world.sample.has_cell
        assert world.contact.gap_m(world.time_s) > 20e-6

    run_virtual(check())
