from __future__ import annotations

import hashlib
import itertools
import json
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_instrument import FakeInstrument, Truth, some_facts

from cryoctl.errors import DoseRefused, InterlockRefused, StepLost
from cryoctl.protocol import CalibratedValue
from cryoctl_protocols.edx_tomography import EdxTomography
from cryoctl_protocols.parameters import EdxTomographyParameters
from cryoctl_protocols.tomography_chart import CHART

SHORT = {"tilts": {"min_deg": -30, "max_deg": 30, "step_deg": 10}}
TWO = {"targets": [{"name": "a"}, {"name": "b", "x_m": 9e-6}]}


def play(changes: dict[str, Any] | None = None, **fake: Any) -> tuple[str, FakeInstrument, EdxTomography]:
    recipe = EdxTomographyParameters.model_validate(SHORT | (changes or {}))
    facts = fake.pop("facts", None) or some_facts()
    protocol = EdxTomography(recipe, facts)
    instrument = FakeInstrument(facts, **{"limit_e_per_a2": recipe.dose.limit_e_per_a2} | fake)
    return instrument.run(protocol), instrument, protocol


def kind(instrument: FakeInstrument, name: str) -> list[Any]:
    return [laid for laid in instrument.laid if laid.step.kind == name]


def off_m(laid: Any) -> float:
    return math.hypot(laid.true_x_m - laid.step.x_m, laid.true_y_m - laid.step.y_m)


def test_a_series_is_recorded_whole_where_it_is_believed_to_be():
    end, instrument, protocol = play({"tilts": {}})
    assert end == "completed"
    records = kind(instrument, "record")
    assert tuple(laid.tilt_deg for laid in records) == protocol.angles_deg
    assert max(off_m(laid) for laid in records) < 25e-9
    assert all(off_m(laid) <= 3 * laid.step.position_sigma_m for laid in instrument.laid)
    assert sum(laid.dose_e_per_a2 for laid in records) == pytest.approx(41000, rel=1e-6), "dwell follows the current"
    assert [(one.name, one.outcome) for one in instrument.targets] == [("wire", "completed")]
    errors = instrument.concluded["tracking"]["prediction_error_m"]
    assert max(errors) < 20e-9


@pytest.mark.parametrize("seed", range(6))
def test_tracking_and_focus_never_touch_the_record_area(seed):
    truth = Truth(
        backlash_m=0.3e-6 + 0.05e-6 * (seed % 3 - 1),
        height_m=(seed - 3) * 0.3e-6,
        drift_m_per_s=seed * 1e-11,
        runout_m=150e-9,
        shift_matrix=(1.02 + 0.005 * (-1) ** seed, 0.01, -0.01, 0.98 - 0.005 * (-1) ** seed),
    )
    end, instrument, _ = play(truth=truth)
    assert end == "completed"
    field = kind(instrument, "record")[0].step
    half = field.shape[1] * field.pixel_size_m / 2
    record = [laid.true_x_m for laid in kind(instrument, "record")]
    for name in ("track", "focus"):
        for laid in kind(instrument, name):
            width = (laid.step.shape[1] / 2 + 16) * laid.step.pixel_size_m
            assert min(abs(laid.true_x_m - x) for x in record) > half + width, "the strip keeps clear as well"
    small = sum(laid.dose_e_per_a2 for laid in instrument.laid if laid.step.kind == "search")
    assert small < 1e-3 * sum(laid.dose_e_per_a2 for laid in kind(instrument, "record"))


@pytest.mark.parametrize("height_m", [2e-7, -2e-7])
@pytest.mark.parametrize("highest_deg", [60.0, 68.0])
def test_a_tilt_that_nobody_looks_at_lies_within_what_is_stated(height_m: float, highest_deg: float):
    """No tracking, height not measured: at its calibration's bound a height moves the content by its tangent."""
    known = some_facts().calibrations | {
        "eucentric_offset": CalibratedValue(value=(0.0,), sigma=1e-7, date="2026-01-01")
    }
    tilts = {"scheme": "list", "list_deg": [0.0, highest_deg, -highest_deg]}
    blind = {"tilts": tilts, "track": {"every": 0}, "focus": {"every": 0}, "eucentric": {"enabled": False}}
    _, instrument, _ = play(blind, truth=Truth(height_m=height_m), facts=some_facts(calibrations=known))
    assert len(kind(instrument, "record")) == 3
    assert max(off_m(laid) for laid in instrument.laid) > 0.3e-6
    assert all(off_m(laid) <= 3 * laid.step.position_sigma_m for laid in instrument.laid)


