"""`cryoctl view` as far as it goes without a person in front of it."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from cryoctl.cli.main import call
from tests.unit.runfile.synthetic_run import synthetic_run

WITHOUT_EXTRA = any(importlib.util.find_spec(name) is None for name in ("PySide6", "pyqtgraph"))
needs_extra = pytest.mark.skipif(WITHOUT_EXTRA, reason="the window needs the extra `viewer`")


def test_without_the_extra_a_sentence_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [one for one in sys.modules if one.startswith("cryoctl.viewer.window")]:
        monkeypatch.delitem(sys.modules, name)
    for name in ("PySide6", *[one for one in sys.modules if one.startswith("PySide6.")]):
        monkeypatch.setitem(sys.modules, name, None)  # also those that other tests have loaded
    assert call(["view", str(tmp_path), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert "pip install 'cryoctl[viewer]'" in told["message"]
    assert len(told["message"]) <= 300


@needs_extra
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always a display")
def test_without_a_display_a_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("QT_QPA_PLATFORM", "DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert call(["view", str(tmp_path)]) == 2
    assert "no window can be opened here (there is no display)" in capsys.readouterr().err


@needs_extra
def test_a_picture_of_the_window_needs_no_display(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = synthetic_run(tmp_path, ended=False)
    picture = tmp_path / "now.png"
    assert call(["view", str(run), "--plot", str(picture), "--theme", "dark", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["run_file"], told["status"], told["frames"]) == (str(run), "killed", 5)
    assert told["dose"]["by_kind"]["record"] == pytest.approx(4000.0)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.nxs"], "no run of this name"),
        ([".", "--plot", "now.gif"], "allowed are .png and .jpg"),
        ([".", "--plot", "nowhere/now.png"], "its folder does not exist"),
    ],
)
def test_what_can_not_be_shown_is_refused(
    arguments: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if WITHOUT_EXTRA and "--plot" not in arguments:
        pytest.skip("the window needs the extra `viewer`")
    monkeypatch.chdir(tmp_path)
    assert call(["view", *arguments]) == 2
    assert said in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
