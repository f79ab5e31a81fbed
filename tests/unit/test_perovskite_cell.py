"""A solar cell on a chip in the world: its currents against closed forms, facets against dose and voltage, truth."""

from __future__ import annotations

import asyncio
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import constants

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import BadInput
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.beam import Scan
from cryoctl_simulators.optics.stopping import stopping_ev_per_m
from cryoctl_simulators.settings import CameraSettings, EdxSettings, ImageDetectorSettings
from cryoctl_simulators.specimens.perovskite_cell import Lamella, load_perovskite_cell
from cryoctl_simulators.world.diode import Diode
from cryoctl_simulators.world.overrides import checked, part
from cryoctl_simulators.world.specimen_check import check_specimen
from tests.chip_bench import CURRENT_A, LATTICE, ChipBench
from tests.needle_bench import frame_at

NO_IONS = {"specimen.ions.collection_loss": 0.0}
NO_DAMAGE = {"specimen.damage.bias": 0.0, "specimen.damage.beam": 0.0}
CELL = load_perovskite_cell()
AREA_M2 = CELL.lamella.area_m2
EMISSION_V = 1.6 * constants.k * 295.0 / constants.e
GENERATED_A = 0.92 * 220.0 * AREA_M2
"""In full light, the ions at the built-in voltage."""
CAMERA = CameraSettings(inner_angle_rad=0.03)


def triangle(period_s: float, low_v: float = -0.1, high_v: float = 1.2) -> forms.Waveform:
    way_s = period_s / 2
    up = forms.Segment(duration_s=way_s, control="voltage", start=low_v, end=high_v)
    down = forms.Segment(duration_s=way_s, control="voltage", start=high_v, end=low_v)
    return forms.Waveform(form="both ways", segments=(up, down))


async def swept(bench: ChipBench, period_s: float) -> dict[str, Any]:
    await bench.bias.start_waveform(triangle(period_s), 0.1)
    await asyncio.sleep(period_s + 0.5)
    told = bench.truth()
    return {name.removeprefix("results/jv/"): value for name, value in told.items() if name.startswith("results/jv/")}


def fringes(picture: np.ndarray, bench: ChipBench, number: int) -> float:
    """Relative amplitude at a facet's wave vector over a window within it, mean of the picture 1."""
    facet, px = bench.cell.lamella.facets[number], LATTICE.pixel_size_m
    rows, columns = LATTICE.shape
    y = (np.arange(rows) - (rows - 1) / 2)[:, None] * px - facet.y_m
    x = (np.arange(columns) - (columns - 1) / 2)[None, :] * px - facet.x_m
    window = np.cos(np.clip(np.hypot(x, y) / (0.4 * facet.size_m), 0.0, 1.0) * math.pi / 2) ** 2
    angle = math.radians(facet.angle_deg)
    wave = np.exp(-2j * math.pi / facet.d_m * (x * math.cos(angle) + y * math.sin(angle)))
    flat = picture - (picture * window).sum() / window.sum()
    return float(2 * abs((flat * window * wave).sum()) / (picture * window).sum())


def noiseless(bench: ChipBench, settings: ImageDetectorSettings = CAMERA, **changes: Any) -> np.ndarray:
    """Share of the electrons that is not scattered out of the disc."""
    frame = replace(frame_at(bench.world.time_s), shape=LATTICE.shape, pixel_size_m=LATTICE.pixel_size_m, **changes)
    return 1.0 - bench.cell.scattered(frame, settings)[0]


# The diode


def test_current_and_voltage_belong_together_and_solve_the_diodes_equation() -> None:
    diode = Diode(generated_a=2e-10, saturation_a=2e-21, emission_v=0.04, series_ohm=5e8, shunt_ohm=2e11)
    for one in (diode, replace(diode, series_ohm=200.0), replace(diode, generated_a=0.0), diode.behind(1e9)):
        voltage = np.concatenate([np.linspace(-20.0, 20.0, 41), np.linspace(0.8, 1.2, 21)])
        current = one.current_a(voltage)
        if one.series_ohm > 1e6:  # else 20 V drive more than any number holds
            junction = voltage - current * one.series_ohm
            solved = 2e-21 * np.expm1(junction / 0.04) + junction / 2e11 - one.generated_a
            assert current == pytest.approx(solved, rel=1e-6, abs=1e-18)
        finite = np.abs(current) < 1e-3
        assert one.voltage_v(current[finite]) == pytest.approx(voltage[finite], rel=1e-9, abs=1e-9)
        assert np.all(np.diff(current[:41]) > 0)


