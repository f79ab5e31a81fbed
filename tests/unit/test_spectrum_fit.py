"""Fits and maps against synthetic spectra with Poisson noise, made by a model the fit does not share."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import xraydb
from scipy.ndimage import gaussian_filter1d
from scipy.stats import norm

from cryoctl.analysis.element_maps import best_window, event_weights, mlem_input, net_maps
from cryoctl.analysis.lines import family_of
from cryoctl.analysis.spectrum_fit import fit_spectrum
from cryoctl.errors import BadInput

N, OFFSET_EV, SCALE_EV = 1024, -100.0, 10.0
ELEMENTS = ("C", "N", "O", "F", "Si", "P")
TRUTH = {"C": 14_000.0, "N": 1_400.0, "O": 28_000.0, "F": 42_000.0, "Si": 38_000.0, "P": 5_600.0}


def peak(name: str, offset_ev: float = OFFSET_EV, fwhm_ev: float = 133.0) -> np.ndarray:
    edges = offset_ev + SCALE_EV * np.arange(N + 1)
    family = family_of(name)
    total = np.zeros(N)
    for energy, weight in zip(family.energies_ev, family.weights, strict=True):
        width = np.sqrt(fwhm_ev**2 - 2.45 * (5895 - energy)) / 2.3548
        total += weight * np.diff(norm.cdf(edges, energy, width))
    return total


def continuum(total: float) -> np.ndarray:
    """Bremsstrahlung behind other layers than the fit assumes (120 nm C, 20 nm Al, 90 nm Si) and a steeper power."""
    energy = np.maximum(OFFSET_EV + SCALE_EV * (np.arange(N) + 0.5), 60.0)
    shape = (1 - energy / 200e3) / energy**1.08
    for element, g_cm2 in (("C", 2.0 * 120e-7), ("Al", 2.7 * 20e-7), ("Si", 2.33 * 90e-7)):
        shape = shape * np.exp(-g_cm2 * xraydb.mu_elam(element, np.maximum(energy, 100.0)))
    shape[energy <= 60] = 0
    shape = gaussian_filter1d(shape, 3.0)
    return total * shape / shape.sum()


@pytest.fixture(scope="module")
def fits() -> list:
    rng = np.random.default_rng(7)
    mean = sum(TRUTH[name] * peak(name, OFFSET_EV + 3.0) for name in ELEMENTS) + continuum(50_000)
    return [
        fit_spectrum(rng.poisson(mean), ELEMENTS, offset_ev=OFFSET_EV, scale_ev=SCALE_EV, beam_energy_ev=200e3)
        for _ in range(8)
    ]


@pytest.mark.parametrize("name", ELEMENTS)
def test_net_counts_are_right_within_stated_error(fits: list, name: str) -> None:
    pulls = np.array([(fit.net_counts[name] - TRUTH[name]) / fit.net_counts_sigma[name] for fit in fits])
    assert np.abs(pulls).max() < 4.5
    assert abs(pulls.mean()) < 1.5  # the background's model error may stay below the counting error of one fit
    assert 0.3 < pulls.std(ddof=1) < 2.0


def test_calibration_is_refined_from_the_lines(fits: list) -> None:
    assert np.mean([fit.offset_ev for fit in fits]) == pytest.approx(OFFSET_EV + 3.0, abs=0.6)
    assert np.mean([fit.fwhm_mn_ka_ev for fit in fits]) == pytest.approx(133.0, abs=4.0)
    assert all(fit.deviance / fit.degrees_of_freedom < 1.3 for fit in fits)


def test_an_element_that_is_not_there_gets_no_counts_beyond_its_error() -> None:
    rng = np.random.default_rng(3)
    mean = 30_000 * peak("O") + 20_000 * peak("C") + continuum(30_000)
    pulls = []
    for _ in range(5):
        fit = fit_spectrum(
            rng.poisson(mean), ["C", "N", "O", "F"], offset_ev=OFFSET_EV, scale_ev=SCALE_EV, beam_energy_ev=200e3
        )
        pulls += [fit.net_counts[name] / fit.net_counts_sigma[name] for name in ("N", "F")]
    assert np.mean(pulls) < 1.5
    assert max(pulls) < 4


def test_nitrogen_beside_carbon_and_oxygen_is_found_where_a_window_errs() -> None:
    rng = np.random.default_rng(5)
    mean = 2_000 * peak("N") + 40_000 * peak("C") + 40_000 * peak("O") + continuum(20_000)
    spectrum = rng.poisson(mean)
    fit = fit_spectrum(spectrum, ["C", "N", "O"], offset_ev=OFFSET_EV, scale_ev=SCALE_EV, beam_energy_ev=200e3)
    assert abs(fit.net_counts["N"] - 2_000) < 4 * fit.net_counts_sigma["N"]
    assert fit.net_counts_sigma["N"] < 400


def test_stray_copper_is_found_and_absent_strays_are_dropped() -> None:
    rng = np.random.default_rng(6)
    mean = 20_000 * peak("Si") + 3_000 * peak("Cu") + continuum(30_000)
    fit = fit_spectrum(rng.poisson(mean), ["Si"], offset_ev=OFFSET_EV, scale_ev=SCALE_EV, beam_energy_ev=200e3)
    assert fit.elements == ("Si",)
    assert abs(fit.net_counts["Cu"] - 3_000) < 4 * fit.net_counts_sigma["Cu"]
    assert "Pt" not in fit.components
    assert "Ga" not in fit.components


def test_an_empty_spectrum_is_refused() -> None:
    with pytest.raises(BadInput, match="no counts"):
        fit_spectrum(np.zeros(N), ["Si"], offset_ev=OFFSET_EV, scale_ev=SCALE_EV, beam_energy_ev=200e3)


@pytest.fixture(scope="module")
def wire() -> dict:
    """A core-shell wire at about one count an element and pixel, as events."""
    shape = (96, 96)
    rng = np.random.default_rng(11)
    distance = np.abs(np.arange(96) - 47.5)
    core = np.sqrt(np.maximum(18.0**2 - distance**2, 0))
    shell = np.sqrt(np.maximum(34.0**2 - distance**2, 0)) - core
    columns = {"C": 0.03 * shell, "N": 0.01 * shell, "O": 0.04 * shell, "F": 0.06 * shell, "Si": 0.08 * core}
    columns["P"] = 0.01 * shell
    amounts = {name: np.repeat(column[:, None], 96, axis=1) for name, column in columns.items()}
    templates = np.stack([peak(name) for name in ELEMENTS])
    background = np.repeat((0.03 * (core + shell))[:, None], 96, axis=1)
    mean = np.einsum("kyx,kc->yxc", np.stack([amounts[name] for name in ELEMENTS]), templates)
    mean += background[:, :, None] * continuum(1.0)
    counts = rng.poisson(mean).reshape(-1, N)
    pixel, channel = np.nonzero(counts)
    times = counts[pixel, channel]
    fit = fit_spectrum(counts.sum(axis=0), ELEMENTS, offset_ev=OFFSET_EV, scale_ev=SCALE_EV, beam_energy_ev=200e3)
    return {
        "pixel": np.repeat(pixel, times).astype(np.uint32),
        "channel": np.repeat(channel, times).astype(np.uint16),
        "shape": shape, "fit": fit, "amounts": amounts, "mean": mean, "distance": distance, "templates": templates,
    }  # fmt: skip


@pytest.mark.parametrize("name", ELEMENTS)
@pytest.mark.parametrize(("low", "high"), [(0, 10), (10, 18), (18, 34), (34, 48)])
def test_net_maps_are_unbiased_over_any_region(wire: dict, name: str, low: float, high: float) -> None:
    maps = net_maps(wire["pixel"], wire["channel"], wire["shape"], wire["fit"])
    rows = (wire["distance"] >= low) & (wire["distance"] < high)
    found = float(maps.net[name][rows].sum())
    sigma = float(np.sqrt((maps.net_sigma[name][rows] ** 2).sum()))
    truth = float(wire["amounts"][name][rows].sum())
    common = 0.04 * truth + 1.5 * wire["fit"].net_counts_sigma[name] * rows.mean()  # the templates' own error
    assert abs(found - truth) < 4 * sigma + common
    assert sigma < 0.5 * truth or truth < 150


def test_the_map_sums_to_the_fit_of_the_sum(wire: dict) -> None:
    maps = net_maps(wire["pixel"], wire["channel"], wire["shape"], wire["fit"])
    for name in ELEMENTS:
        assert float(maps.net[name].sum()) == pytest.approx(wire["fit"].net_counts[name], rel=0.02, abs=20)
    assert min(float(m.min()) for m in maps.net.values()) < 0  # clipping would bias


@pytest.mark.parametrize("name", ELEMENTS)
def test_mlem_gets_poisson_counts_and_a_quiet_background(wire: dict, name: str) -> None:
    given = mlem_input(wire["pixel"], wire["channel"], wire["shape"], wire["fit"])[name]
    window = slice(given.first_channel, given.last_channel + 1)
    inside = (wire["channel"] >= given.first_channel) & (wire["channel"] <= given.last_channel)
    assert int(given.counts.sum()) == int(inside.sum())
    row = ELEMENTS.index(name)
    signal = wire["amounts"][name] * wire["templates"][row, window].sum()
    rest = wire["mean"][:, :, window].sum(axis=2) - signal
    # What the fit takes for the line it takes from the background: the two errors mirror each other.
    slack = 0.05 * float(rest.sum()) + 3 * wire["fit"].net_counts_sigma[name]
    assert float(given.background_expectation.sum()) == pytest.approx(float(rest.sum()), abs=slack)
    error = float(np.sqrt(((given.background_expectation - rest) ** 2).mean()))
    assert error < 0.35 * float(rest.max())
    assert error < 0.5 * float(np.sqrt(rest.mean()))  # far below the noise of the window's own background counts
    assert given.signal_fraction == pytest.approx(float(wire["templates"][row, window].sum()), abs=0.03)
    assert float(given.background_expectation.min()) > 0


def test_the_window_widens_where_there_is_no_background() -> None:
    signal = 1000 * norm.pdf(np.arange(200), 100, 8)
    wide = best_window(signal, np.full(200, 1e-3))
    narrow = best_window(signal, np.full(200, 500.0))
    assert wide[1] - wide[0] > narrow[1] - narrow[0]
    assert narrow[1] - narrow[0] == pytest.approx(2 * 1.4 * 8, abs=4)  # 1.4 sigma either side in the background limit


def test_events_outside_are_refused(wire: dict) -> None:
    with pytest.raises(ValueError, match="below"):
        net_maps(np.array([10**6], np.uint32), np.array([1], np.uint16), wire["shape"], wire["fit"])


def test_weights_ignore_other_components(wire: dict) -> None:
    weights = event_weights(wire["fit"])
    response = weights.lines @ np.vstack([weights.templates, weights.background_shapes]).T
    assert response == pytest.approx(np.eye(len(response), response.shape[1]), abs=1e-6)


def test_the_real_spectrum_gives_net_counts_between_window_and_nothing() -> None:
    data = Path(os.environ.get("CRYOCTL_SHARED_DATA", Path(__file__).parents[2].parent / "shared/data"))
    if not data.exists():
        data = Path(__file__).parents[2].parent.parent / "shared/data"
    file_path = data / "real_edx_tilt_series.h5"
    if not file_path.exists():
        pytest.skip(f"no real data at {file_path}")
    import h5py

    with h5py.File(file_path) as file:
        group = file["tilt_+00"]
        spectrum = np.bincount(group["channel"][:], group["counts"][:].astype(int), minlength=2048)
    fit = fit_spectrum(spectrum, ["O", "Mg", "Si", "S", "Fe"], offset_ev=-470.89, scale_ev=10.003, beam_energy_ev=200e3)
    window = {"O": 40_022, "Mg": 26_157, "Si": 29_326, "S": 10_785}
    for name, counts in window.items():
        assert 0.2 * counts < fit.net_counts[name] < counts
    assert fit.net_counts["Cu"] > 20_000
    assert fit.scale_ev == pytest.approx(10.0, abs=0.05)
