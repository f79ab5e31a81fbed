from __future__ import annotations

from itertools import islice, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.errors import BadInput
from cryoctl.reconstruction import ALGORITHMS, reconstruct
from cryoctl.reconstruction.geometry import TiltGeometry
from cryoctl.reconstruction.mlem import mlem
from cryoctl.reconstruction.osem import osem, tilt_subsets
from cryoctl.reconstruction.projector import Projector
from cryoctl.reconstruction.series import tilt_series
from cryoctl.reconstruction.wbp import tilt_shares
from tests.nanowire_phantom import at_pixel_size, nanowire, projections

Array = npt.NDArray[np.float64]
N, N_X = 48, 8
TILTS = np.linspace(-60.0, 60.0, 41)


@pytest.fixture(scope="module")
def wire() -> tuple[Array, Array]:
    """Truth in counts a voxel and its clean projections, 5 counts at the peak."""
    fine = nanowire(N, N_X)["Si"]
    images = projections(fine, TILTS)
    return at_pixel_size(fine) * 5 / images.max(), images * 5 / images.max()


def poisson(clean: Array, background: float = 0.5, seed: int = 0) -> npt.NDArray[np.int64]:
    return np.random.default_rng(seed).poisson((clean + background) / 2, size=(2, *clean.shape))


def error(volume: npt.NDArray[Any], truth: Array) -> float:
    return float(np.linalg.norm(volume - truth) / np.linalg.norm(truth))


def projector() -> Projector:
    return Projector(TiltGeometry(tuple(TILTS), N, N, N))


def test_mlem_raises_the_likelihood_at_every_iteration(wire: tuple[Array, Array]) -> None:
    series = tilt_series(poisson(wire[1]).sum(axis=0), 0.5)
    values: list[float] = []
    for step in islice(mlem(series, projector()), 25):
        mean = series.expected(step.projected).astype(float)
        values.append(float((series.counts * np.log(mean) - mean).sum()))
    assert all(b >= a - 1e-6 * abs(a) for a, b in pairwise(values))
    assert values[-1] > values[0]


def test_mlem_conserves_the_counts_without_background(wire: tuple[Array, Array]) -> None:
    counts = poisson(wire[1], 0.0).sum(axis=0)
    for step in islice(mlem(tilt_series(counts), projector()), 5):
        assert step.projected.sum(dtype=float) == pytest.approx(counts.sum(), rel=1e-3)


def test_background_belongs_into_the_model(wire: tuple[Array, Array]) -> None:
    truth, clean = wire
    halves = poisson(clean, 1.0)
    known = reconstruct(halves.sum(axis=0), TILTS, halves=halves, background=1.0)
    ignored = reconstruct(halves.sum(axis=0), TILTS, halves=halves)
    assert error(known.volume, truth) < 0.9 * error(ignored.volume, truth)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_finds_the_wire_and_stops_by_itself(algorithm: str, wire: tuple[Array, Array]) -> None:
    truth, clean = wire
    halves = poisson(clean)
    out = reconstruct(halves.sum(axis=0), TILTS, algorithm=algorithm, halves=halves, background=0.5)
    assert out.volume.shape == (N, N, N_X)
    assert out.volume.dtype == np.float32
    assert np.corrcoef(out.volume.ravel(), truth.ravel())[0, 1] > 0.75
    assert "scan frames" in out.stop_rule
    best = min(e for _, e in out.curve)
    stop = out.cutoff if algorithm == "wbp" else out.iterations
    assert dict(out.curve)[float(stop or 0)] == best


@pytest.mark.parametrize("algorithm", ["mlem", "osem", "sirt"])
def test_the_stop_is_near_the_best_there_is(algorithm: str, wire: tuple[Array, Array]) -> None:
    truth, clean = wire
    halves = poisson(clean)
    seen: list[float] = []
    reconstruct(
        halves.sum(axis=0),
        TILTS,
        algorithm=algorithm,
        background=0.5,
        iterations=60,
        on_iteration=lambda step: seen.append(error(step.volume, truth)),
    )
    out = reconstruct(halves.sum(axis=0), TILTS, algorithm=algorithm, halves=halves, background=0.5)
    assert error(out.volume, truth) < 1.15 * min(seen)
    assert error(out.volume, truth) < 0.9 * seen[-1]


def test_more_counts_are_iterated_longer(wire: tuple[Array, Array]) -> None:
    few, many = (poisson(wire[1] * f, 0.5 * f) for f in (1, 20))
    stops = [
        reconstruct(h.sum(axis=0), TILTS, halves=h, background=b).iterations for h, b in ((few, 0.5), (many, 10.0))
    ]
    assert stops[1] > stops[0]


def test_thinning_replaces_scan_frames_and_repeats(wire: tuple[Array, Array]) -> None:
    counts = poisson(wire[1]).sum(axis=0)
    first, again = (reconstruct(counts, TILTS, background=0.5, seed=3) for _ in range(2))
    assert "thinning with seed 3" in first.stop_rule
    assert first.iterations == again.iterations
    assert np.array_equal(first.volume, again.volume)


