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
    ("needle-biasing", "looks.close_shape=[8, 8]", "looks.close_shape: found 8 x 8 pixels of 2 nm"),
    ("needle-biasing", "looks.close_shape=[256, 128]", "400 nm along the needle"),
    ("needle-biasing", "looks.close_shape=[64, 256]", "200 nm across"),
    ("needle-biasing", "looks.shape=[8, 8]", "looks.shape: found 8 x 8 pixels"),
    ("needle-biasing", "looks.overview_m=2e-6", "looks.overview_m: found 2e-06 m"),
    ("needle-biasing", "looks.close_pixel_m=1e-8", "needle.max_indentation_m: found 2e-08 m"),
    ("needle-biasing", "needle.max_indentation_m=1e-12", "needle.max_indentation_m: found 1e-12 m"),
    ("needle-biasing", "needle.tube_step_m=1e-11", "needle.tube_step_m: found 1e-11 m"),
    ("needle-biasing", "needle.looks=20", "in needle.looks pictures, 20, the last 150 nm"),
    ("needle-biasing", "needle.tube_back_m=1e-5", "the tube reaches from -2.5e-06 to 2.5e-06 m"),
    ("needle-biasing", "needle.coarse_stop_m=6e-6", "needle.coarse_stop_m: found 6e-06 m"),
    ("needle-biasing", "needle.tube_back_m=0", "needle.coarse_stop_m: found 2.8e-06 m"),
    ("needle-biasing", "needle.wobble_deg=1e-6", "needle.wobble_deg"),
    ("needle-biasing", "needle.fine_wobble_deg=1e-6", "needle.fine_wobble_deg"),
    ("needle-biasing", "needle.height_m=1e-12", "needle.height_m"),
    ("needle-biasing", "pace.events_s=[-1]", "pace.events_s"),
    ("needle-biasing", "pace.events_s=[50, 20]", "20 s is not later than 50 s"),
    ("needle-biasing", "pace.events_s=[20, 20]", "20 s is not later than 20 s"),
    ("needle-biasing", "pace.events_s=[20, 5000]", "pace.events_s: found 5000 s, the bias lasts 200 s"),
    ("needle-biasing", "pace.longest_s=0.1", "longest_s is 0.1 s, below shortest_s 1 s"),
    ("needle-biasing", "pace.longest_s=2", "pace.longest_s: found 2 s"),
    ("needle-biasing", "pictures.shape=[8, 4096]", "pictures.shape: found 8 x 4096 pixels"),
    ("chip-biasing", "pictures.search_shape=[9000, 9000]", "pictures.search_shape: found 9000 x 9000"),
    ("chip-biasing", "pictures.dose_e_per_a2=0.1", "pictures.dose_e_per_a2: found 0.1"),
    ("chip-biasing", "beam_current.dose_e_per_a2=1e-9", "beam_current.dose_e_per_a2: found 1e-09"),
    ("chip-biasing", "y_m=1", "y_m: found 1 m"),
    ("chip-biasing", "sweep.rate_v_per_s=1e-9", "sweep: "),
    ("chip-biasing", "x_m=-1e-3", "x_m: found -0.001 m, the stage reaches -0.000998"),
    ("chip-biasing", "sweep.rate_v_per_s=10", "sweep.rate_v_per_s: found 10 V/s"),
    ("chip-biasing", "bias.sample_interval_s=2", "sweep.rate_v_per_s: found 0.1 V/s, the source samples every 2 s"),
    ("chip-biasing", "bias.sample_interval_s=0.4", "beam_current.shape: found 96 x 256"),
    ("chip-biasing", "bias={sample_interval_s: 0.4, dwell_s: 2}", "bias.dwell_s: found 2 s"),
    ("chip-biasing", "bias.duration_s=1", "dwell_s is 10 s, above duration_s 1 s"),
    ("chip-biasing", "bias={limit_v: 0.1, voltage_v: 0.05, step_v: 0.2}", "step_v is 0.2 V, above limit_v 0.1 V"),
    ("chip-biasing", "beam_current.shape=[8, 8]", "beam_current.shape: found 8 x 8 pixels"),
    ("chip-biasing", "facets=[{name: a, spacing_m: 1e-8}]", "facets.a.spacing_m: found 1e-08 m"),
    ("chip-biasing", "facets=[{name: a, spacing_m: 6e-10}, {name: b, spacing_m: 6.2e-10}]", "facets.b: found"),
    (
        "chip-biasing",
        "facets=[{name: a, spacing_m: 6e-10, angle_deg: 10}, {name: b, spacing_m: 6e-10, angle_deg: 180}]",
        "facets.b: found 6e-10 m, a has 6e-10 m: give both an angle_deg",
    ),
    ("chip-biasing", "pictures.shape=[8, 560]", "pictures.shape: found 8 x 560 pixels"),
    ("chip-biasing", "pictures.search_shape=[32, 32]", "pictures.search_shape: found 32 x 32 pixels"),
    ("biased-series", "x_m=0.5", "x_m: found 0.5 m"),
    ("biased-series", "x_m=1e-5", "x_m, y_m: found a place 1e-05 m off"),
    ("biased-series", "pictures.dose_e_per_a2=1e-9", "pictures.dose_e_per_a2: found 1e-09"),
    ("biased-series", "pictures.pixel_size_m=1e-5", "pictures.dose_e_per_a2: found 5"),
    ("biased-series", "pictures.shape=[9000, 9000]", "pictures.shape: found 9000 x 9000"),
]


def test_what_a_source_of_its_own_can_not_play_or_hold() -> None:
    deaf = "instrument.devices.bias={kind: bias, driver: keithley-2400, emulator: {model: keithley-2400}}"
    with pytest.raises(BadInput, match="the source plays up to"):
        looked_at("biased-series", deaf)
    with pytest.raises(BadInput, match="the source holds 1e-09 A or more"):
        looked_at("biased-series", deaf, "bias.compliance_a=1e-10")


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


def test_facets_of_one_spacing_are_told_by_their_angles() -> None:
    looked_at(
        "chip-biasing",
        "facets=[{name: a, spacing_m: 6e-10, angle_deg: 10}, {name: b, spacing_m: 6e-10, angle_deg: 100}]",
    )


def test_a_maximum_power_without_light_is_warned_of() -> None:
    prepared = prepare(RunRequest(recipe="chip-biasing", instrument="chip-holder", overrides=("light_w_per_m2=0",)))
    assert "without light" in furnish(prepared, None).warnings[0]
