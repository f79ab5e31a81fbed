"""What a run foretells of itself before it begins; `tests/runs` holds it against rehearsal and run."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from cryoctl.errors import BadInput
from cryoctl.launch import foretell as module
from cryoctl.launch.counting import make_ledger
from cryoctl.launch.foretell import Course, foretell
from cryoctl.launch.preflight import look_ahead
from cryoctl.launch.prepare import Furnished, furnish, prepare
from cryoctl.launch.prior import EarlierDose
from cryoctl.launch.request import RunRequest

NOTHING_EARLIER = EarlierDose(names=(), maps=(), position_sigma_m=0.0)
SMALL = ("image.shape=[24, 32]", "edx.scans=2", "dose.per_tilt_e_per_a2=200", "tilts.step_deg=6")


def furnished(*overrides: str, recipe: str = "edx-tomography") -> Furnished:
    return furnish(prepare(RunRequest(recipe=recipe, overrides=overrides)), None)


def course_of(one: Furnished, until: str = "") -> Course:
    return foretell(one, make_ledger(one.protocol, NOTHING_EARLIER), until)


def test_the_course_ends_where_the_dose_does():
    course = course_of(furnished(*SMALL, "tilts.step_deg=20", "dose.limit_e_per_a2=940"))
    assert course.frames == 4
    assert 800 < course.peak_e_per_a2 < 940


def test_a_stage_that_drifts_longer_after_a_tilt_is_waited_for():
    calm = course_of(furnished(*SMALL, "instrument.devices.stage.settings.tilt_kick_m_per_s_per_deg=0"))
    wild = course_of(furnished(*SMALL, "instrument.devices.stage.settings.tilt_kick_m_per_s_per_deg=1e-10"))
    tilts = 21
    assert wild.duration_s > calm.duration_s + 60.0 * tilts


def test_a_very_long_course_is_foretold_from_its_beginning(monkeypatch):
    one = furnished(*SMALL, "targets=[{name: a}, {name: b, x_m: 12 um}, {name: c, x_m: 24 um}]")
    whole = course_of(one)
    monkeypatch.setattr(module, "MOST_STEPS", 1000)
    part = course_of(one)
    assert part != whole
    assert part.duration_s == pytest.approx(whole.duration_s, rel=0.2)
    assert part.frames == pytest.approx(whole.frames, rel=0.1)


def test_the_course_ends_where_the_run_is_told_to():
    one = furnished(*SMALL)
    assert course_of(one, "eucentric").frames == 0
    assert 0 < course_of(one, "eucentric").duration_s < 60


def test_what_cannot_be_foretold_hinders_nothing(monkeypatch, tmp_path: Path):
    monkeypatch.setattr("cryoctl_protocols.blocks.CENTRE", "analysis.nowhere:nothing")
    request = RunRequest(recipe="edx-tomography", overrides=SMALL)
    prepared = prepare(request)
    outlook = look_ahead(prepared, furnish(prepared, None), NOTHING_EARLIER, tmp_path)
    assert math.isnan(outlook.duration_s)
    assert outlook.frames == 21


def test_the_calibration_is_foretold_as_well():
    assert 1200 < course_of(furnished(recipe="calibrate")).duration_s < 3600


def test_a_limit_that_leaves_no_room_is_foretold(tmp_path: Path):
    prepared = prepare(RunRequest(recipe="edx-tomography", overrides=("dose.limit_e_per_a2=1020",)))
    outlook = look_ahead(prepared, furnish(prepared, None), NOTHING_EARLIER, tmp_path)
    assert any("not one record exposure will fit" in warning for warning in outlook.warnings)


def test_a_state_that_is_not_there_is_refused_by_a_rehearsal_too(tmp_path: Path):
    prepared = prepare(RunRequest(recipe="edx-tomography", overrides=SMALL, until="nowhere"))
    with pytest.raises(BadInput, match="--until 'nowhere': edx-tomography has no such state"):
        look_ahead(prepared, furnish(prepared, None), NOTHING_EARLIER, tmp_path)
