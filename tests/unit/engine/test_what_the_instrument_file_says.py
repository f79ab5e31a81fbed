"""Calibrated pixels and the operator's limits, at the runner's door."""

from __future__ import annotations

import pytest

from cryoctl.engine.allowed import Allowed
from cryoctl.engine.ending import EndReason
from cryoctl.interfaces.stage import StageLimits
from cryoctl.steps import MoveStage
from tests.unit.engine.bench import Bench, exposure


def test_the_beam_is_asked_for_nominal_pixels_and_the_ledger_counts_true_ones():
    plain, calibrated = Bench(), Bench(pixel_ratio=1.02)
    for bench in (plain, calibrated):
        assert bench.play(exposure()).reason is EndReason.COMPLETED
    permit, scan = calibrated.beam.asked[0]
    assert scan.pixel_size_m == pytest.approx(plain.beam.asked[0][1].pixel_size_m / 1.02)
    assert permit.width_m == pytest.approx(plain.beam.asked[0][0].width_m / 1.02)
    assert calibrated.peak == plain.peak


@pytest.mark.parametrize(
    ("allowed", "step"),
    [
        (Allowed(image_shift_m=1e-6), exposure(shift_x_m=0.8e-6, shift_y_m=0.7e-6, x_m=0.8e-6, y_m=0.7e-6)),
        (Allowed(stage=StageLimits(x_m=(-1, 1), y_m=(-1, 1), z_m=(-1, 1), tilt_deg=(-5, 5))), MoveStage(tilt_deg=6.0)),
    ],
)
def test_what_the_operator_does_not_allow_reaches_no_device(allowed, step):
    bench = Bench(allowed=allowed)
    moved: list[str] = []

    async def note() -> None:
        moved.append("stage")

    bench.stage.hooks["move"] = note
    ending = bench.play(step)
    assert ending.reason is EndReason.DEVICE
    assert "allowed" in ending.message
    assert not bench.beam.asked
    assert not moved


def test_more_current_than_is_allowed_is_not_set():
    ending = Bench(allowed=Allowed(beam_current_a=1e-10)).play()
    assert ending.reason is EndReason.DEVICE
    assert "2e-10 A" in ending.message
