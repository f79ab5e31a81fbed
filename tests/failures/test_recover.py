"""`recover`: a whole file of runs that were killed, cut or met a full disk; the original is never changed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cryoctl
from cryoctl.cli.main import call
from cryoctl.errors import FileProblem
from cryoctl.launch.prior import earlier_dose
from cryoctl.launch.recover import Recovered, recover
from cryoctl.runfile import steady_file
from cryoctl.runfile.check import check_run
from cryoctl.runfile.journal import read_journal
from cryoctl.runfile.lock import RunLock
from cryoctl.runfile.parts import RunParts
from cryoctl.runfile.writer import pack
from tests.runs.small_runs import SMALL, play, run_file
from tests.unit.runfile.synthetic_run import synthetic_run

Frames = dict[str, bytes]


def everything(folder: Path) -> dict[str, str]:
    """SHA-256 of all files in a folder."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in found}


def recovered(path: Path, **options: Any) -> Recovered:
    """Recover, look that nothing that was there has changed and that the copy is sound."""
    before = everything(path.parent)
    made = recover(path, **options)
    after = everything(path.parent)
    assert {name: after.get(name) for name in before} == before
    report = check_run(made.out)
    assert report.ok, [one for one in report.checks if not one.ok]
    assert report.frames == made.frames_kept
    assert not list(path.parent.rglob(".packing*"))
    return made


def frames_of(path: Path) -> Frames:
    """What the detector gave, by the SHA-256 of each record frame in the order of the file."""
    with cryoctl.open_run(path) as run:
        if "image" not in run:
            return {}
        found: Frames = {}
        for frame, sha256 in enumerate(run.image.sha256):
            rows, columns = run.image.shape[frame]
            scans = np.asarray(run.image.scans[frame][: run.image.scan_count[frame], :rows, :columns], dtype="<u2")
            found[sha256] = scans.tobytes()
        return found


def cut(path: Path, by: int) -> None:
    os.truncate(path, max(0, path.stat().st_size - by))


@pytest.fixture
def killed(tmp_path: Path) -> Path:
    return synthetic_run(tmp_path / "run", n_tilts=4, ended=False, crash_in_exposure=True)


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    path = synthetic_run(tmp_path / "run", n_tilts=4)
    pack(path, path.with_suffix(".parts"))
    return path


def test_a_killed_run_becomes_a_whole_file_that_says_so(killed: Path) -> None:
    made = recovered(killed)
    assert made.out == killed.with_name("synthetic_1_001_recovered.nxs")
    assert (made.frames_kept, made.losses.frames, made.losses.bytes) == (4, 0, 0)
    with cryoctl.open_run(made.out) as run, cryoctl.open_run(killed) as original:
        assert run.packed
        assert run.status == "recovered"
        assert "broke off in state tilting" in run.entry.message
        assert run.entry.recovered["from"] == killed.name
        assert run.exposures.outcome[-1] == "charged-in-full"
        assert run.exposures.frame.tolist() == original.exposures.frame.tolist()
        np.testing.assert_array_equal(run.dose.map, original.dose.map)
        assert run.edx.data.data.shape == (4, 24, 32, 256)
    assert frames_of(made.out) == frames_of(killed)
    assert recovered(killed).out.name == "synthetic_1_001_recovered_2.nxs"


@pytest.mark.parametrize("name", ["there already", "no folder", "not a run file", "nothing there"])
def test_what_can_not_be_done_is_refused_and_nothing_written(killed: Path, tmp_path: Path, name: str) -> None:
    out = {"there already": killed, "no folder": tmp_path / "no" / "it.nxs", "not a run file": tmp_path / "it.h5"}
    before = everything(tmp_path)
    source = tmp_path / "none.nxs" if name == "nothing there" else killed
    assert call(["recover", str(source), "--out", str(out.get(name, tmp_path / "it.nxs"))]) == 2
    assert everything(tmp_path) == before


