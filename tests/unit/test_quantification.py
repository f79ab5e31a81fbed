from __future__ import annotations

import itertools

import numpy as np
import pytest

from cryoctl.analysis.ionisation import casnati_m2, counts_per_electron, cross_section
from cryoctl.analysis.quantification import (
    cliff_lorimer,
    dose_e_per_m2,
    from_cross_sections,
    mass_density_kg_m3,
)
from cryoctl.errors import BadInput

ATOMS = {"Si": 5.0e28, "O": 2.0e28}
SECTIONS = {"Si": 4.0e-29, "O": 2.0e-29}


def test_cross_sections_give_back_atoms_and_density() -> None:
    rng = np.random.default_rng(1)
    dose, voxel_m = 5e24, 10e-9
    mean = {el: ATOMS[el] * voxel_m**3 * SECTIONS[el] * dose for el in ATOMS}
    pulls = []
    counts = {el: rng.poisson(mean[el], (20, 20, 20)) for el in ATOMS}
    sigma = {el: np.sqrt(np.full((20, 20, 20), mean[el])) for el in ATOMS}
    found = from_cross_sections(counts, sigma, SECTIONS, {"Si": 0.0, "O": 0.0}, dose, voxel_size_m=voxel_m)
    assert found.amount_unit == "atoms/m3"
    for el in ATOMS:
        assert float(found.amount[el].mean()) == pytest.approx(ATOMS[el], rel=0.02)
        pulls.append((found.atomic_percent[el] - 100 * ATOMS[el] / 7e28) / found.atomic_percent_sigma[el])
    assert 0.85 < float(np.std(pulls)) < 1.25
    assert float(mass_density_kg_m3({"Si": 4.996e28})) == pytest.approx(2330, rel=0.005)


def test_errors_of_factors_are_common_and_kept_apart() -> None:
    counts = {"Si": np.full(4, 1e6), "O": np.full(4, 1e6)}
    found = from_cross_sections(
        counts, {"Si": np.zeros(4), "O": np.zeros(4)}, SECTIONS, {"Si": 0.1, "O": 0.0}, 1e24, pixel_size_m=1e-9
    )
    assert found.amount_sigma["Si"] == pytest.approx(0.1 * found.amount["Si"])
    assert found.atomic_percent_sigma["Si"] == pytest.approx(found.atomic_percent_systematic["Si"])
    fraction = found.atomic_percent["Si"][0] / 100
    assert found.atomic_percent_sigma["Si"][0] == pytest.approx(100 * 0.1 * fraction * (1 - fraction))


def test_cliff_lorimer_on_silica() -> None:
    weight = {"Si": 28.085, "O": 2 * 15.999}
    k = {"Si": 1.0, "O": 1.8}
    counts = {el: 1e5 * weight[el] / k[el] for el in weight}
    found = cliff_lorimer(counts, {el: np.sqrt(counts[el]) for el in counts}, k, {"Si": 0.0, "O": 0.09})
    assert float(found.atomic_percent["O"]) == pytest.approx(66.67, abs=0.05)
    assert float(found.atomic_percent_sigma["O"]) == pytest.approx(100 * 0.05 * (2 / 3) * (1 / 3), rel=0.05)
    assert float(sum(found.atomic_percent.values())) == pytest.approx(100)


def test_empty_pixels_have_no_composition() -> None:
    found = cliff_lorimer({"Si": [0.0, 4.0]}, {"Si": [1.0, 2.0]}, {"Si": 1.0}, {"Si": 0.0})
    assert np.isnan(found.atomic_percent["Si"][0])
    assert found.atomic_percent["Si"][1] == 100


def test_missing_factors_are_named() -> None:
    with pytest.raises(BadInput, match="O"):
        cliff_lorimer({"O": 1.0}, {"O": 1.0}, {"Si": 1.0}, {"Si": 0.0})
    with pytest.raises(BadInput, match="dose"):
        from_cross_sections({"Si": 1.0}, {"Si": 1.0}, SECTIONS, {"Si": 0.1}, 0.0)


def test_casnati_is_zero_below_the_edge_and_peaks_at_a_few_times_it() -> None:
    assert casnati_m2(1839, 1000, 2) == 0
    energies = np.geomspace(1900, 300e3, 400)
    curve = np.array([casnati_m2(1839, float(e), 2) for e in energies])
    assert 2.5 < energies[curve.argmax()] / 1839 < 5
    # The K-shell maximum scales as 1/edge^2: u^2 sigma lies near 7.9e-14 eV^2 cm^2 (Powell, Rev. Mod. Phys. 48, 33).
    assert curve.max() * 1839**2 * 1e4 / 2 == pytest.approx(1.5e-14, rel=0.35)


@pytest.mark.parametrize(
    ("element", "atoms_per_m3", "thickness_m", "quoted"),
    [("Si", 5e28, 100e-9, 1.8e-6)],
)
def test_counts_per_electron_are_of_the_size_that_issue_2_quotes(
    element: str, atoms_per_m3: float, thickness_m: float, quoted: float
) -> None:
    section = cross_section(element, 200e3, 0.7)
    assert counts_per_electron(section, atoms_per_m3, thickness_m) == pytest.approx(quoted, rel=0.35)


def test_light_elements_fall_off_as_measured_yields_say() -> None:
    per_atom = [cross_section(el, 200e3, 0.7).m2 for el in ("C", "N", "O", "F")]
    assert all(a < b for a, b in itertools.pairwise(per_atom))


def test_dose_of_one_nanoampere() -> None:
    assert dose_e_per_m2(1e-9, 1.0, 1.0) == pytest.approx(6.2415e9, rel=1e-4)
