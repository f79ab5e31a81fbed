from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from cryoctl.analysis.lines import (
    MAIN_LINES_EV,
    check_elements,
    families,
    family_of,
    line_energy_ev,
    window_counts,
)
from cryoctl.errors import BadInput

DATA = Path(os.environ.get("CRYOCTL_SHARED_DATA", Path(__file__).parents[2].parent / "shared/data"))
if not DATA.exists():
    DATA = Path(__file__).parents[2].parent.parent / "shared/data"
REAL = DATA / "real_edx_tilt_series.h5"


@pytest.mark.parametrize(("name", "energy_ev"), sorted(MAIN_LINES_EV.items()))
def test_the_quoted_energies_are_the_ones_used(name: str, energy_ev: float) -> None:
    assert line_energy_ev(name) == energy_ev


def test_weights_of_a_family_sum_to_one_and_k_beta_is_an_eighth_of_iron() -> None:
    iron = family_of("Fe")
    assert sum(iron.weights) == pytest.approx(1)
    beta = sum(w for e, w in zip(iron.energies_ev, iron.weights, strict=True) if e > 6900)
    assert 0.11 < beta < 0.14


def test_families_follow_beam_and_axis() -> None:
    assert [f.name for f in families("Fe", 200e3, 10e3)] == ["Fe", "Fe_L"]
    assert [f.name for f in families("Fe", 5e3, 10e3)] == ["Fe_L"]
    assert [f.name for f in families("Au", 200e3, 10e3)] == ["Au", "Au_M"]


@pytest.mark.parametrize(
    ("elements", "beam_ev", "words"),
    [
        (["Li"], 200e3, ["Li K (0.054 keV)", "EELS"]),
        (["H"], 200e3, ["hydrogen"]),
        (["He"], 200e3, ["helium"]),
        (["Sl"], 200e3, ["did you mean Si?"]),
        (["silicon"], 200e3, ["did you mean Si?"]),
        (["fe"], 200e3, ["did you mean Fe?"]),
        (["Si", "O", "Si"], 200e3, ["twice"]),
        (["Fe", "Fe_K"], 200e3, ["twice"]),
        (["Fe"], 5e3, ["7.112 keV", "beam has 5 keV"]),
        ([], 200e3, ["empty"]),
        (["C_L"], 200e3, ["no L line"]),
        (["Fe_Q"], 200e3, ["Fe_K"]),
    ],
)
def test_what_edx_cannot_measure_is_refused_in_one_sentence(
    elements: list[str], beam_ev: float, words: list[str]
) -> None:
    with pytest.raises(BadInput) as caught:
        check_elements(elements, beam_ev)
    text = str(caught.value)
    assert text.startswith("edx.elements")
    assert all(word in text for word in words)
    assert len(text) <= 300
    assert "\n" not in text


def test_a_line_beyond_the_axis_is_refused() -> None:
    with pytest.raises(BadInput, match="range of 10 keV"):
        check_elements(["Se"], 200e3, max_ev=10e3)
    assert check_elements(["Se_L", "Si"], 200e3, max_ev=10e3) == ("Se_L", "Si")


def test_window_counts_take_channels_by_their_start() -> None:
    spectrum = np.arange(10)
    assert window_counts(spectrum, line_ev=40, window_ev=20, offset_ev=0, scale_ev=10) == 3 + 4 + 5
    assert window_counts(spectrum, line_ev=40, window_ev=19, offset_ev=0, scale_ev=10) == 4


def test_windows_on_the_real_series() -> None:
    if not REAL.exists():
        pytest.skip(f"no real data at {REAL}")
    import h5py

    with h5py.File(REAL) as file:
        group = file["tilt_+00"]
        spectrum = np.bincount(group["channel"][:], group["counts"][:].astype(int), minlength=2048)
        offset_ev, scale_ev = 1e3 * file["energy_offset_kev"][()], 1e3 * file["energy_scale_kev"][()]
    assert spectrum.sum() == 886_553
    expected = {525.0: 40_022, 1254.0: 26_157, 1740.0: 29_326, 2308.0: 10_785, 6404.0: 17_186}
    for line_ev, counts in expected.items():
        assert window_counts(spectrum, line_ev, 160.0, offset_ev, scale_ev) == counts
