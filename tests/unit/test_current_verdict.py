"""What a needle's current says: nothing that can't be seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from cryoctl.analysis.current_verdict import Biased, Watched, current_verdict

TIMES = np.arange(0.0, 200.0, 0.025)
RATE_A = 0.25e-12
"""Lithiates a particle of 15 pC in 60 s."""


def biased(current_a: np.ndarray | float = 0.0, offset_bound_a: float = 1e-12) -> Biased:
    noise = 2e-12 * np.random.default_rng(5).standard_normal(TIMES.size)
    return Biased(
        time_s=TIMES,
        voltage_v=np.full(TIMES.size, 2.0),
        current_a=current_a + noise,
        in_compliance=np.zeros(TIMES.size, dtype=np.bool_),
        beam_on=(TIMES % 4.0) < 0.4,
        offset_bound_a=offset_bound_a,
        compliance_a=1e-8,
    )


def watched(final: float = 2.0, gap_open: bool = False) -> Watched:
    at = np.arange(0.0, 200.0, 4.0)
    ratio = 1 + (final - 1) * np.minimum(at / 60.0, 1.0)
    return Watched(time_s=at, ratio=ratio, expansion_low=final - 0.02, expansion_high=final + 0.02, gap_open=gap_open)


def test_a_particle_that_grows_is_normal_and_its_charge_stays_untold() -> None:
    found = current_verdict(biased(2e-12 + RATE_A * (TIMES < 60)), watched())
    assert found.verdict == "normal"
    assert "no charge is told" in found.message
    assert found.capacity_c_low < 15e-12 < found.capacity_c_high
    assert found.capacity_c_low < 0 < found.capacity_c_high


def test_a_charge_above_offset_is_told() -> None:
    found = current_verdict(biased(2e-12 + 4 * RATE_A * (TIMES < 60), offset_bound_a=1e-14), watched())
    assert found.capacity_c == pytest.approx(60e-12, rel=0.1)
    assert 0 < found.capacity_c_low < 60e-12 < found.capacity_c_high
    assert "charge beyond leakage" in found.message


def test_a_reversed_voltage_takes_out_as_much_charge() -> None:
    one = biased(2e-12 + 4 * RATE_A * (TIMES < 60), offset_bound_a=1e-14)
    into = current_verdict(one, watched())
    out = current_verdict(replace(one, voltage_v=-one.voltage_v, current_a=-one.current_a), watched())
    told = (into.capacity_c, into.capacity_c_low, into.capacity_c_high)
    assert (out.capacity_c, out.capacity_c_low, out.capacity_c_high) == pytest.approx(told)


def test_no_current_is_claimed_that_cannot_be_seen() -> None:
    found = current_verdict(biased(0.2e-12), watched(final=1.0))
    assert found.verdict == "thick-oxide-or-lost-contact"
    assert "current below detection: 1 pA" in found.message


def test_a_gap_is_an_open_contact_whatever_the_current() -> None:
    assert current_verdict(biased(2e-12), watched(gap_open=True)).verdict == "open"


def test_a_short_is_held_by_the_limit_of_the_current_and_not_of_the_voltage() -> None:
    short = replace(biased(1e-8), in_compliance=TIMES > 100)
    assert current_verdict(short, watched()).verdict == "short"
    idle = replace(biased(0.0), in_compliance=TIMES > 100)
    assert current_verdict(idle, watched()).verdict == "normal", "a current source held by its voltage limit"


def test_what_was_not_measured_is_not_judged() -> None:
    assert current_verdict(None, watched()).verdict == "not-biased"
    assert current_verdict(biased(), None).verdict == "undecided"
    wide = replace(watched(final=1.0), expansion_low=0.9, expansion_high=1.1)
    assert current_verdict(biased(), wide).verdict == "undecided"


def test_the_beams_own_current_is_told() -> None:
    one = biased(1e-12)
    found = current_verdict(replace(one, current_a=one.current_a + 3e-12 * one.beam_on), watched())
    assert found.beam_a_low < 3e-12 < found.beam_a_high
    assert found.beam_a == pytest.approx(3e-12, rel=0.1)
