"""Offset and drift of a clock from bracketed readings, charge above offset and noise, samples through the journal."""

from __future__ import annotations

import json

import numpy as np
import pytest

from cryoctl.analysis.charge import charge, charge_at, noise_sigma_a
from cryoctl.analysis.clock_fit import ClockReading, fit_clock
from cryoctl.errors import RunFileError
from cryoctl.runfile.source_samples import SampledSource, batch, biased_exposures, unbatch
from cryoctl.steps.codec import plain


def readings(rng: np.random.Generator, offset_s: float, drift: float, times: np.ndarray) -> list[ClockReading]:
    """The device answers at any moment of a way there and back that takes 2 to 10 ms."""
    found: list[ClockReading] = []
    for time_s in times:
        trip_s = rng.uniform(2e-3, 10e-3)
        before_s = time_s - rng.uniform(0.0, trip_s)
        device_s = offset_s + (1 + drift) * time_s
        found.append(ClockReading(device_s=device_s, before_s=before_s, after_s=before_s + trip_s))
    return found


def test_offset_and_drift_are_found_within_their_uncertainty() -> None:
    rng = np.random.default_rng(3)
    pulls: list[float] = []
    for _ in range(200):
        offset_s, drift = rng.uniform(-5, 5), rng.uniform(-1e-4, 1e-4)
        fit = fit_clock(readings(rng, offset_s, drift, np.arange(0.0, 600.0, 30.0)))
        times = np.array([0.0, 250.0, 600.0])
        off_s = fit.run_s(offset_s + (1 + drift) * times) - times
        assert np.all(np.abs(off_s) < 4e-3)
        pulls += list(off_s / fit.sigma_s(times))
        assert fit.drift_rel == pytest.approx(drift, abs=1e-5)
    assert 0.8 < np.std(pulls) < 1.2


def test_one_reading_leaves_the_drift_open() -> None:
    fit = fit_clock(readings(np.random.default_rng(0), 2.0, 0.0, np.array([100.0])))
    assert float(fit.sigma_s(100.0)) < 5e-3
    assert float(fit.sigma_s(1100.0)) == pytest.approx(1.0, rel=0.01)
    with pytest.raises(ValueError, match="without a reading"):
        fit_clock([])


def test_charge_of_steps_is_exact_and_noise_is_bounded() -> None:
    rng = np.random.default_rng(1)
    time = np.arange(0.0, 100.0, 0.025)
    true = np.where(time < 50.0, 1e-9, -0.5e-9)
    off = [(charge(time, true + rng.normal(0, 2e-12, len(time)), offset_bound_a=0.0), time) for _ in range(40)]
    exact = charge(time, true, offset_bound_a=0.0).charge_c
    assert exact == pytest.approx(25e-9, rel=1e-3)
    assert sum(abs(one.charge_c - exact) > one.bound_c for one, _ in off) <= 5
    assert noise_sigma_a(true + rng.normal(0, 2e-12, len(time))) == pytest.approx(2e-12, rel=0.1)


def test_a_charge_below_the_offset_is_not_detected() -> None:
    time = np.arange(0.0, 100.0, 0.02)
    current = np.full(len(time), 0.16e-12)  # one particle: 16 pC in 100 s
    found = charge(time, current, offset_bound_a=1e-12)
    assert not found.detected
    assert found.bound_c == pytest.approx(1e-10, rel=0.01)
    assert found.bound_a == pytest.approx(1e-12, rel=0.01)
    assert charge(time, 1e4 * current, offset_bound_a=1e-12).detected
    assert charge(time[:1], current[:1], offset_bound_a=1e-12).charge_c == 0.0


def test_charge_at_times() -> None:
    time = np.linspace(0.0, 10.0, 101)
    charges, bounds = charge_at(np.array([-1.0, 5.0, 20.0]), time, np.full(101, 2e-9), offset_bound_a=1e-12)
    assert np.isnan(charges[0])
    assert charges[1:] == pytest.approx([10e-9, 20e-9])
    assert bounds[1:] == pytest.approx([5e-12, 10e-12])


def journaled(count: int, first: int = 0, start_s: float = 3.0, period: int = 1) -> dict[str, object]:
    time = start_s + 0.025 * np.arange(first, first + count)
    voltage = np.full(count, 1.5)
    told = batch("bias", 0, period, first, time, voltage, voltage * 1e-9, np.zeros(count, dtype=bool))
    return json.loads(json.dumps(plain(told)))


def test_samples_make_the_round_trip_through_the_journal() -> None:
    found = unbatch(journaled(200))
    assert np.allclose(found.clock_s, 3.0 + 0.025 * np.arange(200), atol=1e-6)
    assert np.allclose(found.voltage_v, 1.5)
    assert not found.in_compliance.any()
    for change in ({"data": "bm9uc2Vuc2U="}, {"count": 199}):
        with pytest.raises(RunFileError, match="samples"):
            unbatch({**journaled(200), **change})


def test_exposures_carry_voltage_current_and_charge_of_their_period() -> None:
    sampled = SampledSource()
    for one in (journaled(400), journaled(400, first=400), journaled(400, first=2000, period=2)):
        sampled.take_samples(one)
    assert sampled.sessions[0].following == 2400
    assert sampled.trace() is None, "without a reading of its clock nobody knows when they were"
    for time_s in (0.0, 60.0):
        clock = {"device_s": time_s + 3.0, "before_s": time_s, "after_s": time_s + 1e-3}
        sampled.take_clock({"source": "bias", "session": 0, **clock})
    trace = sampled.trace()
    assert trace is not None
    # first period from 0 to 20 s, second from 50 to 60 s of the run
    found = biased_exposures(trace, [-5.0, 4.0, 10.0, 30.0, 55.0], [1.0, 2.0, 1e-3, 1.0, 1.0], 1e-12)
    assert np.isnan(found.mean_v[[0, 3]]).all()
    assert found.mean_v[[1, 2, 4]] == pytest.approx([1.5, 1.5, 1.5])
    assert found.mean_a[1] == pytest.approx(1.5e-9)
    assert found.charge_c[[1, 2, 4]] == pytest.approx([9e-9, 15e-9, 9e-9], rel=0.01)
    assert np.isnan(found.charge_c[0])
