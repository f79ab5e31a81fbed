from __future__ import annotations

import csv

import numpy as np
import pytest

import cryoctl
from cryoctl.errors import BadInput
from cryoctl.runfile.check import check_run
from cryoctl.runfile.export import csv_logs, hspy, mrc, nexus, tilt_stack
from cryoctl.runfile.writer import pack


@pytest.fixture
def run(tmp_path, synthetic_run):
    path = synthetic_run(tmp_path / "run")
    maps = np.random.default_rng(0).random((5, 24, 32)).astype(np.float32)
    volume = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    extras = {"edx/maps/Si": maps, "reconstruction/live/Si": {"volume": volume, "voxel_size_m": 2e-8}}
    pack(path, path.with_suffix(".parts"), extras)
    with cryoctl.open_run(path) as opened:
        yield opened


def by_angle(run, data):
    return np.stack([np.asarray(data[frame]) for frame in np.argsort(run.image.tilt_deg)])


@pytest.mark.peers
def test_hspy_loads_as_edx(run, tmp_path):
    import hyperspy.api as hs

    (path,) = hspy.export(run, tmp_path / "out")
    signal = hs.load(str(path))
    assert type(signal).__name__ == "EDSTEMSpectrum"
    assert signal.metadata.Sample.elements == ["F", "O", "Si"]
    assert signal.metadata.Acquisition_instrument.TEM.beam_energy == 200.0
    np.testing.assert_array_equal(signal.metadata.Tomography.tilts, [-6, -3, 0, 3, 6])
    np.testing.assert_array_equal(signal.data, by_angle(run, run.edx["data"]["data"]))
    assert signal.axes_manager[-1].units == "keV"
    assert signal.axes_manager[-1].scale == pytest.approx(0.02)


@pytest.mark.peers
def test_tilt_stacks_load_sorted(run, tmp_path):
    import hyperspy.api as hs

    paths = tilt_stack.export(run, tmp_path / "out")
    assert [path.name for path in paths] == ["synthetic_1_001_haadf.hspy", "synthetic_1_001_Si.hspy"]
    haadf, silicon = (hs.load(str(path)) for path in paths)
    np.testing.assert_array_equal(haadf.data, by_angle(run, run.image.data))
    np.testing.assert_array_equal(silicon.data, by_angle(run, run.edx.maps["Si"]))
    np.testing.assert_array_equal(silicon.metadata.Tomography.tilts, [-6, -3, 0, 3, 6])
    assert (haadf.axes_manager[0].offset, haadf.axes_manager[0].scale) == (-6.0, 3.0)


def test_mrc_has_angles_doses_and_volumes(run, tmp_path):
    import mrcfile

    names = {path.name: path for path in mrc.export(run, tmp_path / "out")}
    assert mrcfile.validate(names["synthetic_1_001_haadf.mrc"])
    with mrcfile.open(names["synthetic_1_001_haadf.mrc"]) as file:
        np.testing.assert_array_equal(file.data, by_angle(run, run.image.data))
        assert file.is_image_stack()
        assert float(file.voxel_size.x) == pytest.approx(100.0)
    assert names["synthetic_1_001_haadf.rawtlt"].read_text().split() == [
        "-6.0000", "-3.0000", "0.0000", "3.0000", "6.0000",
    ]  # fmt: skip
    text = names["synthetic_1_001_haadf.mrc.mdoc"].read_text()
    priors = [float(line.split("=")[1]) for line in text.splitlines() if line.startswith("PriorRecordDose")]
    assert priors == [3200.0, 1600.0, 0.0, 800.0, 2400.0]  # tilts were taken as 0, 3, -3, 6, -6
    with mrcfile.open(names["synthetic_1_001_live_Si_rec.mrc"]) as file:
        assert file.data.shape == (2, 3, 4)
        assert float(file.voxel_size.z) == pytest.approx(200.0)


def test_csv_reads_back(run, tmp_path):
    names = {path.name: path for path in csv_logs.export(run, tmp_path / "out")}
    with names["synthetic_1_001_exposures.csv"].open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["kind"] for row in rows] == run.exposures.kind
    assert [float(row["dose_e_per_a2"]) for row in rows] == run.exposures.dose_e_per_a2.tolist()
    assert "synthetic_1_001_monitor_temperature.csv" in names
    with names["synthetic_1_001_counts.csv"].open(newline="", encoding="utf-8") as file:
        assert [int(row["window_Si"]) for row in csv.DictReader(file)] == run.edx.window_counts["Si"].tolist()


def test_nexus_copies_a_finished_and_packs_a_killed_run(run, tmp_path, synthetic_run):
    (copy,) = nexus.export(run, tmp_path / "copy.nxs")
    assert copy.read_bytes() == run.path.read_bytes()
    with pytest.raises(BadInput, match="already"):
        nexus.export(run)
    killed = synthetic_run(tmp_path / "killed", ended=False)
    with cryoctl.open_run(killed) as open_killed:
        (packed,) = nexus.export(open_killed, tmp_path / "out")
    assert check_run(packed).ok


def test_a_run_without_frames_and_a_file_as_folder_are_refused(run, tmp_path, synthetic_run):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="folder"):
        mrc.export(run, tmp_path / "file")
    empty = synthetic_run(tmp_path / "empty", ended=False)
    journal = empty.with_suffix(".parts") / "journal.jsonl"
    journal.write_bytes(journal.read_bytes().split(b"\n")[0] + b"\n")
    with cryoctl.open_run(empty) as nothing:
        for exporter in (hspy, mrc, tilt_stack):
            with pytest.raises(BadInput):
                exporter.export(nothing, tmp_path)
        assert csv_logs.export(nothing, tmp_path / "logs")
