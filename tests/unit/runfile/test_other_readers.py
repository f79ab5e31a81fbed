"""The run file as others open it: HyperSpy, nexusformat, silx, pynxtools. Skipped where they are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cryoctl


def test_hyperspy_gets_one_edx_signal_and_the_counts(packed_run):
    hs = pytest.importorskip("hyperspy.api", reason="hyperspy is not installed")
    pytest.importorskip("exspy", reason="exspy is not installed")
    signal = hs.load(str(packed_run), use_default=True, lazy=True)
    assert type(signal).__name__ == "LazyEDSTEMSpectrum"
    assert signal.data.shape == (5, 24, 32, 256)
    several = hs.load(str(packed_run), nxdata_only=True, lazy=True)
    assert sorted(type(one).__name__ for one in several) == ["LazyEDSTEMSpectrum", "LazySignal2D"]
    with cryoctl.open_run(packed_run) as run:
        energy = run.edx.energy_ev
        for element, line_ev in run.edx.lines_ev.to_dict().items():
            inside = energy[np.abs(energy - line_ev) <= run.edx.window_ev / 2]
            window = [inside[0] / 1e3, (inside[-1] + run.edx.energy_scale_ev) / 1e3]
            found = signal.get_lines_intensity([f"{element}_Ka"], integration_windows=[window])[0]
            np.testing.assert_array_equal(np.asarray(found.data).sum(axis=(1, 2)), run.edx.window_counts[element])


def test_silx_finds_a_valid_default_plot(packed_run):
    nxdata = pytest.importorskip("silx.io.nxdata", reason="silx is not installed")
    import silx.io

    with silx.io.open(str(packed_run)) as file:
        plot = nxdata.get_default(file)
        assert plot.is_valid
        assert plot.interpretation == "spectrum"
        assert nxdata.NXdata(file["/image/data"]).is_valid


def told_by(tool, *arguments):
    """Text of a validator; their exit codes say nothing."""
    done = subprocess.run([Path(sys.executable).parent / tool, *arguments], check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def test_nexusformat_finds_no_error(packed_run):
    pytest.importorskip("nexusformat", reason="nexusformat is not installed")
    assert "number of errors: 0" in told_by("nxcheck", "-e", packed_run)
    for entry in ("/entry", "/image"):
        assert "number of errors: 0" in told_by("nxvalidate", "-e", "-p", entry, packed_run)


def test_pynxtools_calls_both_definitions_valid(packed_run):
    pytest.importorskip("pynxtools", reason="pynxtools is not installed")
    text = told_by("pynx", "validate", "--ignore-undocumented", packed_run)
    assert "NOT valid" not in text
    assert text.count("is valid according to") == 2
