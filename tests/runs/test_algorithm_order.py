"""Each algorithm at its own truth-free stop on the simulated nanowire: MLEM < SIRT < WBP, 16 seeds, paired.

Specimen, projection, X-rays and detector are the simulated microscope's: absorption, shadowed segments, stray lines,
overlaps. `pytest -m campaign -s tests/runs/test_algorithm_order.py`; without pytest
`python -m tests.runs.test_algorithm_order SEEDS ELECTRONS [BREMSSTRAHLUNG]` prints one table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import numpy.typing as npt
import pytest
import scipy.stats

from cryoctl.analysis.compare import error_against_truth
from cryoctl.analysis.elongation import elongation
from cryoctl.reconstruction import reconstruct
from cryoctl_simulators.optics.edx import EdxDetector, load_edx
from tests.simulated_series import ELEMENTS, VOXEL_M, element_series, simulate, wire

Array = npt.NDArray[np.float64]
TILT_DEG = np.linspace(-60.0, 60.0, 41)
SEEDS = range(16)
N_X = 32
ELECTRONS = 6e6
"""A pixel of 10 nm and tilt, 600 e-/A^2: the least that gives O, the weakest of the three, 5 counts at its peak."""
METHODS: dict[str, dict[str, bool]] = {
    "mlem": {},
    "osem": {},
    "sirt": {},
    "sirt free": {"non_negative": False},
    "wbp": {},
}
Table = dict[tuple[str, str], Array]


def study(
    seeds: Iterable[int],
    electrons: float = ELECTRONS,
    bremsstrahlung: float | None = None,
    methods: Iterable[str] = METHODS,
) -> Table:
    """(element, method): a row a seed: error, elongation over the truth's, stop, peak counts, background of peak."""
    detector = None
    if bremsstrahlung is not None:
        detector = EdxDetector(load_edx({"bremsstrahlung": {"scale": bremsstrahlung}}))
    rows: dict[tuple[str, str], list[tuple[float, ...]]] = {}
    for seed in seeds:
        specimen = wire("core-shell", seed, N_X)
        series = simulate(specimen, TILT_DEG, electrons, seed, detector=detector)
        for element, one in element_series(series).items():
            truth = specimen.of(element).astype(np.float64) * 1e-28
            for method in methods:
                out = reconstruct(
                    one.counts,
                    TILT_DEG,
                    algorithm=method.split()[0],
                    halves=one.halves,
                    background=one.background,
                    gain="fit",
                    **METHODS[method],
                )
                error = error_against_truth(out.volume, truth, max_shift_px=0.0).error
                longer = float("nan")
                if element == "Si":
                    longer = elongation(out.volume, VOXEL_M).ratio / elongation(truth, VOXEL_M).ratio
                stop = float(out.cutoff if out.cutoff is not None else out.iterations)
                row = (error, longer, stop, one.peak_counts, one.background_of_peak)
                rows.setdefault((element, method), []).append(row)
    return {key: np.array(value) for key, value in rows.items()}


def paired(smaller: Array, larger: Array) -> float:
    """One-sided p of the paired t-test that the first is smaller."""
    return float(scipy.stats.ttest_rel(smaller, larger, alternative="less").pvalue)


def show(table: Table, say: Callable[[str], object] = print) -> None:
    for (element, method), rows in table.items():
        mean, spread = rows.mean(axis=0), rows.std(axis=0)
        longer = f"  elongation {mean[1]:.3f} +- {spread[1]:.3f}" if element == "Si" else ""
        say(
            f"{element:2} {method:9} peak {mean[3]:5.1f} background {mean[4]:.2f} of it  error {mean[0]:.3f} +- "
            f"{spread[0]:.3f}{longer}  stop {rows[:, 2].min():g}..{rows[:, 2].max():g}"
        )
    methods = {method for _, method in table}
    for element in dict.fromkeys(key[0] for key in table):
        for better, worse in (("mlem", "sirt"), ("sirt", "wbp"), ("mlem", "sirt free"), ("sirt free", "wbp")):
            if not {better, worse} <= methods:
                continue
            p = [paired(table[element, better][:, k], table[element, worse][:, k]) for k in (0, 1)]
            longer = f", elongation {p[1]:.1e}" if element == "Si" else ""
            say(f"{element:2} {better} < {worse}: p error {p[0]:.1e}{longer}")


@pytest.mark.campaign
def test_mlem_errs_less_than_sirt_and_sirt_less_than_wbp() -> None:
    table = study(SEEDS)
    show(table)
    for element in ("Si", "O", "F"):
        assert table[element, "mlem"][:, 3].min() >= 5.0
        assert table[element, "mlem"][:, 4].mean() <= 0.1
        for better, worse in (("mlem", "sirt"), ("sirt", "wbp")):
            assert paired(table[element, better][:, 0], table[element, worse][:, 0]) < 0.01, (element, better, worse)
    for better, worse in (("mlem", "sirt"), ("sirt", "wbp")):
        assert paired(table["Si", better][:, 1], table["Si", worse][:, 1]) < 0.01, (better, worse)


@pytest.mark.campaign
@pytest.mark.parametrize(("electrons", "bremsstrahlung"), [(ELECTRONS / 5, None), (ELECTRONS, 16.0)])
def test_what_few_counts_and_much_background_do(electrons: float, bremsstrahlung: float | None) -> None:
    """Reported, and MLEM is not worse than WBP where it matters least, in the core."""
    table = study(range(8), electrons, bremsstrahlung)
    show(table)
    assert paired(table["Si", "mlem"][:, 0], table["Si", "wbp"][:, 0]) < 0.05


@pytest.mark.campaign
def test_mlem_beats_wbp_on_the_simulated_wire() -> None:
    table = study(range(2), methods=("mlem", "sirt", "wbp"))
    assert set(ELEMENTS) == {element for element, _ in table}
    for element in ("Si", "O", "F"):
        errors = [table[element, method][:, 0].mean() for method in ("mlem", "sirt", "wbp")]
        assert errors == sorted(errors), (element, errors)
    longer = [table["Si", method][:, 1].mean() for method in ("mlem", "sirt", "wbp")]
    assert longer == sorted(longer)


if __name__ == "__main__":
    import sys

    show(study(range(int(sys.argv[1])), *(float(a) for a in sys.argv[2:])))
