"""The run file as others open it: HyperSpy, silx, pynxtools (marked `peers`) and nexusformat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cryoctl
from cryoctl.launch.request import RunRequest
from cryoctl.launch.run import run


@pytest.mark.peers
def test_hyperspy_gets_one_edx_signal_with_its_axes_and_metadata(packed_run):
    import hyperspy.api as hs

    signal = hs.load(str(packed_run), use_default=True, lazy=True)
    assert type(signal).__name__ == "LazyEDSTEMSpectrum"
    assert signal.data.shape == (5, 24, 32, 256)
    assert signal.data.chunksize == (1, 24, 32, 256), "HyperSpy's blocks are the chunks of the file"
    axes = [(axis.name, axis.offset, axis.scale, axis.units) for axis in signal.axes_manager._axes]
    assert axes == [("frame", 0, 1, ""), ("y", 0, 10, "nm"), ("x", 0, 10, "nm"), ("energy", 0, 0.02, "keV")]
    tem = signal.metadata.Acquisition_instrument.TEM
    assert tem.beam_energy == 200
    assert tem.beam_current == pytest.approx(0.1)
    assert (tem.Detector.EDS.live_time, tem.Detector.EDS.real_time) == pytest.approx((1.8, 2.1))
    np.testing.assert_array_equal(np.asarray(signal.metadata.Tomography.tilts), [0, 3, -3, 6, -6])
    several = hs.load(str(packed_run), nxdata_only=True)
    assert sorted(type(one).__name__ for one in several) == ["EDSTEMSpectrum", "Signal2D"]


@pytest.mark.peers
@pytest.mark.parametrize(("state", "pictures"), [("locate", 0), ("eucentric", 1)])
def test_hyperspy_opens_a_run_without_record_pictures(state, pictures, tmp_path):
    """As docs/how-to/read-a-run-file.md says it: HyperSpy can't read an array without a row as metadata."""
    import hyperspy.api as hs

    result = run(RunRequest(recipe="edx-tomography", out=tmp_path, until=state))
    assert result.summary["frames"] == 0
    found = hs.load(str(result.run_file), nxdata_only=True, skip_array_metadata=True)
    assert len(found if isinstance(found, list) else [found]) == pictures


@pytest.mark.peers
def test_intensities_of_exspy_are_the_window_counts(packed_run):
    import hyperspy.api as hs

    signal = hs.load(str(packed_run), use_default=True, lazy=True)
    with cryoctl.open_run(packed_run) as run:
        elements = list(run.edx.windows_ev)
        windows = [(run.edx.windows_ev[element] / 1e3).tolist() for element in elements]
        found = signal.get_lines_intensity([f"{one}_Ka" for one in elements], integration_windows=windows)
        for element, intensity in zip(elements, found, strict=True):
            counts = np.asarray(intensity.data).sum(axis=(1, 2))
            np.testing.assert_array_equal(counts, run.edx.window_counts[element])


@pytest.mark.peers
def test_silx_finds_a_valid_default_plot(packed_run):
    import silx.io
    from silx.io import nxdata

    with silx.io.open(str(packed_run)) as file:
        plot = nxdata.get_default(file)
        assert plot.is_valid
        assert plot.interpretation == "spectrum"
        for entry in ("edx", "image"):
            assert nxdata.get_default(file[entry]).is_valid


def told_by(tool, *arguments):
    """Text of a validator; their exit codes say nothing."""
    done = subprocess.run([Path(sys.executable).parent / tool, *arguments], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_nexusformat_finds_no_error(packed_run):
    assert "number of errors: 0" in told_by("nxvalidate", "-e", packed_run), "of the first entry"
    assert "number of errors: 0" in told_by("nxcheck", "-e", packed_run)
    for entry in ("/entry", "/edx", "/image"):
        assert "number of errors: 0" in told_by("nxvalidate", "-e", "-p", entry, packed_run)


@pytest.mark.peers
def test_pynxtools_calls_every_entry_with_a_definition_valid(packed_run):
    text = told_by("pynx", "validate", "--ignore-undocumented", packed_run)
    assert "NOT valid" not in text
    assert text.count("is valid according to") == 3
