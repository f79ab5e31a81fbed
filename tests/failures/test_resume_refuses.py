"""What `resume` will not go on with: one sentence, nothing touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from cryoctl.errors import FileProblem
from cryoctl.launch.request import RunRequest
from cryoctl.runfile.lock import RunLock
from cryoctl.runfile.parts import RunParts
from tests.runs.killed_runs import in_a_child, killed, refused, resumed
from tests.runs.small_runs import play, run_file


def test_what_can_not_be_gone_on_with_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    overrides = {"tilts": {"scheme": "list", "list_deg": [0, 20]}, "image": {"shape": [24, 32]}}
    text = yaml.safe_dump({"schema_version": 1, "protocol": "edx-tomography", **overrides, "live": {"enabled": False}})
    recipe.write_text(text, encoding="utf-8")
    out = tmp_path / "out"
    out.mkdir()

    def die() -> None:
        from cryoctl.launch.run import run as begin
        from tests.runs.killed_runs import die_at_record

        die_at_record(300)
        begin(RunRequest(recipe=str(recipe), out=out, events=out / "events.jsonl"))

    assert in_a_child(die) == 9
    run = next(out.glob("*.nxs"))
    journal = RunParts.beside(run).journal.read_bytes()

    recipe.write_text(text.replace("20", "30"), encoding="utf-8")
    told = refused(lambda: resumed(run))
    assert "mine.yaml" in told
    assert "edited" in told
    recipe.write_text(text, encoding="utf-8")

    other = tmp_path / "other.yaml"
    from cryoctl.instrument import load_instrument

    data = load_instrument("simulated").data
    data["name"] = "the other microscope"
    other.write_text(yaml.safe_dump(data), encoding="utf-8")
    assert "the other microscope" in refused(lambda: resumed(run, instrument=other))

    with RunLock(RunParts.beside(run).lock):
        assert in_a_child(lambda: refused(lambda: resumed(run))) == 0

    world = RunParts.beside(run).world
    world.rename(tmp_path / "elsewhere.bin")
    assert "world" in refused(lambda: resumed(run))
    assert RunParts.beside(run).journal.read_bytes() == journal, "nothing was written"
    assert resumed(run, world=tmp_path / "elsewhere.bin").exit_code == 0

    assert "has ended" in refused(lambda: resumed(run))
    assert "no such run" in refused(lambda: resumed(tmp_path / "absent.nxs"))


def test_a_step_that_differs_from_the_journal_is_refused_and_both_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryoctl_protocols.series import TiltSeries

    run = killed(tmp_path / "out", 300)
    assert run is not None
    monkeypatch.setattr(TiltSeries, "defocus_m", lambda self, tilt_deg: 123e-9)
    told = refused(lambda: resumed(run))
    assert "journal holds Expose" in told
    assert "asks for Expose" in told


def test_another_version_alone_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = killed(tmp_path / "out", 300)
    assert run is not None
    monkeypatch.setattr("cryoctl.launch.resume.software", lambda: {"cryoctl": "99.0"})
    result = resumed(run)
    assert result.exit_code == 0
    assert any("99.0" in warning for warning in result.summary["warnings"])


def test_a_run_without_a_journal_is_told(tmp_path: Path) -> None:
    run = run_file(play(tmp_path))
    parts = RunParts.beside(run)
    os.rename(parts.folder, tmp_path / "away")
    with pytest.raises(FileProblem, match="not beside it"):
        resumed(run)
