"""Waveforms as staircases: within half a step of what they should be, and as long as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cryoctl.errors import Refused
from cryoctl.interfaces import waveform as forms
from cryoctl_drivers.staircase import Staircase, staircase

_PIECES = st.lists(st.tuples(st.floats(0.1, 30.0), st.floats(-5.0, 5.0)), min_size=1, max_size=30)


def _levels(found: Staircase) -> np.ndarray:
    """Level in each sampling interval of one repeat."""
    return np.array([level for stair in found.stairs for level in stair.levels for _ in range(stair.ticks)])


@given(_PIECES, st.sampled_from([40, 300, 2500]))
def test_each_interval_is_near_what_was_asked_for(pieces: list[tuple[float, float]], most: int) -> None:
    times = np.concatenate([[0.0], np.cumsum([lasts for lasts, _ in pieces])])
    values = [0.0, *(value for _, value in pieces)]
    waveform = forms.points([float(time_s) for time_s in times], values, "voltage")
    found = staircase(waveform, 0.045, most, "bias")
    levels = _levels(found)
    assert len(found.levels) <= most
    assert len(levels) * found.interval_s == pytest.approx(waveform.period_s)
    assert found.interval_s >= 0.045 * (1 - 1e-6)
    middles = (np.arange(len(levels)) + 0.5) * found.interval_s
    planned = np.array([(waveform.at(float(t)) or ("", math.nan))[1] for t in middles])
    slopes = np.abs(np.diff(values)) / np.diff(times)
    longest = max(stair.ticks for stair in found.stairs)
    steepest = float(np.max(slopes))
    assert np.max(np.abs(levels - planned)) <= steepest * found.interval_s * (longest + 1) + 1e-9


def test_pieces_of_one_length_are_one_stair() -> None:
    found = staircase(forms.steps([0.1, 0.4, -0.2, 0.9], 1.0), 0.05, 2500, "bias")
    assert [(stair.levels, stair.ticks) for stair in found.stairs] == [((0.1, 0.4, -0.2, 0.9), 20)]


def test_rounding_does_not_add_up() -> None:
    found = staircase(forms.steps([float(k) for k in range(7)], 0.1234), 0.05, 2500, "bias")
    assert sum(len(stair.levels) * stair.ticks for stair in found.stairs) == math.floor(7 * 0.1234 / 0.05)


def test_a_limit_is_kept_with_its_direction() -> None:
    found = staircase(forms.galvanostatic_cycling(1e-9, -0.5, 0.5, 10.0, 3), 0.05, 2500, "bias")
    assert [(stair.until_v, stair.rising) for stair in found.stairs] == [(0.5, True), (-0.5, False)]
    assert (found.control, found.repeats) == ("current", 3)


def test_a_limit_in_a_ramp_is_refused() -> None:
    segment = forms.Segment(duration_s=5.0, control="current", start=0.0, end=1e-9, until_v=0.3)
    with pytest.raises(Refused, match="constant current"):
        staircase(forms.Waveform(form="ramp", segments=(segment,)), 0.05, 2500, "bias")


def test_more_ramps_than_levels_are_refused() -> None:
    waveform = forms.points([float(k) for k in range(60)], [float(k % 2) for k in range(60)], "voltage")
    with pytest.raises(Refused, match="levels"):
        staircase(waveform, 0.05, 50, "bias")
