from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from cryoctl_protocols.tilt_schemes import MAX_TILTS, Bidirectional, DoseSymmetric, Saxton, Tilts, Unidirectional

TILTS = TypeAdapter(Tilts)
RANGES = st.tuples(st.integers(-70, 69), st.integers(1, 60), st.sampled_from([0.5, 1.0, 2.0, 3.0, 7.5]))


def scheme(name: str, low: float, span: float, step: float, **more: object):
    high = min(low + max(span, 2 * step), 90.0)
    return TILTS.validate_python({"scheme": name, "min_deg": low, "max_deg": high, "step_deg": step, **more})


@given(RANGES, st.sampled_from(["dose-symmetric", "bidirectional", "unidirectional", "saxton"]))
@settings(max_examples=200, deadline=None)
def test_each_angle_once_and_within_the_range(size, name):
    low, span, step = size
    tilts = scheme(name, low, span, step)
    angles = tilts.angles_deg()
    assert len(set(angles)) == len(angles) >= 2
    assert all(tilts.min_deg - 1e-6 <= angle <= tilts.max_deg + 1e-6 for angle in angles)
    assert tilts.start_deg in angles


@given(RANGES, st.sampled_from(["dose-symmetric", "bidirectional", "unidirectional"]))
@settings(max_examples=100, deadline=None)
def test_even_schemes_visit_the_same_grid_without_gaps(size, name):
    low, span, step = size
    angles = sorted(scheme(name, low, span, step).angles_deg())
    assert all(abs(b - a - step) < 1e-5 for a, b in itertools.pairwise(angles))
    assert angles[0] < low + step
    assert angles == sorted(scheme("unidirectional", low, span, step).angles_deg())


@given(st.integers(1, 5))
def test_dose_symmetric_goes_outwards_in_groups(group):
    angles = DoseSymmetric(group=group).angles_deg()
    assert angles[0] == 0.0
    for side in (1, -1):
        own = [abs(angle) for angle in angles if angle * side > 0]
        assert own == sorted(own)
    signs = [math.copysign(1, angle) for angle in angles[1:]]
    runs, length = [], 1
    for one, other in itertools.pairwise(signs):
        if one == other:
            length += 1
        else:
            runs.append(length)
            length = 1
    assert set(runs) <= {group, 20 % group or group}


def test_orders():
    assert DoseSymmetric(min_deg=-6, max_deg=6).angles_deg() == (0, 3, -3, 6, -6)
    assert DoseSymmetric(min_deg=-12, max_deg=12, group=2).angles_deg() == (0, 3, 6, -3, -6, 9, 12, -9, -12)
    assert Bidirectional(min_deg=-6, max_deg=6).angles_deg() == (0, 3, 6, -3, -6)
    assert Unidirectional(min_deg=-6, max_deg=6).angles_deg() == (-6, -3, 0, 3, 6)
    assert Unidirectional(min_deg=10, max_deg=20, step_deg=5).angles_deg() == (10, 15, 20)


def test_saxton_increments_follow_the_cosine():
    angles = Saxton(min_deg=0, max_deg=70, step_deg=3).angles_deg()
    for one, other in itertools.pairwise(angles):
        expected = math.degrees(math.asin(math.sin(math.radians(3)) * math.cos(math.radians(one))))
        assert other - one == pytest.approx(expected, abs=1e-5)


@given(st.integers(2, 200))
def test_golden_ratio_fills_evenly_wherever_it_stops(count):
    angles = TILTS.validate_python({"scheme": "golden-ratio", "count": count}).angles_deg()
    assert len(set(angles)) == count
    assert all(-60 <= angle <= 60 for angle in angles)
    ordered = sorted(angles)
    gaps = [b - a for a, b in itertools.pairwise(ordered)]
    assert max(gaps) < 120 / count * 2.7, "three-distance theorem: no gap is left much wider than the mean"


def test_list_keeps_its_order_and_pretilt_moves_the_stage():
    tilts = TILTS.validate_python({"scheme": "list", "list_deg": [0, 20, -10], "pretilt_deg": 15})
    assert tilts.angles_deg() == (0, 20, -10)
    assert tilts.stage_angles_deg() == (15, 35, 5)


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"step_deg": 0}, "greater than 0"),
        ({"step_deg": -3}, "greater than 0"),
        ({"min_deg": 10, "max_deg": -10}, "exchange"),
        ({"min_deg": 10, "max_deg": 10}, "at least two"),
        ({"min_deg": 0, "max_deg": 2, "step_deg": 3}, "at least two"),
        ({"step_deg": 0.0012}, str(MAX_TILTS)),
        ({"scheme": "saxton", "step_deg": 0.0012}, str(MAX_TILTS)),
        ({"scheme": "list", "list_deg": [1]}, "at least two"),
        ({"scheme": "list", "list_deg": []}, "at least two"),
        ({"scheme": "list", "list_deg": [1, 5, 1]}, "twice"),
        ({"scheme": "list", "list_deg": list(range(90)) * 1200}, str(MAX_TILTS)),
        ({"scheme": "list", "list_deg": [0, 95]}, "90"),
        ({"scheme": "list", "list_deg": [0, 3], "step_deg": 3}, "not permitted"),
        ({"scheme": "unidirectional", "group": 2}, "not permitted"),
        ({"scheme": "golden-ratio", "step_deg": 3}, "not permitted"),
        ({"scheme": "spiral"}, "golden-ratio"),
        ({"group": 0}, "greater than or equal to 1"),
        ({"group": True}, "valid integer"),
        ({"min_deg": float("nan")}, "not a number"),
        ({"min_deg": "-60"}, "without a unit"),
        ({"min_deg": "5 nm"}, "angle"),
    ],
)
def test_refused(bad, said):
    with pytest.raises(ValidationError) as caught:
        TILTS.validate_python(bad)
    assert said in str(caught.value)
