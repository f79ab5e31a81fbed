from __future__ import annotations

import math

import pytest
from fake_instrument import FakeInstrument, Truth, some_facts
from pydantic import ValidationError

from cryoctl.errors import RecipeError, StepLost
from cryoctl_protocols.calibrate import Calibrate
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
            # standard errors of few repeats: twice the stated two sigma, which still fails for any wrong sign or scale
            assert abs(value - wanted) <= 4 * found[name]["value_sigma"], name
    assert found["image_shift"]["value_sigma"] < 0.006
    assert found["backlash"]["value_sigma"] < 10e-9
    assert math.isclose(instrument.enc["tilt_deg"], 0.0)


def test_pictures_that_cannot_be_compared_end_it():
    end, instrument = play(Truth(), blind_tilts=(10.0,))
    assert end == "targets_lost"
    assert instrument.targets[0].outcome == "lost"


def test_a_lost_step_ends_it():
    assert play(Truth(), throw={5: StepLost("gone")})[0] == "targets_lost"


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
