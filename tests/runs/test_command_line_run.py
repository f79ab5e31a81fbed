"""The command line on whole, small, simulated runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

SMALL = [
    "--set", "tilts.step_deg=20", "--set", "image.shape=[32, 48]", "--set", "edx.scans=2",
    "--set", "edx.dense=false", "--set", "dose.per_tilt_e_per_a2=300",
]  # fmt: skip


def cryoctl(*arguments: str, cwd: Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cryoctl.cli.main", *arguments],
        capture_output=True,
        encoding=encoding,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        cwd=cwd,
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ran(folder: Path) -> subprocess.CompletedProcess[str]:
    return cryoctl("run", "edx-tomography", "--seed", "5", *SMALL, cwd=folder, encoding="cp1252")


@pytest.fixture(scope="module")
def run(folder: Path, ran: subprocess.CompletedProcess[str]) -> Path:
    assert ran.returncode == 0, ran.stderr
    return folder / ran.stdout.splitlines()[-1]


def test_a_run_ends_with_a_summary_and_its_path(ran: subprocess.CompletedProcess[str], run: Path) -> None:
    assert run.name == "edx-tomography_5_001.nxs"
    assert run.is_file()
    for told in ("status", "dose peak", "net counts", "duration"):
        assert told in ran.stdout
    assert "predicted" in ran.stderr
    assert "7 of 7" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not (run.with_suffix(".parts") / "control.json").exists()


def test_check_finds_it_sound(run: Path, folder: Path) -> None:
    checked = cryoctl("check", str(run), "--json", cwd=folder)
    report = json.loads(checked.stdout)
    assert checked.returncode == 0
    assert report["ok"]
    assert report["frames"] == 7


def test_show_says_what_run_said(run: Path, folder: Path) -> None:
    shown = json.loads(cryoctl("show", str(run), "--json", cwd=folder).stdout)
    assert shown["status"] == "completed"
    assert shown["frames"] == 7
    assert shown["seed"] == 5
    assert {"run_file", "dose", "counts", "targets", "results", "journal_head"} <= set(shown)
    lines = cryoctl("show", str(folder), cwd=folder).stdout.splitlines()
    assert any("edx-tomography_5_001.nxs" in line and "completed" in line for line in lines)


def test_a_picture_of_the_run(run: Path, folder: Path) -> None:
    from skimage.io import imread

    drawn = cryoctl("show", str(run), "--plot", "page.png", "--quiet", cwd=folder)
    assert drawn.returncode == 0, drawn.stderr
    image = imread(folder / "page.png")
    assert image.shape[0] > 1000
    assert image[..., :3].std() > 20


def test_reconstruct_adds_volumes_that_measure_finds(run: Path, folder: Path) -> None:
    made = cryoctl("reconstruct", str(run), "--element", "Si", "--iterations", "4", "--json", cwd=folder)
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert {"algorithm", "iterations", "elongation", "fsc_m", "error_truth", "seconds"} <= set(report["Si"])
    assert report["Si"]["iterations"] == 4
    assert {"tilt_axis_deg", "residual_px"} <= set(report["alignment"])
    measured = cryoctl("measure", "elongation", str(run), "--json", cwd=folder)
    assert json.loads(measured.stdout)["elongation"]["Si"]["ratio"] == pytest.approx(report["Si"]["elongation"])
    assert json.loads(cryoctl("check", str(run), "--json", cwd=folder).stdout)["ok"]


def test_reconstruct_into_a_file_leaves_the_run_alone(run: Path, folder: Path) -> None:
    before = run.read_bytes()
    made = cryoctl("reconstruct", str(run), "--element", "Si", "--iterations", "2", "--out", "si.h5", cwd=folder)
    assert made.returncode == 0, made.stderr
    assert made.stdout.splitlines()[-1] == "si.h5"
    assert run.read_bytes() == before
    assert cryoctl("measure", "elongation", "si.h5", "--json", cwd=folder).returncode == 0


@pytest.mark.parametrize(
    "wish",
    [
        ("--element", "Au"),
        ("--iterations", "0"),
        ("--algorithm", "magic"),
        ("--name", "live"),
        ("--target", "nobody"),
        ("--out", "no/such/folder/x.h5"),
    ],
)
def test_bad_wishes_of_reconstruct(run: Path, folder: Path, wish: tuple[str, str]) -> None:
    before = run.read_bytes()
    made = cryoctl("reconstruct", str(run), *wish, cwd=folder)
    assert made.returncode == 2
    assert len(made.stderr.strip().splitlines()) == 1
    assert run.read_bytes() == before


def test_half_the_limit_ends_with_4_and_a_valid_file(folder: Path) -> None:
    limited = cryoctl(
        "run", "edx-tomography", *SMALL, "--set", "dose.limit_e_per_a2=1000", "--json", "--quiet", cwd=folder
    )
    summary: dict[str, Any] = json.loads(limited.stdout)
    assert limited.returncode == summary["exit_code"] == 4, limited.stderr
    assert summary["end_reason"] == "dose"
    assert summary["dose"]["peak"] <= 1000
    assert json.loads(cryoctl("check", summary["run_file"], "--json", cwd=folder).stdout)["ok"]


def test_rehearsal_writes_nothing(tmp_path: Path) -> None:
    played = cryoctl("rehearse", "edx-tomography", *SMALL, "--json", cwd=tmp_path)
    summary = json.loads(played.stdout)
    assert played.returncode == 0
    assert {"finish_time", "disk_free_bytes", "nitrogen_left_s", "warnings", "predicted"} <= set(summary)
    assert list(tmp_path.iterdir()) == []


def started(folder: Path, *more: str) -> tuple[subprocess.Popen[str], Path]:
    """A run in slowed time, once it listens."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cryoctl.cli.main", "run", "edx-tomography", *SMALL, "--speed", "20", *more],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        answered = cryoctl("status", "--json", cwd=folder)
        runs = json.loads(answered.stdout)["runs"]
        if runs and runs[0]["status"] == "running":
            return process, Path(runs[0]["run_file"])
        time.sleep(0.2)
    process.kill()
    raise AssertionError(f"the run never listened: {process.communicate()[1]}")


