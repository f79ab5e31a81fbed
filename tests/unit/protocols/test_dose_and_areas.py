from __future__ import annotations

import math

import pytest
from fake_instrument import some_facts
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cryoctl.errors import RecipeError
from cryoctl.interfaces.stage import StageLimits
from cryoctl.protocol import Chart
from cryoctl_protocols import areas
from cryoctl_protocols.dose_plan import current_a, dwell_s, planned_doses_e_per_a2, planned_peak_e_per_a2
from cryoctl_protocols.edx_tomography import EdxTomography
from cryoctl_protocols.parameters import EdxTomographyParameters


def recipe(**changes: object) -> EdxTomographyParameters:
    return EdxTomographyParameters.model_validate(changes)


@given(st.sampled_from(["equal", "geometry", "explicit"]), st.floats(1, 5000))
def test_a_split_never_changes_the_sum(split, per_tilt):
    weights = [1.0 + k % 3 for k in range(41)] if split == "explicit" else None
    plan = recipe(dose={"split": split, "per_tilt_e_per_a2": per_tilt, "weights": weights})
    doses = planned_doses_e_per_a2(plan.dose, plan.tilts.angles_deg())
    assert math.fsum(doses) == pytest.approx(41 * per_tilt)
    if split == "geometry":
        by_angle = dict(zip(plan.tilts.angles_deg(), doses, strict=True))
        assert by_angle[60.0] == pytest.approx(2 * by_angle[0.0])


@given(st.floats(0.1, 1e5), st.floats(1e-10, 1e-7), st.integers(1, 64), st.floats(1e-12, 5e-9))
def test_dwell_and_current_are_inverse(dose, pixel, scans, current):
    dwell = dwell_s(dose, pixel_size_m=pixel, scans=scans, current_a=current)
    assert current_a(dose, pixel_size_m=pixel, scans=scans, dwell_s=dwell) == pytest.approx(current)


def test_dwell_is_the_fluence():
    assert dwell_s(6.2415e9 / 1e8, pixel_size_m=1e-6, scans=1, current_a=1e-9) == pytest.approx(1.0, rel=1e-4)


def test_the_default_plan_keeps_a_tenth_of_the_limit():
    plan = recipe()
    assert planned_peak_e_per_a2(plan) <= 0.9 * plan.dose.limit_e_per_a2
    assert EdxTomography.check(plan, some_facts()) == ()


def test_areas_keep_clear_of_the_record_area_and_its_strips():
    facts = some_facts()
    found = areas.layout(recipe(), facts)
    record = found["record"]
    strip = facts.timing.settle_px * record.pixel_size_m
    for name in ("track", "focus"):
        gap = abs(found[name].dx_m) - record.width_m / 2 - found[name].width_m / 2 - strip
        assert gap >= 3 * (areas.position_sigma_m(recipe(), facts) + areas.predicted_sigma_m(recipe(), facts))
    assert found["track"].dx_m > 0 > found["focus"].dx_m


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"areas": {"offset_m": 1e-6}}, ["areas.offset_m", "track"]),
        ({"areas": {"offset_m": 9e-6}}, ["track", "image shift"]),
        ({"image": {"shape": [96, 4000]}, "edx": {"scans": 1}}, ["track"]),
        ({"image": {"shape": [96, 65536]}}, ["image.shape", "4096"]),
        ({"tilts": {"max_deg": 60, "pretilt_deg": 12}}, ["pre-tilt", "holder"]),
        ({"tilts": {"max_deg": 72}}, ["tilts", "holder"]),
        ({"image": {"dwell_s": 1.0}, "dose": {"per_tilt_e_per_a2": 1e-3}}, ["image.dwell_s", "allowed are"]),
        ({"dose": {"per_tilt_e_per_a2": 1e5, "limit_e_per_a2": 1e9}}, ["dwell", "allowed are"]),
        ({"dose": {"per_tilt_e_per_a2": 4e4, "limit_e_per_a2": 3e4}}, ["dose.limit_e_per_a2", "raise the limit"]),
        ({"optics": {"record": "diffraction"}}, ["optics.record", "record"]),
        ({"targets": [{"name": "a"}, {"name": "b", "x_m": 2e-6}]}, ["targets", "'a'", "'b'"]),
        ({"targets": [{"name": "a", "x_m": 0.5}]}, ["targets.a.x_m", "stage reaches"]),
    ],
)
def test_what_the_instrument_cannot_do_is_refused_in_one_sentence(changes, names):
    with pytest.raises(RecipeError) as caught:
        EdxTomography.check(recipe(**changes), some_facts())
    message = str(caught.value)
    assert len(message) <= 300
    assert "\n" not in message
    for name in names:
        assert name in message


