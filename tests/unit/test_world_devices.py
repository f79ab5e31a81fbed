"""Simulated devices on one world: pictures lie where the truth says, worlds go on, equal seeds give equal data."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import FileProblem, RecipeError
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl.testing.beam import permit_for
from cryoctl_simulators.devices import beam, edx, holder, image_detector, stage
from cryoctl_simulators.world.specimen_check import differing

GRID = MapGrid(shape=(151, 201), pixel_size_m=20e-9, origin_x_m=-100 * 20e-9, origin_y_m=-75 * 20e-9)
BOX = VolumeGrid(shape=(48, 48, 48), voxel_size_m=10e-9, x_m=0.0, y_m=0.0)
SCAN = Scan(shape=(48, 64), pixel_size_m=10e-9, dwell_s=2e-4, scans=1)


class Bench:
    """The devices of one world, connected, optics set."""

    def __init__(self, seed: int = 5, **context: object) -> None:
        self.context = DeviceContext(seed=seed, **context)
        self.stage = stage.FACTORY("stage", {}, self.context)
        self.beam = beam.FACTORY("beam", {}, self.context)
        self.haadf = image_detector.HAADF("haadf", {}, self.context)
        self.edx = edx.FACTORY("edx", {}, self.context)
        self.holder = holder.FACTORY("holder", {}, self.context)
        self.exposure = -1

    async def __aenter__(self) -> Bench:
        for device in (self.stage, self.beam, self.haadf, self.edx, self.holder):
            await device.connect()
        await self.haadf.insert()
        await self.edx.insert()
        await self.beam.apply(Optics(name="record", voltage_v=200e3, beam_current_a=2e-10))
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.beam.close()

    @property
    def world(self):
        return self.context.shared["world"]

    async def take(self, scan: Scan = SCAN, kind: str = "record", x_m: float = 0.0, y_m: float = 0.0):
        self.exposure += 1
        await self.beam.shift_image(x_m, y_m)
        await self.haadf.arm(scan)
        await self.edx.arm(scan)
        permit = replace(permit_for(self.beam, scan, 1e-9, x_m=x_m, y_m=y_m), exposure=self.exposure, kind=kind)
        report = await self.beam.expose(permit, scan)
        frames = [await self.haadf.read_scan(k) for k in range(report.scans_done)]
        return frames, [await self.edx.read_scan(k) for k in range(report.scans_done)]

    def truth(self):
        return self.world.truth(GRID, BOX)


def test_pictures_are_displaced_as_the_truth_says():
    async def check() -> None:
        async with Bench() as bench:
            pictures = []
            for x_m, y_m in ((0.0, 0.0), (4e-8, -3e-8), (-5e-8, 2e-8)):
                pictures.append((await bench.take(x_m=x_m, y_m=y_m))[0][0].astype(float))
            truth = bench.truth()["shift_m"] / SCAN.pixel_size_m
            for index in (1, 2):
                found, _, _ = phase_cross_correlation(
                    pictures[index], pictures[0], upsample_factor=20, normalization=None
                )
                assert found == pytest.approx(truth[index] - truth[0], abs=0.35)

    run_virtual(check())


def test_a_tilt_moves_the_target_as_the_truth_says():
    """The wire's centre of brightness across the axis, at its own height, against the world's geometry."""

    async def check() -> None:
        given = {"stage.eucentric_error_m": 1.5e-7, "stage.drift_m_per_s": 0.0}
        async with Bench(simulation=given) as bench:
            middles = []
            for tilt in (-20.0, 0.0, 20.0):
                await bench.stage.move(tilt_deg=tilt)
                await asyncio.sleep(600.0)
                picture = (await bench.take())[0][0].astype(float) - 400.0
                rows = np.arange(SCAN.shape[0]) - (SCAN.shape[0] - 1) / 2
                profile = np.clip(picture[:, 28:36].mean(axis=1), 0, None)
                middles.append(float(profile @ rows / profile.sum()) * SCAN.pixel_size_m)
            shift = bench.truth()["shift_m"][:, 0]
            measured = (middles[2] - middles[0], shift[2] - shift[0])
            assert measured[0] == pytest.approx(measured[1], abs=15e-9)
            assert abs(measured[1]) > 50e-9

    run_virtual(check())


def test_equal_seeds_give_equal_data_in_any_order():
    async def picture(seed: int, before: int):
        async with Bench(seed) as bench:
            for _ in range(before):
                await bench.take(kind="track", x_m=2e-6)
            await asyncio.sleep(100.0 - bench.world.run_time_s())
            bench.exposure = 6
            return await bench.take()

    first, again = run_virtual(picture(5, 0)), run_virtual(picture(5, 0))
    assert np.array_equal(first[0][0], again[0][0])
    assert np.array_equal(first[1][0].pixel, again[1][0].pixel)
    assert np.array_equal(first[1][0].channel, again[1][0].channel)
    after_others = run_virtual(picture(5, 2))
    assert np.array_equal(first[0][0], after_others[0][0]), "noise is keyed by the exposure, not by what came before"
    assert not np.array_equal(first[0][0], run_virtual(picture(6, 0))[0][0])


def test_dose_damages_what_it_hits_and_silicon_not():
    async def check():
        async with Bench() as bench:
            for _ in range(4):
                await bench.take(replace(SCAN, dwell_s=2e-2))
            return bench.truth()

    truth = run_virtual(check())
    assert truth["dose_map_e_per_a2"].max() > 5e3
    for element, damaged in (("O", True), ("F", True), ("Si", False), ("Au", False)):
        before, after = truth[f"composition/{element}"].sum(), truth[f"composition_final/{element}"].sum()
        assert before > 0
        assert (after < 0.97 * before) if damaged else after == pytest.approx(before)


def test_a_second_run_goes_on_in_the_same_world(tmp_path: Path):
    path = tmp_path / "world.bin"

    async def first():
        async with Bench(world_file=path) as bench:
            await bench.stage.move(tilt_deg=12.0)
            await bench.take()
            return bench.truth(), bench.world.time_s

    async def second():
        async with Bench(world_file=path) as bench:
            at = await bench.stage.position()
            await bench.take(kind="track")
            return bench.truth(), bench.world.time_s, at

    truth, ended_s = run_virtual(first())
    later, later_s, at = run_virtual(second())
    assert at.tilt_deg == pytest.approx(12.0)
    assert later_s > ended_s
    assert later["dose_by_kind/track"].sum() > 0
    assert "dose_by_kind/record" not in later, "that was the earlier run's"
    total = truth["dose_map_e_per_a2"] + later["dose_by_kind/track"]
    assert np.allclose(later["dose_map_e_per_a2"], total, rtol=1e-5)
    assert len(truth["shift_m"]) == 1
    assert len(later["shift_m"]) == 0
    assert later["tilt_axis_deg"] == truth["tilt_axis_deg"]


def test_a_resumed_run_keeps_its_own(tmp_path: Path):
    path = tmp_path / "world.bin"

    async def part(start_s: float):
        context = {"shared": {"resumed_s": start_s}} if start_s else {}
        async with Bench(world_file=path, **context) as bench:
            await bench.take()
            return bench.truth(), bench.world.run_time_s()

    truth, ended_s = run_virtual(part(0.0))
    later, _ = run_virtual(part(ended_s))
    assert len(later["shift_m"]) == 2
    assert later["dose_by_kind/record"].sum() == pytest.approx(2 * truth["dose_by_kind/record"].sum(), rel=1e-3)
    times = later["blank/time_s"]
    assert np.all(np.diff(times) > 0)
    assert times[0] == pytest.approx(truth["blank/time_s"][0])
    assert times[-1] > ended_s


def test_another_specimen_in_the_same_world_is_refused(tmp_path: Path):
    path = tmp_path / "world.bin"

    async def open_with(stage_name: str) -> None:
        async with Bench(world_file=path, simulation={"specimen": {"stage": stage_name}}):
            pass

    run_virtual(open_with("pristine"))
    run_virtual(open_with("pristine"))
    with pytest.raises(FileProblem, match="specimen\\.stage"):
        run_virtual(open_with("core-shell"))


@pytest.mark.parametrize(
    ("there", "wanted", "name"),
    [
        ({}, {"stage": "core-shell"}, ""),
        ({}, {"stage": "pristine"}, "stage"),
        ({}, {"core_diameter_m": 2e-7}, "core_diameter_m"),
        ({"core_diameter_m": 2e-7}, {}, ""),
        ({}, {"voxel_size_m": 20e-9}, "voxel_size_m"),
        ({}, {"film": False}, "film"),
        ({}, {"contamination.atoms_per_electron": 1.0}, "contamination.atoms_per_electron"),
        ({}, {"critical_dose_e_per_a2.Si": 1e3}, "critical_dose_e_per_a2.Si"),
        ({"name": "a"}, {"name": "b"}, "name"),
    ],
)
def test_what_a_world_was_not_told_it_has_by_default(there: dict[str, Any], wanted: dict[str, Any], name: str) -> None:
    assert differing(there, wanted) == name


@pytest.mark.parametrize(
    ("given", "near"),
    [
        ({"beam": {"curent_error": 0.1}}, "beam.current_error"),
        ({"stage.backlsh_m": 1e-7}, "stage.backlash_m"),
        ({"stge": {"drift_m_per_s": 1.0}}, "stage.drift_m_per_s"),
    ],
)
def test_unknown_fields_of_the_simulation_are_refused_with_the_nearest(given, near):
    with pytest.raises(RecipeError) as caught:
        Bench(simulation=given)
    assert near in str(caught.value)
    assert len(str(caught.value)) <= 300


@pytest.mark.parametrize("value", [True, "1e-7", float("nan"), None])
def test_fields_that_are_no_numbers_are_refused(value):
    with pytest.raises(RecipeError):
        Bench(simulation={"stage.backlash_m": value})


def test_a_rehearsal_draws_no_hidden_errors():
    async def check():
        async with Bench(hidden_draws=False) as bench:
            return bench.truth()

    truth = run_virtual(check())
    assert truth["tilt_axis_deg"] == 0.0
    for name in ("beam_current_error", "current_measurement_error", "pixel_size_error", "eucentric_error_m"):
        assert truth[f"hidden/{name}"] == 0.0
    assert truth["hidden/image_shift_xx"] == 1.0


def test_nitrogen_runs_out_and_the_holder_warms():
    async def check() -> None:
        async with Bench() as bench:
            assert (await bench.holder.temperature()).temperature_k == pytest.approx(95.0, abs=0.1)
            await asyncio.sleep(6.2 * 3600)
            assert await bench.holder.nitrogen() == 0.0
            assert (await bench.holder.temperature()).temperature_k > 110.0
            assert await bench.holder.pressure() > 1.2e-5

    run_virtual(check())


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this platform")
def test_a_kill_with_the_beam_open_ends_as_the_generator_would(tmp_path: Path):
    path = tmp_path / "world.bin"
    script = (
        "import sys, asyncio, os, signal\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_world_devices import *\n"
        "async def main():\n"
        f"    async with Bench(world_file=Path({str(path)!r})) as bench:\n"
        "        task = asyncio.create_task(bench.take(replace(SCAN, scans=3)))\n"
        "        await asyncio.sleep(0.1)\n"
        "        assert not await bench.beam.is_blanked()\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        "run_virtual(main())\n"
    )
    process = subprocess.run([sys.executable, "-W", "ignore", "-c", script], env=os.environ, check=False)
    assert process.returncode == -signal.SIGKILL

    async def after():
        async with Bench(world_file=path, shared={"resumed_s": 1.0}) as bench:
            assert await bench.beam.is_blanked()
            return bench.truth()

    truth = run_virtual(after())
    assert truth["final/beam_blanked"]
    assert list(truth["blank/open"]) == [True, False]
    whole = 2e-10 * 2e-4 / (1.602176634e-19 * 1e-16 * 1e20)
    assert truth["dose_by_kind/record"].max() == pytest.approx(whole, rel=0.12), "one scan frame, to its end"


def test_a_process_that_dies_while_dose_is_laid_leaves_none_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    """The next who opens the world lays the scan frame once: not on top of what was half laid."""
    from cryoctl_simulators.world.sample import Sample

    class Died(BaseException):
        pass

    def die(*args: object) -> None:
        raise Died

    async def whole(path: Path) -> np.ndarray:
        async with Bench(world_file=path) as bench:
            await bench.take()
            return np.array(bench.world.dose.maps)

    async def cut(path: Path) -> None:
        async with Bench(world_file=path) as bench:
            with monkeypatch.context() as patched:
                patched.setattr(Sample, "irradiate", die)
                with pytest.raises(Died):
                    await bench.take()

    async def opened(path: Path) -> np.ndarray:
        async with Bench(world_file=path, shared={"resumed_s": 100.0}) as bench:
            return np.array(bench.world.dose.maps)

    expected = run_virtual(whole(tmp_path / "whole.bin"))
    run_virtual(cut(tmp_path / "cut.bin"))
    found = run_virtual(opened(tmp_path / "cut.bin"))
    assert found.sum() == pytest.approx(expected.sum(), rel=2e-3)
