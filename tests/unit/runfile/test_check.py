from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest

import cryoctl
from cryoctl.runfile.check import check_run
from cryoctl.runfile.parts import RunParts
from cryoctl.runfile.writer import pack


def failed(path):
    return {one.name for one in check_run(path).checks if not one.ok}


def test_a_good_run_passes_packed_running_or_without_its_parts(packed_run, tmp_path, synthetic_run):
    report = check_run(packed_run)
    assert report.ok
    assert report.frames == 5
    assert report.to_json()["ledger_minus_truth"] is None
    alone = tmp_path / "alone" / packed_run.name
    alone.parent.mkdir()
    shutil.copy(packed_run, alone)
    assert check_run(alone).ok
    killed = synthetic_run(tmp_path / "killed", ended=False, crash_in_exposure=True)
    assert check_run(killed).ok


@pytest.mark.parametrize(
    ("name", "place", "expected"),
    [
        ("image/scans", (2, 1, 3, 4), "pictures"),
        ("focus/scans", (1, 0, 3, 4), "pictures"),
        ("edx/events/channel", (100,), "EDX counts"),
        ("edx/spectra", (1, 20), "EDX counts"),
        ("edx/data/data", (3, 2, 2, 26), "EDX counts"),
        ("entry/dose/map_e_per_a2", (40, 50), "ledger sums"),
        ("entry/dose/by_kind/record", (40, 50), "ledger against the journal"),
        ("entry/exposures/dose_e_per_a2", (4,), "exposure table against the journal"),
        ("entry/exposures/frame", (4,), "every frame has its row"),
        ("entry/dose/limit_e_per_a2", (), "dose limit"),
    ],
)
def test_a_changed_value_is_found(packed_run, name, place, expected):
    with h5py.File(packed_run, "r+") as file:
        file[name][place] = 1000 if name.endswith("limit_e_per_a2") else file[name][place] + 1
    assert expected in failed(packed_run)


def test_changed_parts_are_found(packed_run):
    parts = RunParts.beside(packed_run)
    whole = parts.journal.read_bytes()
    parts.journal.write_bytes(whole[: whole.rindex(b"\n", 0, -1) + 1])
    assert "journal chain" in failed(packed_run)
    parts.journal.write_bytes(whole.replace(b'"kind":"focus"', b'"kind":"fokus"', 1))
    assert "journal chain" in failed(packed_run)
    parts.journal.write_bytes(whole)
    segment = next(parts.frames.glob("image_*.h5"))
    data = bytearray(segment.read_bytes())
    data[5000] ^= 1
    segment.write_bytes(data)
    assert "frames against the journal" in failed(packed_run)


@pytest.mark.parametrize(
    ("factor", "shift", "ok"), [(0.99, 0, True), (0.99, 1, True), (0.99, 8, False), (1.05, 0, False)]
)
def test_ledger_against_truth(tmp_path, synthetic_run, factor, shift, ok):
    path = synthetic_run(tmp_path)
    with cryoctl.open_run(path) as run:
        true = np.roll(run.dose.map, shift, axis=0) * factor
    pack(path, path.with_suffix(".parts"), {"simulation/dose_map_e_per_a2": true})
    report = check_run(path)
    assert report.ok is ok
    assert report.ledger_minus_truth["sum_ratio"] == pytest.approx(1 / factor)
    assert (report.ledger_minus_truth["min"] >= 0) is ok


def test_a_limit_passed_is_told(tmp_path, synthetic_run):
    path = synthetic_run(tmp_path, limit=3999.0)
    pack(path, path.with_suffix(".parts"))
    assert failed(path) == {"dose limit"}