def test_a_dwell_that_the_refusal_allows_is_accepted():
    too_long = {"image": {"dwell_s": 1.0}, "dose": {"per_tilt_e_per_a2": 1e-3}}
    with pytest.raises(RecipeError) as caught:
        EdxTomography.check(recipe(**too_long), some_facts())
    longest = float(str(caught.value).split(" to ")[-1].removesuffix(" s"))
    facts = some_facts(dwell_range_s=(1e-9, 10.0))
    assert EdxTomography.check(recipe(**(too_long | {"image": {"dwell_s": longest * 0.999}})), facts) == ()


def test_targets_far_enough_apart_are_accepted():
    two = recipe(targets=[{"name": "a"}, {"name": "b", "x_m": 2e-6, "y_m": 6e-6}, {"name": "c", "x_m": 9e-6}])
    assert EdxTomography.check(two, some_facts()) == ()


def test_stage_limits_count_the_eucentric_tilts():
    limits = StageLimits(x_m=(-1e-3, 1e-3), y_m=(-1e-3, 1e-3), z_m=(-1e-4, 1e-4), tilt_deg=(-5, 60))
    with pytest.raises(RecipeError, match="-10 deg"):
        EdxTomography.check(recipe(tilts={"min_deg": 0}), some_facts(stage=limits))


def test_a_plan_above_the_limit_is_a_warning():
    (warning,) = EdxTomography.check(recipe(dose={"limit_e_per_a2": 2.05e4}), some_facts())
    assert "after about 20 of 41 tilts" in warning


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"dose": {"split": "explicit"}}, "weights are missing"),
        ({"dose": {"split": "explicit", "weights": [1.0, 2.0]}}, "2 weights for 41 tilts"),
        ({"dose": {"split": "explicit", "weights": [-1.0] * 41}}, "greater than or equal to 0"),
        ({"dose": {"split": "explicit", "weights": [0.0] * 41}}, "all 0"),
        ({"dose": {"weights": [1.0] * 41}}, "belong to split explicit"),
        ({"dose": {"per_tilt_e_per_a2": [1.0, 2.0]}}, "2 doses for 41 tilts"),
        ({"dose": {"per_tilt_e_per_a2": 0}}, "greater than 0"),
        ({"dose": {"limit_e_per_a2": -1}}, "greater than 0"),
        ({"dose": {"limit_e_per_a2": float("inf")}}, "dose"),
        ({"edx": {"elements": []}}, "at least 1"),
        ({"edx": {"elements": ["Si", "O", "Si"]}}, "Si twice"),
        ({"edx": {"elements": ["silicon"]}}, "a chemical symbol is wanted"),
        ({"edx": {"scans": 0}}, "greater than or equal to 1"),
        ({"image": {"shape": [0, 128]}}, "greater than or equal to 8"),
        ({"image": {"shape": [1, 128]}}, "greater than or equal to 8"),
        ({"image": {"shape": [True, 128]}}, "valid integer"),
        ({"image": {"dwell_s": 0}}, "greater than 0"),
        ({"targets": []}, "at least 1"),
        ({"targets": [{"name": "a"}, {"name": "a", "x_m": 1e-5}]}, "name of its own"),
        ({"targets": [{"name": "a/b"}]}, "letters, digits"),
        ({"on_target_lost": "weep"}, "skip"),
        ({"limit": 3}, "not permitted"),
    ],
)
def test_recipe_fields_are_checked(changes, said):
    with pytest.raises(ValidationError) as caught:
        recipe(**changes)
    assert said in str(caught.value)


def test_the_chart_is_plain_and_whole():
    chart: Chart = EdxTomography.chart
    assert set(chart.labels) == {*chart.states, *chart.finals}
    assert set(chart.finals.values()) == {
        "completed", "dose", "target-lost", "interlock", "time", "condition", "operator",
    }  # fmt: skip
    for state in chart.states:
        assert callable(getattr(EdxTomography, state))
    for move in chart.transitions:
        assert not move.guard or callable(getattr(EdxTomography, move.guard))


def test_describe_gives_plain_values():
    plan = recipe(targets=[{"name": "a"}, {"name": "b", "x_m": 9e-6}])
    told = EdxTomography(plan, some_facts()).describe()
    assert told["targets"] == ["a", "b"]
    assert set(told["areas"]) == {f"{kind}-{name}" for kind in ("record", "track", "focus", "search") for name in "ab"}
    assert told["planned"]["record"] == pytest.approx(41000)
    assert told["edx"]["elements"] == ["Si", "O", "F", "C"]
    box = EdxTomography(plan, some_facts()).covered_area_m()
    assert box[0] < -2.5e-6
    assert box[1] > 11.5e-6
