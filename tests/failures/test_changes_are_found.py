"""`check` finds any change of a finished run and names its place, and finds nothing in good ones."""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest

from cryoctl.launch.recover import recover
from cryoctl.runfile.check import CheckReport, check_run
from cryoctl.runfile.journal import Journal
from cryoctl.runfile.parts import RunParts
from cryoctl.runfile.writer import add_reconstruction, pack
from tests.failures.random_changes import CHANGES, dataset_bytes
from tests.runs.random_recipes import random_recipe
from tests.runs.small_runs import play, run_file
from tests.unit.runfile.synthetic_run import synthetic_run

VOLUME = np.random.default_rng(0).random((6, 16, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = synthetic_run(tmp_path_factory.mktemp("finished"), n_tilts=3)
    truth = {"simulation/drift_m": [0.0, 0.0], "simulation/final/needle_state": "absent"}
    pack(path, path.with_suffix(".parts"), {"results/current/verdict": "below detection", **truth})
    add_reconstruction(path, "mlem", {"Si/volume": VOLUME, "Si/algorithm": "mlem"})
    return path


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    return copied(finished, tmp_path)


def copied(source: Path, folder: Path) -> Path:
    """With its parts, the world left out."""
    path = folder / source.name
    shutil.copyfile(source, path)
    parts = RunParts.beside(path).folder
    shutil.rmtree(parts, ignore_errors=True)
    shutil.copytree(RunParts.beside(source).folder, parts, ignore=shutil.ignore_patterns("world.bin"))
    return path


def said(report: CheckReport) -> str:
    return " | ".join(f"{one.name}: {one.detail}" for one in report.checks if not one.ok)


@pytest.mark.parametrize("kind", CHANGES)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_change_is_found_and_its_place_named(run: Path, kind: str, seed: int) -> None:
    change, _ = CHANGES[kind]
    place = change(run, np.random.default_rng(seed))
    report = check_run(run)
    assert not report.ok
    assert place in said(report)


@pytest.mark.parametrize(
    "place",
    [
        "reconstruction/mlem/Si/volume",
        "reconstruction/mlem/Si/algorithm",
        "results/current/verdict",
        "simulation/drift_m",
        "entry/dose/limit_e_per_a2",
        "entry/format_version",
        "entry/start_time",
        "edx/events/channel",
        "edx/data/data",
        "entry/integrity/sha256",
        "entry/integrity/wall_sha256",
        "entry/integrity/wall_journal",
    ],
)
def test_a_byte_is_found_with_and_without_the_parts(run: Path, place: str) -> None:
    dataset_bytes(run, np.random.default_rng(3), place)
    assert f"/{place}" in said(check_run(run))
    shutil.rmtree(RunParts.beside(run).folder)
    assert f"/{place}" in said(check_run(run))


def test_a_dataset_that_is_taken_away_or_added_is_found(run: Path) -> None:
    with h5py.File(run, "r+") as file:
        del file["results/current/verdict"]
        file["results/current/other"] = 1
        file["image"].attrs["default"] = "scans"
    told = said(check_run(run))
    assert "/results/current/verdict is missing" in told
    assert "/results/current/other was added" in told
    assert "/image was changed" in told


def test_a_table_that_was_made_to_fit_is_found_by_its_seal(run: Path) -> None:
    from cryoctl.runfile.integrity import extend_table

    with h5py.File(run, "r+") as file:
        file["results/current/verdict"][()] = "detected"
    extend_table(run, ["results/current/verdict"])
    assert "seals.jsonl" in said(check_run(run))


def test_a_reconstruction_does_not_cover_a_change_up(run: Path) -> None:
    dataset_bytes(run, np.random.default_rng(4), "entry/dose/map_e_per_a2")
    add_reconstruction(run, "later", {"Si/volume": VOLUME})
    assert "/entry/dose/map_e_per_a2" in said(check_run(run))


def test_good_files_pass(run: Path, tmp_path: Path) -> None:
    assert check_run(run).ok
    add_reconstruction(run, "mlem", {"Si/volume": 2 * VOLUME, "/reconstruction/alignment/tilt_axis_deg": 0.1})
    assert check_run(run).ok
    pack(run, RunParts.beside(run).folder)
    assert check_run(run).ok
    alone = tmp_path / "alone.nxs"
    shutil.copyfile(run, alone)
    assert check_run(alone).ok
    shutil.rmtree(RunParts.beside(run).frames)
    assert check_run(run).ok


def test_a_resumed_run_and_one_with_a_torn_line_pass_and_are_told(run: Path) -> None:
    journal = RunParts.beside(run).journal
    resumed, _ = Journal.reopen(journal)
    resumed.append("session", {"start_s": 99.0, "reason": "resumed"}, t=99.0)
    resumed.close()
    with journal.open("ab") as file:
        file.write(b'{"k":"event"')
    report = check_run(run)
    assert report.ok, said(report)
    details = {one.name: one.detail for one in report.checks}
    assert "never packed" in details["run"]
    assert "12 bytes of a torn last line" in details["journal chain"]


def test_a_cut_file_and_a_missing_journal_are_told(run: Path) -> None:
    whole = run.read_bytes()
    run.write_bytes(whole[:-1000])
    assert "was cut" in said(check_run(run))
    run.write_bytes(whole)
    RunParts.beside(run).journal.unlink()
    assert "journal.jsonl is missing" in said(check_run(run))


@pytest.mark.campaign
def test_two_hundred_random_changes_of_a_real_run(tmp_path: Path) -> None:
    with_all = ("live.enabled=true", "edx={elements: [Si, O], scans: 2, dense: true}", "focus.every=2")
    source = run_file(play(tmp_path / "run", *with_all, seed=11))
    add_reconstruction(source, "mlem", {"Si/volume": VOLUME, "Si/algorithm": "mlem"})
    assert check_run(source).ok
    found: Counter[str] = Counter()
    number = 0
    for kind, (change, many) in CHANGES.items():
        for _ in range(many):
            number += 1
            path = copied(source, tmp_path)
            place = change(path, np.random.default_rng(number))
            report = check_run(path)
            found["found"] += not report.ok
            found["named"] += place in said(report)
            assert not report.ok, f"{kind}, {number}: {place} was not found"
            assert place in said(report), f"{kind}, {number}: {place} is not named in: {said(report)}"
    print(f"\n{number} changes, {found['found']} found, {found['named']} named")
    assert number == 200


@pytest.mark.campaign
def test_two_hundred_good_files(tmp_path: Path) -> None:
    looked: Counter[str] = Counter()
    ends: Counter[str] = Counter()
    for number in range(50):
        recipe = random_recipe(number)
        source = run_file(play(tmp_path / str(number), *recipe.overrides, seed=recipe.seed, base=()))
        alone = tmp_path / "alone.nxs"
        shutil.copyfile(source, alone)
        copy = recover(source, tmp_path / f"recovered_{number}.nxs").out
        kinds = {"finished": source, "without its parts": alone, "recovered": copy, "reconstructed": source}
        for kind, path in kinds.items():
            if kind == "reconstructed":
                add_reconstruction(path, "mlem", {"Si/volume": VOLUME})
            report = check_run(path)
            assert report.ok, f"{kind}, {number}: {said(report)}"
            looked[kind] += 1
        with h5py.File(source) as file:
            ends[file["entry/status"].asstr()[()]] += 1
        shutil.rmtree(tmp_path / str(number))
    print(f"\n{sum(looked.values())} good files ({dict(looked)}; ends {dict(ends)}), 0 alarms")