def test_a_long_shower_counts_how_far_the_specimen_may_drift_meanwhile():
    _, instrument, protocol = play({"shower": {"enabled": True, "dose_e_per_a2": 300.0}})
    (laid,) = kind(instrument, "shower")
    lasts_s = laid.step.dwell_s * laid.step.scans * math.prod(laid.step.shape)
    assert lasts_s > 100.0
    assert 3 * laid.step.position_sigma_m >= protocol.recipe.drift.unwatched_m_per_s * lasts_s
    assert off_m(laid) <= 3 * laid.step.position_sigma_m


def test_the_height_is_found_and_taken_out():
    _, instrument, _ = play(truth=Truth(height_m=1.5e-6))
    heights = instrument.concluded["eucentric"]["error_m"]
    assert abs(heights[0] - 1.5e-6) < 0.1e-6
    assert abs(heights[-1]) < 50e-9
    assert abs(instrument.height()) < 0.15e-6, "what is left is runout that looks like height"


def test_tilts_are_approached_upwards_and_only_ever_within_limits():
    _, instrument, _ = play()
    moves = [s["tilt_deg"] for s in instrument.steps if s["is"] == "MoveStage" and s["tilt_deg"] is not None]
    arrived = [b for a, b in itertools.pairwise(moves) if b == pytest.approx(a + 0.3)]
    assert set(arrived) >= {-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0}


def test_far_tilts_are_reached_in_strides_that_can_be_correlated():
    _, instrument, _ = play({"tilts": {"scheme": "list", "list_deg": [0, 60, -60]}})
    tilts = [laid.tilt_deg for laid in kind(instrument, "track") if laid.tilt_deg > 0]
    steps = [b - a for a, b in zip([0.0, *tilts], tilts, strict=False)]
    assert max(steps) <= 12.0 + 1e-9


def test_a_given_dwell_chooses_the_current():
    _, instrument, protocol = play({"image": {"dwell_s": 2e-3}})
    first = kind(instrument, "record")[0]
    asked = [s["beam_current_a"] for s in instrument.steps if s["is"] == "UseOptics" and s["name"] == "record"]
    assert asked[0] == pytest.approx(1000 * 1.602176634e-19 * 1e4 / (2e-3 * 8))
    assert first.step.dwell_s == pytest.approx(2e-3 / 1.05), "adjusted by what was measured"
    assert first.dose_e_per_a2 == pytest.approx(protocol.doses[0])


def test_the_series_ends_before_the_limit_is_passed():
    end, instrument, _ = play({"dose": {"limit_e_per_a2": 4500}})
    assert end == "dose_limited"
    assert len(kind(instrument, "record")) == 4
    assert kind(instrument, "track")[-1].tilt_deg == kind(instrument, "record")[-1].tilt_deg, "none is spent in vain"
    assert instrument.targets[0].outcome == "limited"
    assert instrument.steps[-1]["is"] == "Note"
    assert instrument.enc["tilt_deg"] == 0.0


def test_a_refused_exposure_ends_in_good_order():
    _, plain, _ = play()
    number = next(i for i, laid in enumerate(plain.laid) if laid.step.kind == "record")
    end, instrument, _ = play(throw={number: DoseRefused("no")})
    assert end == "dose_limited"
    assert not kind(instrument, "record")


def test_a_lost_target_is_skipped_or_ends_the_series():
    blind = {"blind_tilts": (20.0,)}
    end, instrument, _ = play(**blind)
    assert end == "targets_lost"
    assert instrument.targets[0].outcome == "lost"
    assert "20.00 deg" in instrument.targets[0].reason
    assert len(kind(instrument, "record")) == 3, "the rest is kept"
    end, instrument, _ = play(TWO | {"on_target_lost": "end"}, **blind)
    assert (end, len(instrument.targets)) == ("targets_lost", 1)


