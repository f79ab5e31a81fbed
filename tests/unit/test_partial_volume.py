"""What blur moves between core and shell joins the uncertainty of both."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cryoctl.analysis.ionisation import cross_section
from cryoctl.analysis.partial_volume import spill, transfer_matrix
from cryoctl.analysis.wire_amounts import amounts, wire_regions
from cryoctl.reconstruction.algorithms import reconstruct
from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.projector import Projector

N, N_X, VOXEL_M, DOSE_E_PER_M2 = 40, 12, 1e-8, 4e25
TILTS_DEG = tuple(float(a) for a in range(-60, 61, 10))
Z, Y, _ = np.mgrid[:N, :N, :N_X] - np.array([(N - 1) / 2, (N - 1) / 2, 0]).reshape(3, 1, 1, 1)
CORE = np.hypot(Z, Y) < 8
SHELL = (np.hypot(Z, Y) < 14) & ~CORE


def blurred(projections: np.ndarray) -> np.ndarray:
    return reconstruct(gaussian_filter(projections, (0, 1.5, 0)), TILTS_DEG, iterations=6).volume


def test_a_region_s_mean_in_terms_of_what_the_regions_hold() -> None:
    held = np.array([0.0, 3.0])
    matrix = np.array([[0.95, 0.2], [0.05, 0.8]])
    assert spill(matrix, matrix @ held) == pytest.approx([0.6, 0.6])
    assert spill(np.array([[0.5, 0.49], [0.5, 0.5]]), [1.0, 4.0]) == pytest.approx([4.0, 4.0])  # can't be told apart


def test_an_element_that_the_core_does_not_hold_is_within_its_uncertainty() -> None:
    atoms = {"Si": 5e28 * CORE, "F": 3e28 * SHELL}
    sections = {name: cross_section(name, 200e3, 0.7) for name in atoms}
    projector = Projector(TiltGeometry(TILTS_DEG, N, N, N))
    counts = {
        name: blurred(projector.forward((a * VOXEL_M**3 * sections[name].m2 * DOSE_E_PER_M2).astype(np.float32)))
        for name, a in atoms.items()
    }
    whole = sum(volume / volume.max() for volume in counts.values())
    regions = wire_regions(counts["Si"], whole)
    matrix = transfer_matrix(wire_regions(counts["Si"], whole, away_px=0), regions, TILTS_DEG, blurred)
    moved = spill(matrix, [float(counts["F"][mask].mean()) for mask in regions.values()])
    plain, told = (
        amounts(counts, regions["core"], sections, DOSE_E_PER_M2, VOXEL_M, 0.0, "Si", spilled)["F"]
        for spilled in (None, {"F": float(moved[0])})
    )
    assert plain.atomic_percent > 3 * plain.atomic_percent_sigma  # a false find
    assert told.atomic_percent < 2 * told.atomic_percent_sigma
    assert told.atomic_percent == plain.atomic_percent
