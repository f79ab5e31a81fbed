"""Commands that read a run or write a file: exports, and what is refused before anything is read or written."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from cryoctl.cli.main import call
from tests.unit.runfile.synthetic_run import synthetic_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("form", "ending"),
    [("csv", ".csv"), ("mrc", ".mrc"), ("tilt-stack", ".hspy"), ("hspy", ".hspy"), ("nexus", ".nxs")],
)
def test_a_run_is_exported(
    form: str, ending: str, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(["export", str(run), "--to", form, "--out", str(tmp_path / "out"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    written = [Path(path) for path in answer["written"]]
    assert answer["format"] == form
    assert any(path.suffix == ending for path in written)
    assert all(path.is_file() and path.parent == tmp_path / "out" for path in written)


def test_each_line_is_a_file_that_was_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["export", str(run), "--to", "csv", "--out", str(tmp_path / "out")]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(map(str, (tmp_path / "out").iterdir()))


REFUSED = [
    (("export", "RUN", "--to", "hspi"), "did you mean 'hspy'"),
    (("export", "RUN"), "--to"),
    (("export", "none.nxs", "--to", "csv"), "does not exist"),
    (("export", "RUN", "--to", "csv", "--out", "RUN"), "give a folder"),
    (("export", "RUN", "--to", "nexus"), "is NeXus already"),
    (("show", "RUN", "--name", "mlem"), "give --plot as well"),
    (("measure", "fsc", "RUN", "--pixel-size", "10"), "write 10nm"),
    (("measure", "fsc", "RUN", "--out", "x.txt"), "allowed are .json and .csv"),
    (("measure", "fsc", "RUN", "--out", "no/x.csv"), "its folder does not exist"),
    (("reconstruct", "RUN", "--name", ".."), "allowed are letters"),
    (("reconstruct", "RUN", "--name", "live"), "kept for the run itself"),
    (("reconstruct", "RUN", "--iterations", "1000000"), "from 1 to 10000"),
    (("reconstruct", "RUN", "--iterations", "2.0"), "whole numbers"),
    (("reconstruct", "RUN", "--scheduler", "nowhere"), "scheduler"),
    (("tell", "RUN", "pause"), "cryoctl status"),
    (("replay", "RUN", "--recipe", "edx-tomography", "--set", "simulation.beam.current_error=0.1"), "leave it out"),
    (("replay", "RUN", "--recipe", "edx-tomography", "--set", "instrument.clock=real"), "--set instrument.clock"),
]


@pytest.mark.parametrize(("arguments", "says"), REFUSED, ids=[" ".join(arguments) for arguments, _ in REFUSED])
def test_refused_before_anything_is_written(
    arguments: tuple[str, ...],
    says: str,
    run: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert call([str(run) if one == "RUN" else one for one in arguments]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    assert len(seen.err.strip().splitlines()) == 1
    assert says in seen.err
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_tell_names_the_run_as_it_was_given(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(["tell", str(run), "pause"]) == 2
    assert f"`cryoctl status {run}`" in capsys.readouterr().err


def test_volumes_of_a_run_that_may_not_be_changed_go_elsewhere(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: not mode & os.W_OK)
    assert call(["reconstruct", str(run), "--element", "HAADF"]) == 2
    assert "give --out FILE" in capsys.readouterr().err
