"""What `calibrate` measured on its way into an instrument file, and what the file's calibrations then do."""

from __future__ import annotations

import pytest

from cryoctl.calibration import KINDS, Calibration
from cryoctl.engine.allowed import Allowed
from cryoctl.errors import InstrumentError, OutOfRange
from cryoctl.instrument import load_instrument, parse_instrument
from cryoctl.launch.calibrating import block, merge, updated
from cryoctl.launch.facts import optics_of
from cryoctl.launch.prepare import furnish, prepare
from cryoctl.launch.request import RunRequest
from cryoctl.recipe.source import bundled
from cryoctl.steps import MoveStage


def found(kind: str, value: float, uncertainty: float) -> Calibration:
    return Calibration(
        name=kind, kind=kind, value=(value,), uncertainty=uncertainty, unit=KINDS[kind][0], date="2026-11-20"
    )


def test_measured_values_replace_those_of_the_file_and_nothing_else():
    text, merged = updated("simulated", (found("tilt_axis", 0.31, 0.4), found("backlash", 2.5e-7, 1e-8)))
    before = bundled("cryoctl.instruments", "simulated").read_text(encoding="utf-8")
    assert text.split("calibrations:")[0] == before.split("calibrations:")[0]
    again = parse_instrument(text).file.calibration_set().by_name
    assert again["tilt_axis"].scalar == 0.31
    assert again["backlash"].uncertainty == 1e-8
    assert again["pixel_size"] == load_instrument("simulated").file.calibration_set().by_name["pixel_size"]
    assert not merged.kept


def test_what_the_file_knows_better_is_kept_unless_it_is_contradicted():
    instrument = load_instrument("simulated")
    worse = merge((found("pixel_size", 1.004, 0.008),), instrument)
    assert {one.kind: one.value for one in worse.calibrations}["pixel_size"] == (1.0,)
    assert "kept" in worse.kept[0]
    contradicting = merge((found("pixel_size", 1.03, 0.008),), instrument)
    assert {one.kind: one.value for one in contradicting.calibrations}["pixel_size"] == (1.03,)


def test_a_file_without_calibrations_is_given_some_and_one_in_the_middle_keeps_its_place():
    head = "schema_version: 1\nname: mine\nclock: virtual\ndevices: {stage: {kind: stage, driver: s}}\n"
    more = block((found("tilt_axis", 0.1, 0.2),))
    for text in (head, head + more + "limits: {xy_m: 1 um}\n"):
        changed = parse_instrument(text, check_drivers=False)
        assert changed.file.limits.xy_m == (1e-6 if "limits" in text else None)


def furnished(*overrides: str):
    return furnish(prepare(RunRequest(recipe="edx-tomography", overrides=overrides)), None)


def test_the_tilt_axis_turns_every_preset():
    turned = "instrument.calibrations.tilt_axis.value=0.5"
    presets = optics_of(prepare(RunRequest(recipe="edx-tomography", overrides=(turned,))).instrument)
    assert {one.scan_rotation_deg for one in presets.values()} == {0.5}


def test_calibrations_are_known_by_kind_and_one_of_a_kind():
    facts = furnished().facts
    assert set(facts.calibrations) == set(KINDS)
    with pytest.raises(InstrumentError, match="are both backlash"):
        furnished("instrument.calibrations.other={kind: backlash, value: 1e-7, uncertainty: 1e-8, date: 2026-11-01}")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("instrument.limits.tilt_max_deg=55", "tilts: .*60 deg.*-70 to 55|-75 to 55"),
        ("instrument.limits.xy_m=0.5 um", "stage reaches"),
        ("instrument.limits.image_shift_m=2 um", "image shift reaches 2 um"),
        ("instrument.limits.beam_current_a=1e-10", "optics.record.beam_current_a: found 2e-10 A"),
        ("instrument.optics.record.voltage_v=100 kV", "optics.record.voltage_v: found 100 kV"),
    ],
)
def test_what_the_operator_limits_is_refused_before_anything_moves(override, said):
    from cryoctl.errors import BadInput

    with pytest.raises(BadInput, match=said):
        furnished(override)


def test_a_move_beyond_the_limits_reaches_no_stage():
    facts = furnished("instrument.limits.tilt_max_deg=62").facts
    with pytest.raises(OutOfRange, match="62"):
        Allowed(stage=facts.stage).check_move(MoveStage(tilt_deg=63.0))
    Allowed(stage=facts.stage).check_move(MoveStage(tilt_deg=62.0))