def test_one_lost_of_two_is_no_failure():
    _, plain, _ = play(TWO)
    assert [one.outcome for one in plain.targets] == ["completed", "completed"]
    first = next(i for i, laid in enumerate(plain.laid) if laid.step.kind == "track")
    end, instrument, _ = play(TWO, throw=dict.fromkeys(range(first, first + 4), StepLost("gone")))
    assert end == "completed"
    assert [one.outcome for one in instrument.targets] == ["lost", "completed"]


def test_a_wider_look_finds_the_target_again():
    end, instrument, _ = play(blind_tilts=(20.0,), blind_streams=("track",), throw={})
    assert end == "targets_lost", "never recognised: given up after the retries"
    looks = [laid for laid in kind(instrument, "search") if laid.tilt_deg == 20.0]
    assert len(looks) == 2


@pytest.mark.parametrize(("policy", "count"), [("skip", 6), ("repeat", 7)])
def test_a_lost_frame_is_skipped_or_taken_again(policy, count):
    _, plain, _ = play()
    third = [i for i, laid in enumerate(plain.laid) if laid.step.kind == "record"][2]
    end, instrument, _ = play({"on_lost": policy}, throw={third: StepLost("no frame")})
    assert end == "completed"
    assert len(instrument.concluded["tracking"]["tilt_deg"]) == count
    assert instrument.targets[0].outcome == ("completed" if policy == "repeat" else "partial")


def test_ends_by_interlock():
    _, plain, _ = play()
    late = len(plain.laid) // 2
    end, instrument, _ = play(throw={late: InterlockRefused("warm")})
    assert end == "interlocked_end"
    assert instrument.targets[0].outcome == "partial"
    end, instrument, _ = play(temperature_k=150.0)
    assert end == "interlocked_end"
    assert not instrument.laid
    end, instrument, _ = play(throw_on={"MoveStage": InterlockRefused("stage")})
    assert end == "interlocked_end"


def test_ends_by_time_condition_and_operator():
    assert play({"end": {"time_s": 600}})[0] == "time_over"
    end, instrument, _ = play({"end": {"edx_counts": 9000}})
    assert (end, instrument.targets[0].outcome) == ("condition_met", "completed")
    assert len(kind(instrument, "record")) == 2
    end, instrument, _ = play(TWO, commands={3: "stop-after"})
    assert (end, len(instrument.targets)) == ("ended_by_operator", 1)
    assert instrument.targets[0].outcome == "partial"


def test_skipping():
    end, instrument, _ = play(commands={2: "skip"})
    assert (end, instrument.targets[0].outcome) == ("targets_lost", "skipped")
    end, instrument, _ = play(TWO, commands={2: "skip"})
    assert (end, [one.outcome for one in instrument.targets]) == ("completed", ["skipped", "completed"])


def test_drift_is_waited_for_within_its_time_limit():
    calm = play()[1]
    end, moving, _ = play({"drift": {"timeout_s": 60, "limit_m_per_s": 1e-10}}, truth=Truth(drift_m_per_s=2e-9))
    assert end == "completed"
    assert len(kind(moving, "track")) > len(kind(calm, "track"))
    assert any(s["is"] == "Note" and s["name"] == "drift" for s in moving.steps)
    assert max(off_m(laid) for laid in kind(moving, "record")) < 60e-9, "drift between track and record"


def test_nothing_is_looked_at_where_the_recipe_says_so():
    bare = {
        "track": {"every": 0},
        "focus": {"every": 0},
        "search": {"enabled": False},
        "eucentric": {"enabled": False},
    }
    end, instrument, _ = play(bare)
    assert end == "completed"
    assert {laid.step.kind for laid in instrument.laid} == {"record"}


def test_a_weight_of_nothing_leaves_a_tilt_out():
    weights = [1, 1, 0, 1, 1, 1, 1]
    end, instrument, _ = play({"dose": {"split": "explicit", "weights": weights}})
    assert (end, len(kind(instrument, "record"))) == ("completed", 6)
    assert instrument.targets[0].outcome == "completed"


