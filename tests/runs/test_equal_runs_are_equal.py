"""Same recipe, seed, version and machine: the same run file, in this process and in others with another hash seed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tests.runs.same_file import count, differences
from tests.runs.small_runs import RECIPE, SMALL, play, run_file

WITH_LIVE = ("live.enabled=true", "edx={elements: [Si, O], scans: 2, dense: true}", "focus.every=2")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_file(play(tmp_path_factory.mktemp("first"), *WITH_LIVE, seed=11, operator=person()))


def person() -> str:
    """Whom the command line names as the operator; a run from Python names nobody."""
    import getpass

    return getpass.getuser()


def test_the_same_seed_gives_the_same_file(first: Path, tmp_path: Path) -> None:
    second = run_file(play(tmp_path, *WITH_LIVE, seed=11, operator=person()))
    assert count(first) > 80
    assert differences(first, second) == []


def test_another_seed_gives_other_pictures(first: Path, tmp_path: Path) -> None:
    other = run_file(play(tmp_path, *WITH_LIVE, seed=12))
    assert "image/data/data" in differences(first, other)


@pytest.mark.parametrize("hash_seed", [pytest.param("0", marks=pytest.mark.campaign), "4242"])
def test_other_processes_with_other_hash_seeds_give_the_same_file(first: Path, tmp_path: Path, hash_seed: str) -> None:
    sets = [part for text in (*SMALL, *WITH_LIVE) for part in ("--set", text)]
    command = [
        sys.executable,
        "-m",
        "cryoctl.cli.main",
        "run",
        RECIPE,
        "--seed",
        "11",
        "--out",
        str(tmp_path),
        "--quiet",
        *sets,
    ]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert differences(first, Path(done.stdout.splitlines()[-1])) == []


def test_comparison_sees_one_changed_pixel(first: Path, tmp_path: Path) -> None:
    changed = tmp_path / "changed.nxs"
    changed.write_bytes(first.read_bytes())
    with h5py.File(changed, "r+") as file:
        dose = file["entry/dose/map_e_per_a2"]
        dose[0, 0] = np.asarray(dose[0, 0]) + 1e-9
    assert differences(first, changed) == ["entry/dose/map_e_per_a2"]
