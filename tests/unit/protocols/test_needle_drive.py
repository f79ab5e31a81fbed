"""How many coarse steps a needle is sent: no more than the gap surely allows, none where nobody knows it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cryoctl.steps import NeedleAt, PlaceNeedle, StepNeedle, Wait, Waited
from cryoctl_protocols.needle_drive import NeedleDrive

LONGEST_M = 5e-7


def sent(gap_low_m: float, wanted_m: float) -> tuple[int, int]:
    """Steps sent, and how many it says were."""
    at = NeedleAt(
        coarse_steps=(0, 0, 0),
        fine_m=(0.0, 0.0, 0.0),
        high_voltage_on=False,
        hold="free",
        gap_low_m=gap_low_m,
        longest_step_m=LONGEST_M,
        time_s=0.0,
    )
    steps, block = 0, NeedleDrive("right").coarse("z", wanted_m)
    answer: Any = None
    while True:
        try:
            step = block.send(answer)
        except StopIteration as finished:
            return steps, finished.value
        steps += step.steps if isinstance(step, StepNeedle) else 0
        answer = at


def test_as_many_as_the_way_is_long() -> None:
    assert sent(1e-4, -1.5e-6) == (-10, 10)


@pytest.mark.parametrize("gap_m", [2.4e-6, 2.0e-6])
def test_no_more_than_the_longest_of_them_may_take(gap_m: float) -> None:
    steps, told = sent(gap_m, 1e-5)
    assert steps == told == math.floor((gap_m - 1e-9) / LONGEST_M)


@pytest.mark.parametrize("gap_m", [math.nan, 0.0, -1e-6, 1e-10])
def test_none_where_the_gap_is_not_known_or_closed(gap_m: float) -> None:
    """After an interruption nobody knows it until it is seen again."""
    assert sent(gap_m, -1e-5) == (0, 0)


def waited(drive: NeedleDrive, duration_s: float, drift_m_per_s: float) -> tuple[list[float], float]:
    """Where an apex that drifts stood after each step of a wait (m, from before it), and how long that took."""
    time_s, tube_m, places = drive.now_s, drive.tube[0], list[float]()
    start_s, start_m, block = time_s, tube_m, drive.wait(duration_s, "interval")
    answer: Any = None
    while True:
        try:
            step = block.send(answer)
        except StopIteration:
            return places, time_s - start_s
        if isinstance(step, Wait):
            time_s += step.duration_s
            answer = Waited(time_s=time_s)
        else:
            assert isinstance(step, PlaceNeedle)
            tube_m, answer = step.x_m, None
        places.append(tube_m - start_m + drift_m_per_s * (time_s - start_s))


def test_what_a_needle_drifts_between_pictures_is_made_up_for_by_little_each_time() -> None:
    drive = NeedleDrive("right")
    drive.looked(10.0)
    drive.make_up_for(onward=-1.5e-9)
    places, lasted_s = waited(drive, 4.0, 1.5e-9)
    assert lasted_s == pytest.approx(4.0)
    assert max(abs(one) for one in places) < 0.8e-9
    still = NeedleDrive("right")
    places, lasted_s = waited(still, 4.0, 0.0)
    assert (len(places), lasted_s) == (1, 4.0), "nothing is known to drift"


def test_unseen_it_makes_up_for_no_more_than_allowed_however_often() -> None:
    drive = NeedleDrive("right")
    drive.looked(10.0)
    drive.make_up_for(onward=-2e-9)
    drive.most_made_up_m = 5e-9
    waited(drive, 60.0, 0.0)
    assert abs(drive.tube[0]) == pytest.approx(5e-9)
    drive.looked(drive.now_s)
    waited(drive, 1.0, 0.0)
    assert abs(drive.tube[0]) > 5e-9, "a picture was seen"
