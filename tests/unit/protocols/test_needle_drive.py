"""How many coarse steps a needle is sent: no more than the gap surely allows, none where nobody knows it."""

from __future__ import annotations

import math
from typing import Any

import pytest

from cryoctl.steps import NeedleAt, StepNeedle
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
