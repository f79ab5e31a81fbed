"""Who made facets fade: series drawn here with known losses, of the beam, of the bias, of both and of neither."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cryoctl.analysis.cause import weigh_causes
from cryoctl.analysis.facet_decline import facet_order

PICTURES, AMPLITUDE, NOISE_REL = 22, 0.12, 0.04
DOSE = np.linspace(3.0, 90.0, PICTURES)
BIAS_S = np.clip((np.arange(PICTURES) - 3) * 15.0, 0, None)


def region(
    random: np.random.Generator, beam: float, bias: tuple[float, ...], *, biased: bool, noise_rel: float = NOISE_REL
) -> dict[str, Any]:
    """`beam` and `bias` are exponents of the loss at the end of the series."""
    seconds = BIAS_S if biased else np.zeros(PICTURES)
    left = np.array([np.exp(-beam * DOSE / DOSE[-1] - one * seconds / BIAS_S[-1]) for one in bias])
    values = AMPLITUDE * (left + random.normal(0, noise_rel, left.shape))
    return {
        "name": ["100", "110", "111"][: len(bias)],
        "intensity": values.tolist(),
        "sigma": np.full(values.shape, AMPLITUDE * NOISE_REL).tolist(),
        "dose_e_per_a2": DOSE.tolist(),
        "bias_s": seconds.tolist(),
    }


@pytest.mark.parametrize(
    ("name", "beam", "bias"),
    [("none", 0.0, 0.0), ("beam", 0.11, 0.0), ("beam", 0.8, 0.0), ("bias", 0.0, 0.11), ("both", 0.2, 0.6)],
)
def test_the_cause_is_named_down_to_a_tenth_of_the_intensity(name: str, beam: float, bias: float) -> None:
    right = 0
    for seed in range(5):
        random = np.random.default_rng([seed, 3])
        rates = tuple(bias * share for share in (1.7, 0.9, 0.4))
        active, control = region(random, beam, rates, biased=True), region(random, beam, rates, biased=False)
        found = weigh_causes(active=active, control=control)
        assert sum(found["probability"]) == pytest.approx(1.0)
        right += found["name"] == name
    assert right >= 4


def test_without_a_control_blanked_intervals_still_tell_but_less() -> None:
    random = np.random.default_rng(2)
    active = region(random, 0.0, (1.0, 0.6, 0.3), biased=True)
    found = weigh_causes(active=active)
    assert found["name"] in ("bias", "both")
    assert found["probability"][0] < 1e-6


def test_scatter_beyond_the_stated_noise_makes_it_less_sure() -> None:
    random = np.random.default_rng(8)
    active = region(random, 0.0, (0.0, 0.0, 0.0), biased=True, noise_rel=3 * NOISE_REL)
    control = region(random, 0.0, (0.0, 0.0, 0.0), biased=False, noise_rel=3 * NOISE_REL)
    found = weigh_causes(active=active, control=control)
    assert found["name"] == "none"
    assert max(found["probability"]) < 0.999


def test_pictures_that_say_nothing_leave_the_causes_as_likely_as_they_were() -> None:
    """Alike before: no cause wins by having more that it could be."""
    random = np.random.default_rng(9)
    active, control = (region(random, 0.0, (0.0, 0.0), biased=biased) for biased in (True, False))
    for one in (active, control):
        one["sigma"] = (100.0 * np.asarray(one["sigma"])).tolist()
    found = weigh_causes(active=active, control=control)
    assert found["probability"] == pytest.approx([0.25] * 4, abs=0.12)


def test_too_little_is_told_as_that() -> None:
    one = {"name": ["100"], "intensity": [[0.1]], "sigma": [[0.01]], "dose_e_per_a2": [1.0], "bias_s": [0.0]}
    assert not weigh_causes(active=one)["found"]
    assert not facet_order(active=one)["found"]


def test_facets_are_ranked_by_their_own_rate_and_the_interval_of_the_onset_holds() -> None:
    rates = (0.25, 1.0, 0.5)
    held = ranked = 0
    for seed in range(10):
        random = np.random.default_rng([seed, 7])
        active, control = region(random, 0.3, rates, biased=True), region(random, 0.3, rates, biased=False)
        found = facet_order(active=active, control=control)
        ranked += found["rank"] == [3, 1, 2]
        true_s = -np.log(0.9) / (np.array(rates) / BIAS_S[-1])
        held += int(np.sum((found["onset_s_low"] <= true_s) & (true_s <= found["onset_s_high"])))
        assert found["dose_rate_a2"] == pytest.approx(0.3 / DOSE[-1], abs=5 * found["dose_rate_a2_sigma"])
    assert ranked >= 9
    assert held >= 26  # of 30 intervals of 95 %


def test_a_facet_that_stands_has_no_onset() -> None:
    random = np.random.default_rng(5)
    found = facet_order(
        active=region(random, 0.2, (0.8, 0.0, 0.0), biased=True),
        control=region(random, 0.2, (0.8, 0.0, 0.0), biased=False),
    )
    assert np.isfinite(found["onset_s"][0])
    assert np.isnan(found["onset_s"][1:]).all()
