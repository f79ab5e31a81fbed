"""What a recipe of a needle, a chip or a biased series asks beyond its instrument is told before anything starts."""

from __future__ import annotations

import pytest

from cryoctl.errors import BadInput
from cryoctl.launch.prepare import furnish, prepare
from cryoctl.launch.request import RunRequest

INSTRUMENTS = {"needle-biasing": "needle-holder", "chip-biasing": "chip-holder", "biased-series": "simulated"}
BAD = [
    ("needle-biasing", "dose_rate_e_per_a2_s=1e-6", "dose_rate_e_per_a2_s: found 1e-06"),
    ("needle-biasing", "dose_rate_e_per_a2_s=1e5", "dose_rate_e_per_a2_s: found 100000"),
    ("needle-biasing", "instrument.limits.dose_rate_e_per_a2_s=5", "dose_rate_e_per_a2_s: while"),
    ("needle-biasing", "instrument.limits.dose_rate_e_per_a2_s=20", "looks.close_pixel_m: while"),
    ("needle-biasing", "interlocks.dose_rate_max_e_per_a2_s=5", "dose_rate_e_per_a2_s: while"),
    ("needle-biasing", "dose.limit_e_per_a2=1", "dose.limit_e_per_a2: found 1 "),
    ("needle-biasing", "needle.clear_distance_m=3e-6", "needle.coarse_stop_m: found 2.8e-06"),
    ("needle-biasing", "needle.fine_wobble_deg=40", "the holder allows -30 to 30 deg"),
    ("needle-biasing", "looks.close_shape=[8192, 8192]", "looks.close_shape: found 8192 x 8192"),
    ("needle-biasing", "pictures.dwell_s=1e-9", "pictures.dwell_s: found 1e-09 s"),
    ("needle-biasing", "looks.optics=nope", "looks.optics: found 'nope'"),
    ("needle-biasing", "pictures.detector=nope", "pictures.detector: found 'nope'"),
    ("needle-biasing", "needle.side=up", "needle.side"),
    ("needle-biasing", "x_m=0.5", "x_m: found 0.5 m"),
    ("needle-biasing", "bias.limit_v=50", "bias.limit_v: found 50 V"),
    ("needle-biasing", "bias.limit_v=12", "bias.limit_v: found 12 V, a needle on a particle gets at most 10 V"),
    (
        "needle-biasing",
        "bias.compliance_a=2e-7",
        "bias.compliance_a: found 2e-07 A, a needle on a particle gets at most",
    ),
    ("chip-biasing", "pictures.search_shape=[9000, 9000]", "pictures.search_shape: found 9000 x 9000"),
    ("chip-biasing", "pictures.dose_e_per_a2=0.1", "pictures.dose_e_per_a2: found 0.1"),
    ("chip-biasing", "beam_current.dose_e_per_a2=1e-9", "beam_current.dose_e_per_a2: found 1e-09"),
    ("chip-biasing", "y_m=1", "y_m: found 1 m"),
    ("chip-biasing", "sweep.rate_v_per_s=1e-9", "sweep: "),
    ("biased-series", "x_m=0.5", "x_m: found 0.5 m"),
    ("biased-series", "pictures.shape=[9000, 9000]", "pictures.shape: found 9000 x 9000"),
]


def looked_at(recipe: str, *overrides: str) -> None:
    furnish(prepare(RunRequest(recipe=recipe, instrument=INSTRUMENTS[recipe], overrides=overrides)), None)


@pytest.mark.parametrize(("recipe", "override", "told"), BAD)
def test_it_is_told_in_one_sentence(recipe: str, override: str, told: str) -> None:
    with pytest.raises(BadInput) as refused:
        looked_at(recipe, override)
    assert told in str(refused.value)
    assert len(str(refused.value)) <= 300


@pytest.mark.parametrize("recipe", INSTRUMENTS)
def test_a_bundled_recipe_is_not(recipe: str) -> None:
    looked_at(recipe)


@pytest.mark.parametrize("rate", [1.0, 10.0, 100.0])
def test_rates_that_are_used_are_allowed(rate: float) -> None:
    looked_at("needle-biasing", f"dose_rate_e_per_a2_s={rate}")
