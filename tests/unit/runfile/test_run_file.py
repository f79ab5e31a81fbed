from __future__ import annotations

import json
import shutil

import h5py
import numpy as np
import pytest

import cryoctl
from cryoctl.errors import FileProblem, RunFileError
from cryoctl.launch.volume_files import volumes_of_run
from cryoctl.runfile.event_store import EventStore
from cryoctl.runfile.journal import read_journal
from cryoctl.runfile.lock import RunLock
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.runfile.reconstructions import names_newest_first
from cryoctl.runfile.registered import registered_sum
from cryoctl.runfile.summary import summary_of
from cryoctl.runfile.writer import add_reconstruction, pack


def datasets(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None)
    return found


def test_what_was_recorded_stands_in_the_file(packed_run):
    reader = PartsReader(RunParts.beside(packed_run))
    records = reader.fold.frame_records("image")
    with cryoctl.open_run(packed_run) as run:
        assert run.packed
        assert run.status == "completed"
        assert list(run.image.tilt_deg) == [0.0, 3.0, -3.0, 6.0, -6.0]
        assert run.exposures.kind == ["search", *["focus", "record"] * 5]
        for frame, record in enumerate(records):
            scans = reader.read_frame(record)
            np.testing.assert_array_equal(run.image.scans[frame], scans)
            np.testing.assert_array_equal(run.image.data[frame], registered_sum(scans, record["shifts_px"]))
            for (pixel, channel), (pixel_back, channel_back) in zip(
                reader.read_events(record), run.edx.scan_events(frame), strict=True
            ):
                np.testing.assert_array_equal(pixel, pixel_back)
                np.testing.assert_array_equal(channel, channel_back)
            cube = run.edx.spectrum_image(frame)
            np.testing.assert_array_equal(cube, run.edx["data"]["data"][frame])
            assert cube.sum() == sum(record["edx"]["counts"])
            parts = sum(run.edx.spectrum_image(frame, [scan]).astype(int) for scan in range(3))
            np.testing.assert_array_equal(parts, cube)
        energy = run.edx.energy_ev
        for element, line_ev in run.edx.lines_ev.to_dict().items():
            inside = np.abs(energy - line_ev) <= 80.0
            expected = [run.edx.spectrum_image(frame)[..., inside].sum() for frame in range(5)]
            assert list(run.edx.window_counts[element]) == expected
        assert run.results["current"].verdict == "below detection"
        assert run.results.eucentric.grid_z_m_sigma == 2e-8
        assert list(run.truth.drift_m) == [0, 0]
        assert run.dose.grid == reader.fold.grid
        assert run.dose.map.max() == pytest.approx(4000.0)
        assert run.monitors.temperature.value.shape == (11,)
        assert "tilting" in run.events.name
    reader.close()


def test_pictures_of_differing_shape_are_padded_and_say_so(packed_run):
    with cryoctl.open_run(packed_run) as run:
        assert run.focus.data.shape == (5, 16, 16)
        assert run.focus.shape.tolist() == [[12, 16], [16, 16], [12, 16], [16, 16], [12, 16]]
        assert not run.focus.data[0][12:].any()
        assert run.focus.data[0][:12].all()


def test_registration_moves_content_back():
    scan = np.zeros((9, 9), np.uint16)
    scan[4, 4] = 7
    moved = np.zeros((9, 9), np.uint16)
    moved[6, 3] = 7
    total = registered_sum(np.stack([scan, moved]), [[0.0, 0.0], [1.8, -1.2]])
    assert total[4, 4] == 14
    assert total.sum() == 14


def test_equal_runs_are_equal_files(tmp_path, synthetic_run):
    found = []
    for name in ("a", "b"):
        path = synthetic_run(tmp_path / name)
        pack(path, path.with_suffix(".parts"))
        found.append(datasets(path))
    assert found[0].keys() == found[1].keys()
    for name, value in found[0].items():
        np.testing.assert_array_equal(value, found[1][name], err_msg=name)


@pytest.mark.parametrize("crashed", [False, True])
def test_a_run_that_was_not_packed_reads_the_same(tmp_path, synthetic_run, crashed):
    path = synthetic_run(tmp_path, ended=not crashed, crash_in_exposure=crashed)
    with cryoctl.open_run(path) as run:
        assert not run.packed
        assert not run.is_live
        folded = {name: np.asarray(run.root.value(name)) for name in ("entry/dose/map_e_per_a2", "image/data/data")}
        counts = run.edx.window_counts.to_dict()
        assert len(run.exposures.kind) == 11 + crashed
    pack(path, path.with_suffix(".parts"))
    with cryoctl.open_run(path) as run:
        assert run.packed
        for name, value in folded.items():
            np.testing.assert_array_equal(run.root.value(name), value)
        assert run.edx.window_counts.to_dict() == counts


def test_a_running_run_is_live_and_the_skeleton_alone_or_the_parts_alone_open_too(tmp_path, synthetic_run):
    path = synthetic_run(tmp_path, ended=False)
    with RunLock(RunParts.beside(path).lock), cryoctl.open_run(path) as run:
        assert run.is_live
        assert run.status == "running"
    with h5py.File(path) as file:
        assert file["entry/status"].asstr()[()] == "running"
    with cryoctl.open_run(path.with_suffix(".parts")) as run:
        assert len(run.image) == 5
    path.unlink()
    assert summary_of(path)["frames"] == 5


