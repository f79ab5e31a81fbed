"""J-V analyses against cells whose figures are computed here by root finding, with noise, offset and the beam on."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from scipy.optimize import brentq, minimize_scalar

from cryoctl.analysis.bias_trace import BiasTrace, beam_share
from cryoctl.analysis.jv import beam_current, dark_current, held_power, jv_curves

FloatArray = npt.NDArray[np.float64]

PHOTO_A, DARK_A, THERMAL_V, SHUNT_OHM, SERIES_OHM = 2.0e-9, 4e-20, 0.0385, 6e9, 4e6
NOISE_A, OFFSET_A = 2e-12, 0.7e-12


def diode(voltage_v: float, photo_a: float) -> float:
    """Current into the cell by bisection of the implicit equation."""

    def excess(current_a: float) -> float:
        inner_v = voltage_v - current_a * SERIES_OHM
        return DARK_A * np.expm1(inner_v / THERMAL_V) + inner_v / SHUNT_OHM - photo_a - current_a

    return float(brentq(excess, -1e-7, 1e-6, xtol=1e-18))


def figures(photo_a: float) -> tuple[float, float, float, float]:
    """Voc, Isc, fill factor, maximum power."""
    voc = float(brentq(lambda v: diode(v, photo_a), 0.1, 2.0, xtol=1e-9))
    best = minimize_scalar(lambda v: v * diode(v, photo_a), bounds=(0.1, voc), method="bounded")
    isc = -diode(0.0, photo_a)
    return voc, isc, -best.fun / (voc * isc), -best.fun


def swept(photo_up_a: float, photo_down_a: float, seed: int, *, high_v: float = 1.1) -> BiasTrace:
    """Up and down at 0.1 V/s, a row every 25 ms; the ions have made the light's current another on the way back."""
    random = np.random.default_rng(seed)
    up = np.arange(-0.1, high_v, 0.0025)
    voltage = np.concatenate([up, up[::-1]])
    photo = np.where(np.arange(len(voltage)) < len(up), photo_up_a, photo_down_a)
    current = np.array([diode(v, p) for v, p in zip(voltage, photo, strict=True)])
    return BiasTrace(
        time_s=0.025 * np.arange(len(voltage)),
        voltage_v=voltage + random.normal(0, 2e-5, len(voltage)),
        current_a=current + OFFSET_A + random.normal(0, NOISE_A, len(voltage)),
        in_compliance=np.zeros(len(voltage), dtype=np.bool_),
        beam_open=np.zeros(len(voltage)),
    )


@pytest.mark.parametrize(("photo_a", "within"), [(0.3e-9, 0.02), (2e-9, 0.005), (20e-9, 0.005)])
def test_figures_are_found_and_their_sigmas_hold(photo_a: float, within: float) -> None:
    truths = [figures(photo_a), figures(0.94 * photo_a)]
    dark = dark_current(trace=swept(0.0, 0.0, 11))
    assert abs(dark["offset_a"] - OFFSET_A) < 4 * dark["offset_a_sigma"] < 4e-12
    missed = np.zeros(3)
    for seed in range(6):
        found = jv_curves(
            trace=swept(photo_a, 0.94 * photo_a, seed),
            offset_a=dark["offset_a"],
            offset_sigma_a=dark["offset_a_sigma"],
            area_m2=1e-11,
        )
        assert found["direction"] == ["forward", "reverse"]
        for row, (voc, isc, fill, power) in enumerate(truths):
            for column, (name, true) in enumerate((("voc_v", voc), ("jsc_a", isc), ("fill_factor", fill))):
                off = abs(found[name][row] - true)
                assert off < within * true, (name, row, seed)
                missed[column] += off > 2.5 * found[f"{name}_sigma"][row]
            assert found["mpp_w"][row] == pytest.approx(power, rel=within)
        assert found["jsc_a_per_m2"][0] == pytest.approx(found["jsc_a"][0] * 1e11)
        true_index = 1 - truths[0][3] / truths[1][3]
        assert abs(found["hysteresis"][0] - true_index) < max(0.003, 4 * found["hysteresis_sigma"][0])
    assert missed.max() <= 2, missed  # of 12 each


def test_rows_with_the_beam_or_in_compliance_are_left_out() -> None:
    clean = swept(2e-9, 2e-9, 3)
    current, limited, share = clean.current_a.copy(), clean.in_compliance.copy(), clean.beam_open.copy()
    share[100:140] = np.linspace(0.01, 1, 40)
    current[100:140] -= 0.4e-9
    limited[470:480] = True
    current[470:480] = 9e-9
    spoilt = BiasTrace(
        time_s=clean.time_s, voltage_v=clean.voltage_v, current_a=current, in_compliance=limited, beam_open=share
    )
    found, other = jv_curves(trace=spoilt), jv_curves(trace=clean)
    assert found["rows_left_out"] == [50, 0]
    for name in ("voc_v", "jsc_a", "fill_factor"):
        assert found[name] == pytest.approx(other[name], rel=0.005)


