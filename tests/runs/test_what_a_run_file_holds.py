"""What others rely on is in the file: of a series, of several targets, of one ended by its dose, of a calibration."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest

from cryoctl.launch.request import RunRequest
from cryoctl.launch.run import run
from cryoctl.runfile.tree import nexus_name, unit_of
from tests.runs.small_runs import play, run_file

FINAL = [
    "beam_blanked",
    "ion_beam_blanked",
    "bias_v",
    "output_on",
    "output_mode",
    "needle_gap_m",
    "needle_state",
    "needle_attached_to",
    "stage_moving",
    "valves_open",
    "gas_open_s",
    "collisions",
    "max_indentation_m",
]
EVERY_SIMULATED = (
    *[
        "simulation/dose_map_e_per_a2",
        "simulation/drift_m",
        "simulation/tilt_axis_deg",
        "simulation/shift_m",
        "simulation/safe_order",
        "simulation/blank/time_s",
        "simulation/blank/open",
        "entry/dose/map_e_per_a2",
        "entry/dose/prior_e_per_a2",
        "entry/dose/pixel_size_m",
        "entry/dose/origin_m",
        "entry/dose/limit_e_per_a2",
        "entry/dose/uncertainty",
        "entry/dose/position_sigma_m",
    ],
    *(f"simulation/final/{name}" for name in FINAL),
)
WITHOUT_UNCERTAINTY = re.compile(
    r"radius_m|frequency_per_m|samples|tilt_deg|iterations|rounds|segments|threshold|criterion|defocus_m|quality|"
    r"end_to_end_share|absorption|nominal_a|applied|limited_by_voxel|end_to_end|spill|uncertainty|dimensions"
)
"""What a result lies along or was made with, scores, and uncertainties; results/error_truth is none of its own."""


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("held")
    two = 'targets=[{name: wire, x_m: 0}, {name: "far+off-1", y_m: 2.5 um}]'
    live = ("edx={elements: [Si, O], scans: 2, dense: true}", "live.enabled=true", "eucentric.enabled=true")
    calibration = ("repeats=3", "pictures.shape=[96, 128]", "pictures.pixel_size_m=40 nm")
    return {
        "series": run_file(play(folder / "series", *live)),
        "targets": run_file(play(folder / "targets", two)),
        "dose": run_file(play(folder / "dose", "dose.limit_e_per_a2=500")),
        "calibration": run_file(
            run(RunRequest(recipe="calibrate", out=folder / "calibration", seed=1, overrides=calibration))
        ),
    }


def datasets(group: h5py.Group) -> Iterator[tuple[str, h5py.Dataset]]:
    for name, item in group.items():
        if isinstance(item, h5py.Group):
            yield from ((f"{name}/{below}", dataset) for below, dataset in datasets(item))
        else:
            yield name, item


@pytest.mark.parametrize("of", ["series", "targets", "dose", "calibration"])
def test_every_simulated_run_tells_its_truth_and_its_dose(files: dict[str, Path], of: str) -> None:
    with h5py.File(files[of]) as file:
        assert not [path for path in EVERY_SIMULATED if path not in file]
        shape = file["entry/dose/map_e_per_a2"].shape
        for maps in (file["simulation/dose_by_kind"], file["entry/dose/by_kind"]):
            assert list(maps)
            assert {(one.shape, one.attrs["units"]) for one in maps.values()} == {(shape, "1/angstrom^2")}
        for group in ("composition", "composition_final"):
            assert {one.attrs["units"] for one in file["simulation"][group].values()} == {"1/m^3"}
            assert file["simulation"][group]["Si"][()].any()
        order = list(file["simulation/safe_order"].asstr())
        assert order[:2] == ["beam blanked", "stage stopped"]


@pytest.mark.parametrize("of", ["series", "targets", "calibration"])
def test_every_measured_number_has_its_uncertainty(files: dict[str, Path], of: str) -> None:
    with h5py.File(files[of]) as file:
        held = {
            name: one
            for name, one in datasets(file["results"])
            if one.dtype.kind in "iuf" and not name.startswith("error_truth")
        }
        bare = [name for name in held if not re.search(r"_(sigma|low|high)$", name)]
        assert bare
        for name in bare:
            if not WITHOUT_UNCERTAINTY.fullmatch(name.rpartition("/")[2]):
                assert f"{name}_sigma" in held or {f"{name}_low", f"{name}_high"} <= set(held), name


@pytest.mark.parametrize("of", ["series", "targets", "dose", "calibration"])
def test_every_name_of_a_unit_has_the_unit(files: dict[str, Path], of: str) -> None:
    with h5py.File(files[of]) as file:
        for name, one in datasets(file):
            last = name.rpartition("/")[2]
            if one.dtype.kind == "f" and unit_of(last) and "hyperspy_metadata" not in name:
                assert one.attrs["units"] == unit_of(last), name
        names = [name for entry in ("results", "reconstruction") for name in file[entry]]
        assert all(re.fullmatch(r"[A-Za-z0-9_.]+", name) for name in names)


def test_live_volumes_say_how_they_were_made(files: dict[str, Path]) -> None:
    with h5py.File(files["series"]) as file:
        for element in ("Si", "O", "HAADF"):
            made = file["reconstruction/live"][element]
            assert made["volume"].shape == (24, 24, 32)
            assert made["voxel_size_m"][()] == pytest.approx(10e-9)
            assert made["iterations"][()] == 1
            assert made["algorithm"].asstr()[()] == "osem-live"
            assert made["stop_rule"].asstr()[()]


def test_eucentric_height_against_the_truth(files: dict[str, Path]) -> None:
    with h5py.File(files["series"]) as file:
        found, true = file["results/eucentric"], file["simulation/results/eucentric/grid_z_m"][()]
        assert abs(found["grid_z_m"][()] - true) < 3 * found["grid_z_m_sigma"][()]


def test_units_and_names() -> None:
    units = {"drift_m_per_s": "m/s", "frequency_per_m": "1/m", "input_rate_per_s": "1/s", "atoms_per_m3_sigma": "1/m^3"}
    assert {name: unit_of(name) for name in units} == units
    assert nexus_name("results/tracking-a+b/tilt_deg") == "results/tracking_a_b/tilt_deg"


def test_windows_are_those_of_the_counts(files: dict[str, Path]) -> None:
    with h5py.File(files["series"]) as file:
        edx = file["edx"]
        energy_ev = edx["energy_offset_ev"][()] + edx["energy_scale_ev"][()] * np.arange(edx["spectra"].shape[1])
        for element, window in edx["windows_ev"].items():
            low, high = window[()]
            inside = (energy_ev >= low) & (energy_ev < high)
            assert abs(energy_ev[inside] - edx["lines_ev"][element][()]).max() <= edx["window_ev"][()] / 2
            assert (edx["spectra"][:, inside].sum(axis=1) == edx["window_counts"][element][()]).all()
            assert (edx["data/data"][()].sum(axis=(1, 2))[:, inside].sum(axis=1) == edx["window_counts"][element]).all()