def test_a_run_that_a_process_has_is_refused(killed: Path) -> None:
    with RunLock(RunParts.beside(killed).lock), pytest.raises(FileProblem, match=f"process {os.getpid()}"):
        recover(killed)


@pytest.mark.parametrize("skeleton", ["missing", "empty", "cut"])
def test_the_skeleton_is_not_needed(killed: Path, skeleton: str, capsys: pytest.CaptureFixture[str]) -> None:
    if skeleton == "missing":
        killed.unlink()
    else:
        cut(killed, 2000 if skeleton == "cut" else 1 << 20)
        assert call(["show", str(killed)]) == 2
        assert "`cryoctl recover`" in capsys.readouterr().err
    assert recovered(killed).frames_kept == 4


def test_a_torn_line_is_told(killed: Path) -> None:
    with RunParts.beside(killed).journal.open("ab") as file:
        file.write(b'{"data":{')
    made = recovered(killed)
    assert made.losses.bytes == 9
    assert "torn line" in made.losses.sentences[0]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6])
def test_a_cut_journal_loses_what_it_no_longer_tells(killed: Path, share: float) -> None:
    whole = frames_of(killed)
    journal = RunParts.beside(killed).journal
    cut(journal, int(journal.stat().st_size * share))
    told = sum(record["k"] == "frame" and record["stream"] == "image" for record in read_journal(journal))
    made = recovered(killed)
    assert made.frames_kept == told
    assert told <= 4 <= told + made.losses.frames + 1
    assert frames_of(made.out).items() <= whole.items()
    if share > 0.1:
        assert "no record in the journal" in "".join(made.losses.sentences)
        with pytest.raises(FileProblem, match="its ledger lacks dose"):
            earlier_dose(str(made.out), killed.parent)


@pytest.mark.parametrize("slots", [0.5, 2.0])
def test_a_cut_segment_loses_the_frames_in_the_cut(killed: Path, slots: float) -> None:
    whole = frames_of(killed)
    segment = RunParts.beside(killed).frames / "image_0.h5"
    slot_bytes = 2 * 3 * 24 * 32
    cut(segment, int((60 + slots) * slot_bytes))  # of 64 slots the last 60 are empty
    lost = int(np.ceil(slots))
    made = recovered(killed)
    assert (made.frames_kept, made.losses.frames) == (4 - lost, lost)
    assert list(frames_of(made.out).items()) == list(whole.items())[: 4 - lost]
    with cryoctl.open_run(made.out) as run:
        records = [
            frame for frame, kind in zip(run.exposures.frame, run.exposures.kind, strict=True) if kind == "record"
        ]
        assert records == [*range(4 - lost), *[-1] * (lost + 1)]


