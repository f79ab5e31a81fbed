"""Core-shell or plum-pudding, told by one classifier from MLEM volumes and from 2-D maps at the same dose.

The specimens are matched pairs: for every element their projections at 0 degrees are equal, so that only the third
dimension can tell. Volumes come from +-60 degrees, missing wedge and all; the 2-D map spends the whole series' dose on
one projection. Then the pictures a microscope takes differ by noise and by absorption alone.
`pytest -m campaign -s tests/runs/test_core_shell_or_plum_pudding.py`
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats

from cryoctl.analysis.classify import core_shell_score
from cryoctl.reconstruction import reconstruct
from cryoctl_simulators.specimens.composition import Composition
from cryoctl_simulators.specimens.matched_pairs import build_matched_pair
from tests.simulated_series import VOXEL_M, element_series, simulate

Array = npt.NDArray[np.float64]
TILT_DEG = np.linspace(-60.0, 60.0, 41)
SHAPE = (72, 72, 40)
ELECTRONS = 5e6
"""A pixel and tilt: 500 e-/A^2, a third of the bundled recipe's series in all."""


def score_in_3d(specimen: Composition, seed: int, electrons: float) -> float:
    one = element_series(simulate(specimen, TILT_DEG, electrons, seed))["Si"]
    out = reconstruct(one.counts, TILT_DEG, halves=one.halves, background=one.background, gain="fit")
    return core_shell_score(out.volume).score


def score_in_2d(specimen: Composition, seed: int, electrons: float) -> float:
    one = element_series(simulate(specimen, [0.0], electrons * TILT_DEG.size, seed))["Si"]
    return core_shell_score(one.counts[0] - one.background[0]).score


def scores(seeds: Iterable[int], electrons: float = ELECTRONS) -> Array:
    """[pair, specimen (core-shell, plum-pudding), dimension (2-D, 3-D)]."""
    rows: list[list[tuple[float, float]]] = []
    for seed in seeds:
        pair = build_matched_pair(seed, SHAPE, VOXEL_M)
        flat = [specimen.atoms_per_m3.sum(axis=1, dtype=np.float64) for specimen in pair]
        assert np.allclose(flat[0], flat[1], rtol=1e-5)
        keys = (1000 + 2 * seed, 1001 + 2 * seed)  # of the noise: the two are never seen with the same
        rows.append(
            [
                (score_in_2d(specimen, key, electrons), score_in_3d(specimen, key, electrons))
                for specimen, key in zip(pair, keys, strict=True)
            ]
        )
    return np.array(rows)


def auc(low: Array, high: Array) -> float:
    """Area under the ROC curve: how often a value of `high` exceeds one of `low`."""
    return float(scipy.stats.mannwhitneyu(high, low).statistic) / (low.size * high.size)


def show(found: Array) -> tuple[float, float]:
    areas = [auc(found[:, 0, k], found[:, 1, k]) for k in (0, 1)]
    for k, name in enumerate(("2-D", "3-D")):
        low, high = found[:, 0, k], found[:, 1, k]
        print(
            f"{name}: AUC {areas[k]:.3f}  score core-shell {low.mean():.4f} +- {low.std():.4f}, "
            f"plum-pudding {high.mean():.4f} +- {high.std():.4f}  ({low.size} pairs)"
        )
    return areas[0], areas[1]


@pytest.mark.campaign
@pytest.mark.parametrize("electrons", [ELECTRONS, ELECTRONS / 10])
def test_three_dimensions_tell_what_two_can_not(electrons: float) -> None:
    print(f"{electrons:g} electrons a pixel and tilt")
    _, in_3d = show(scores(range(16), electrons))
    assert in_3d >= 0.95


@pytest.mark.campaign
def test_three_dimensions_tell_two_pairs_apart() -> None:
    found = scores(range(2))
    assert auc(found[:, 0, 1], found[:, 1, 1]) == 1.0
    apart_2d, apart_3d = (np.abs(found[:, 1, k] - found[:, 0, k]).max() for k in (0, 1))
    assert apart_3d > 3 * apart_2d
