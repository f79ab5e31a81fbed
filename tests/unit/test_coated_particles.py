"""Coated particles in the world: pictures against truth, growth under a voltage, worlds that go on."""

from __future__ import annotations

import asyncio
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import BadInput, FileProblem
from cryoctl.interfaces.beam import Scan
from cryoctl.interfaces.bias import BiasLimits
from cryoctl_simulators.devices import bias
from cryoctl_simulators.settings import CameraSettings, EdxSettings
from cryoctl_simulators.specimens.coated_particles import HalfGrid, load_coated_particles
from cryoctl_simulators.world.overrides import checked, part
from cryoctl_simulators.world.specimen_check import check_specimen, differing, kind_name
from tests.needle_bench import SCAN, NeedleBench, frame_at

BARE = {"specimen.grid.film_m": 1e-12, "specimen.particles.touching": 0, "specimen.particles.count": 1}
"""One particle in the vacuum: what is above a threshold is its area."""
PARKED = {"needle.gap_m": 50e-6}


def area_m2(share: np.ndarray, pixel_m: float) -> float:
    """Above a third of the limb's brightness, which the coating makes nearly as bright as the middle."""
    return float((share > 0.3 * np.percentile(share, 95)).sum()) * pixel_m**2


def moved_px(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Of the centre of brightness."""
    places = np.indices(before.shape).reshape(2, -1)
    return places @ after.ravel() / after.sum() - places @ before.ravel() / before.sum()


def test_what_a_seed_draws_holds_together() -> None:
    for seed in range(12):
        grid = HalfGrid(load_coated_particles(), seed)
        first, *others = grid.particles
        middle = np.array([first.x_m, first.y_m, first.z_m])
        far = [
            float(np.linalg.norm(middle - (one.x_m, one.y_m, one.z_m))) - first.radius_m - one.radius_m
            for one in others
        ]
        assert far[:2] == pytest.approx([0.0, 0.0], abs=1e-15), "two touch it"
        assert min(far[2:]) > 100e-9, "the others leave it room to grow"
        assert first.y_m == 0.0
        assert all(one.x_m < first.x_m for one in others[:2]), "it stands foremost of the three"
        assert float(grid.edge.at(np.zeros(1))[0]) == pytest.approx(0.0, abs=1e-18)
    again = HalfGrid(load_coated_particles(), 3).particles
    assert again == HalfGrid(load_coated_particles(), 3).particles
    assert again != HalfGrid(load_coated_particles(), 4).particles


@pytest.mark.parametrize("coating_m", [5e-9, 10e-9])
def test_the_area_of_a_picture_is_that_of_the_truth_at_every_moment(coating_m: float) -> None:
    async def check() -> None:
        given = {**BARE, "specimen.coating_m": coating_m, "specimen.contact.push_share": 0.0}
        async with NeedleBench(given=given) as bench:
            await bench.touch(0.5e-9)
            bench.hold(2.0)
            began_s = bench.world.time_s
            for after_s in (0.0, 20.0, 60.0, 121.0, 140.0):
                await asyncio.sleep(began_s + after_s - bench.world.time_s)
                bench.contact.look(bench.world.time_s)
                seen, bench.specimen._contact = bench.specimen._contact, None  # without the needle's own outline
                share = bench.share(shape=(200, 200), pixel_size_m=1.2e-9)
                bench.specimen._contact = seen
                truth = bench.specimen.areas_m2(bench.world.time_s)[0]
                assert area_m2(share, 1.2e-9) == pytest.approx(truth, rel=0.012)

    run_virtual(check())


@pytest.mark.parametrize(
    ("coating_m", "ratio", "rate", "broken_s"), [(5e-9, 2.0, 0.024, math.nan), (10e-9, 1.2, 0.004, 120.0)]
)
def test_the_published_case_and_its_controls(coating_m: float, ratio: float, rate: float, broken_s: float) -> None:
    async def check() -> None:
        async with NeedleBench(given={"specimen.coating_m": coating_m}) as bench:
            await bench.take(kind="track")
            await bench.touch(1e-9)
            touched_s = bench.world.run_time_s()
            bench.hold(2.0)
            for _ in range(4):
                await asyncio.sleep(35.0)
                await bench.take()
            truth = {name.removeprefix("results/"): value for name, value in bench.truth().items()}
            assert truth["particles/name"][0] == "P1"
            assert list(truth["particles/control"]) == [False] + [True] * 8
            assert truth["particles/expansion"][0] == pytest.approx(ratio, rel=2e-3)
            assert truth["particles/rate_per_s"][0] == pytest.approx(rate, rel=1e-3)
            assert truth["particles/broken_s"][0] == pytest.approx(broken_s, abs=0.01, nan_ok=True)
            assert np.isnan(truth["particles/broken_s"][1:]).all()
            assert (truth["particles/rate_per_s"][1:] == 0).all()
            assert 0.99 < truth["particles/expansion"][1] < 1.0, "the beam alone shrinks a little"
            assert truth["particles/area_m2"].shape == (9, 4)
            q = np.clip(
                (truth["particles/time_s"] - touched_s) * rate / (0.5 * (ratio - 1)) * (1 - 0.5 ** (1 / 3)), 0, 1
            )
            area = truth["particles/initial_area_m2"][0] * (1 + (ratio - 1) * (1 - (1 - q) ** 3))
            assert truth["particles/area_m2"][0] == pytest.approx(area, rel=2e-3)
            assert truth["contact/found"]
            assert truth["contact/time_s"] == pytest.approx(touched_s, abs=1e-6)
            assert abs(truth["contact/contrast_change"]) == 0.1
            height = bench.world.stage.hidden.eucentric_error_m
            assert truth["eucentric/grid_z_m"] == height
            assert truth["eucentric/needle_z_m"] == pytest.approx(height, abs=1e-12)
            assert truth["current/capacity_c"][0] == pytest.approx(16e-12, rel=0.2)

    run_virtual(check())


def test_a_source_drives_the_reaction_and_sees_next_to_nothing_of_it() -> None:
    async def check() -> None:
        bench = NeedleBench()
        source = bias.FACTORY("bias", {}, bench.context)
        async with bench:
            await source.connect()
            assert (await source.open_circuit_voltage()) == pytest.approx(0.0, abs=1e-3), "no contact"
            await bench.touch(1e-9)
            assert (await source.open_circuit_voltage()) == pytest.approx(-0.3, abs=1e-2)
            await source.set_limits(BiasLimits(voltage_limit_v=3.0, compliance_a=1e-9))
            await source.set_voltage(2.0)
            await source.output(True)
            began_s = bench.world.run_time_s()
            await asyncio.sleep(50.0)
            reading = await source.read()
            assert not reading.in_compliance
            assert abs(reading.current_a) < 20e-12
            await bench.take()
            await source.make_safe()
            truth = bench.truth()
            q = (truth["results/particles/time_s"][0] - began_s) * 0.024 / 0.5 * (1 - 0.5 ** (1 / 3))
            grown = truth["results/particles/area_m2"][0, 0] / truth["results/particles/initial_area_m2"][0]
            assert grown == pytest.approx(2 - (1 - q) ** 3, rel=2e-3)
            assert not truth["final/output_on"]
            await asyncio.sleep(100.0)
            rested = bench.truth()["results/particles/expansion"][0]
            assert rested == pytest.approx(truth["results/particles/expansion"][0], rel=1e-6), "at rest nothing goes on"

    run_virtual(check())


def test_a_needle_on_bare_copper_is_a_short() -> None:
    async def check() -> None:
        bench = NeedleBench(given={"needle.offset_m": 2.2e-6, "specimen.grid.roughness_m": 0.0})
        source = bias.FACTORY("bias", {}, bench.context)
        async with bench:
            await source.connect()
            await bench.needle.high_voltage(True)
            await bench.needle.fine(-1.5e-6, 0.0, 0.0)
            assert bench.contact.record["touching"] == "grid"
            await source.set_limits(BiasLimits(voltage_limit_v=3.0, compliance_a=1e-9))
            await source.set_voltage(2.0)
            await source.output(True)
            reading = await source.read()
            assert reading.in_compliance
            assert abs(reading.voltage_v) < 0.01
            assert all(bench.truth()["results/particles/control"])

    run_virtual(check())


def test_drawn_specimens_become_what_was_asked_for() -> None:
    async def became(ratio: float, rate: float, break_s: float | None) -> dict[str, Any]:
        given = {"specimen.area_ratio": ratio, "specimen.rate_per_s": rate, "specimen.break_s": break_s}
        async with NeedleBench(given=given) as bench:
            await bench.touch(1e-9)
            bench.hold(2.0)
            await asyncio.sleep(900.0)
            return bench.truth()

    for ratio, rate, break_s in ((1.05, 0.003, None), (2.5, 0.03, 600.0), (1.6, 0.01, 30.0)):
        truth = run_virtual(became(ratio, rate, break_s))
        assert truth["results/particles/expansion"][0] == pytest.approx(ratio, rel=1e-3)
        assert truth["results/particles/rate_per_s"][0] == pytest.approx(rate, rel=1e-3)
        wanted = math.nan if break_s is None else break_s
        assert truth["results/particles/broken_s"][0] == pytest.approx(wanted, rel=1e-3, nan_ok=True)


def test_growth_gives_way_to_the_needle_and_pushes_neighbours_apart() -> None:
    async def check() -> None:
        async with NeedleBench() as bench:
            await bench.touch(1e-9)
            before = bench.specimen.places_m(bench.world.time_s)
            indented = bench.truth()["final/max_indentation_m"]
            bench.hold(2.0)
            await asyncio.sleep(150.0)
            bench.contact.look(bench.world.time_s)
            after, radii = bench.specimen.places_m(bench.world.time_s), bench.specimen.radii_m(bench.world.time_s)
            assert after[0, 0] < before[0, 0]
            assert math.dist(before[0], after[0]) == pytest.approx(radii[0] * (1 - 1 / math.sqrt(2)), rel=0.01)
            assert bench.truth()["final/max_indentation_m"] == indented, "growth is no indentation"
            assert after[1, 1] - before[1, 1] > 15e-9
            assert after[2, 1] - before[2, 1] < -15e-9
            for other in (1, 2):
                assert np.linalg.norm(after[other] - after[0]) == pytest.approx(radii[other] + radii[0], rel=1e-6)
            await bench.needle.make_safe()
            assert bench.specimen.places_m(bench.world.time_s)[0] == pytest.approx(after[0], abs=6e-9)

    run_virtual(check())


def test_contact_changes_the_brightness_of_the_touched_particle_alone() -> None:
    async def check() -> None:
        async with NeedleBench() as bench:
            far = bench.share()
            await bench.touch(3e-9)
            near = bench.share()
            for number, expected in ((0, True), (1, False)):
                x_m, y_m, z_m = bench.specimen.places_m(bench.world.time_s)[number]
                dy, dx = frame_at(0.0).image_of(x_m, y_m, z_m)
                row, column = (round(63.5 + one / 2e-9) for one in (dy, dx))
                spot = slice(max(row - 8, 0), row + 9), slice(column - 8, column + 9)
                change = near[spot].mean() / far[spot].mean() - 1
                assert (abs(change) > 0.04) == expected
                if expected:
                    assert math.copysign(1, change) == bench.specimen.particles[0].turn

    run_virtual(check())


def test_a_broken_coating_gapes_and_the_core_swells_out() -> None:
    async def check() -> None:
        given = {**BARE, "specimen.coating_m": 10e-9, "specimen.break_s": 100.0}
        async with NeedleBench(given=given) as bench:
            await bench.touch(0.5e-9)
            bench.hold(2.0)
            began_s = bench.world.time_s
            pictures = {}
            for after_s in (99.0, 105.0):
                await asyncio.sleep(began_s + after_s - bench.world.time_s)
                bench.contact.look(bench.world.time_s)
                pictures[after_s] = bench.share(shape=(200, 200), pixel_size_m=1e-9)
            particle, now = bench.specimen.particles[0], bench.specimen.seen(bench.world.time_s)[0]
            assert now.open_share == 1.0
            angle = math.radians(particle.crack_deg)
            x_m, y_m, z_m = now.place_m

            def at(picture: np.ndarray, out_m: float) -> float:
                dy, dx = frame_at(0.0).image_of(x_m + out_m * math.cos(angle), y_m + out_m * math.sin(angle), z_m)
                return float(picture[round(99.5 + dy / 1e-9), round(99.5 + dx / 1e-9)])

            assert at(pictures[105.0], 0.97 * now.radius_m) < 0.9 * at(pictures[99.0], 0.97 * now.radius_m)
            assert at(pictures[105.0], 1.1 * now.radius_m) > 3 * at(pictures[99.0], 1.1 * now.radius_m)

    run_virtual(check())


def test_tilted_each_height_moves_by_its_sine() -> None:
    """The wobble: apex and grid by their own heights above the tilt axis."""

    async def check() -> None:
        given = {"needle.gap_m": 0.1e-6, "needle.height_m": 300e-9, **BARE}
        async with NeedleBench(given=given) as bench:
            tilt_deg, height_m = 12.0, 400e-9
            pictures = {
                sign: bench.share(tilt_deg=sign * tilt_deg, height_m=height_m, shape=(400, 100), pixel_size_m=4e-9)
                for sign in (-1, 1)
            }
            apex_px = 49.5 + bench.apex_m()[0] / 4e-9
            tip = slice(round(apex_px) + 8, round(apex_px) + 20)
            sine = 2 * math.sin(math.radians(tilt_deg))
            moved = moved_px(pictures[-1][:, tip], pictures[1][:, tip])[0] * 4e-9
            assert moved == pytest.approx((height_m + 300e-9) * sine, abs=3e-9)
            first = slice(round(49.5 + bench.specimen.particles[0].x_m / 4e-9) - 3, None)
            middles = []
            for sign in (-1, 1):
                dy, _ = replace(frame_at(0.0), tilt_deg=sign * tilt_deg, height_m=height_m).image_of(0.0, 0.0)
                row = round(199.5 + dy / 4e-9)
                near = pictures[sign][row - 14 : row + 15, first.start : first.start + 6]
                middles.append(row + moved_px(np.ones_like(near), near)[0])
            assert (middles[1] - middles[0]) * 4e-9 == pytest.approx(height_m * sine, abs=12e-9)

    run_virtual(check())


def test_needle_and_grid_are_sharp_at_their_own_focus() -> None:
    async def check() -> None:
        given = {"needle.gap_m": 0.1e-6, "needle.height_m": 2e-6, **BARE}
        async with NeedleBench(given=given) as bench:
            focuses = np.array([-1e-6, 0.0, 1e-6, 2e-6, 3e-6])
            sharp: dict[str, list[float]] = {"grid": [], "needle": []}
            for focus in focuses:
                steep = np.abs(np.diff(bench.share(defocus_m=float(focus)), axis=0))
                edge = round(63.5 + bench.apex_m()[0] / 2e-9) + 10
                sharp["needle"].append(float(steep[:, edge:].max()))
                sharp["grid"].append(float(steep[:, 50 : edge - 40].max()))
            assert focuses[int(np.argmax(sharp["needle"]))] == 2e-6
            assert focuses[int(np.argmax(sharp["grid"]))] == 0.0

    run_virtual(check())


def test_from_a_millimetre_to_a_micrometre_everything_is_there() -> None:
    async def check() -> None:
        async with NeedleBench(given={"needle.gap_m": 80e-6}) as bench:
            wide = bench.share(shape=(256, 256), pixel_size_m=4e-6)
            assert wide[:, :100].mean() > 0.5, "copper with its openings"
            assert wide[128, 60:120].min() < 0.2
            column = round(127.5 + 80e-6 / 4e-6)
            assert wide[:, column - 3].max() < 0.05, "vacuum before the apex"
            assert wide[:, column + 12].max() > 0.5, "tungsten behind it"
            close = bench.share(shape=(256, 256), pixel_size_m=4e-9)
            assert close[:, 250].max() < 1e-3
            assert 0.0005 < close[20:236, 115].mean() < close[128, 115:150].max() < 0.2, "film, and a particle"

    run_virtual(check())


def test_a_camera_sees_what_the_annular_detector_misses_and_x_rays_come_from_silicon() -> None:
    async def check() -> None:
        async with NeedleBench(given=PARKED) as bench:
            frame = replace(frame_at(0.0), shape=(16, 16), pixel_size_m=12e-9, dwell_s=1e-2)
            scattered, _ = bench.specimen.scattered(frame, CameraSettings())
            assert 0.05 < scattered.max() < 1.0
            events = bench.specimen.x_rays(frame, EdxSettings(), 2.5, np.random.default_rng(1))
            assert len(events.pixel) > 0

    run_virtual(check())


def test_equal_runs_are_equal_and_other_seeds_are_not() -> None:
    async def run(seed: int) -> tuple[np.ndarray, dict[str, Any]]:
        async with NeedleBench(seed, given={"needle.drift_m_per_s": 1e-9, "needle.crosstalk_rel": 0.02}) as bench:
            await bench.needle.step("x", 3)
            await bench.touch(2e-9)
            bench.hold(2.0)
            await asyncio.sleep(20.0)
            return await bench.take(), bench.truth()

    (first, told), (again, told_again), (other, _) = run_virtual(run(5)), run_virtual(run(5)), run_virtual(run(6))
    assert np.array_equal(first, again)
    assert np.array_equal(told["results/particles/area_m2"], told_again["results/particles/area_m2"])
    assert told["final/needle_gap_m"] == told_again["final/needle_gap_m"]
    assert not np.array_equal(first, other)


def test_a_world_that_lost_its_process_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """The file as a kill at any moment leaves it is what a copy of it holds."""
    path, killed = tmp_path / "world.bin", tmp_path / "killed.bin"

    async def first() -> dict[str, Any]:
        async with NeedleBench(world_file=path) as bench:
            await bench.touch(2e-9)
            bench.hold(2.0)
            await asyncio.sleep(15.0)
            await bench.take()
            shutil.copy(path, killed)
            left_s = bench.world.time_s
            await asyncio.sleep(10.0)
            bench.contact.look(bench.world.time_s)
            await asyncio.sleep(left_s + 20.0 - bench.world.time_s)
            await bench.take()
            return bench.truth()

    async def later() -> dict[str, Any]:
        async with NeedleBench(world_file=killed, shared={"resumed_s": 0.1}) as bench:
            bench.exposure = 0
            assert bench.contact.particle == 0, "still in contact"
            bench.hold(2.0)
            await asyncio.sleep(uninterrupted["results/particles/time_s"][1] - bench.world.run_time_s() - SCAN_MIDDLE_S)
            await bench.take()
            return bench.truth()

    uninterrupted = run_virtual(first())
    resumed = run_virtual(later())
    for name in ("area_m2", "initial_area_m2", "control", "touched"):
        name = f"results/particles/{name}"
        assert resumed[name] == pytest.approx(uninterrupted[name], rel=2e-3), name
    assert resumed["results/particles/area_m2"].shape[1] == 2, "frames of before belong to the run"
    for name in ("final/max_indentation_m", "results/contact/time_s"):
        assert resumed[name] == pytest.approx(uninterrupted[name], rel=1e-6), name


SCAN_MIDDLE_S = SCAN.dwell_s * SCAN.shape[0] * SCAN.shape[1] / 2


def test_another_coating_in_the_same_world_is_refused(tmp_path: Path) -> None:
    async def opened(coating_m: float) -> None:
        async with NeedleBench(world_file=tmp_path / "world.bin", given={"specimen.coating_m": coating_m}):
            pass

    run_virtual(opened(5e-9))
    run_virtual(opened(5e-9))
    with pytest.raises(FileProblem, match=r"specimen\.coating_m"):
        run_virtual(opened(10e-9))


def test_which_kind_a_specimen_is() -> None:
    assert kind_name({"name": "coated-particles"}) == "coated-particles"
    assert kind_name({"name": "batch 7"}) == "nanowire"
    assert kind_name({"name": "batch 7", "kind": "coated-particles"}) == "coated-particles"
    assert differing({"name": "coated-particles"}, {"name": "coated-particles", "coating_m": 5e-9}) == ""
    assert differing({"name": "coated-particles"}, {"name": "coated-particles", "break_s": None}) == "break_s"
    assert differing({"name": "nanowire"}, {"name": "coated-particles"}) == "name"
    assert differing({"name": "a"}, {"name": "a", "kind": "coated-particles"}) == "kind"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"specimen.coating_m": -1}, "simulation.specimen.coating_m: found '-1'"),
        ({"specimen.coating": 1e-8}, "did you mean 'coatings'"),
        ({"specimen.area_ratio": 0.5}, "a number of 1 to 6 or the text by-coating"),
        ({"specimen.area_ratio": math.nan}, "a number of 1 to 6"),
        ({"specimen.rate_per_s": True}, "a number of 1e-06 to 10"),
        ({"specimen.break_s": -1}, "null: never"),
        ({"specimen.break_s": "never"}, "a time is wanted"),
        ({"specimen.stage": "pristine"}, "there is no such parameter"),
        ({"specimen.ion": "potassium"}, "'lithium' or 'sodium'"),
        ({"specimen.cell.nominal_v": 0.1}, "nominal_v drives nothing"),
        ({"specimen.particles.count": 99}, "less than or equal to 24"),
        ({"specimen.kind": "dots"}, "allowed are nanowire, coated-particles"),
        ({"needle.drift_m_per_s": 1}, "allowed are 0 to 1e-08"),
        ({"needle.tip_radius": 1}, "nearest is simulation.needle.tip_radius_m"),
    ],
)
def test_bad_values_are_refused_in_one_sentence(given: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput) as caught:
        check_specimen({"name": "coated-particles", **part(checked(given), "specimen")})
    assert says in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_a_frame_that_shows_nothing_of_it_is_empty_and_one_beyond_the_dose_map_is_taken() -> None:
    async def check() -> None:
        async with NeedleBench(given=PARKED) as bench:
            picture = await bench.take(Scan(shape=(64, 64), pixel_size_m=2e-6, dwell_s=1e-6))
            assert picture.max() > picture.min()
            dark = bench.share(x_m=20e-6)
            assert dark.max() == pytest.approx(0.0, abs=1e-9)

    run_virtual(check())