def test_showering_is_counted_before_the_references():
    end, instrument, _ = play({"shower": {"enabled": True}})
    assert end == "completed"
    (shower,) = kind(instrument, "shower")
    assert shower.dose_e_per_a2 == pytest.approx(100)
    assert shower.step.detector == ""


def test_every_transition_of_the_chart_is_taken():
    """Together these runs go every way that the chart has; errors are thrown at each state in turn."""
    taken: set[tuple[str, str, str]] = set()
    two = TWO | {"shower": {"enabled": True}, "current": {"measure_interval_s": 300, "bracket": False}}
    runs: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({}, {}),
        (two, {}),
        (two | {"dose": {"limit_e_per_a2": 4500}}, {}),
        (two, {"blind_tilts": (20.0,)}),
        ({"eucentric": {"enabled": False}}, {}),
        ({"eucentric": {"enabled": False}, "shower": {"enabled": True}}, {}),
        ({"track": {"every": 2}, "focus": {"every": 3}}, {}),
        ({"track": {"every": 0}, "focus": {"every": 2}}, {}),
        ({"drift": {"timeout_s": 0}, "focus": {"every": 2}}, {}),
        ({"end": {"time_s": 600}}, {}),
        ({"end": {"edx_counts": 9000}}, {}),
        ({}, {"commands": {3: "stop-after"}}),
        ({"track": {"max_age_s": 0.01}}, {}),
    ]
    for changes, fake in runs:
        taken |= play(changes, **fake)[1].fired
    reached = {(move.trigger, move.source, move.dest) for move in CHART.transitions}
    thrown = {"lost": StepLost("x"), "dose_spent": DoseRefused("x"), "interlocked": InterlockRefused("x")}
    for trigger, source, _dest in sorted(reached - taken):
        if trigger in thrown:
            taken |= _throw_in(source, thrown[trigger])
    assert reached - taken == set(), "no way of the chart is dead"


def _throw_in(state: str, error: Exception) -> set[tuple[str, str, str]]:
    """Play a series in which the first step of a state throws."""
    recipe = EdxTomographyParameters.model_validate(
        SHORT | {"shower": {"enabled": True}, "current": {"measure_interval_s": 300, "bracket": False}}
    )
    protocol = EdxTomography(recipe, some_facts())
    instrument = FakeInstrument(protocol.facts)
    answer = instrument.answer

    def answer_or_throw(step: Any) -> Any:
        if instrument.states[-1] == state:
            raise error
        return answer(step)

    instrument.answer = answer_or_throw  # type: ignore[method-assign]
    instrument.run(protocol)
    return instrument.fired


SCRIPT = """
import hashlib, json, sys
sys.path.insert(0, {here!r})
from test_series import TWO, play
_, instrument, _ = play(TWO | {{"edx": {{"elements": ["F", "C", "Si"]}}}})
print(hashlib.sha256(json.dumps(instrument.steps).encode()).hexdigest(), len(instrument.steps))
"""


def test_the_same_steps_under_another_hash_seed():
    here = str(Path(__file__).parent)
    seen = set()
    for seed in ("1", "4242"):
        out = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(here=here)],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(out.stdout)
    _, instrument, _ = play(TWO | {"edx": {"elements": ["F", "C", "Si"]}})
    seen.add(f"{hashlib.sha256(json.dumps(instrument.steps).encode()).hexdigest()} {len(instrument.steps)}\n")
    assert len(seen) == 1


@pytest.mark.parametrize(("offset_m", "goes"), [(5e-6, True), (0.1e-6, False)])
def test_a_series_starts_at_the_calibrated_height_where_the_stage_is_not_there_yet(offset_m, goes):
    calibrations = {
        **some_facts().calibrations,
        "eucentric_offset": CalibratedValue(value=(offset_m,), sigma=0.1e-6, date="2026-01-01"),
    }
    facts = some_facts(calibrations=calibrations)
    end, instrument, _ = play(facts=facts, truth=Truth(height_m=offset_m + 0.02e-6))
    assert end == "completed"
    heights = [step["z_m"] for step in instrument.steps if step["is"] == "MoveStage" and step["z_m"] is not None]
    assert heights[:1] == ([offset_m] if goes else heights[:1])
    assert goes or all(height != offset_m for height in heights)