def test_without_series_resistance_it_is_shockleys() -> None:
    diode = Diode(generated_a=0.0, saturation_a=1e-12, emission_v=0.025, series_ohm=0.0, shunt_ohm=1e15)
    assert diode.current_a(np.array([0.3]))[0] == pytest.approx(1e-12 * math.expm1(0.3 / 0.025), rel=1e-6)
    assert diode.behind(1e-3).current_a(np.array([0.3]))[0] == pytest.approx(1e-12 * math.expm1(12.0), rel=1e-3)


# Light


def test_open_circuit_voltage_is_the_diodes_and_grows_with_the_logarithm_of_light() -> None:
    async def check() -> None:
        async with ChipBench(given={**NO_IONS, "specimen.cell.shunt_ohm_m2": 1e6}) as bench:
            assert abs(await bench.bias.open_circuit_voltage()) < 1e-6, "dark"
            for irradiance in (1000.0, 100.0):
                await bench.light.set_irradiance(irradiance)
                expected = EMISSION_V * math.log1p(GENERATED_A * irradiance / 1000.0 / (1.4e-9 * AREA_M2))
                assert await bench.bias.open_circuit_voltage() == pytest.approx(expected, abs=1e-5)

    run_virtual(check())


def test_light_makes_a_negative_current_at_0_v_in_proportion_to_it() -> None:
    async def check() -> None:
        async with ChipBench(given=NO_IONS) as bench:
            await bench.bias.set_voltage(0.0)
            await bench.bias.output(True)
            for irradiance in (0.0, 250.0, 1000.0):
                await bench.light.set_irradiance(irradiance)
                flows = (await bench.bias.read()).current_a
                assert flows == pytest.approx(-GENERATED_A * irradiance / 1000.0, rel=5e-3, abs=1e-15)

    run_virtual(check())


def test_in_the_cold_the_open_circuit_voltage_rises_towards_the_gap() -> None:
    async def check() -> list[float]:
        async with ChipBench(given=NO_IONS) as bench:
            await bench.light.set_irradiance(1000.0)
            found = [await bench.bias.open_circuit_voltage()]
            await bench.holder.set_temperature(200.0)
            await asyncio.sleep(1200.0)
            return [*found, await bench.bias.open_circuit_voltage()]

    warm, cold = run_virtual(check())
    assert warm + 0.1 < cold < 1.6


# Sweeps


def test_ions_make_the_ways_differ_and_in_a_slow_sweep_they_do_not() -> None:
    async def check(tau_s: float) -> dict[str, Any]:
        async with ChipBench(given={**NO_DAMAGE, "specimen.ions.tau_s": tau_s}) as bench:
            await bench.light.set_irradiance(1000.0)
            return await swept(bench, 26.0)

    fast, slow = run_virtual(check(5.0)), run_virtual(check(0.05))
    assert list(fast["direction"]) == ["forward", "reverse"]
    assert 0.01 < fast["hysteresis"][0] == fast["hysteresis"][1] < 0.2
    assert abs(slow["hysteresis"][0]) < 0.04 * fast["hysteresis"][0], "as the ions' time"
    assert slow["fill_factor"][0] == pytest.approx(slow["fill_factor"][1], rel=3e-3)


def test_the_truth_of_a_sweep_is_what_a_source_without_noise_reads() -> None:
    async def check() -> tuple[dict[str, Any], np.ndarray]:
        async with ChipBench(given=NO_DAMAGE) as bench:
            await bench.light.set_irradiance(1000.0)
            told = await swept(bench, 26.0)
            found = await bench.bias.samples(0)
            return told, np.stack([found.time_s, found.voltage_v, found.current_a])

    told, (_, voltage, current) = run_virtual(check())
    middle = int(np.argmax(voltage))
    for way, part_ in enumerate((slice(2, middle - 1), slice(middle + 2, -2))):
        v, i = voltage[part_], current[part_]
        order = np.argsort(v)
        voc, isc = np.interp(0.0, i[order], v[order]), -np.interp(0.0, v[order], i[order])
        assert told["voc_v"][way] == pytest.approx(voc, rel=1e-3)
        assert told["jsc_a"][way] == pytest.approx(isc, rel=2e-3)
        assert told["fill_factor"][way] == pytest.approx(float((-v * i).max()) / voc / isc, rel=2e-3)


