from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import brentq, minimize_scalar

from cryoctl.dose.damage import (
    OPTIMUM_DOSE_OVER_CRITICAL,
    CriticalDose,
    DamageMap,
    background_limited_optimum_e_per_a2,
    critical_doses,
    mean_survival,
    relative_snr,
    survival,
)
from cryoctl.errors import BadInput

OXYGEN = CriticalDose((95.0, 295.0), (4e4, 8e3))


def test_interpolation_is_arrhenius_and_held_at_the_ends() -> None:
    assert OXYGEN.at(95.0) == pytest.approx(4e4)
    assert OXYGEN.at(295.0) == pytest.approx(8e3)
    assert OXYGEN.at(4.0) == pytest.approx(4e4)
    assert OXYGEN.at(500.0) == pytest.approx(8e3)
    middle = 2.0 / (1 / 95.0 + 1 / 295.0)
    assert OXYGEN.at(middle) == pytest.approx(math.sqrt(4e4 * 8e3))


@given(st.floats(1.0, 1000.0), st.floats(1.0, 1000.0))
def test_never_more_robust_when_warmer(a: float, b: float) -> None:
    assert OXYGEN.at(max(a, b)) <= OXYGEN.at(min(a, b)) * (1 + 1e-12)


@pytest.mark.parametrize(
    ("temperatures", "doses"),
    [((), ()), ((95.0,), (1.0, 2.0)), ((295.0, 95.0), (1.0, 2.0)), ((95.0,), (0.0,)), ((95.0,), (math.nan,)),
     ((math.inf,), (1.0,)), ((95.0, 295.0), (math.inf, 1e4))],
)  # fmt: skip
def test_bad_tables_are_refused_in_one_sentence(temperatures: tuple[float, ...], doses: tuple[float, ...]) -> None:
    with pytest.raises(BadInput) as caught:
        CriticalDose(temperatures, doses)
    assert len(str(caught.value)) <= 300


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(80, 300)), min_size=1, max_size=8))
def test_exponents_add_across_temperatures_in_any_order(exposures: list[tuple[float, float]]) -> None:
    forth, back = DamageMap((1, 1), {"O": OXYGEN}), DamageMap((1, 1), {"O": OXYGEN})
    for dose, temperature in exposures:
        forth.expose(dose, temperature)
    for dose, temperature in reversed(exposures):
        back.expose(dose, temperature)
    expected = math.prod(math.exp(-dose / OXYGEN.at(t)) for dose, t in exposures)
    assert forth.survival("O")[0, 0] == pytest.approx(expected, rel=1e-9)
    assert back.survival("O")[0, 0] == pytest.approx(expected, rel=1e-9)


def test_damage_map_in_a_window_and_undamaged_features() -> None:
    damage = DamageMap((4, 5), critical_doses({"O": {95.0: 4e4, 295.0: 8e3}, "Si": math.inf}, ["Si", "O", "F"]))
    damage.expose(np.full((2, 2), 4e4), 95.0, (slice(0, 2), slice(1, 3)))
    assert damage.survival("O")[0, 1] == pytest.approx(math.exp(-1))
    assert damage.survival("O")[3, 4] == 1.0
    assert np.all(damage.survival("Si") == 1.0)
    assert np.all(damage.survival("F") == 1.0)
    with pytest.raises(BadInput):
        damage.expose(-1.0, 95.0)


def test_optimum_is_the_maximum_found_numerically() -> None:
    best = minimize_scalar(
        lambda x: -(1 - math.exp(-x)) / math.sqrt(x),
        bounds=(0.1, 5),
        method="bounded",
        options={"xatol": 1e-9},
    )
    assert pytest.approx(best.x, abs=1e-6) == OPTIMUM_DOSE_OVER_CRITICAL
    assert background_limited_optimum_e_per_a2(1e4) == pytest.approx(12564.3, abs=0.1)
    # science.md: 10 % off costs 0.2 %, a 3 % loss spans 0.66 to 1.48 of the optimum.
    optimum = OPTIMUM_DOSE_OVER_CRITICAL
    assert 1 - relative_snr([0.9 * optimum, 1.1 * optimum]).mean() == pytest.approx(0.002, abs=0.001)
    low = brentq(lambda f: float(relative_snr(f * optimum)) - 0.97, 0.2, 1.0)
    high = brentq(lambda f: float(relative_snr(f * optimum)) - 0.97, 1.0, 3.0)
    assert (low, high) == (pytest.approx(0.66, abs=0.01), pytest.approx(1.48, abs=0.01))


def test_mean_survival_is_the_mean_of_survival() -> None:
    dose = np.linspace(0, 3e4, 200001)
    assert mean_survival(3e4, 1e4) == pytest.approx(survival(dose, 1e4).mean(), rel=1e-4)
    assert mean_survival(0.0, 1e4) == 1.0
    assert mean_survival(1e9, math.inf) == 1.0
