"""Elongation, FSC, radial profile, connectivity, pores, core-shell score and error, on volumes of known shape."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from cryoctl.analysis.classify import core_shell_score
from cryoctl.analysis.compare import error_against_truth
from cryoctl.analysis.connectivity import connectivity, pores
from cryoctl.analysis.elongation import elongation
from cryoctl.analysis.fsc import fourier_shell_correlation
from cryoctl.analysis.radial_profile import radial_profile, wire_axis
from cryoctl.errors import BadInput

N = 48
Z, Y, X = np.mgrid[:N, :N, :N] - (N - 1) / 2
VOXEL_M = 10e-9


def wire(along: float, across: float, dz: float = 0.0, dy: float = 0.0) -> np.ndarray:
    solid = (((Z - dz) / along) ** 2 + ((Y - dy) / across) ** 2 < 1).astype(float)
    return gaussian_filter(solid, (1.2, 1.2, 0))


@pytest.mark.parametrize("ratio", [1.0, 1.31, 1.55])
@pytest.mark.parametrize("noise", [0.0, 0.4])
def test_elongation_is_measured_with_its_place(ratio: float, noise: float) -> None:
    rng = np.random.default_rng(0)
    volume = wire(9 * ratio, 9, dz=2.3, dy=-1.6) + noise * rng.normal(size=Z.shape)
    found = elongation(volume, VOXEL_M)
    assert found.of == "core"
    assert found.ratio == pytest.approx(ratio, abs=0.05 + 4 * found.ratio_sigma)
    assert found.across_m == pytest.approx(18 * VOXEL_M, rel=0.07)
    assert found.centre_z_m == pytest.approx(2.3 * VOXEL_M, abs=0.3 * VOXEL_M)
    assert found.centre_y_m == pytest.approx(-1.6 * VOXEL_M, abs=0.3 * VOXEL_M)


def test_a_weak_shell_does_not_change_the_core_s_elongation() -> None:
    shell = 0.15 * wire(18, 18)
    assert elongation(wire(11, 8) + shell, VOXEL_M).ratio == pytest.approx(11 / 8, abs=0.08)


def shell(along: float, across: float, ends: float = 1.0, dz: float = 0.0, dy: float = 0.0) -> np.ndarray:
    """A wall 4 voxels thick; `ends` is what the missing wedge leaves of its brightness at the ends along the beam."""
    hollow = wire(along, across, dz, dy) - wire(along - 4, across - 4, dz, dy)
    steep = np.abs(Z - dz) / np.maximum(np.hypot((Z - dz) / along * across, Y - dy), 1e-9) * across / along
    return hollow * (1 - (1 - ends) * np.clip(steep, 0, 1) ** 2)


@pytest.mark.parametrize("ratio", [1.0, 1.4])
@pytest.mark.parametrize("ends", [1.0, 0.35])
def test_a_shell_s_elongation_is_that_of_its_outer_walls(ratio: float, ends: float) -> None:
    rng = np.random.default_rng(0)
    volume = shell(13 * ratio, 13, ends, dz=1.3, dy=-2.2) + 0.2 * rng.normal(size=Z.shape)
    found = elongation(volume, VOXEL_M)
    assert found.of == "shell"
    assert found.ratio == pytest.approx(ratio, abs=0.04 + 4 * found.ratio_sigma)
    assert found.across_m == pytest.approx(26 * VOXEL_M, rel=0.05)
    assert found.centre_z_m == pytest.approx(1.3 * VOXEL_M, abs=0.4 * VOXEL_M)
    assert found.centre_y_m == pytest.approx(-2.2 * VOXEL_M, abs=0.3 * VOXEL_M)


def test_a_shell_without_ends_has_no_elongation() -> None:
    two_sides = wire(16, 4, dy=-12) + wire(16, 4, dy=12)
    with pytest.raises(BadInput, match="ends along the beam"):
        elongation(two_sides, VOXEL_M)


def test_one_segment_in_twelve_is_no_wire() -> None:
    with pytest.raises(BadInput, match="11 of 12 segments"):
        elongation(wire(9, 9) * (X.min() + 4 > X), VOXEL_M)


def test_elongation_of_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="no core"):
        elongation(np.ones((16, 16, 4)), VOXEL_M)


def test_fsc_tells_directions_apart_and_noise_from_signal() -> None:
    rng = np.random.default_rng(1)
    truth = gaussian_filter(rng.normal(size=Z.shape), 1.0)
    truth /= truth.std()

    def half() -> np.ndarray:  # worse along z: what is missing there is white noise after a blur
        return gaussian_filter(truth, (2.5, 0, 0)) + 0.5 * rng.normal(size=Z.shape)

    found = fourier_shell_correlation(half(), half(), VOXEL_M)
    assert found.z.resolution_m > 1.5 * found.x.resolution_m
    assert found.z.resolution_m > 1.5 * found.y.resolution_m
    assert found.shell.resolution_m_low <= found.shell.resolution_m <= found.shell.resolution_m_high
    noise = fourier_shell_correlation(rng.normal(size=Z.shape), rng.normal(size=Z.shape), VOXEL_M)
    assert noise.shell.resolution_m > 8 * VOXEL_M


def test_fsc_crosses_where_signal_and_noise_say() -> None:
    """White noise of variance s2 on a signal of power exp(-f2/0.12^2): FSC = P/(P + s2), 0.143 at P = s2/6."""
    rng = np.random.default_rng(2)
    f2 = sum(np.fft.fftfreq(N).reshape([-1 if k == axis else 1 for k in range(3)]) ** 2 for axis in range(3))
    signal = np.real(np.fft.ifftn(np.fft.fftn(rng.normal(size=Z.shape)) * np.exp(-f2 / 2 / 0.12**2)))
    a, b = (signal + 0.1 * rng.normal(size=Z.shape) for _ in range(2))
    found = fourier_shell_correlation(a, b, VOXEL_M)
    crossing = 0.12 * np.sqrt(np.log(6 / 0.01))
    assert found.shell.resolution_m == pytest.approx(VOXEL_M / crossing, rel=0.06)
    assert found.shell.resolution_m_low < VOXEL_M / crossing * 1.03
    assert found.shell.resolution_m_high > VOXEL_M / crossing * 0.97
    json.dumps(dataclasses.asdict(found))


def test_radial_profile_finds_axis_and_step_with_honest_sigma() -> None:
    rng = np.random.default_rng(3)
    radius = np.hypot(Y - 2 - 0.05 * X, Z + 1.5)
    volume = rng.poisson(5.0 * (radius < 10) + 0.2)
    axis = wire_axis(volume)
    assert axis.y_slope == pytest.approx(0.05, abs=0.01)
    found = radial_profile(volume, VOXEL_M)
    assert found.axis_y_m == pytest.approx(2 * VOXEL_M, abs=0.3 * VOXEL_M)
    assert found.axis_z_m == pytest.approx(-1.5 * VOXEL_M, abs=0.3 * VOXEL_M)
    value, sigma = np.array(found.value), np.array(found.value_sigma)
    assert np.all(np.abs(value[1:8] - 5.2) < 5 * sigma[1:8])
    assert np.all(np.abs(value[12:17] - 0.2) < 5 * sigma[12:17])
    assert float(np.interp(2.7, value[13:7:-1], np.array(found.radius_m)[13:7:-1])) == pytest.approx(100e-9, abs=6e-9)


def test_connectivity_of_a_whole_a_cut_and_a_littered_wire() -> None:
    rng = np.random.default_rng(4)
    radius = np.hypot(Y, Z)
    whole = radius < 10
    found = connectivity(rng.poisson(6.0 * whole + 0.2), VOXEL_M)
    assert found.end_to_end
    assert found.dead_fraction == 0
    assert found.volume_m3_low < whole.sum() * VOXEL_M**3 < found.volume_m3_high
    cut = whole & ~(np.abs(X - 8) < 2)
    found = connectivity(rng.poisson(6.0 * cut + 0.2), VOXEL_M)
    true_dead = (cut & (X > 8)).sum() / cut.sum()
    assert not found.end_to_end
    assert found.components == 2
    assert found.dead_fraction == pytest.approx(true_dead, abs=0.03)
    island = whole | ((np.abs(radius - 17) < 3) & (np.abs(X) < 4))
    found = connectivity(rng.poisson(6.0 * island + 0.2), VOXEL_M)
    assert found.end_to_end
    assert found.dead_fraction == pytest.approx(1 - whole.sum() / island.sum(), abs=0.04)
    assert found.dead_fraction_low < found.dead_fraction < found.dead_fraction_high


def test_a_gap_below_the_resolution_is_said_to_be_possible() -> None:
    rng = np.random.default_rng(8)
    whole = (np.hypot(Y, Z) < 10).astype(float)
    cut = whole * (np.abs(X - 8) > 1)
    blurred = [gaussian_filter(one, 2.2) + 0.03 * rng.normal(size=one.shape) for one in (whole, cut)]
    sound, doubtful = (connectivity(one, VOXEL_M) for one in blurred)
    assert sound.end_to_end_share == 1
    assert sound.dead_fraction_high < 0.01
    assert 0 < doubtful.end_to_end_share < 1
    assert doubtful.dead_fraction_low < (cut * (X > 8)).sum() / cut.sum() < doubtful.dead_fraction_high


def test_a_dent_in_the_surface_is_no_pore() -> None:
    angle = np.arctan2(Z, Y)
    dented = np.hypot(Y, Z) < 15 - 4 * (np.cos(6 * angle) > 0.8) * (np.cos(X / 3) > 0.5)
    assert pores(8.0 * dented + 0.2).count == 0


def test_pores_are_counted_and_a_solid_wire_has_none() -> None:
    rng = np.random.default_rng(5)
    body = np.hypot(Y, Z) < 15
    holes = np.zeros_like(body)
    for k in range(5):
        holes |= (X + 18 - 9 * k) ** 2 + (Y - 5 * np.cos(2 * k)) ** 2 + (Z - 5 * np.sin(2 * k)) ** 2 < 3.2**2
    found = pores(rng.poisson(8.0 * (body & ~holes) + 0.2))
    assert found.count == 5
    assert found.fraction == pytest.approx(holes.sum() / body.sum(), rel=0.35)
    assert pores(rng.poisson(8.0 * body + 0.2)).count == 0


def test_the_score_separates_matched_pairs_in_3d_and_cannot_in_2d() -> None:
    """Both wires of a pair have the same projection along the beam; only depth differs."""
    scores: dict[tuple[int, str], list[float]] = {(d, k): [] for d in (2, 3) for k in ("plum", "core")}
    body = np.hypot(Y, Z) < 17
    for seed in range(10):
        rng = np.random.default_rng(seed)
        field = gaussian_filter(rng.normal(size=Z.shape), 2.5)
        plum = body & (field > np.quantile(field[body], 0.6))
        core = np.abs(Z) < plum.sum(axis=0)[None] / 2
        for kind, silicon in (("plum", plum), ("core", core)):
            blurred = gaussian_filter(rng.poisson(1.0 * silicon + 0.05).astype(float), (1.5, 0.8, 0.8))
            scores[3, kind].append(core_shell_score(blurred).score)
            scores[2, kind].append(core_shell_score(rng.poisson(silicon.sum(axis=0))).score)

    def auc(dimensions: int) -> float:
        return float(np.mean(np.greater.outer(scores[dimensions, "plum"], scores[dimensions, "core"])))

    assert auc(3) >= 0.95
    assert 0.1 < auc(2) < 0.9


def test_a_clean_core_scores_near_zero_in_both_dimensions() -> None:
    assert core_shell_score(wire(10, 10)).score < 0.03
    assert core_shell_score(wire(15, 10)).score < 0.03
    assert core_shell_score(wire(10, 10).sum(axis=0)).score < 0.03


@pytest.mark.parametrize("shift_px", [(0.0, 0.0, 0.0), (1.0, -2.0, 1.0)])
def test_error_against_truth_forgives_shift_and_scale_but_not_noise(shift_px: tuple[float, ...]) -> None:
    rng = np.random.default_rng(6)
    truth = 6 * wire(9, 9) * (1 + 0.5 * np.sin(X / 2))
    moved = np.roll(truth, [int(s) for s in shift_px], axis=(0, 1, 2))
    clean = error_against_truth(3 * moved, truth)
    assert clean.error < 0.03
    assert clean.scale == pytest.approx(1 / 3, rel=0.02)
    assert np.allclose(clean.shift_px, [-s for s in shift_px], atol=0.1)
    noisy = error_against_truth(moved + rng.normal(size=truth.shape), truth)
    assert noisy.error > clean.error + 0.05
    assert error_against_truth(rng.normal(size=truth.shape), truth).error > 0.95


def test_volumes_must_be_on_one_grid() -> None:
    with pytest.raises(BadInput, match="shape"):
        error_against_truth(np.ones((8, 8, 8)), np.ones((8, 8, 9)))
    with pytest.raises(BadInput, match="shape"):
        fourier_shell_correlation(np.ones((8, 8, 8)), np.ones((8, 8, 9)), VOXEL_M)