def test_what_leads_to_a_sweep_is_none_itself() -> None:
    there = forms.Segment(duration_s=5.0, control="voltage", start=0.7, end=-0.1)
    led = forms.Waveform(form="led there", segments=(there, *triangle(26.0).segments))

    async def check() -> dict[str, Any]:
        async with ChipBench(given=NO_DAMAGE) as bench:
            await bench.light.set_irradiance(1000.0)
            await bench.bias.start_waveform(led, 0.1)
            await asyncio.sleep(32.0)
            return bench.truth()

    told = run_virtual(check())
    assert list(told["results/jv/direction"]) == ["forward", "reverse"]
    assert np.isfinite(told["results/jv/hysteresis"]).all()
    assert len(told["results/hold/time_s"]) == 0


def test_what_is_held_is_told_beside_the_most_that_there_was() -> None:
    async def check() -> dict[str, Any]:
        async with ChipBench(given=NO_DAMAGE) as bench:
            await bench.light.set_irradiance(1000.0)
            await bench.bias.set_voltage(0.5)
            began_s = bench.world.time_s
            await bench.bias.output(True)
            await asyncio.sleep(60.0)
            await bench.bias.set_voltage(float(bench.truth()["results/mpp/voltage_v"][0]))
            await asyncio.sleep(60.0)
            return {**bench.truth(), "began_s": began_s}

    told = run_virtual(check())
    share = told["results/hold/power_w"] / told["results/hold/maximum_w"]
    assert told["results/hold/time_s"][-1] - told["began_s"] == pytest.approx(120.0, abs=2.5)
    assert 0.5 < share[25] < 0.8
    assert share[-1] == pytest.approx(1.0, abs=1e-4)
    assert told["results/hold/maximum_w"] == pytest.approx(np.full(len(share), told["results/mpp/power_w"][0]))


# The beam


def test_the_beam_on_the_active_layer_adds_its_current_times_the_gain() -> None:
    scan = Scan(shape=(64, 64), pixel_size_m=4e-9, dwell_s=2e-4)
    line_s = 64 * 2e-4 + 16 * 2e-4 + 1e-4

    async def check(at_m: tuple[float, float]) -> float:
        async with ChipBench(given={**NO_IONS, **NO_DAMAGE}) as bench:
            await bench.bias.set_voltage(0.0)
            await bench.bias.output(True)
            dark_a = (await bench.bias.read()).current_a
            exposing = asyncio.create_task(bench.expose(scan, at_m))
            await asyncio.sleep(0.3)
            lit_a = (await bench.bias.read()).current_a
            await exposing
            assert (await bench.bias.read()).current_a == pytest.approx(dark_a, abs=1e-15), "the beam is off again"
            return lit_a - dark_a

    atoms = CELL.materials.atoms_per_m3()["perovskite"]
    gain = 0.92 * stopping_ev_per_m(atoms, 200e3) * CELL.lamella.thickness_m / (3 * 1.6)
    on_field = 64 * 2e-4 / line_s
    assert 10 < gain < 20
    assert run_virtual(check((0.0, 0.0))) == pytest.approx(-CURRENT_A * gain * on_field, rel=5e-3)
    assert run_virtual(check((0.0, CELL.lamella.control_m))) == 0.0, "nothing is wired to the control layer"
    edge = run_virtual(check((0.0, CELL.lamella.active_m / 2)))
    assert edge == pytest.approx(-CURRENT_A * gain * on_field / 2, rel=0.03)


def test_electrons_lose_what_the_tables_say() -> None:
    """ESTAR (NIST), collision, MeV cm2/g times the density: Si 2.24 and Au 1.45 at 200 keV."""
    assert stopping_ev_per_m({"Si": 4.994e28}, 200e3) == pytest.approx(0.1 * 2.24e6 * 2329, rel=0.02)
    assert stopping_ev_per_m({"Au": 5.901e28}, 200e3) == pytest.approx(0.1 * 1.45e6 * 19300, rel=0.04)


# Facets


