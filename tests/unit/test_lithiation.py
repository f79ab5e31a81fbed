"""The reaction of one particle against its closed formulas."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from cryoctl_simulators.specimens.coated_particles import HalfGrid, load_coated_particles
from cryoctl_simulators.world.lithiation import HALF, Reaction, area_ratio, drive, front_time_s, reacted
from cryoctl_simulators.world.particle_cell import capacity_c, reaction_a, resistance_ohm
from cryoctl_simulators.world.reaction_log import ReactionLog

THIN, THICK = load_coated_particles(), load_coated_particles({"coating_m": 10e-9})
CELL = THIN.cell


def reaction(of=THIN) -> Reaction:
    return Reaction(of.lithiation, of.cell, {})


def test_the_defaults_are_the_published_ones() -> None:
    thin, thick = THIN.lithiation, THICK.lithiation
    assert (thin.area_ratio, thin.break_s) == (2.0, None)
    assert (thick.area_ratio, thick.break_s) == (pytest.approx(1.2), 120.0)
    assert thin.rate_per_s / thick.rate_per_s == pytest.approx(6.0)
    assert front_time_s(thin) == pytest.approx(100.0, rel=0.02), "about 100 s"


@pytest.mark.parametrize("of", [THIN, THICK])
def test_half_of_the_expansion_comes_at_the_rate_that_is_stated(of) -> None:
    one, law = reaction(of), of.lithiation
    half_s = 0.5 * (law.area_ratio - 1) / law.rate_per_s
    assert float(area_ratio(HALF, law)) == pytest.approx(0.5 * (1 + law.area_ratio))
    one.run(0.0, half_s, CELL.nominal_v, 1e-12)
    assert float(area_ratio(one.state["q"], law)) == pytest.approx(0.5 * (1 + law.area_ratio), rel=1e-6)
    one.run(half_s, 2 * front_time_s(law), CELL.nominal_v, 1e-12)
    assert float(area_ratio(one.state["q"], law)) == pytest.approx(law.area_ratio, rel=1e-9)


def test_how_often_it_is_looked_at_makes_no_difference() -> None:
    once, often = reaction(THICK), reaction(THICK)
    once.run(0.0, 130.0, 2.0, 1e-12)
    for k in range(1000):
        often.run(0.13 * k, 0.13 * (k + 1), 2.0, 1e-12)
    assert often.state["q"] == pytest.approx(once.state["q"], abs=1e-12)
    assert once.state["broken_s"] == pytest.approx(120.0, abs=1e-6)
    assert often.state["broken_s"] == pytest.approx(120.0, abs=1e-6)


def test_a_coating_may_break_long_after_the_front_has_arrived() -> None:
    one = reaction(load_coated_particles({"break_s": 400.0}))
    ends = one.run(0.0, 390.0, 2.0, 1e-12)
    assert ends[0] == (pytest.approx(front_time_s(one.law), rel=1e-6), 1.0)
    assert one.state["broken_s"] is None
    one.run(390.0, 401.0, 2.0, 1e-12)
    assert one.state["broken_s"] == pytest.approx(400.0, abs=1e-6)


@pytest.mark.parametrize(
    ("voltage_v", "oxide_m"), [(0.0, 1e-8), (0.05, 1e-8), (-0.05, 1e-8), (0.4, 1e-8), (-2.0, 1e-8), (2.0, 0.0)]
)
def test_nothing_begins_below_the_threshold_the_wrong_way_round_or_without_oxide(voltage_v, oxide_m) -> None:
    one = reaction()
    one.run(0.0, 1e4, voltage_v, oxide_m)
    assert one.state["q"] == 0.0
    assert not one.begun


def test_once_begun_a_short_goes_on_slowly_and_the_reversed_sign_takes_out() -> None:
    one = reaction()
    one.run(0.0, 20.0, 2.0, 1e-12)
    begun = one.state["q"]
    one.run(20.0, 40.0, 0.0, 1e-12)
    shorted = one.state["q"]
    assert begun < shorted < begun + 0.05 * 20.0 / front_time_s(one.law)
    one.run(40.0, 60.0, CELL.open_circuit_v, 1e-12)
    assert one.state["q"] == shorted, "at its own voltage it rests"
    one.run(60.0, 1000.0, -2.0, 1e-12)
    assert float(reacted(one.state["q"])) == pytest.approx(CELL.retained_share * float(reacted(shorted)))
    one.run(1000.0, 2000.0, 2.0, 1e-12)
    assert one.state["q"] == 1.0, "and again"


def test_thick_oxide_is_slow_and_sodium_slower_and_smaller() -> None:
    at = [drive(2.0, CELL, oxide_m, True) for oxide_m in (12e-9, 150e-9, 300e-9, 600e-9)]
    assert at[0] == pytest.approx(1.0, abs=1e-4)
    assert at[1] == pytest.approx(1 / 2)
    assert at[2] == pytest.approx(1 / 17)
    assert at[3] < 0.005
    sodium = load_coated_particles({"ion": "sodium"}).lithiation
    assert sodium.area_ratio == pytest.approx(1.6)
    assert sodium.rate_per_s == pytest.approx(0.3 * THIN.lithiation.rate_per_s)


def test_what_is_given_stands_and_the_table_fills_in_between() -> None:
    given = load_coated_particles({"area_ratio": 1.7, "break_s": None, "coating_m": 10e-9}).lithiation
    assert (given.area_ratio, given.break_s, given.rate_per_s) == (1.7, None, pytest.approx(0.004))
    between = load_coated_particles({"coating_m": 7.5e-9}).lithiation
    assert between.area_ratio == pytest.approx(1.6)
    assert between.rate_per_s == pytest.approx(math.sqrt(0.024 * 0.004))


def test_a_current_that_can_not_be_seen() -> None:
    alike = load_coated_particles({"particles": {"core_diameter_spread": 0}})
    one, particle = reaction(), HalfGrid(alike, 1).particles[0]
    capacity = capacity_c(THIN, particle)
    assert capacity == pytest.approx(16e-12, rel=0.03), "16 pC (science.md)"
    one.run(0.0, 10.0, 2.0, 1e-12)
    steps = np.linspace(10.0, 110.0, 2001)
    charge = 0.0
    for began, ended in pairwise(steps):
        charge += reaction_a(one, 2.0, 1e-12, capacity) * (ended - began)
        one.run(began, ended, 2.0, 1e-12)
    taken = capacity * (1 - float(reacted(10.0 / front_time_s(one.law))))
    assert charge == pytest.approx(taken, rel=0.01), "current over time is the charge of the ions"
    assert 1 / resistance_ohm(CELL, 2.0, 0.16e-12) < 1.1e-12


def test_the_log_keeps_corners_only_and_gives_way_to_what_was_never_committed() -> None:
    rows, record = np.zeros((16, 3)), {}
    log = ReactionLog(rows, record)
    for time_s in range(11):
        log.add(2, float(time_s), 0.01 * time_s)
    for time_s in (20.0, 30.0):
        log.add(2, time_s, 0.1)
    assert record["rows"] == 3
    assert log.q(2, [-1.0, 5.0, 25.0, 99.0]) == pytest.approx([0.0, 0.05, 0.1, 0.1])
    assert log.first_reached_s(2, 0.05) == pytest.approx(5.0)
    assert math.isnan(log.first_reached_s(2, 0.2))
    assert log.q(1, 5.0) == 0.0
    log.add(2, 8.0, 0.08)
    assert log.q(2, [8.0, 25.0]) == pytest.approx([0.08, 0.08]), (
        "what was written beyond 8 s was of a process that died"
    )