def test_a_cut_events_file_keeps_the_pictures(killed: Path) -> None:
    events = RunParts.beside(killed).edx_events
    cut(events, events.stat().st_size // 3)
    made = recovered(killed)
    assert (made.frames_kept, made.losses.frames) == (4, 0)
    assert sum("its picture is whole" in sentence for sentence in made.losses.sentences) == 2
    with cryoctl.open_run(made.out) as run:
        assert np.isnan(run.edx.live_time_s).all(axis=1).tolist() == [False, False, True, True]
    from cryoctl.launch.tilt_recording import read_recording

    with cryoctl.open_run(made.out) as run:
        assert [tilt.frame for tilt in read_recording(run).tilts] == [0, 1]


def test_a_cut_run_file_is_made_anew_from_its_parts(finished: Path) -> None:
    whole = frames_of(finished)
    cut(finished, 5000)
    made = recovered(finished)
    assert (made.frames_kept, made.losses.frames) == (4, 0)
    assert frames_of(made.out) == whole
    with cryoctl.open_run(made.out) as run:
        assert (run.status, run.entry.exit_code) == ("completed", 0)


def test_a_cut_run_file_without_its_parts_is_salvaged(finished: Path) -> None:
    whole = frames_of(finished)
    shutil.rmtree(RunParts.beside(finished).folder)
    cut(finished, 40_000)
    made = recovered(finished)
    assert (made.frames_kept, made.losses.bytes, made.source) == (4, 40_000, "salvaged")
    assert frames_of(made.out) == whole
    cut(finished, 1 << 30)
    assert call(["recover", str(finished)]) == 2


def test_a_damaged_dataset_without_the_parts_is_left_out(finished: Path) -> None:
    from tests.failures.random_changes import dataset_bytes

    shutil.rmtree(RunParts.beside(finished).folder)
    dataset_bytes(finished, np.random.default_rng(1), "results/eucentric/grid_z_m")
    made = recovered(finished)
    assert any("/results/eucentric/grid_z_m" in sentence for sentence in made.losses.sentences)


def test_a_whole_file_is_copied_and_marked(finished: Path) -> None:
    made = recovered(finished)
    assert made.source == "file"
    with cryoctl.open_run(made.out) as run:
        assert run.status == "completed"
        assert run.entry.recovered["from"] == finished.name


def test_a_recovered_copy_is_not_counted_beside_its_original(killed: Path) -> None:
    once = earlier_dose("nanowire", killed.parent)
    for _ in range(2):
        recover(killed)
    again = earlier_dose("nanowire", killed.parent)
    assert again.names == once.names == (killed.name,)
    np.testing.assert_array_equal(again.maps[0][1], once.maps[0][1])
    cut(RunParts.beside(killed).frames / "image_0.h5", 61 * 2 * 3 * 24 * 32)
    instead = earlier_dose("nanowire", killed.parent)
    assert instead.names == ("synthetic_1_001_recovered.nxs",)
    np.testing.assert_array_equal(instead.maps[0][1], once.maps[0][1])


def full_after(bytes_left: int) -> Callable[[int, Any], None]:
    """Writes as on a disk with so many bytes left."""
    real, left = steady_file.write_all, [bytes_left]

    def write(fd: int, data: Any) -> None:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(fd, data)

    return write


@pytest.mark.parametrize("bytes_left", [0, 3000, 60_000, 250_000])
def test_a_disk_that_fills_while_packing_leaves_the_file_and_its_parts(
    finished: Path, monkeypatch: pytest.MonkeyPatch, bytes_left: int
) -> None:
    before = everything(finished.parent)
    with monkeypatch.context() as patched:
        patched.setattr(steady_file, "write_all", full_after(bytes_left))
        with pytest.raises(OSError, match="No space left"):
            pack(finished, RunParts.beside(finished).folder, {"results/noise": np.random.default_rng(0).random(50_000)})
    assert everything(finished.parent) == before
    assert check_run(finished).ok


def test_a_run_whose_disk_is_full_at_the_end_says_so_and_is_recovered_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, sets = tmp_path / "full", [part for text in SMALL for part in ("--set", text)]
    with monkeypatch.context() as patched:
        real = __import__("cryoctl.runfile.writer", fromlist=["write_run"]).write_run

        def fills(*arguments: Any, **options: Any) -> None:
            patched.setattr(steady_file, "write_all", full_after(400_000))
            real(*arguments, **options)

        patched.setattr("cryoctl.runfile.writer.write_run", fills)
        assert call(["run", "edx-tomography", "--out", str(out), "--json", *sets]) == 5
    told = json.loads(capsys.readouterr().out)
    path = Path(told["run_file"])
    assert "No space left" in told["message"]
    assert "cryoctl recover" in told["message"]
    with cryoctl.open_run(path) as run:
        assert not run.packed
    made = recovered(path, out=tmp_path / "elsewhere.nxs")
    assert made.frames_kept == 3
    assert not [told for told in made.shortfalls if told.startswith("truth")]
    with cryoctl.open_run(made.out) as run:
        assert run.status == "completed"
        assert "dose_map_e_per_a2" in run.truth
        assert "net_counts" in run.results


@pytest.mark.campaign
def test_cuts_at_random_lengths(tmp_path: Path) -> None:
    """Each kind of file, of a run of real size, cut by up to 1 MiB."""
    large = ("edx={elements: [Si, O], scans: 4, dense: true}", "image.shape=[96, 128]", "focus.every=2")
    series = ("tilts={scheme: dose-symmetric, min_deg: -40, max_deg: 40, step_deg: 10}",)
    source = run_file(play(tmp_path / "run", *large, *series, seed=5))
    whole = frames_of(source)
    rng = np.random.default_rng(7)
    told: dict[str, Counter[str]] = {}
    kinds = {"journal": 8, "segment": 8, "EDX events": 8, "run file": 8, "run file alone": 8}
    for kind, many in kinds.items():
        figures = told.setdefault(kind, Counter())
        for number in range(many):
            work = tmp_path / "work"
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            path = work / source.name
            shutil.copyfile(source, path)
            shutil.copytree(RunParts.beside(source).folder, RunParts.beside(path).folder)
            parts = RunParts.beside(path)
            by = int(rng.integers(1, (1 << 20) + 1))
            if kind in ("journal", "segment", "EDX events"):
                path.write_bytes(b"")
            if kind == "run file alone":
                shutil.rmtree(parts.folder)
            segment = parts.frames / f"{['image', 'track', 'focus', 'search'][number % 4]}_0.h5"
            files = {"journal": parts.journal, "segment": segment, "EDX events": parts.edx_events}
            file = files.get(kind, path)
            by = min(by, file.stat().st_size - 1000) if kind != "journal" else min(by, file.stat().st_size - 40_000)
            in_the_cut = lost_at_most(kind, file, by, path)
            cut(file, by)
            made = recovered(path)
            kept = frames_of(made.out)
            assert kept.items() <= whole.items()
            assert len(whole) - len(kept) <= in_the_cut, f"{kind} cut by {by}: {made.losses.sentences}"
            figures.update(cuts=1, kept=len(kept), lost=len(whole) - len(kept), in_the_cut=in_the_cut)
    for kind, figures in told.items():
        print(f"\n{kind}: {dict(figures)}", end="")


def lost_at_most(kind: str, file: Path, by: int, path: Path) -> int:
    """Record frames of which a byte, or the record, lies in the cut; EDX events are lost without their picture."""
    kept = file.stat().st_size - by
    if kind == "journal":
        lines = file.read_bytes()[:kept]
        return 9 - sum(b'"k":"frame"' in line and b'"stream":"image"' in line for line in lines.split(b"\n")[:-1])
    if kind == "segment" and file.name == "image_0.h5":
        from cryoctl.runfile.frame_store import segment_place

        place = segment_place(file)
        return sum(place.offset + (slot + 1) * place.slot_bytes > kept for slot in range(9))
    return 0


@pytest.mark.campaign
def test_runs_killed_at_random_events(tmp_path: Path) -> None:
    """In processes of their own; every frame that was acknowledged is in the recovered file."""
    import subprocess
    import sys

    kept = acknowledged = 0
    for number in range(10):
        folder = tmp_path / str(number)
        folder.mkdir()
        how = ("exit", "exposing")[number % 2]
        command = [sys.executable, "-m", "tests.failures.killed_child", str(folder), str(folder / "events.jsonl")]
        done = subprocess.run([*command, str(1 + number % 3), how], cwd=Path(__file__).parents[2], check=False)
        if done.returncode == 0:  # the third frame was the last: nothing to expose after it
            continue
        (path,) = folder.glob("*.nxs")
        lines = (folder / "events.jsonl").read_bytes().split(b"\n")[:-1]
        told = [one for one in map(json.loads, lines) if one["event"] == "frame"]
        made = recovered(path)
        found = frames_of(made.out)
        assert {one["sha256"] for one in told} <= set(found)
        with cryoctl.open_run(made.out) as run:
            assert run.status == "recovered"
            assert "dose_map_e_per_a2" in run.truth
        kept, acknowledged = kept + len(found), acknowledged + len(told)
    print(f"\n{acknowledged} frames acknowledged, {kept} recovered")