def test_data_that_are_no_counts_are_stopped_by_held_out_tilts(wire: tuple[Array, Array]) -> None:
    out = reconstruct(wire[1] + 0.25, TILTS, algorithm="sirt", max_iterations=20)
    assert "tilt held out" in out.stop_rule


def test_fitted_gain_finds_the_shadowed_tilts(wire: tuple[Array, Array]) -> None:
    truth, clean = wire
    gain = 1.0 + 0.3 * np.sin(np.arange(41) / 6.0)
    gain[:4] = 0.3
    gain /= np.median(gain)
    halves = poisson(clean * gain[:, None, None], 0.5)
    plain, fitted = (
        reconstruct(halves.sum(axis=0), TILTS, halves=halves, background=0.5, gain=g) for g in (None, "fit")
    )
    assert np.abs(fitted.gain / gain - 1).max() < 0.15
    assert error(fitted.volume, truth) < error(plain.volume, truth)


def test_masked_tilts_and_pixels_do_not_matter(wire: tuple[Array, Array]) -> None:
    counts = poisson(wire[1]).sum(axis=0).astype(float)
    weight = np.ones_like(counts)
    weight[5] = 0
    weight[:, 3, 2] = 0
    spoilt = counts.copy()
    spoilt[5] = 1000
    spoilt[:, 3, 2] = 1000
    for algorithm, stop in (("mlem", {}), ("osem", {}), ("sirt", {}), ("wbp", {"cutoff": 0.4})):
        clean, dirty = (
            reconstruct(c, TILTS, algorithm=algorithm, weight=weight, iterations=5, background=0.5, **stop).volume
            for c in (counts, spoilt)
        )
        assert np.array_equal(clean, dirty), algorithm


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_counts_and_one_tilt_are_no_accident(algorithm: str) -> None:
    empty = reconstruct(np.zeros((3, 8, 5)), [-10, 0, 10], algorithm=algorithm, gain="fit")
    assert not empty.volume.any()
    single = reconstruct(np.ones((1, 8, 5)), [0.0], algorithm=algorithm, thickness_px=4)
    assert single.volume.shape == (4, 8, 5)
    assert np.isfinite(single.volume).all()


def test_subsets_are_spread_over_the_angles_whatever_their_order() -> None:
    tilts = (0.0, 3.0, -3.0, 6.0, -6.0, 9.0)
    subsets = tilt_subsets(tilts, 2)
    assert sorted(i for s in subsets for i in s) == list(range(6))
    assert [sorted(tilts[i] for i in s) for s in subsets] == [[-6.0, 0.0, 6.0], [-3.0, 3.0, 9.0]]


def test_one_subset_is_mlem(wire: tuple[Array, Array]) -> None:
    series = tilt_series(poisson(wire[1]).sum(axis=0), 0.5)
    one = list(islice(osem(series, projector(), 1), 3))[-1].volume
    np.testing.assert_allclose(one, list(islice(mlem(series, projector()), 3))[-1].volume, rtol=1e-4, atol=1e-6)


def test_tilts_share_half_a_turn() -> None:
    even = tuple(np.arange(-90.0, 90.0, 5.0))
    assert tilt_shares(even, np.ones(36, bool)).sum() == pytest.approx(np.pi)
    twice = tilt_shares((0.0, 10.0, 10.0, 20.0), np.ones(4, bool))
    assert twice[1] == twice[2] == pytest.approx(twice[0] / 2)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"algorithm": "art"}, "algorithm"),
        ({"iterations": 0}, "iterations"),
        ({"tilt_deg": [0.0, 1.0]}, "tilt_deg"),
        ({"background": -1.0}, "background"),
        ({"background": np.zeros((2, 2))}, "background"),
        ({"gain": 0.0}, "gain"),
        ({"gain": "guess"}, "gain"),
        ({"gain": [1.0, 2.0]}, "gain"),
        ({"weight": float("nan")}, "weight"),
        ({"projections": np.zeros((3, 4))}, "projections"),
        ({"projections": np.full((3, 4, 4), np.inf)}, "projections"),
        ({"halves": np.zeros((1, 3, 4, 4))}, "halves"),
        ({"algorithm": "wbp", "cutoff": 1.5}, "cutoff"),
        ({"thickness_px": 0}, "volume"),
    ],
)
def test_bad_input_is_one_sentence(change: dict[str, Any], word: str) -> None:
    call: dict[str, Any] = {"projections": np.ones((3, 4, 4)), "tilt_deg": [-5.0, 0.0, 5.0], **change}
    with pytest.raises(BadInput) as caught:
        reconstruct(call.pop("projections"), call.pop("tilt_deg"), **call)
    assert word in caught.value.message
    assert len(str(caught.value)) <= 300