def test_after_its_critical_dose_a_facet_is_left_with_1_over_e_of_its_fringes() -> None:
    field_a2 = np.prod(LATTICE.shape) * (LATTICE.pixel_size_m * 1e10) ** 2
    dose = CURRENT_A * LATTICE.dwell_s * np.prod(LATTICE.shape) / constants.e / field_a2
    given = {"specimen.damage.critical_dose_e_per_a2": {"95": 6 * 4.5 * dose, "295": 4.5 * dose}}

    async def check(kelvin: float) -> list[float]:
        """The fifth picture shows what it does itself half done."""
        async with ChipBench(given=given) as bench:
            await bench.holder.set_temperature(kelvin)
            await asyncio.sleep(1800.0)
            before = noiseless(bench)
            for _ in range(5):
                await bench.expose()
            after = noiseless(bench)
            assert all(bench.cell.record["dose"][n] == pytest.approx(5 * dose, rel=0.02) for n in range(3))
            return [fringes(after, bench, n) / fringes(before, bench, n) for n in range(3)]

    assert run_virtual(check(295.0)) == pytest.approx([math.exp(-1)] * 3, rel=0.02), "facet-blind"
    assert run_virtual(check(95.0)) == pytest.approx([math.exp(-1 / 6)] * 3, rel=0.02)


def test_a_voltage_takes_facets_at_their_own_rates_to_either_side() -> None:
    async def check(voltage_v: float) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        async with ChipBench() as bench:
            await bench.bias.set_voltage(voltage_v)
            await bench.bias.output(True)
            await asyncio.sleep(100.0)
            await bench.bias.output(False)
            await asyncio.sleep(100.0)
            told = bench.truth()
            rates = np.array([one.bias_rate_per_s for one in bench.cell.lamella.facets])
            return told["results/facets/final_intensity"], rates, told

    for voltage_v, over_v in ((1.6, 1.0), (-1.6, 1.0), (1.1, 0.5), (0.6, 0.0), (-0.3, 0.0)):
        left, rates, told = run_virtual(check(voltage_v))
        assert left == pytest.approx(np.exp(-rates * over_v * 100.0), rel=1e-3)
        assert list(left[3:]) == [1.0, 1.0, 1.0], "the control layer"
        if over_v == 1.0:
            onset = -math.log(0.9) / rates[:3]
            assert told["results/facets/onset_s"][:3] == pytest.approx(onset, rel=0.03)
            assert np.argsort(told["results/facets/rank"][:3]).tolist() == np.argsort(-rates[:3]).tolist()


def test_an_onset_counts_from_the_first_picture() -> None:
    async def check() -> tuple[np.ndarray, np.ndarray]:
        async with ChipBench() as bench:
            await bench.bias.set_voltage(1.6)
            await bench.bias.output(True)
            await asyncio.sleep(40.0)
            await bench.expose()
            await asyncio.sleep(300.0)
            rates = np.array([one.bias_rate_per_s for one in bench.cell.lamella.facets])
            return bench.truth()["results/facets/onset_s"][:3], -math.log(0.9) / rates[:3]

    onset, expected = run_virtual(check())
    assert onset == pytest.approx(expected, rel=0.01)


def test_open_circuit_in_the_light_takes_nothing_and_what_is_amorphous_makes_no_current() -> None:
    async def check() -> tuple[float, float]:
        async with ChipBench(given=NO_IONS) as bench:
            await bench.light.set_irradiance(1000.0)
            await asyncio.sleep(600.0)
            assert bench.cell.crystalline() == pytest.approx(np.ones(6)), "1.04 V at its terminals, but no current"
            await bench.bias.set_voltage(0.0)
            await bench.bias.output(True)
            before = (await bench.bias.read()).current_a
            await bench.bias.set_voltage(2.6)
            await asyncio.sleep(1000.0)
            await bench.bias.set_voltage(0.0)
            intact = bench.cell.crystalline()[:3].mean()
            return (await bench.bias.read()).current_a / before, float(intact)

    left, intact = run_virtual(check())
    assert intact < 0.2
    assert left == pytest.approx(1 - 0.5 * (1 - intact), rel=0.01)


