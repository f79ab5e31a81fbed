"""Waveforms are what their names say, bounded in time, and refused in one sentence where they are not."""

from __future__ import annotations

import math

import pytest

from cryoctl.errors import RecipeError
from cryoctl.interfaces.waveform import (
    Segment,
    Waveform,
    constant_current,
    constant_voltage,
    cyclic_voltammetry,
    galvanostatic_cycling,
    open_circuit,
    points,
    pulses,
    ramp,
    steps,
)
from cryoctl.steps import StartWaveform
from cryoctl.steps.codec import decode, encode

NAN = math.nan


@pytest.mark.parametrize(
    ("waveform", "duration_s", "values"),
    [
        (constant_voltage(2.0, 60.0), 60.0, {0.0: ("voltage", 2.0), 59.9: ("voltage", 2.0)}),
        (constant_current(-1e-9, 5.0), 5.0, {2.0: ("current", -1e-9)}),
        (open_circuit(5.0), 5.0, {2.0: ("open", 0.0)}),
        (ramp(1.0, -1.0, 0.5, hold_s=2.0), 6.0, {0.0: ("voltage", 1.0), 2.0: ("voltage", 0.0), 5.0: ("voltage", -1.0)}),
        (steps([0.5, 2.0], 10.0), 20.0, {9.9: ("voltage", 0.5), 10.1: ("voltage", 2.0)}),
        (pulses(0.1, 2.0, 1.0, 4.0, 3), 12.0, {0.5: ("voltage", 2.0), 3.0: ("voltage", 0.1), 8.5: ("voltage", 2.0)}),
        (
            cyclic_voltammetry(0.0, 1.0, -1.0, 0.1, 2),
            80.0,
            {5.0: ("voltage", 0.5), 20.0: ("voltage", 0.0), 30.0: ("voltage", -1.0), 45.0: ("voltage", 0.5)},
        ),
        (points([0, 1, 3], [0, 2, 0], "voltage"), 3.0, {0.5: ("voltage", 1.0), 2.0: ("voltage", 1.0)}),
    ],
    ids=lambda one: one.form if isinstance(one, Waveform) else "",
)
def test_value_at_a_time(waveform: Waveform, duration_s: float, values: dict[float, tuple[str, float]]) -> None:
    assert waveform.duration_s == pytest.approx(duration_s)
    for time_s, (control, value) in values.items():
        found = waveform.at(time_s)
        assert found is not None
        assert found[0] == control
        assert found[1] == pytest.approx(value, abs=1e-12)
    assert waveform.at(-0.1) is None
    assert waveform.at(duration_s * 1.001) is None


def test_galvanostatic_cycling_goes_to_the_limit_that_its_current_drives_to() -> None:
    charged = galvanostatic_cycling(1e-9, 0.1, 0.9, 100.0, cycles=3, rest_s=5.0)
    assert charged.duration_s == pytest.approx(3 * 210.0)
    assert [one.until_v for one in charged.segments] == [0.9, None, 0.1, None]
    discharged = galvanostatic_cycling(-1e-9, 0.1, 0.9, 100.0, cycles=1)
    assert [one.until_v for one in discharged.segments] == [0.1, 0.9]
    assert (charged.peak_v, charged.peak_a) == (0.9, 1e-9)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: points([0, 2, 1], [0, 1, 2], "voltage"), "point 3 at 1 s is not later than 2 s"),
        (lambda: points([0, 1, 2], [0, NAN, 2], "voltage"), "point 2 is"),
        (lambda: points([0, NAN, 2], [0, 1, 2], "current"), "point 2 is"),
        (lambda: points([1, 2], [0, 1], "voltage"), "begin at 0 s"),
        (lambda: points([0, 1], [0], "voltage"), "one value a time"),
        (lambda: points([0], [0], "voltage"), "two points"),
        (lambda: constant_voltage(NAN, 1.0), "no number"),
        (lambda: constant_voltage(1.0, math.inf), "inf s"),
        (lambda: constant_voltage(1.0, 0.0), "0 s"),
        (lambda: constant_current(math.inf, 1.0), "no number"),
        (lambda: ramp(0.0, 1.0, 0.0), "rate_v_per_s"),
        (lambda: ramp(1.0, 1.0, 0.1), "0 s"),
        (lambda: pulses(0.0, 1.0, 2.0, 1.0, 3), "make the period longer"),
        (lambda: steps([], 1.0), "0 pieces"),
        (lambda: cyclic_voltammetry(0, 1, -1, 0.1, 0), "0 times"),
        (lambda: galvanostatic_cycling(1e-9, 1.0, 0.5, 10.0, 1), "exchange them"),
        (lambda: galvanostatic_cycling(0.0, 0.0, 1.0, 10.0, 1), "reaches no limit"),
        (lambda: constant_voltage(1.0, 1e9), "allowed are up to"),
        (lambda: cyclic_voltammetry(0, 1, -1, 1e-3, 10_000), "allowed are up to"),
        (lambda: Waveform(form="own", segments=(Segment(duration_s=1.0, control="voltage"),) * 1001), "1001 pieces"),
    ],
)
def test_what_is_refused_is_said_in_one_sentence(make, said: str) -> None:
    with pytest.raises(RecipeError, match=said) as caught:
        make()
    assert len(str(caught.value)) <= 300


def test_a_waveform_makes_the_round_trip_through_the_journal() -> None:
    step = StartWaveform(waveform=galvanostatic_cycling(1e-9, 0.1, 0.9, 100.0, cycles=3, rest_s=5.0))
    assert decode(encode(step)) == step
