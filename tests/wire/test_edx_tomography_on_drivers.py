"""`edx-tomography` with the drivers of a Thermo Fisher TEM and an Amptek detector, beside the simulated microscope.

Run: `python -m pytest -m campaign -s tests/wire/test_edx_tomography_on_drivers.py`.
"""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from cryoctl import open_run
from cryoctl.launch.request import RunRequest
from cryoctl.launch.run import run
from cryoctl.runfile.check import check_run
from tests.wire.test_temscript_run import INSTRUMENT

RECIPE = (
    "image.shape=[16,16]",
    "image.pixel_size_m=60e-9",
    "tilts={scheme: list, list_deg: [0, 30]}",
    "track.shape=[128,128]",
    "focus.shape=[128,128]",
    "search.shape=[256,256]",
)
CHANNELS = {"energy_scale_ev": 20.0}
EDX = {
    "kind": "edx",
    "driver": "amptek-dp5",
    "settings": {**CHANNELS, "channels": 512, "pixel_buffers": 512},
    "emulator": {
        "model": "amptek-dp5",
        "settings": {**CHANNELS, "n_channels": 512, "pixel_clock_wired": True, "buffers": 512},
    },
}
HOLDER = {"kind": "holder", "driver": "lake-shore-33x", "emulator": {"model": "lake-shore-335"}}


@pytest.mark.campaign
def test_each_electron_gives_as_many_counts_as_on_the_simulated_microscope(tmp_path: Path) -> None:
    data = yaml.safe_load(INSTRUMENT)
    data["devices"] |= {"edx": EDX, "holder": HOLDER}
    instrument = tmp_path / "tem.yaml"
    instrument.write_text(yaml.safe_dump(data), encoding="utf-8")
    yields: list[dict[str, tuple[float, float]]] = []
    for source, recipe in ((instrument, (*RECIPE, "optics.search=record")), ("simulated", RECIPE)):
        result = run(RunRequest(recipe="edx-tomography", out=tmp_path, seed=1, instrument=source, overrides=recipe))
        assert result.exit_code == 0, result
        assert result.run_file is not None
        assert check_run(result.run_file).ok
        with open_run(result.run_file) as made:
            true = float(np.max(made.truth.dose_map_e_per_a2))
            counts = made.edx.window_counts
            found = {element: float(np.sum(counts[element])) for element in counts}
            yields.append({element: (count / true, 1 / math.sqrt(count)) for element, count in found.items()})
    drivers, simulated = yields
    for element, value in drivers.items():
        print(
            f"{element}: {value:.2f} counts an e-/A^2 on drivers, {simulated[element]:.2f} on the simulated microscope"
        )
        assert value == pytest.approx(simulated[element], rel=0.02)
