from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cryoctl.cli import main as entry
from cryoctl.cli.command_table import COMMANDS

Ran = subprocess.CompletedProcess[str]


def cryoctl(*arguments: str, encoding: str = "utf-8", cwd: Path | None = None) -> Ran:
    environment = os.environ | {"PYTHONIOENCODING": encoding, "COLUMNS": "100"}
    environment.pop("CRYOCTL_DEBUG", None)
    return subprocess.run(
        [sys.executable, "-m", "cryoctl.cli.main", *arguments],
        capture_output=True,
        encoding=encoding,
        env=environment,
        cwd=cwd,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_old_consoles_can_show(command: str) -> None:
    ran = cryoctl(command, "--help", encoding="cp1252")
    assert ran.returncode == 0, ran.stderr
    assert "Usage: cryoctl" in ran.stdout
    assert "--json" in ran.stdout
    assert "--quiet" in ran.stdout


def test_the_overview_names_every_command() -> None:
    ran = cryoctl("--help")
    assert ran.returncode == 0
    assert all(f"  {name} " in ran.stdout for name in COMMANDS)


def test_the_overview_imports_nothing_heavy() -> None:
    code = (
        "import sys; from cryoctl.cli.main import call; call(['--help']); "
        "print([m for m in ('numpy', 'pydantic', 'h5py', 'scipy', 'numba', 'matplotlib', 'rich') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("runn", "x"),
        ("run",),
        ("run", "--no-such-option"),
        ("run", "edx-tomography", "--seed", "many"),
        ("run", "edx-tomography", "--seed", "-1"),
        ("run", "edx-tomography", "--seed", str(2**63)),
        ("run", "edx-tomography", "--speed", "nan"),
        ("run", "edx-tomography", "--speed", "0"),
        ("run", "edx-tomography", "--on-end", "whatever"),
        ("run", "no-such-recipe"),
        ("run", "no/such/file.yaml"),
        ("rehearse", "no-such-recipe"),
        ("tell", "none.nxs", "pause"),
        ("tell", "none.nxs", "jump"),
        ("tell", "none.nxs", "note"),
        ("tell", "none.nxs", "pause", "please"),
        ("status", "none.nxs"),
        ("graph", "no-such-protocol"),
        ("schema", "no-such-protocol"),
        ("recipes", "destroy"),
        ("recipes", "copy", "no-such-recipe"),
        ("devices", "--instrument", "none.yaml"),
    ],
)
def test_bad_input_is_one_sentence_exit_2_and_nothing_written(arguments: tuple[str, ...], tmp_path: Path) -> None:
    plain = cryoctl(*arguments, cwd=tmp_path)
    assert plain.returncode == 2, plain.stderr
    assert plain.stdout == ""
    assert len(plain.stderr.strip().splitlines()) == 1
    assert len(plain.stderr.strip()) <= 300 + len("cryoctl: ")
    assert "Traceback" not in plain.stderr
    told = cryoctl(*arguments, "--json", cwd=tmp_path)
    assert told.returncode == 2
    answer = json.loads(told.stdout)
    assert answer["exit_code"] == 2
    assert answer["status"] == "refused"
    assert 0 < len(answer["message"]) <= 300
    assert list(tmp_path.iterdir()) == []


def test_a_mistyped_command_is_offered_its_neighbour() -> None:
    assert "did you mean 'rehearse'" in cryoctl("reherse", "x").stderr


def test_an_error_of_our_own_is_one_sentence_and_exit_5(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from cryoctl.cli import failure

    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by design\nof this test")

    monkeypatch.delenv("CRYOCTL_DEBUG", raising=False)
    monkeypatch.setattr("cryoctl.launch.control_client.listening", breaks)
    monkeypatch.setattr(failure, "crash_folder", [tmp_path])
    assert entry.call(["status", "--json"]) == 5
    seen = capsys.readouterr()
    assert json.loads(seen.out)["exit_code"] == 5
    assert "Traceback" not in seen.err
    assert len(seen.err.strip().splitlines()) == 1
    (log,) = tmp_path.glob("crash_*.log")
    assert "ZeroDivisionError: by design" in log.read_text()


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def breaks(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setenv("CRYOCTL_DEBUG", "1")
    monkeypatch.setattr("cryoctl.launch.control_client.listening", breaks)
    assert entry.call(["status"]) == 5
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_is_exit_3(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cryoctl.launch.control_client.listening", interrupted)
    assert entry.call(["status", "--json"]) == 3
    seen = capsys.readouterr()
    assert "stopped by Ctrl-C" in seen.err
    assert json.loads(seen.out)["exit_code"] == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_an_answer_that_does_not_reach_its_reader_is_told_and_no_success() -> None:
    me = f"{sys.executable} -m cryoctl.cli.main recipes --json"
    for line in (f"({me}; echo $? >&2) | true", f"{me} >&-; echo $? >&2", f"{me} > /dev/full; echo $? >&2"):
        ran = subprocess.run(line, shell=True, capture_output=True, text=True, check=False)
        sentence, code = ran.stderr.splitlines()
        assert sentence.startswith("cryoctl: stdout: the answer could not be written (")
        assert code == "5"


def test_status_of_an_empty_folder(tmp_path: Path) -> None:
    ran = cryoctl("status", "--json", cwd=tmp_path)
    assert ran.returncode == 0
    assert json.loads(ran.stdout) == {"exit_code": 0, "runs": []}


def test_version() -> None:
    assert cryoctl("--version").stdout.startswith("cryoctl ")


def test_a_run_that_breaks_off_names_its_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from cryoctl.cli import failure

    def breaks(*_: object, **__: object) -> None:
        raise OSError("disk full")

    run = tmp_path / "wire_1_001.nxs"
    run.touch()
    monkeypatch.setattr("cryoctl.launch.control_client.listening", breaks)
    monkeypatch.setattr(failure, "crash_folder", [run.with_suffix(".parts")])
    assert entry.call(["status"]) == 5
    assert capsys.readouterr().out.strip() == str(run)
    assert entry.call(["status", "--json"]) == 5
    assert json.loads(capsys.readouterr().out)["run_file"] == str(run)
