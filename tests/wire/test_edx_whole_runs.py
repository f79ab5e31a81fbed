"""A whole recipe with an EDX driver on its emulator finds what the simulated detector finds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cryoctl import open_run
from cryoctl.errors import RecipeError
from cryoctl_simulators.instruments import SIMULATED
from tests.runs.small_runs import SMALL, play, run_file

SHAPE = ("tilts={scheme: list, list_deg: [0, 20]}", "image.shape=[8, 12]", "image.pixel_size_m=40e-9")
CHANNELS = {"energy_scale_ev": 20.0}
EMULATED = {"n_channels": 512, "energy_scale_ev": 20.0}
ENTRIES: Mapping[str, Mapping[str, Any]] = {
    "amptek-dp5": {
        "settings": {**CHANNELS, "channels": 512, "pixel_buffers": 256},
        "emulator": {"model": "amptek-dp5", "settings": {**EMULATED, "pixel_clock_wired": True, "buffers": 256}},
    },
    "spectrum-folder": {
        "settings": {**CHANNELS, "n_channels": 512},
        "emulator": {"model": "spectrum-vendor", "settings": EMULATED},
    },
}


def counts(out: Path, driver: str, *overrides: str, **options: Any) -> tuple[str, float]:
    """Status, and the counts at the Si line of all frames."""
    data = yaml.safe_load(SIMULATED.read_text(encoding="utf-8"))
    if driver != "simulated-edx":
        data["devices"]["edx"] = {"kind": "edx", "driver": driver, **ENTRIES[driver]}
    instrument = out / f"{driver}.yaml"
    instrument.write_text(yaml.safe_dump(data), encoding="utf-8")
    result = play(out, *SHAPE, *overrides, base=SMALL, instrument=str(instrument), **options)
    with open_run(run_file(result)) as run:
        return result.summary["status"], float(np.sum(run.edx.window_counts["Si"]))


@pytest.fixture(scope="module")
def wanted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, float]:
    return counts(tmp_path_factory.mktemp("simulated"), "simulated-edx")


@pytest.mark.parametrize("driver", sorted(ENTRIES))
def test_a_recipe_finds_the_same_counts_within_noise(tmp_path: Path, driver: str, wanted: tuple[str, float]):
    faults = tmp_path / "faults.yaml"
    bent = ("line-lost", "line-damaged", "line-split", "line-late")
    bad = [{"device": "edx", "fault": fault, "at": {"time_s": at_s}} for at_s in (0.0, 100.0) for fault in bent]
    faults.write_text(yaml.safe_dump(bad if driver == "amptek-dp5" else []), encoding="utf-8")
    found = counts(tmp_path, driver, faults=faults)
    assert wanted[0] == found[0] == "completed"
    assert wanted[1] > 1000
    assert abs(found[1] - wanted[1]) < 5 * math.sqrt(wanted[1] + found[1])


def test_an_image_that_the_detector_can_not_follow_is_refused_before_anything_starts(tmp_path: Path):
    with pytest.raises(RecipeError, match=r"image\.shape: found 24 x 32 pixels.* at most 255"):
        counts(tmp_path, "amptek-dp5", "image.shape=[24, 32]")
    assert not list(tmp_path.glob("*.nxs"))
