from __future__ import annotations

import numpy as np
import pytest

from cryoctl.analysis.compare import error_against_truth
from cryoctl.analysis.ionisation import cross_section
from cryoctl.analysis.scan_frames import registered_image
from cryoctl.analysis.wire_amounts import amounts, wire_regions
from cryoctl.errors import BadInput
from tests.simulated_series import VOXEL_M, wire

DOSE_E_PER_M2 = 4e25
ELEMENTS = ("Si", "O", "F", "C")


@pytest.fixture(scope="module")
def counted() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Atoms/m3 of a simulated wire, and Poisson counts a voxel that a detector of known solid angle would give."""
    specimen = wire("core-shell", 2, n_x=32, n=64)
    rng = np.random.default_rng(2)
    truth = {name: specimen.of(name).astype(np.float64) for name in ELEMENTS}
    counts = {
        name: rng.poisson(atoms * VOXEL_M**3 * cross_section(name, 200e3, 0.7).m2 * DOSE_E_PER_M2).astype(float)
        for name, atoms in truth.items()
    }
    return truth, counts


def test_amounts_of_core_and_shell_are_those_that_made_the_counts(
    counted: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
) -> None:
    truth, counts = counted
    regions = wire_regions(counts["Si"], sum(v / v.max() for v in counts.values()))
    sections = {name: cross_section(name, 200e3, 0.7) for name in ELEMENTS}
    for region, mask in regions.items():
        assert mask.sum() > 1000
        found = amounts(counts, mask, sections, DOSE_E_PER_M2, VOXEL_M, reference="Si")
        total = sum(truth[name][mask].mean() for name in ELEMENTS)
        for name in ELEMENTS:
            mean = truth[name][mask].mean()
            one = found[name]
            counting = one.counts_per_voxel_sigma / max(one.counts_per_voxel, 1e-12) * one.atoms_per_m3
            assert abs(one.atoms_per_m3 - mean) < 4 * counting + 1e-3 * total, (region, name)
            assert abs(one.atomic_percent - 100 * mean / total) < 1.5
            assert abs(one.cliff_lorimer_percent - 100 * mean / total) < 1.5
            assert one.atoms_per_m3_sigma >= 0.1 * one.atoms_per_m3
    assert regions["core"].sum() > 0
    assert not (regions["core"] & regions["shell"]).any()


def test_a_long_way_out_widens_sigma_of_soft_lines(
    counted: tuple[dict[str, np.ndarray], dict[str, np.ndarray]],
) -> None:
    _, counts = counted
    mask = wire_regions(counts["Si"], sum(counts.values()))["core"]
    sections = {name: cross_section(name, 200e3, 0.7) for name in ELEMENTS}
    near, far = (amounts(counts, mask, sections, DOSE_E_PER_M2, VOXEL_M, path) for path in (0.0, 200e-9))
    assert near["Si"].absorption == 0.0
    assert far["C"].absorption > far["O"].absorption > far["Si"].absorption > 0.0


def test_nothing_has_no_regions() -> None:
    with pytest.raises(BadInput, match="regions"):
        wire_regions(np.zeros((8, 8, 8)), np.ones((8, 8, 8)))


def test_scan_frames_are_registered_by_fractions_of_a_pixel() -> None:
    x = np.arange(32.0)
    scans = np.array([[100 * np.exp(-((x - 15 - d) ** 2) / 18)] * 4 for d in (0.0, 0.4, -0.6)])
    image = registered_image(scans, [(0.0, 0.0), (0.0, 0.4), (0.0, -0.6)])
    centre = float((image[0] * x).sum() / image[0].sum())
    assert abs(centre - 15) < 0.01
    assert abs(float(image.sum()) - float(scans.sum())) < 1e-3 * float(scans.sum())


def test_the_shift_against_the_truth_is_found_and_not_invented() -> None:
    truth = wire("core-shell", 3, n_x=24, n=48).of("O").astype(np.float64) * 1e-28
    rng = np.random.default_rng(3)
    noisy = rng.poisson(truth * 5).astype(float)
    still = error_against_truth(noisy, truth)
    assert np.abs(still.shift_px).max() < 0.1
    moved = error_against_truth(np.roll(noisy, (1, -2, 2), (0, 1, 2)), truth, 4.0)
    assert np.abs(np.array(moved.shift_px) - (-1, 2, -2)).max() < 0.1
    assert moved.error == pytest.approx(still.error, rel=0.1)
    assert 0 < still.error_sigma < 0.1 * still.error