def wait_for(folder: Path, run: Path, status: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        answer = json.loads(cryoctl("status", str(run), "--json", cwd=folder).stdout)
        if answer["status"] == status:
            return
        time.sleep(0.2)
    raise AssertionError(f"{status} was never reached: {answer}")


def test_an_operator_in_another_shell_pauses_notes_goes_on_and_aborts(tmp_path: Path) -> None:
    process, run = started(tmp_path)
    try:
        for command in (["pause"], ["note", "ice", "on", "the", "left"]):
            assert cryoctl("tell", str(run), *command, cwd=tmp_path).returncode == 0
        wait_for(tmp_path, run, "paused")
        assert cryoctl("tell", str(run), "go", cwd=tmp_path).returncode == 0
        wait_for(tmp_path, run, "running")
        assert cryoctl("tell", str(run), "abort", cwd=tmp_path).returncode == 0
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 3, stderr
    assert stdout.splitlines()[-1].endswith(run.name)
    over = json.loads(cryoctl("status", str(run), "--json", cwd=tmp_path).stdout)
    assert (over["alive"], over["status"], over["exit_code_of_run"]) == (False, "aborted", 3)
    late = cryoctl("tell", str(run), "pause", cwd=tmp_path)
    assert late.returncode == 2
    assert "ended" in late.stderr
    from cryoctl import open_run

    with open_run(tmp_path / run.name) as opened:
        assert any("ice on the left" in message for message in opened.events.message)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_ctrl_c_once_pauses_twice_blanks_and_a_third_time_aborts(tmp_path: Path) -> None:
    process, run = started(tmp_path)
    try:
        process.send_signal(signal.SIGINT)
        wait_for(tmp_path, run, "paused")
        process.send_signal(signal.SIGINT)
        wait_for(tmp_path, run, "paused")
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 3, stderr
    assert "tell" in stderr
    assert "go" in stderr
    assert "blanked at once" in stderr
    assert stdout.splitlines()[-1].endswith(run.name)
    assert "Traceback" not in stderr


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_closed_terminal_ends_the_run_safely(tmp_path: Path, name: str) -> None:
    process, _ = started(tmp_path)
    try:
        process.send_signal(getattr(signal, name))
        _, stderr = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 3, stderr
    (run,) = tmp_path.glob("*.nxs")
    assert json.loads(cryoctl("show", str(run), "--json", cwd=tmp_path).stdout)["end_reason"] == "operator"