def test_what_a_sweep_does_not_reach_is_not_invented() -> None:
    short = jv_curves(trace=swept(2e-9, 2e-9, 5, high_v=0.6))
    assert np.isnan(short["voc_v"]).all()
    assert np.isnan(short["fill_factor"]).all()
    assert np.isfinite(short["jsc_a"]).all()
    assert np.isnan(short["hysteresis"]).all()
    dark = jv_curves(trace=swept(0.0, 0.0, 6))
    assert np.isnan(dark["fill_factor"]).all()
    something = swept(2e-9, 2e-9, 5)
    nothing = something.where(np.zeros(len(something), dtype=np.bool_))
    assert np.isnan(dark_current(trace=nothing)["offset_a"])
    assert held_power(trace=nothing)["rows"] == 0
    assert not beam_current(trace=nothing)["found"]


def test_a_beam_current_below_the_noise_of_a_row_is_found_and_none_is_not_claimed() -> None:
    random = np.random.default_rng(4)
    times = 0.025 * np.arange(800)
    share = beam_share(times, 0.025, [(5.0, 3.011), (12.0, 3.0)])
    claimed = 0
    for added_a in (-1.5e-12, 0.0, 0.0, 0.0, 0.0):
        current = -2e-9 + 1e-13 * times + added_a * share + random.normal(0, NOISE_A, 800)
        found = beam_current(
            trace=BiasTrace(
                time_s=times,
                voltage_v=np.full(800, 0.3),
                current_a=current,
                in_compliance=np.zeros(800, dtype=np.bool_),
                beam_open=share,
            )
        )
        assert abs(found["ebic_a"] - added_a) < 3 * found["ebic_a_sigma"]
        assert found["rows_open"] in range(230, 242)
        claimed += bool(found["found"])
        if added_a:
            assert found["found"]
    assert claimed <= 2


def test_power_is_that_of_the_blanked_rows_after_settling() -> None:
    times = 0.05 * np.arange(100)
    share = beam_share(times, 0.05, [(2.0, 1.0)])
    current = -1e-9 - 5e-10 * (share > 0) - 1e-9 * (times < 0.5)
    found = held_power(
        trace=BiasTrace(
            time_s=times,
            voltage_v=np.full(100, 0.8),
            current_a=current,
            in_compliance=np.zeros(100, dtype=np.bool_),
            beam_open=share,
        ),
        settle_s=0.5,
    )
    assert found["power_w"] == pytest.approx(0.8e-9)
    assert found["rows"] == 100 - 10 - 21


def test_the_share_of_a_row_in_which_the_beam_was_open() -> None:
    share = beam_share(np.array([0.0, 1.0, 2.0, 3.0, 10.0]), 1.0, [(2.25, 0.5), (0.75, 0.5)])
    assert share == pytest.approx([0.0, 0.5, 0.25, 0.25, 0.0])
    assert beam_share(np.array([1.0]), 0.0, [(0.5, 2.0)]) == [1.0]
    assert beam_share(np.array([1.0, 2.0]), 0.1, []) == pytest.approx([0.0, 0.0])


def test_a_dead_cell_has_no_fill_factor() -> None:
    """All that its source reads is rounded to nothing."""
    voltage = np.concatenate([np.arange(-0.1, 1.1, 0.0025), np.arange(1.1, -0.1, -0.0025)])
    rows = len(voltage)
    dead = BiasTrace(
        time_s=0.025 * np.arange(rows),
        voltage_v=voltage,
        current_a=np.zeros(rows),
        in_compliance=np.zeros(rows, dtype=np.bool_),
        beam_open=np.zeros(rows),
    )
    found = jv_curves(trace=dead)
    assert found["direction"] == ["forward", "reverse"]
    assert found["jsc_a"] == [0.0, 0.0]
    assert np.isnan([found["fill_factor"], found["fill_factor_sigma"], found["mpp_w"], found["voc_v"]]).all()


def test_of_two_rows_no_noise_is_told() -> None:
    whole = swept(2e-9, 2e-9, 3)
    told = held_power(trace=whole.where(np.arange(len(whole)) < 2))
    assert told["rows"] == 2
    assert np.isfinite(told["power_w"])
    assert np.isnan(told["power_w_sigma"])
