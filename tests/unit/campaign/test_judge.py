"""Each rule of a campaign's judge is silent on a run that was well, and speaks of the one thing made wrong."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cryoctl.engine.ending import Ending, EndReason
from cryoctl.testing.campaign import judge as rules
from cryoctl.testing.campaign.endings import EXIT_CODES, allowed_endings
from cryoctl.testing.campaign.evidence import back_after, came_on, least_above
from cryoctl.testing.campaign.judge import Acknowledged, Evidence, Opened, judge

FINAL: dict[str, Any] = {
    "beam_blanked": True,
    "ion_beam_blanked": True,
    "valves_open": True,
    "bias_v": 0.0,
    "output_on": False,
    "output_mode": "high-impedance",
    "needle_state": "free",
    "needle_gap_m": 2e-5,
    "collisions": 0,
    "collided_beyond_m": 0.0,
    "stage_moving": False,
    "light_w_per_m2": 0.0,
}
SHAS = ("0a", "1b")
HELD = "interlock compliance: the source is held by its limit for 5.3 s"

WELL = Evidence(
    exit_code=0,
    end_reason="completed",
    message="completed",
    run_file="a.nxs",
    limit_e_per_a2=1000.0,
    true_peak_e_per_a2=900.0,
    ledger_above_truth_e_per_a2=0.0,
    final=FINAL,
    acknowledged=tuple(Acknowledged(frame=k, exposure=4 + k, sha256=sha) for k, sha in enumerate(SHAS)),
    in_file=dict(enumerate(SHAS)),
    opened=tuple(Opened(exposure=number, kind="record", tilt_deg=10.0 * number, x_m=0.0, y_m=0.0) for number in (4, 5)),
    in_table=frozenset({4, 5}),
)
READS_OPEN = {"device": "beam", "fault": "reads-open", "at": {"exposure": 4}}
VALVE_STUCK = {"device": "beam", "fault": "valve-stuck", "at": {"exposure": 4}}
STALL = {"device": "stage", "fault": "stall", "at": {"time_s": 1}}
NEEDLE_STUCK = {"device": "needle", "fault": "stuck", "at": {"time_s": 1}}


def jump(toward_m: float) -> dict[str, Any]:
    return {"device": "needle", "fault": "jumps", "at": {"time_s": 1}, "toward_m": toward_m}


def final(**changed: Any) -> dict[str, Any]:
    return {"final": FINAL | changed}


UNCONFIRMED = {"exit_code": 6, "end_reason": "safe-state-unconfirmed", "faults": (READS_OPEN, VALVE_STUCK)}
LOST_SOURCE = {"device": "bias", "fault": "lost-link", "at": {"time_s": 1}}
FORGOT_SOURCE = {**LOST_SOURCE, "forgets": 1.0}
LAMP_STAYS_ON = {"device": "light", "fault": "stays-on", "at": {"time_s": 1}}

WRONG: list[tuple[rules.Rule, dict[str, Any]]] = [
    (rules.no_crash, {"crash": "KeyError: 'x'"}),
    (rules.dose_within_limit, {"true_peak_e_per_a2": 1000.1}),
    (rules.dose_within_limit, {"true_peak_e_per_a2": 1000.1, "exit_code": 6, "faults": (STALL,)}),
    (rules.dose_within_limit, {"true_peak_e_per_a2": 1000.1, "exit_code": 5, "faults": (READS_OPEN,)}),
    (rules.ledger_not_below_truth, {"ledger_above_truth_e_per_a2": -0.01}),
    (rules.ledger_not_below_truth, {"ledger_above_truth_e_per_a2": -0.01} | UNCONFIRMED),
    (rules.beams_off, final(beam_blanked=False)),
    (rules.beams_off, final(beam_blanked=False, valves_open=False)),
    (rules.beams_off, final(beam_blanked=False) | {"exit_code": 5, "faults": (READS_OPEN,)}),
    (rules.beams_off, final(ion_beam_blanked=False)),
    (rules.beams_off, {"beam_open": True}),
    (rules.bias_at_rest, final(output_on=True, output_mode="on")),
    (rules.bias_at_rest, final(bias_v=0.5)),
    (rules.bias_at_rest, final(output_mode="normal")),
    (rules.bias_at_rest, final(output_on=True) | {"exit_code": 5, "faults": (LOST_SOURCE,)}),
    (rules.bias_at_rest, final(output_mode="zero-volts") | {"exit_code": 5, "faults": (LOST_SOURCE,)}),
    (rules.bias_at_rest, final(output_mode="zero-volts") | {"faults": (FORGOT_SOURCE,)}),
    (rules.needle_clear_or_held, final(needle_gap_m=1.9e-6)),
    (rules.needle_clear_or_held, final(needle_gap_m=math.nan)),
    (rules.needle_clear_or_held, final(needle_state="contact")),
    (rules.needle_clear_or_held, final(needle_state="contact") | {"exit_code": 5, "faults": (LOST_SOURCE,)}),
    (rules.needle_never_collides, final(collisions=1, collided_beyond_m=1e-9)),
    (rules.needle_never_collides, final(collisions=1, needle_astray_m=1e-7, collided_beyond_m=1e-9)),
    (rules.needle_pushes_no_deeper, final(max_indentation_m=2.1e-8) | {"max_indentation_m": 2e-8}),
    (rules.needle_pushes_no_deeper, final(max_indentation_m=4e-8, needle_astray_m=1e-8) | {"max_indentation_m": 2e-8}),
    (rules.withdrawn_at_rest, final(withdrawn_live=1)),
    (rules.biased_in_contact, {"biased_untouched_v": 0.06, "probe_v": 0.05}),
    (rules.biased_in_contact, {"biased_untouched_v": 2.0, "probe_v": 0.05, "faults": (LOST_SOURCE,)}),
    (rules.biased_in_contact, {"biased_untouched_v": 2.0, "probe_v": 0.05, "faults": (NEEDLE_STUCK, jump(5e-9))}),
    (rules.bias_stays_off, {"bias_back_after": "pause"}),
    (rules.bias_stays_off, {"bias_came_on": 3, "bias_told_on": 2}),
    (rules.light_off, final(light_w_per_m2=1000.0)),
    (rules.light_off, final(light_w_per_m2=1000.0) | {"exit_code": 5, "faults": (STALL,)}),
    (rules.light_off, final(light_w_per_m2=1000.0) | {"exit_code": 4, "faults": (LAMP_STAYS_ON,)}),
    (rules.stage_stands, final(stage_moving=True)),
    (rules.no_acknowledged_frame_lost, {"in_file": {0: SHAS[0]}}),
    (rules.no_acknowledged_frame_lost, {"in_file": {0: SHAS[0], 1: "changed"}}),
    (rules.file_opens, {"unreadable": "FileProblem: it is cut"}),
    (rules.file_opens, {"run_file": ""}),
    (rules.check_passes, {"failed_checks": ("journal chain: broken",)}),
    (rules.check_passes, {"failed_checks": ("dose limit: peak 1200 is above the limit of 1000",)}),
    (rules.check_passes, {"failed_checks": ("journal chain: no limit",)} | UNCONFIRMED),
    (rules.every_exposure_has_its_row, {"in_table": frozenset({4})}),
    (rules.ending_fits, {"exit_code": 4}),
    (rules.ending_fits, {"end_reason": "bored"}),
    (rules.ending_fits, {"exit_code": 5, "end_reason": "device"}),
    (rules.ending_fits, {"exit_code": 3, "end_reason": "operator", "commands": ("pause", "skip")}),
    (rules.ending_fits, {"exit_code": 6, "end_reason": "safe-state-unconfirmed", "faults": (STALL,)}),
    (rules.ending_fits, {"exit_code": 2, "end_reason": "", "message": "edx.elements: is empty"}),
    (rules.ending_fits, {"exit_code": 5, "end_reason": "", "faults": (STALL,)}),
    (rules.ending_fits, {"exit_code": 5, "end_reason": "device", "kills": 1}),
    (rules.ending_fits, {"message": "too long " * 40}),
    (rules.nothing_settled_is_exposed_again, {"opened": (*WELL.opened, WELL.opened[0])}),
    (
        rules.nothing_settled_is_exposed_again,
        {"kills": 1, "opened": (*WELL.opened, replace(WELL.opened[0], exposure=6)), "in_table": frozenset({4, 5, 6})},
    ),
]


def test_a_run_that_was_well_is_not_spoken_of() -> None:
    assert judge(WELL) == ()
    assert judge(replace(WELL, kills=3)) == ()


@pytest.mark.parametrize(("rule", "changed"), WRONG, ids=[f"{n}-{rule.__name__}" for n, (rule, _) in enumerate(WRONG)])
def test_rule_speaks_of_what_is_wrong(rule: rules.Rule, changed: dict[str, Any]) -> None:
    sentence = rule(replace(WELL, **changed))
    assert sentence
    assert "\n" not in sentence
    assert sentence in judge(replace(WELL, **changed))


def test_every_rule_has_a_case_that_breaks_it() -> None:
    public = {found for name, found in vars(rules).items() if callable(found) and not name.startswith("_")}
    of_judge = {found for found in public if getattr(found, "__annotations__", {}).get("of") == "Evidence"}
    assert {rule for rule, _ in WRONG} == of_judge - {judge}


@pytest.mark.parametrize(
    "excused",
    [
        final(beam_blanked=False) | {"true_peak_e_per_a2": 1500.0} | UNCONFIRMED,
        UNCONFIRMED | {"failed_checks": ("dose limit: peak 1200 is above the limit of 1000",)},
        final(beam_blanked=False, valves_open=False)
        | {"exit_code": 5, "end_reason": "device", "faults": (READS_OPEN,)},
        final(output_on=True, output_mode="on", bias_v=1.0)
        | {"exit_code": 6, "end_reason": "safe-state-unconfirmed", "faults": (LOST_SOURCE,)},
        final(needle_state="bonded", needle_gap_m=0.0),
        final(collisions=1, needle_astray_m=1e-7, max_indentation_m=9e-8) | {"max_indentation_m": 2e-8},
        final(withdrawn_live=1) | {"faults": (LOST_SOURCE,)},
        final(needle_state="contact", needle_gap_m=-1e-9)
        | {"exit_code": 6, "end_reason": "safe-state-unconfirmed", "faults": (LOST_SOURCE,)},
        {"biased_untouched_v": 2.0, "probe_v": 0.05, "faults": (jump(-5e-9),)},
        {"bias_came_on": 2, "bias_told_on": 3},
        final(light_w_per_m2=1000.0) | {"exit_code": 5, "end_reason": "device", "faults": (LAMP_STAYS_ON,)},
        {"biased_untouched_v": 0.05, "probe_v": 0.05, "max_indentation_m": 2e-8},
        final(needle_state="absent", needle_gap_m=math.nan, output_mode="absent"),
        {"exit_code": 5, "end_reason": "", "exposed": False, "run_file": "", "acknowledged": (), "opened": (),
         "final": {}, "faults": (STALL,)},
        {"exit_code": 3, "end_reason": "operator", "commands": ("abort",)},
        final(output_mode="zero-volts") | {"exit_code": 5, "end_reason": "device", "faults": (FORGOT_SOURCE,)},
        {"exit_code": 4, "end_reason": "interlock", "message": HELD, "drives_current": True},
        {"kills": 1, "opened": (replace(WELL.opened[0], exposure=3), *WELL.opened), "in_table": frozenset({3, 4, 5})},
        {"kills": 1, "opened": (*WELL.opened, replace(WELL.opened[0], exposure=6)), "in_table": frozenset({4, 5, 6}),
         "each_tilt_once": False},
    ],
)  # fmt: skip
def test_what_the_contract_allows_is_not_spoken_of(excused: dict[str, Any]) -> None:
    assert judge(replace(WELL, **excused)) == ()


def test_exit_codes_are_those_of_the_engine() -> None:
    assert {reason.value: Ending(reason, "").exit_code for reason in EndReason} == dict(EXIT_CODES)


def test_without_faults_nothing_but_the_recipe_ends_a_run() -> None:
    assert judge(replace(WELL, exit_code=4, end_reason="interlock", message=HELD)) != ()
    assert {EXIT_CODES[reason] for reason in allowed_endings((), ())} == {0, 4}
    assert "interlock" not in allowed_endings((), ("pause", "go"))
    assert "device" in allowed_endings(({"device": "laser", "fault": "of a later day"},), ())


def test_a_bias_that_went_off_unasked_and_came_back() -> None:
    on, off = "bias output on", "bias output off: {}".format
    assert back_after([on, off("complete"), on, off("rest"), on, off("pause"), "state rest"]) == ""
    assert back_after([on, off("pause"), "state curves_again", on]) == "pause"
    assert back_after([on, off("the run was interrupted"), off("rest"), on]) == "the run was interrupted"
    assert came_on([False, True, True, False, True]) == 2
    assert came_on([]) == 0


def test_the_ledger_is_dilated_by_a_disc() -> None:
    ledger, true = np.zeros((60, 80)), np.zeros((60, 80))
    ledger[30, 40] = 5.0
    true[33, 44] = 5.0
    assert least_above([(ledger, 5.0)], true) == 0.0
    assert least_above([(ledger, 4.0)], true) == -5.0
    true[33, 44] = 5.5
    assert least_above([(ledger, 5.0)], true) == -0.5
    assert least_above([(ledger, 5.0)], np.zeros_like(true)) == 0.0
    true[0, 79] = 1.0
    assert least_above([(ledger, 5.0)], true) == -1.0