def test_the_order_of_facets_differs_between_seeds_and_can_be_set() -> None:
    first = [max(Lamella(CELL, seed).facets, key=lambda one: one.bias_rate_per_s).name for seed in range(60)]
    assert all(first.count(name) > 8 for name in ("100", "110", "111"))
    for seed in range(30):
        rates = sorted(one.bias_rate_per_s for one in Lamella(CELL, seed).facets[:3])
        assert min(rates[1] / rates[0], rates[2] / rates[1]) > 1.4, "an order that can be told"
    given = load_perovskite_cell({"facet_order": [111, "100", 110]})
    for seed in range(5):
        facets = sorted(Lamella(given, seed).facets[:3], key=lambda one: -one.bias_rate_per_s)
        assert [one.name for one in facets] == ["111", "100", "110"]


@pytest.mark.parametrize(
    ("bias_factor", "beam_factor", "name"), [(1, 1, "both"), (1, 0, "bias"), (0, 1, "beam"), (0, 0, "none")]
)
def test_either_cause_can_be_switched_off_and_the_truth_names_what_acted(
    bias_factor: float, beam_factor: float, name: str
) -> None:
    async def check() -> dict[str, Any]:
        given = {"specimen.damage.bias": bias_factor, "specimen.damage.beam": beam_factor}
        async with ChipBench(given=given) as bench:
            await bench.bias.set_voltage(1.4)
            await bench.bias.output(True)
            for _ in range(2):
                await bench.expose()
                await asyncio.sleep(20.0)
            return bench.truth()

    told = run_virtual(check())
    assert told["results/cause/name"] == name
    assert (told["results/cause/bias_loss"] > 0, told["results/cause/beam_loss"] > 0) == (
        bias_factor > 0,
        beam_factor > 0,
    )


# Pictures


def test_fringes_are_seen_in_bright_field_at_fine_pixels_only() -> None:
    async def check() -> None:
        async with ChipBench() as bench:
            facet = bench.cell.lamella.facets[0]
            fine = noiseless(bench)
            envelope = math.exp(-((1.5e-10 / facet.d_m) ** 2))
            angle, k = math.radians(facet.angle_deg), LATTICE.pixel_size_m / facet.d_m
            seen = 0.25 * envelope * float(np.sinc(k * math.cos(angle)) * np.sinc(k * math.sin(angle)))
            assert fringes(fine, bench, 0) == pytest.approx(seen, rel=0.02)
            annular = noiseless(bench, ImageDetectorSettings())
            assert fringes(annular, bench, 0) < 1e-3
            defocused = noiseless(bench, defocus_m=2e-6)
            lost = math.exp(-((math.pi * 1e-4 * 2e-6 / facet.d_m) ** 2))
            assert fringes(defocused, bench, 0) == pytest.approx(seen * lost, rel=0.05)
            frame = replace(frame_at(bench.world.time_s), shape=(256, 256), pixel_size_m=4e-10)
            coarse = bench.cell.scattered(frame, CAMERA)[0]
            bench.cell.record["beam"] = [1000.0] * 6
            assert np.array_equal(coarse, bench.cell.scattered(frame, CAMERA)[0]), "as if all were amorphous"

    run_virtual(check())


def test_layers_are_as_bright_as_their_atoms_and_lead_is_bright() -> None:
    async def check() -> dict[str, float]:
        async with ChipBench() as bench:
            frame = replace(frame_at(bench.world.time_s), shape=(512, 16), pixel_size_m=8e-9)
            share = bench.cell.scattered(frame, ImageDetectorSettings())[0].mean(axis=1)
            y = (np.arange(512) - 255.5) * 8e-9
            at = {
                "substrate": -1e-6,
                "oxide": -0.3e-6,
                "active": 0.0,
                "gold": 0.3e-6,
                "spacer": 0.8e-6,
                "control": 1.6e-6,
            }
            return {name: float(np.interp(y_m, y, share)) for name, y_m in at.items()}

    seen = run_virtual(check())
    assert seen["spacer"] < seen["substrate"] < seen["active"] < seen["gold"]
    assert seen["control"] == pytest.approx(seen["active"], rel=0.3)
    assert seen["active"] > 4 * seen["substrate"]


def test_counts_are_poissons() -> None:
    async def check() -> tuple[np.ndarray, float]:
        async with ChipBench() as bench:
            scan = replace(LATTICE, pixel_size_m=1e-9, shape=(256, 256), dwell_s=2e-6)
            share = noiseless(bench, dwell_s=0.0).mean()
            picture = await bench.picture(scan)
            return picture.astype(float), share * CURRENT_A * 2e-6 / constants.e * 0.8

    picture, electrons = run_virtual(check())
    counted = (picture - 400.0) / 12.0
    middle = counted[100:156, 100:156]
    assert middle.mean() == pytest.approx(electrons, rel=0.1), "another grain scatters otherwise"
    flat = middle - np.add.outer(middle.mean(axis=1), middle.mean(axis=0)) + middle.mean()
    spread = middle.mean() * (1 + 0.3**2) + (5.0 / 12.0) ** 2
    assert flat.var() == pytest.approx(spread, rel=0.08)


