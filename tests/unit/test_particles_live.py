"""Particles under a needle while pictures come in: the same as afterwards, and what ends a series."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cryoctl.analysis.half_cycles import half_cycle_table, half_cycles
from cryoctl.analysis.particle_live import Progress, follow_live, kept, packed, progress, unpacked
from cryoctl.analysis.particle_measure import SECTORS, ModelArea, Seen
from cryoctl.analysis.particle_series import courses, followed
from cryoctl.engine.compute import as_plain
from cryoctl.errors import RunFileError
from cryoctl.steps.codec import plain, unplain
from tests.particle_pictures import Grain, counted, drawn

SHAPE = (96, 112)
TIMES = [0.0, 4.0, 8.0, 12.0, 16.0, 20.0]
ONSET_S = 9.0


def pictures(ratios: list[float], retreat_px: list[float] | None = None) -> list[npt.NDArray[np.float32]]:
    """A needle from the right at the middle one of three particles, which grows and keeps its place before it."""
    found: list[npt.NDArray[np.float32]] = []
    for k, ratio in enumerate(ratios):
        away = 0.0 if retreat_px is None else retreat_px[k]
        grown = Grain(y=50, x=64, core_px=12).grown(ratio)
        grown = Grain(y=50, x=76 - grown.core_px, core_px=grown.core_px)
        means = drawn([Grain(y=16, x=40, core_px=10), grown, Grain(y=82, x=40, core_px=9)], SHAPE, finer=2)
        y, x = np.indices(SHAPE)
        means[(np.abs(y - 50) < 2 + 0.15 * (x - 76 - away)) & (x >= 76 + away)] += 4000.0
        found.append(counted(means, k).astype(np.float32))
    return found


def live(series: list[npt.NDArray[np.float32]]) -> list[dict[str, Any]]:
    """As a protocol calls it: everything goes through the journal's text."""
    told: list[dict[str, Any]] = []
    for k, picture in enumerate(series):
        before = (series[k - 1], told[-1]["state"]) if k else (None, None)
        values = as_plain(follow_live(picture, before[0], before=before[1]))
        told.append(unplain(json.loads(json.dumps(plain(values)))))
    return told


def progress_of(told: list[dict[str, Any]]) -> Progress:
    records = [{"time_s": t, **one} for t, one in zip(TIMES, told, strict=False)]
    return progress(state=told[-1]["state"], pictures=records, onset_s=ONSET_S)


def test_followed_live_is_followed_afterwards() -> None:
    series = pictures([1.0, 1.0, 1.3, 1.6])
    told = live(series)
    after = list(followed(series))
    for one, (state, labels) in zip(told, after, strict=True):
        again, touched = kept(one)
        assert repr(again) == repr(state), "to the last digit, NaN included"
        assert np.array_equal(unpacked(one["labels"], SHAPE), labels)
        particle = next(seen for seen in state.particles if seen.number == touched)
        assert (particle.y_px, particle.x_px) == pytest.approx((50, 64), abs=4)
    assert len(json.dumps(plain(told[-1]["state"]))) < 5000, "small enough to go through a journal each picture"


def test_area_and_rate_of_the_particle_in_contact() -> None:
    found = progress_of(live(pictures([1.0, 1.0, 1.0, 1.3, 1.6, 1.9])))
    assert found.ratio == pytest.approx(1.9, abs=4 * found.ratio_sigma + 0.03)
    assert found.rate_per_s == pytest.approx(0.3 / 4, rel=0.15)
    assert not found.gap_open
    assert not found.gap_suspected


def test_a_gap_is_told_by_two_pictures() -> None:
    told = live(pictures([1.0] * 5, [0, 0, 0, 7, 7]))
    once, twice = progress_of(told[:4]), progress_of(told)
    assert (once.gap_suspected, once.gap_open) == (True, False)
    assert twice.gap_open
    assert twice.gap_px == pytest.approx(7, abs=1.5)


def test_a_particle_that_is_suddenly_seen_in_part_tells_of_no_gap() -> None:
    """A faint one beside a bright needle: the half that adjoins it is lost to the contrast, in two pictures."""
    series = pictures([1.0, 1.0, 1.0, 1.3, 1.35, 1.4])
    background = float(np.median(series[0]))
    for picture in series[-2:]:
        y, x = np.indices(SHAPE)
        picture[(x > 66) & (x < 77) & (np.abs(y - 50) < 22)] = background
    told = live(series)
    assert [one["target"] is None for one in told] == [False] * 4 + [True] * 2
    found = progress_of(told)
    assert not found.gap_suspected
    assert not found.gap_open
    assert math.isnan(found.ratio)


