"""A case is the same for its seed everywhere: whatever else is installed, and whichever process draws it."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from dataclasses import asdict
from random import Random
from typing import Any

import pytest

from cryoctl import registry
from cryoctl.errors import BadInput
from cryoctl.launch.inventory import faults as catalogue
from cryoctl.recipe.loading import parse_recipe
from cryoctl.recipe.validation import validate
from cryoctl.testing.campaign.case import repeats
from cryoctl.testing.campaign.drawing import chance, drawn_commands, plan_of, protocols
from cryoctl.testing.campaign.faults import KILL, RANGES, Course, class_of, drawn_faults

COURSE = Course(states=("prepare", "record"), duration_s=300.0, exposures=12)
KINDS: list[dict[str, Any]] = [
    {"device": "beam", "fault": "current-drift", "parameters": {"rel_per_s": 1e-4}},
    {"device": "beam", "fault": "current-jump", "parameters": {"rel": 0.1}},
    {"device": "laser", "fault": "of-a-later-day", "parameters": {"power_w": 1.0}},
    {"device": "process", "fault": "kill", "parameters": {"after_s": 0.0}},
]


def test_a_seed_is_the_same_case_with_and_without_the_other_protocols() -> None:
    everything = protocols()
    for seed in range(6):
        plan = plan_of(seed, everything)
        assert plan_of(seed, protocols(plan.protocol)) == plan
        assert plan_of(seed + 1, (plan.protocol,)) != plan


def test_slow_protocols_have_their_turn_less_often() -> None:
    turns = Counter(plan_of(seed, protocols()).protocol for seed in range(17))
    assert turns == {"biased-series": 4, "calibrate": 4, "chip-biasing": 1, "edx-tomography": 4, "needle-biasing": 4}


def test_another_process_with_another_hash_seed_draws_the_same() -> None:
    drawn = [asdict(plan_of(seed, protocols())) for seed in (3, 4)]
    script = (
        "from dataclasses import asdict; from cryoctl.testing.campaign.drawing import plan_of, protocols; "
        "print([asdict(plan_of(seed, protocols())) for seed in (3, 4)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": "7"}
    )
    assert done.stdout.strip() == str(drawn)


@pytest.mark.parametrize("protocol", protocols())
def test_small_recipes_are_valid(protocol: str) -> None:
    import yaml

    parameters = registry.find("cryoctl.protocols", protocol).Parameters
    for seed in range(40):
        raw = parse_recipe(yaml.safe_dump(dict(plan_of(seed, (protocol,)).recipe)))
        validate(parameters, raw)


def test_faults_are_drawn_from_whatever_the_catalogue_holds() -> None:
    drawn = [drawn_faults(chance(seed, "any", "faults"), KINDS, COURSE) for seed in range(400)]
    assert drawn == [drawn_faults(chance(seed, "any", "faults"), KINDS, COURSE) for seed in range(400)]
    assert {len(faults) for faults in drawn} == {0, 1, 2, 3}
    assert Counter(map(len, drawn))[0] < 40, "a fault campaign is one of faulted runs"
    assert all(sum(class_of(one) == KILL for one in faults) <= 1 for faults in drawn)
    found = [one for faults in drawn for one in faults]
    assert {one["device"] for one in found} == {"beam", "laser", "process"}
    assert {tuple(set(one["at"]) - {"visit"}) for one in found} == {("state",), ("exposure",), ("time_s",)}
    assert {"for_s" in one for one in found} == {True, False}
    drifts = [abs(one["rel_per_s"]) for one in found if one["fault"] == "current-drift"]
    assert 0.015 / 60 < max(drifts) <= 0.02 / 60
    jumps = [abs(one["rel"]) for one in found if one["fault"] == "current-jump"]
    assert 0.08 < max(jumps) <= 0.1
    assert not any("power_w" in one for one in found), "a parameter of which nothing is known keeps its default"


def test_ranges_name_what_there_is() -> None:
    known = {(one["fault"], name) for one in catalogue() for name in one["parameters"]}
    assert set(RANGES) <= known


def test_commands_are_drawn_within_the_run() -> None:
    drawn = [drawn_commands(Random(seed), 100.0) for seed in range(300)]
    assert all(0 <= time_s <= 100 for commands in drawn for time_s, _ in commands)
    assert {name for commands in drawn for _, name in commands} == {"pause", "skip", "stop-after", "abort"}
    assert sum(map(bool, drawn)) > 50


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(BadInput, match="edx-tomografy"):
        protocols("edx-tomografy")


def test_the_command_that_repeats_a_case() -> None:
    assert repeats("calibrate", 7) == "cryoctl campaign --protocol calibrate --runs 1 --seed 7"
    assert repeats("calibrate", 7, kill=True).endswith("--seed 7 --kill")
