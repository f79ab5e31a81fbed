"""A short fault campaign through its command; CI plays 115 cases, a release 2,000 (docs: run-the-campaigns)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cryoctl.cli.campaign import tables, tell_end
from cryoctl.cli.main import call
from cryoctl.testing.campaign.campaign import Campaign, Told
from cryoctl.testing.campaign.case import Case, CaseFolder, Verdict
from cryoctl.testing.campaign.drawing import protocols
from cryoctl.testing.campaign.matrix import Matrix, cell_of, page_lines

FIRST, RUNS = 510, 8
"""Seeds among which every protocol has its turn."""


def test_eight_cases_violate_nothing_and_are_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    keep = tmp_path / "kept"
    code = call(["campaign", "--runs", str(RUNS), "--seed", str(FIRST), "--json", "--quiet", "--keep", str(keep)])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert told["violations"] == []
    assert code == told["exit_code"] == 0
    assert told["runs"] == len(told["cases"]) == RUNS
    assert {case["protocol"] for case in told["cases"]} == set(protocols())
    assert sum(bool(case["faults"]) for case in told["cases"]) > RUNS / 2
    for number, case in enumerate(told["cases"]):
        assert case["seed"] == FIRST + number
        folder = CaseFolder(keep / f"{number:04d}")
        assert Path(case["recipe"]) == folder.recipe(case["protocol"])
        assert folder.faults.exists()
        assert Path(case["world"]).exists()
        assert case["run_file"] is None or Path(case["run_file"]).exists()
    assert any(case["run_file"] for case in told["cases"])


def told(seed: int, exit_code: int, reason: str, *found: str, faults: tuple[dict[str, Any], ...] = ()) -> Told:
    case = Case(seed=seed, protocol="calibrate", overrides=(), faults=faults, commands=())
    verdict = Verdict(exit_code=exit_code, end_reason=reason, message="", violations=found, run_file=None)
    return Told(case=case, verdict=verdict, folder=None)


def test_the_last_lines_repeat_what_failed(capsys: pytest.CaptureFixture[str]) -> None:
    stall = {"device": "stage", "fault": "stall", "at": {"time_s": 3}}
    done = Campaign(cases=[told(3, 0, "completed"), told(4, 5, "device", "the beam is open", faults=(stall, stall))])
    tell_end(done, quiet=False)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "cryoctl campaign --protocol calibrate --runs 1 --seed 4"
    assert "the beam is open" in lines[-2]
    assert "2 cases, 1 violation" in lines
    (row,) = (line for line in tables(done.cases) if line.startswith("stage stall"))
    assert row.split()[2:] == ["1", "device", "1", "|", "VIOLATED", "1"]


def test_a_page_of_the_matrix() -> None:
    assert cell_of(told(1, 4, "dose").verdict, met=True) == "4 dose"
    assert cell_of(told(1, 4, "dose").verdict, met=False) == "·"
    assert "VIOLATED" in cell_of(told(1, 4, "dose", "over the limit").verdict, met=False)
    found = Matrix(
        cells={("calibrate", "height", ("stage", "stall")): "5 device"},
        states={"calibrate": ("height",)},
        unreached={"calibrate": ("give_up",)},
        classes=(("stage", "stall"), ("laser", "off")),
    )
    lines = page_lines(found)
    assert "| fault | height |" in lines
    assert lines[-1] == "| stage stall | 5 device |"
    assert "No small case came through: give_up." in lines
    assert not any("crossings were played" in line for line in lines)


def test_a_page_of_some_crossings_says_which_were_not_played() -> None:
    found = Matrix(
        cells={("calibrate", "height", ("stage", "stall")): "5 device"},
        states={"calibrate": ("height", "finish")},
        unreached={"calibrate": ()},
        classes=(("stage", "stall"), ("laser", "off")),
        seed=7,
        crossings=4,
    )
    lines = page_lines(found)
    assert lines[-1] == "| stage stall | 5 device |  |"
    assert any(line.startswith("1 of 4 crossings were played, drawn by seed 7") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--runs", "0"], "--runs"),
        (["--protocol", "edx-tomografy"], "edx-tomography"),
        (["--matrix", "page.md", "--kill"], "--matrix"),
        (["--matrix", "nowhere/page.md"], "folder"),
        (["--keep", "."], "--keep"),
    ],
)
def test_what_can_not_be_played_is_refused(
    arguments: list[str],
    named: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").write_text("", encoding="utf-8")
    assert call(["campaign", *arguments]) == 2
    assert named in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["something"]