def test_a_journal_torn_anywhere_still_opens(tmp_path, synthetic_run):
    path = synthetic_run(tmp_path, n_tilts=3, ended=False)
    journal = RunParts.beside(path).journal
    whole = journal.read_bytes()
    first = whole.index(b"\n") + 1
    for kept in np.linspace(first, len(whole), 12).astype(int):
        journal.write_bytes(whole[:kept])
        frames = sum(r["k"] == "frame" and r["stream"] == "image" for r in read_journal(journal))
        with cryoctl.open_run(path) as run:
            assert (len(run.image) if "image" in run else 0) == frames


def test_a_resumed_run_is_read_from_its_journal_until_packed_again(packed_run):
    from cryoctl.runfile.journal import Journal

    journal, _ = Journal.reopen(RunParts.beside(packed_run).journal)
    journal.append("session", {"start_s": 99.0, "reason": "resumed"}, t=99.0)
    with cryoctl.open_run(packed_run) as run:
        assert not run.packed
        assert list(run.sessions.reason) == ["start", "resumed"]


@pytest.mark.parametrize("how", ["absent", "folder", "text", "empty", "truncated", "foreign", "newer", "no parts"])
def test_what_is_no_run_gets_one_sentence(tmp_path, packed_run, synthetic_run, how):
    path = tmp_path / "it.nxs"
    if how == "folder":
        path.mkdir()
    elif how == "text":
        path.write_text("not hdf5 at all")
    elif how == "empty":
        path.touch()
    elif how == "truncated":
        data = packed_run.read_bytes()
        path.write_bytes(data[: len(data) // 2])
    elif how == "foreign":
        with h5py.File(path, "w") as file:
            file["entry/data"] = 1
    elif how == "newer":
        shutil.copy(packed_run, path)
        with h5py.File(path, "r+") as file:
            file["entry/format_version"][()] = 99
    elif how == "no parts":
        (tmp_path / "other").mkdir()
        shutil.copy(synthetic_run(tmp_path / "other"), path)
    with pytest.raises(FileProblem) as caught:
        cryoctl.open_run(path)
    assert len(str(caught.value)) < 300 + len(str(tmp_path))
    assert str(path) in str(caught.value)


def test_packing_that_fails_leaves_the_file_and_no_rest(packed_run):
    before = packed_run.read_bytes()
    parts = RunParts.beside(packed_run)
    store = EventStore(parts.edx_events)
    record = PartsReader(parts).fold.frame_records("image")[2]["edx"]
    store.close()
    data = bytearray(parts.edx_events.read_bytes())
    data[record["offset"] + 40] ^= 1
    parts.edx_events.write_bytes(data)
    with pytest.raises(RunFileError, match="checksum"):
        pack(packed_run, parts.folder)
    assert packed_run.read_bytes() == before
    assert not [path for path in parts.folder.iterdir() if path.name.startswith(".packing")]
    assert [path.name for path in packed_run.parent.iterdir() if ".nxs" in path.name] == [packed_run.name]


def test_a_reconstruction_is_added_replaced_and_kept_whole(packed_run, monkeypatch):
    volume = np.random.default_rng(0).random((4, 5, 6)).astype(np.float32)
    add_reconstruction(packed_run, "first", {"Si/volume": volume, "Si/voxel_size_m": 1e-8, "Si/algorithm": "mlem"})
    add_reconstruction(packed_run, "first", {"Si/volume": 2 * volume, "O/volume": volume})
    add_reconstruction(packed_run, "other", {"/reconstruction/alignment/tilt_axis_deg": 0.2, "F/volume": volume})
    before = packed_run.read_bytes()
    with cryoctl.open_run(packed_run) as run:
        np.testing.assert_array_equal(np.asarray(run.reconstruction["first"]["Si"].volume), 2 * volume)
        assert run.reconstruction["first"].keys() == ["O", "Si"]
        assert run.reconstruction.alignment.tilt_axis_deg == 0.2
        assert names_newest_first(run.reconstruction)[:2] == ["other", "first"]
    add_reconstruction(packed_run, "first", {"Si/volume": 2 * volume, "Si/voxel_size_m": 1e-8, "O/voxel_size_m": 1e-8})
    before = packed_run.read_bytes()
    with cryoctl.open_run(packed_run) as run:
        assert names_newest_first(run.reconstruction)[:2] == ["first", "other"]
    assert next(iter(volumes_of_run(packed_run).values())).name.startswith("first/")

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cryoctl.runfile.writer.put", fail)
    with pytest.raises(OSError, match="space"):
        add_reconstruction(packed_run, "third", {"Si/volume": volume})
    assert packed_run.read_bytes() == before


def test_summary_is_the_json_of_the_contract(packed_run):
    summary = summary_of(packed_run)
    assert json.loads(json.dumps(summary, allow_nan=False)) == summary
    names = (
        "run_file status exit_code end_reason message seed duration_s wall_s frames frames_skipped bytes dose counts"
    )
    assert set(summary) == {*names.split(), *"targets interlocks results predicted operator journal_head".split()}  # noqa: SIM905
    assert (summary["frames"], summary["exit_code"], summary["end_reason"]) == (5, 0, "completed")
    assert summary["dose"]["peak"] == pytest.approx(4000.0)
    assert summary["targets"] == [{"name": "T1", "outcome": "completed", "reason": ""}]
    assert sum(summary["counts"].values()) > 7000


def test_nothing_heavy_is_loaded_with_the_package():
    import subprocess
    import sys

    code = "import sys, cryoctl; print([m for m in ('h5py','numpy','numba','scipy') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