def test_one_field_does_not_hold_both_layers_and_drift_shears_a_frame() -> None:
    async def check() -> None:
        async with ChipBench() as bench:
            assert CELL.lamella.control_m > 10 * LATTICE.shape[0] * LATTICE.pixel_size_m
            still = noiseless(bench)
            sheared = noiseless(bench, content_start_m=(-1e-9, 0.0), content_end_m=(1e-9, 0.0))
            assert not np.allclose(still, sheared)
            middle = LATTICE.shape[0] // 2
            assert sheared[middle] == pytest.approx(still[middle], rel=0.05), "where the drift is half"

    run_virtual(check())


# The world


def test_a_world_that_lost_its_process_goes_on_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """The file as a kill in the midst of a scan leaves it is what a copy of it holds."""
    path, killed = tmp_path / "world.bin", tmp_path / "killed.bin"

    async def first() -> dict[str, Any]:
        async with ChipBench(world_file=path) as bench:
            await bench.light.set_irradiance(1000.0)
            await bench.bias.set_voltage(1.2)
            await bench.bias.output(True)
            await asyncio.sleep(30.0)
            exposing = asyncio.create_task(bench.expose())
            await asyncio.sleep(0.02)
            shutil.copy(path, killed)
            await exposing
            await asyncio.sleep(100.0 - bench.world.time_s)
            return bench.truth()

    async def later() -> dict[str, Any]:
        async with ChipBench(world_file=killed, shared={"resumed_s": 60.0}) as bench:
            assert await bench.light.irradiance() == 1000.0, "nobody switched it off"
            await asyncio.sleep(100.0 - bench.world.time_s)
            return bench.truth()

    uninterrupted, resumed = run_virtual(first()), run_virtual(later())
    for name in ("final_intensity", "onset_s", "dose_e_per_a2"):
        name = f"results/facets/{name}"
        assert resumed[name] == pytest.approx(uninterrupted[name], rel=1e-6, nan_ok=True), name
    assert resumed["results/facets/intensity"].shape == (6, 1), "the scan went to its end"
    assert resumed["results/hold/power_w"][-1] == pytest.approx(uninterrupted["results/hold/power_w"][-1], rel=1e-6)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("facet_order", ["100", "110"], "has to name each of 100, 110, 111 once"),
        ("facet_order", "random", "names of facets or the text drawn are wanted"),
        ("lamella.control_m", 5e-7, "control_m lies within the cell"),
        ("damage.critical_dose_e_per_a2.295", -1.0, "above 0 is allowed"),
        ("facets", [], "at least 1 item"),
        ("cell.colour", 1.0, "there is no such parameter"),
        ("ions.tau_s", 0.0, "greater than or equal to 0.05"),
    ],
)
def test_what_can_not_be_is_refused_in_one_sentence(field: str, value: object, told: str) -> None:
    fields = part(checked({"specimen.kind": "perovskite-cell", f"specimen.{field}": value}), "specimen")
    with pytest.raises(BadInput) as caught:
        check_specimen(fields)
    text = str(caught.value)
    assert told in text
    assert len(text) <= 300
    assert "simulation.specimen" in text


def test_x_rays_come_from_what_gives_any() -> None:
    async def check() -> np.ndarray:
        async with ChipBench() as bench:
            frame = replace(
                frame_at(bench.world.time_s), shape=(64, 4), pixel_size_m=5e-8, dwell_s=1e-3, current_a=1e-9
            )
            found = bench.cell.x_rays(frame, EdxSettings(), 0.3, np.random.default_rng(1))
            return np.bincount(found.pixel[np.abs(found.channel - 174) < 8] // 4, minlength=64)

    silicon = run_virtual(check())
    y = (np.arange(64) - 31.5) * 5e-8
    assert silicon[y < -0.5e-6].mean() > 20 * max(silicon[y > 0.5e-6].mean(), 0.5), "of the substrate, at lower y"
