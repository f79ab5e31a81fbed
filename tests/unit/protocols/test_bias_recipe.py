"""What a recipe says of a bias becomes a waveform, or one sentence with the field in it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cryoctl.errors import RecipeError
from cryoctl.recipe.validation import validate_data
from cryoctl.units import StrictModel
from cryoctl_protocols.bias_recipe import BiasInterlocks, BiasWaveform


class Recipe(StrictModel):
    bias: BiasWaveform = BiasWaveform()


def read(bias: dict[str, Any]) -> BiasWaveform:
    return validate_data(Recipe, {"bias": bias}, lambda path: "line 1", RecipeError).bias


@pytest.mark.parametrize(
    ("waveform", "peak", "duration_s"),
    [
        ({}, (1.5, 0.0), 600.0),
        ({"duration_s": "2 min"}, (1.5, 0.0), 120.0),
        ({"scheme": "constant-current", "current_a": "-2 nA"}, (0.0, 2e-9), 600.0),
        ({"scheme": "ramp", "start_v": -0.5, "rate_v_per_s": 0.5, "hold_s": 6}, (1.5, 0.0), 10.0),
        ({"scheme": "steps", "levels_v": [0.1, "200 mV"], "dwell_s": 5}, (0.2, 0.0), 10.0),
        ({"scheme": "pulses"}, (1.5, 0.0), 100.0),
        ({"scheme": "cyclic-voltammetry", "first_v": 1, "second_v": -1, "rate_v_per_s": 0.1}, (1.0, 0.0), 40.0),
        ({"scheme": "galvanostatic-cycling", "current_a": 1e-9, "low_v": 0, "high_v": 1}, (1.0, 1e-9), 7200.0),
        ({"scheme": "open-circuit", "duration_s": 5}, (0.0, 0.0), 5.0),
        ({"scheme": "points", "times_s": [0, 5], "voltages_v": [0, 3]}, (3.0, 0.0), 5.0),
        ({"scheme": "points", "times_s": [0, 5], "currents_a": [0, 3e-9]}, (0.0, 3e-9), 5.0),
    ],
)
def test_every_form(waveform: dict[str, Any], peak: tuple[float, float], duration_s: float) -> None:
    played = read({"voltage_v": 1.5, "waveform": waveform} if waveform else {"voltage_v": 1.5}).played()
    assert (played.peak_v, played.peak_a) == pytest.approx(peak)
    assert played.duration_s == pytest.approx(duration_s)


@pytest.mark.parametrize(
    ("bias", "said"),
    [
        ({"voltage_v": 9}, "limit_v 5 V"),
        ({"voltage_v": -9}, "limit_v 5 V"),
        ({"compliance_a": -1e-9}, "bias.compliance_a"),
        ({"compliance_a": 0}, "bias.compliance_a"),
        ({"limit_v": math.nan}, "bias.limit_v"),
        ({"waveform": {"scheme": "rmp"}}, "did you mean 'ramp'"),
        ({"waveform": {"scheme": "open-circuit", "levels_v": [1]}}, "bias.waveform.levels_v"),
        ({"waveform": {"scheme": "points", "times_s": [0, 2, 1], "voltages_v": [0, 1, 2]}}, "not later than 2 s"),
        (
            {"waveform": {"scheme": "points", "times_s": [0, 1], "voltages_v": [0, math.nan]}},
            "bias.waveform.voltages_v",
        ),
        ({"waveform": {"scheme": "points", "times_s": [0, 1]}}, "one of them is wanted"),
        ({"waveform": {"scheme": "points", "times_s": [0, 1], "voltages_v": [0, 8]}}, "8 V, beyond limit_v 5 V"),
        ({"waveform": {"scheme": "constant-current", "current_a": 1e-6}}, "beyond compliance_a"),
        ({"waveform": {"duration_s": -1}}, "bias.waveform.duration_s"),
        ({"waveform": {"scheme": "pulses", "width_s": 20}}, "make the period longer"),
        ({"waveform": [[0, 1], [2, 3]]}, "bias.waveform"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(bias: dict[str, Any], said: str) -> None:
    with pytest.raises(RecipeError, match="bias") as caught:
        read(bias)
    assert said in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_interlocks_of_the_source_are_the_recipes() -> None:
    given = BiasInterlocks(source="abort", compliance="pause", compliance_s=2.0)
    assert given.policies()["source"] == "abort"
    assert given.policies()["compliance"] == "pause"
    assert given.limits()["compliance_s"] == 2.0