def test_a_needle_that_never_touched_is_told_before_the_bias() -> None:
    told = live(pictures([1.0, 1.0], [9, 9]))
    assert told[-1]["state"]["touched"] == 0
    found = progress_of(told)
    assert found.gap_open
    assert found.gap_px == pytest.approx(9, abs=1.5)


def test_without_a_needle_nothing_is_touched() -> None:
    picture = counted(drawn([Grain(y=50, x=50, core_px=14)], SHAPE, finer=2), 1)
    found = follow_live(picture)
    assert found.state.touched == 0
    assert found.target is None
    assert math.isnan(found.gap_px)
    assert len(found.areas) == 1


@cache
def some_state() -> dict[str, Any]:
    return live([counted(drawn([Grain(y=30, x=30, core_px=10)], (60, 60), finer=2), 1).astype(np.float32)])[0]["state"]


def seen(ring: npt.NDArray[np.float64], area_px: float = 3000.0) -> dict[str, Any]:
    fits = tuple(
        ModelArea(model=model, area_px=area_px, sigma_px=10.0, badness=badness, core_px=2500.0, core_sigma_px=10.0)
        for model, badness in (("disc", 200.0), ("coated-disc", 100.0))
    )
    one = Seen(
        number=3,
        y_px=50,
        x_px=50,
        radius_px=31,
        whole=True,
        touching=False,
        fits=fits,
        ring=tuple(ring),
        ring_sigma=(5.0,) * SECTORS,
    )
    return as_plain(one)


def test_a_broken_coating_is_told_while_it_goes_on() -> None:
    rng = np.random.default_rng(3)
    records: list[dict[str, Any]] = []
    for k in range(16):
        ring = 100 + 5 * rng.standard_normal(SECTORS)
        if k >= 12:
            ring[10:16] *= 0.2
        records.append({"time_s": 4.0 * k, "target": seen(ring), "gap_px": 1.0})
    before, after = (progress(state=some_state(), pictures=records[:n], onset_s=6.0) for n in (12, 16))
    assert not before.broken
    assert after.broken
    assert after.broken_s == pytest.approx(4 * 11.5 - 6)


def test_a_picture_in_which_the_particle_is_missing_tells_no_ratio() -> None:
    ring = np.full(SECTORS, 100.0)
    records = [{"time_s": 4.0 * k, "target": seen(ring), "gap_px": 1.0} for k in range(4)]
    records.append({"time_s": 16.0, "target": None, "gap_px": math.nan})
    found = progress(state=some_state(), pictures=records, onset_s=6.0)
    assert math.isnan(found.ratio)
    assert not found.gap_open


def test_damaged_labels_and_states_are_refused() -> None:
    text = packed(np.zeros((16, 16), dtype=np.int32))
    with pytest.raises(RunFileError, match="shape"):
        unpacked(text, (16, 17))
    with pytest.raises(RunFileError, match="damaged"):
        unpacked(text[:-8], (16, 16))
    with pytest.raises(RunFileError, match="picture"):
        kept({"state": {"touched": 1}, "particles": []})
    with pytest.raises(ValueError, match="no state"):
        follow_live(np.zeros((32, 32)), before={"touched": 1})


def test_half_cycles_of_a_bias_and_how_far_each_went() -> None:
    time_s = np.arange(0.0, 200.0, 0.1)
    rng = np.random.default_rng(1)
    volts = np.where(time_s < 100, 2.0, -2.0) * (time_s > 10) + 0.01 * rng.standard_normal(time_s.size)
    halves = half_cycles(time_s, volts)
    assert [(round(one.start_s), round(one.end_s), round(one.voltage_v)) for one in halves] == [
        (10, 100, 2),
        (100, 200, -2),
    ]
    at = np.arange(0.0, 200.0, 4.0)
    truth = np.interp(at, [10, 60, 100, 140], [1.0, 2.0, 2.0, 1.2])
    records = [as_plain(seen(np.full(SECTORS, 100.0), 3000.0 * ratio)) for ratio in truth]
    states = [kept({"state": some_state(), "particles": [one]})[0] for one in records]
    table = half_cycle_table(courses(states, at.tolist(), 10.0), halves, at)
    assert table["change"][0] == pytest.approx([1.0, -0.8], abs=0.03)
    assert table["rate_per_s"][0] == pytest.approx([0.02, -0.02], rel=0.1)
    assert np.all(table["change_low"][0] < table["change"][0])
