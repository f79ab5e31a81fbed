"""When to stop, decided without the truth: what one half of the scan frames predicts of the other.

The scan frames of a tilt are independent Poisson looks at the same expectation, so a part of them (share f of the
exposure) is y_k ~ Poisson(f_k (g A v + b)). Each part is held out in turn, the volume is reconstructed from the others,
and

    E(n) = sum over parts k   sum w (y_k - f_k (g A v_n[without k] + b))^2

is what that volume fails to predict at iteration (or cut-off) n. Its expectation is the noise, the same for every n,
plus the squared distance between the reprojection and the true expectation: it falls while signal is fitted and rises
when noise is (cross-validation of EM: Coakley 1991; Llacer, Veklerov et al. 1993). Squares rather than the Poisson
deviance: they are defined for the negative predictions of WBP and SIRT, hold all algorithms to one measure, and weigh
the specimen's own pixels; the deviance is ruled by the near-empty surroundings and stops late (on the tests' nanowire
at iteration 11 of MLEM against 8, where the volume's error is least at 6).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.reconstruction.mlem import Step
from cryoctl.reconstruction.series import Stack, TiltSeries

Iteration = Callable[[TiltSeries], Iterator[Step]]


@dataclass(frozen=True)
class Fold:
    """What is reconstructed and what it must predict."""

    train: TiltSeries
    test: TiltSeries


@dataclass(frozen=True)
class StopChoice:
    """The candidate (iteration or cut-off) of least held-out error, and the curve of errors that says so.

    open: the error was still falling when the most iterations allowed were done.
    """

    best: float
    curve: tuple[tuple[float, float], ...]
    open: bool


def parts_of_scan_frames(series: TiltSeries, parts: npt.ArrayLike, shares: npt.ArrayLike | None = None) -> list[Fold]:
    """Folds from counts by part [part, tilt, y, x] (two parts: even and odd scan frames).

    shares [part] or [part, tilt]: exposure of each part as a fraction of the whole (default: equal). Raises BadInput if
    there are fewer than two parts or their shape does not fit.
    """
    counts = np.ascontiguousarray(parts, np.float32)
    if counts.ndim != 4 or counts.shape[0] < 2 or counts.shape[1:] != series.counts.shape:
        raise BadInput(
            f"halves: shape {counts.shape}, expected [part, tilt, y, x] with at least 2 parts of {series.counts.shape}"
        )
    number = counts.shape[0]
    share = np.full((number, 1), 1.0 / number) if shares is None else np.asarray(shares, np.float64)
    share = np.broadcast_to(share.reshape(number, -1), (number, series.counts.shape[0]))
    whole, all_counts = share.sum(axis=0), counts.sum(axis=0)
    return [
        Fold(series.share(all_counts - counts[k], whole - share[k]), series.share(counts[k], share[k]))
        for k in range(number)
    ]


def thinned(series: TiltSeries, seed: int) -> list[Fold]:
    """Folds where only one scan frame exists. Raises BadInput unless the data are whole counts."""
    if not whole_counts(series.counts):
        raise BadInput("projections: not whole counts, so they can't be thinned; give halves or a number of iterations")
    return parts_of_scan_frames(series, thinned_halves(series.counts, seed))


def whole_counts(counts: Stack) -> bool:
    return bool(counts.min(initial=0) >= 0) and np.array_equal(counts, np.rint(counts))


def thinned_halves(counts: Stack, seed: int) -> Stack:
    """Two parts [2, ...] of whole counts, each count in one of them by a fair coin (binomial thinning).

    The halves of a Poisson count are independent Poisson counts.
    """
    rng = np.random.default_rng([seed, 0x68616C66])
    first = rng.binomial(counts.astype(np.int64), 0.5).astype(np.float32)
    return np.stack([first, counts - first])


def held_out_tilts(series: TiltSeries, tilt_deg: npt.ArrayLike, parts: int = 5) -> list[Fold]:
    """Folds for data that are no counts and came as one frame: every n-th tilt (by angle) is predicted by the rest."""
    order = np.argsort(np.asarray(tilt_deg), kind="stable")
    folds: list[Fold] = []
    for k in range(min(parts, order.size)):
        out = np.zeros((order.size, 1, 1), np.float32)
        out[order[k::parts]] = 1.0
        folds.append(
            Fold(replace(series, weight=series.weight * (1 - out)), replace(series, weight=series.weight * out))
        )
    return folds


def prediction_error(test: TiltSeries, projected: Stack) -> float:
    """sum w (counts - expected)^2."""
    left = np.square(test.counts - test.expected(projected), dtype=np.float32) * test.weight
    return float(left.sum(dtype=np.float64))


def errors_by_iteration(folds: list[Fold], algorithm: Iteration) -> Iterator[float]:
    """Held-out error summed over the folds, iteration by iteration."""
    runs = [algorithm(fold.train) for fold in folds]
    while True:
        yield sum(prediction_error(f.test, next(run).projected) for f, run in zip(folds, runs, strict=True))


def first_minimum(errors: Iterable[float], most: int) -> StopChoice:
    """The iteration of least error; looks on until half as many again plus five brought nothing better."""
    curve: list[float] = []
    best = 0
    for error in errors:
        curve.append(error)
        if error < curve[best]:
            best = len(curve) - 1
        if len(curve) >= most or len(curve) >= 1.5 * (best + 1) + 5:
            break
    numbered = tuple((float(i + 1), e) for i, e in enumerate(curve))
    return StopChoice(best + 1, numbered, best + 1 >= most)


def best_of(candidates: Iterable[float], errors: Iterable[float]) -> StopChoice:
    """The candidate of least error among all (for the cut-off of WBP)."""
    curve = tuple(zip(candidates, errors, strict=True))
    return StopChoice(min(curve, key=lambda point: point[1])[0], curve, False)
