from __future__ import annotations

import math

import pytest
from fake_instrument import FakeInstrument, Truth, some_facts
from pydantic import ValidationError
from scipy.stats import t as student

from cryoctl.errors import RecipeError, StepLost
from cryoctl.protocol import CalibratedValue
from cryoctl_protocols.calibrate import Calibrate
from cryoctl_protocols.calibration_fits import height_and_bound, two_sigma
from cryoctl_protocols.calibration_recipe import CalibrateParameters


def play(truth: Truth, **fake: object) -> tuple[str, FakeInstrument]:
    protocol = Calibrate(CalibrateParameters(), some_facts())
    instrument = FakeInstrument(protocol.facts, truth=truth, **fake)
    return instrument.run(protocol), instrument


@pytest.mark.parametrize("seed", range(5))
def test_each_calibration_lies_within_its_stated_bound(seed):
    matrix = (1.0 + 0.004 * seed, 0.003, -0.002 * seed, 0.99)
    truth = Truth(backlash_m=0.2e-6 + 0.1e-6 * seed, shift_matrix=matrix, height_m=0.3e-6 * (seed - 2), runout_m=0.0)
    end, instrument = play(truth, noise_px=0.15)
    assert end == "completed"
    found = {name.removeprefix("calibration_"): values for name, values in instrument.concluded.items()}
    true = {
        "beam_current": [1.05],
        "tilt_axis": [0.0],
        "backlash": [truth.backlash_m],
        "pixel_size": [1.0],
        "image_shift": list(matrix),
        "eucentric_offset": [truth.height_m],
    }
    assert set(found) == set(true)
    for name, values in true.items():
        for value, wanted in zip(found[name]["value"], values, strict=True):
            assert abs(value - wanted) <= found[name]["uncertainty"], name
        assert found[name]["uncertainty"] == 2 * found[name]["value_sigma"]
    assert found["image_shift"]["uncertainty"] < 0.012
    assert found["backlash"]["uncertainty"] < 20e-9
    assert math.isclose(instrument.enc["tilt_deg"], 0.0)


def test_pictures_that_cannot_be_compared_end_it():
    end, instrument = play(Truth(), blind_tilts=(10.0,))
    assert end == "targets_lost"
    assert instrument.targets[0].outcome == "lost"


def test_a_lost_step_ends_it():
    assert play(Truth(), throw=dict.fromkeys(range(5, 9), StepLost("gone")))[0] == "targets_lost"
    assert play(Truth(), throw={5: StepLost("gone")})[0] == "completed", "it is taken again"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"move_m": 5e-6}, "move_m"),
        ({"image_shift_m": 5e-6}, "image_shift_m"),
        ({"optics": "none-such"}, "optics"),
        ({"pictures": {"shape": [5000, 5000]}}, "pictures.shape"),
    ],
)
def test_refused_before_anything_moves(changes, said):
    with pytest.raises(RecipeError, match=said):
        Calibrate.check(CalibrateParameters.model_validate(changes), some_facts())


def test_fields_are_checked():
    with pytest.raises(ValidationError):
        CalibrateParameters.model_validate({"repeats": 1})


def test_what_was_in_force_is_counted_in():
    in_force = {
        "tilt_axis": CalibratedValue(value=(0.7,), sigma=0.1, date="2026-01-01"),
        "pixel_size": CalibratedValue(value=(1.1,), sigma=0.01, date="2026-01-01"),
    }
    protocol = Calibrate(CalibrateParameters(), some_facts(calibrations=in_force))
    instrument = FakeInstrument(protocol.facts, truth=Truth(runout_m=0.0))
    assert instrument.run(protocol) == "completed"
    assert instrument.concluded["calibration_tilt_axis"]["value"][0] == pytest.approx(0.7, abs=0.5)
    assert instrument.concluded["calibration_pixel_size"]["value"][0] == pytest.approx(1.1, abs=0.02)


def test_height_by_a_ladder_and_students_bound():
    tilts = [-30.0, -20.0, -10.0, 0.0, 10.0, 20.0, 30.0]
    errors = [3e-9, -2e-9, 1e-9, -4e-9, 2e-9, 1e-9, -1e-9]
    a = [math.radians(tilt) for tilt in tilts]
    seen = [5e-8 + 2e-7 * math.cos(one) + 4e-7 * math.sin(one) + e for one, e in zip(a, errors, strict=True)]
    height, bound = height_and_bound(tilts, seen)
    assert abs(height - 4e-7) < bound < 2e-8
    exact = [2e-7 * math.cos(one) + 4e-7 * math.sin(one) for one in a]
    assert height_and_bound(tilts, exact) == pytest.approx((4e-7, 0.0), abs=1e-15)
    for freedom in (3, 5, 9, 40):
        assert two_sigma(freedom) == pytest.approx(student.ppf(0.5 + math.erf(math.sqrt(2)) / 2, freedom), rel=0.015)
