"""Every class of bad input at the command line: exit 2, one sentence, nothing written, no traceback."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from cryoctl.cli.main import call
from tests.runs.small_runs import SMALL, play, run_file

HEAD = "schema_version: 1\nprotocol: edx-tomography\n"
BOMB = "a: &a [x, x]\n" + "".join(f"a{i}: &a{i} [*a, *a]\n" for i in range(9))

RECIPES: dict[str, str | bytes] = {
    "empty": "",
    "list": "- 1\n",
    "several documents": HEAD + "---\n" + HEAD,
    "duplicate key": HEAD + "dose: {}\ndose: {}\n",
    "unknown key": HEAD + "dose: {limit: 3}\n",
    "not UTF-8": HEAD.encode() + b"specimen: {name: \xff}\n",
    "tag": HEAD + "specimen: {name: !!python/object/apply:os.system [ls]}\n",
    "alias bomb": HEAD + BOMB,
    "quoted number": HEAD + "dose: {limit_e_per_a2: '5e4'}\n",
    "boolean like on": HEAD + "live: {enabled: on}\n",
    "decimal comma": HEAD + "tilts: {step_deg: 2,5}\n",
    "unit missing a number": HEAD + "image: {pixel_size_m: nm}\n",
    "unit of another kind": HEAD + "image: {pixel_size_m: 10 kV}\n",
    "unknown unit": HEAD + "image: {pixel_size_m: 10 furlong}\n",
    "unknown protocol": "schema_version: 1\nprotocol: edx-tomografy\n",
    "newer schema": "schema_version: 9\nprotocol: edx-tomography\n",
    "element not a text": HEAD + "edx: {elements: [14]}\n",
}

SETS: dict[str, tuple[str, ...]] = {
    "NaN": ("dose.limit_e_per_a2=.nan",),
    "inf": ("dose.limit_e_per_a2=.inf",),
    "bool": ("dose.limit_e_per_a2=true",),
    "huge": ("dose.limit_e_per_a2=1e999",),
    "huge integer": (f"edx.scans={'9' * 40}",),
    "step 0": ("tilts.step_deg=0",),
    "step of wrong sign": ("tilts.step_deg=-3",),
    "min above max": ("tilts.min_deg=30", "tilts.max_deg=-30"),
    "min equals max": ("tilts.min_deg=30", "tilts.max_deg=30"),
    "duplicate tilts": ("tilts={scheme: list, list_deg: [0, 10, 10]}",),
    "one tilt": ("tilts={scheme: list, list_deg: [0]}",),
    "no tilt": ("tilts={scheme: list, list_deg: []}",),
    "10^5 tilts": ("tilts.step_deg=0.0012",),
    "10^5 tilts listed": (f"tilts={{scheme: list, list_deg: [{', '.join(str(k / 2000) for k in range(100_000))}]}}",),
    "beyond the stage": ("tilts.max_deg=80",),
    "beyond the holder with pre-tilt": ("tilts.pretilt_deg=15",),
    "field of another scheme": ("tilts={scheme: golden-ratio, count: 5, step_deg: 2}",),
    "unknown scheme": ("tilts.scheme=spiral",),
    "limit 0": ("dose.limit_e_per_a2=0",),
    "limit negative": ("dose.limit_e_per_a2=-5",),
    "per tilt 0": ("dose.per_tilt_e_per_a2=0",),
    "limit below one exposure": ("dose.limit_e_per_a2=500",),
    "explicit split too short": ("dose.split=explicit", "dose.weights=[1, 2]"),
    "explicit split negative": (
        "tilts={scheme: list, list_deg: [0, 9]}",
        "dose.split=explicit",
        "dose.weights=[1, -1]",
    ),
    "explicit split all 0": ("tilts={scheme: list, list_deg: [0, 9]}", "dose.split=explicit", "dose.weights=[0, 0]"),
    "weights without split": ("dose.weights=[1, 2]",),
    "doses a tilt too few": ("dose.per_tilt_e_per_a2=[100, 100]",),
    "unknown element": ("edx.elements=[Si, Xx]",),
    "no element": ("edx.elements=[]",),
    "repeated element": ("edx.elements=[Si, O, Si]",),
    "lithium": ("edx.elements=[Li]",),
    "line above what the detector sees": ("edx.elements=[Si]", "instrument.devices.edx.settings.n_channels=64"),
    "line above the beam energy": ("edx.elements=[U]", "instrument.optics.record.voltage_v=1000"),
    "scans 0": ("edx.scans=0",),
    "image 0": ("image.shape=[0, 128]",),
    "image 1": ("image.shape=[1, 1]",),
    "image 65536": ("image.shape=[65536, 65536]",),
    "image not whole": ("image.shape=[64.5, 64]",),
    "image of three sides": ("image.shape=[64, 64, 64]",),
    "pixel size 0": ("image.pixel_size_m=0",),
    "areas overlap": ("areas.offset_m=1e-7",),
    "areas beyond the shift": ("areas.offset_m=7.9e-6",),
    "areas too large for the shift": ("image.pixel_size_m=200e-9", "dose.per_tilt_e_per_a2=1"),
    "targets overlap": ("targets=[{name: a}, {name: b, x_m: 1e-7}]",),
    "targets of one name": ("targets=[{name: a}, {name: a, x_m: 9e-6}]",),
    "target beyond the stage": ("targets=[{name: a, x_m: 5e-3}]",),
    "no target": ("targets=[]",),
    "unknown optics": ("optics.record=recrd",),
    "unknown detector": ("image.detector=hadf",),
    "unknown EDX detector": ("edx.detector=edx2",),
    "unknown parameter of the specimen": ("simulation.specimen.sei_grain=1",),
    "unknown stage of the specimen": ("specimen.stage=pristin",),
    "unknown simulation field": ("simulation.beam.curent_error=0.1",),
    "simulation NaN": ("simulation.beam.current_error=.nan",),
    "simulation text": ("simulation.stage.drift_m_per_s=fast",),
    "unknown device in the instrument": ("instrument.devices.stag.settings.speed_m_per_s=1e-6",),
    "unknown setting of a device": ("instrument.devices.stage.settings.sped=1e-6",),
    "negative setting of a device": ("instrument.devices.stage.settings.speed_m_per_s=-1",),
    "calibration expired": ('instrument.calibrations.pixel_size.expires="2020-01-01"',),
    "dwell that the current can't give": ("image.dwell_s=1e-9",),
    "unknown field": ("dose.limt_e_per_a2=3",),
    "value without a path": ("=3",),
}

OPTIONS: dict[str, tuple[str, ...]] = {
    "seed negative": ("--seed", "-1"),
    "seed too large": ("--seed", str(2**63)),
    "seed not a number": ("--seed", "one"),
    "speed 0": ("--speed", "0"),
    "speed NaN": ("--speed", "nan"),
    "unknown option": ("--sed", "1"),
    "instrument absent": ("--instrument", "nowhere.yaml"),
    "faults absent": ("--faults", "nowhere.yaml"),
    "specimen absent": ("--specimen", "nowhere.nxs"),
    "specimen unknown": ("--specimen", "nobody"),
    "until unknown": ("--until", "recrd"),
    "events in no folder": ("--events", "no/such/folder/events.jsonl"),
}


def refused(arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """The sentence; checks the rest. `out` has to be as it was."""
    before = sorted(str(path) for path in out.rglob("*")) if out.exists() else None
    code = call([*arguments, "--out", str(out)])
    said = capsys.readouterr()
    assert code == 2, f"exit {code}: {said.err}"
    assert said.out == ""
    lines = [line for line in said.err.splitlines() if line.strip()]
    assert len(lines) == 1, said.err
    sentence = lines[0].removeprefix("cryoctl: ")
    assert 10 < len(sentence) <= 300
    assert "Traceback" not in sentence
    assert "Error(" not in sentence
    assert re.search(r"[a-z]", sentence)
    sentence.encode("cp1252")
    after = sorted(str(path) for path in out.rglob("*")) if out.exists() else None
    assert after == before
    return sentence


@pytest.mark.parametrize("name", RECIPES)
def test_bad_recipe_file(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "bad.yaml"
    text = RECIPES[name]
    recipe.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused(["run", str(recipe)], tmp_path / "out", capsys)


@pytest.mark.parametrize("name", SETS)
def test_bad_value(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [part for text in SETS[name] for part in ("--set", text)]
    refused(["run", "edx-tomography", *sets], tmp_path / "out", capsys)


@pytest.mark.parametrize("name", ["NaN", "beyond the stage", "lithium", "areas overlap"])
def test_rehearsal_refuses_the_same(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    sets = [part for text in SETS[name] for part in ("--set", text)]
    assert call(["rehearse", "edx-tomography", *sets]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("name", OPTIONS)
def test_bad_option(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["run", "edx-tomography", *OPTIONS[name]], tmp_path / "out", capsys)


@pytest.mark.parametrize("micro", ["\u00b5", "\u03bc", "u"], ids=["micro sign", "Greek mu", "u"])
def test_micro_sign_in_every_form_is_good(micro: str, tmp_path: Path) -> None:
    base = tuple(text for text in SMALL if not text.startswith("image"))
    assert play(tmp_path, f"image={{shape: [24, 32], pixel_size_m: 0.01 {micro}m}}", base=base).exit_code == 0


def test_recipe_absent_or_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(["run", str(tmp_path / "no.yaml")], tmp_path / "out", capsys)
    refused(["run", str(tmp_path)], tmp_path / "out", capsys)
    refused(["run", "edx-tomografy"], tmp_path / "out", capsys)


def test_instrument_with_a_device_missing_or_two_of_a_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cryoctl.launch.prepare import DEFAULT_INSTRUMENT
    from cryoctl.registry import find

    source = Path(str(find("cryoctl.instruments", DEFAULT_INSTRUMENT)))
    text = source.read_text(encoding="utf-8")
    without = tmp_path / "without.yaml"
    without.write_text(re.sub(r"\n  edx:\n(    .*\n)+", "\n", text), encoding="utf-8")
    assert "edx" in refused(["run", "edx-tomography", "--instrument", str(without)], tmp_path / "out", capsys)
    twice = tmp_path / "twice.yaml"
    twice.write_text(text.replace("\n  holder:\n", "\n  stage:\n"), encoding="utf-8")
    assert "stage" in refused(["run", "edx-tomography", "--instrument", str(twice)], tmp_path / "out", capsys)
    old = tmp_path / "old.yaml"
    old.write_text(
        text.replace(
            'uncertainty: 6.0e-4, date: "2026-11-01"', 'uncertainty: 6.0e-4, date: "2026-11-01", expires: "2020-01-01"'
        )
    )
    assert "pixel_size" in refused(["run", "edx-tomography", "--instrument", str(old)], tmp_path / "out", capsys)


def test_out_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.write_text("mine")
    refused(["run", "edx-tomography"], out, capsys)
    assert out.read_text() == "mine"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_out_is_read_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    out.mkdir(mode=0o500)
    refused(["run", "edx-tomography"], out, capsys)


def test_disk_too_small(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9 - 1000, 1000))
    assert "GB" in refused(["run", "edx-tomography"], tmp_path / "out", capsys)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_file(play(tmp_path_factory.mktemp("finished")))


def copy_of(finished: Path, folder: Path) -> Path:
    copy = folder / finished.name
    shutil.copy(finished, copy)
    return copy


READERS = (["check"], ["show"], ["reconstruct"], ["measure", "elongation"], ["measure", "fsc"], ["measure", "area"])


@pytest.mark.parametrize("command", READERS, ids=" ".join)
@pytest.mark.parametrize("damage", ["absent", "truncated", "empty", "text", "newer"])
def test_damaged_run_file(
    command: list[str], damage: str, finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import h5py

    file = copy_of(finished, tmp_path)
    if damage == "absent":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "empty":
        file.write_bytes(b"")
    elif damage == "text":
        file.write_text("not a run\n" * 100)
    else:
        with h5py.File(file, "r+") as opened:
            del opened["entry/format_version"]
            opened["entry/format_version"] = 99
    before = file.read_bytes() if file.exists() else None
    code = call([*command, str(file)])
    said = capsys.readouterr()
    if command == ["check"] and damage in ("truncated", "newer"):  # a file of a run, and not as it was
        assert code == 1
        assert "FAIL" in said.out
    else:
        assert code == 2, said.err
        lines = said.err.strip().splitlines()
        assert len(lines) == 1
        assert len(lines[0]) <= 310
    assert (file.read_bytes() if file.exists() else None) == before


@pytest.mark.parametrize(
    "options",
    [
        ("--element", "Au"),
        ("--element", "Xx"),
        ("--iterations", "0"),
        ("--iterations", "-3"),
        ("--iterations", "many"),
        ("--algorithm", "magic"),
        ("--name", "../escape"),
    ],
    ids=" ".join,
)
def test_bad_reconstruction(
    options: tuple[str, ...], finished: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = copy_of(finished, tmp_path)
    before = file.read_bytes()
    code = call(["reconstruct", str(file), *options])
    said = capsys.readouterr()
    assert code == 2, said.err
    assert len(said.err.strip().splitlines()) == 1
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_a_real_process_refuses_in_the_same_way(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cryoctl.cli.main", "run", "edx-tomography", "--set", "tilts.step_deg=0", "--json"]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "out")], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    import json

    assert json.loads(done.stdout)["exit_code"] == 2
    assert not (tmp_path / "out").exists()
