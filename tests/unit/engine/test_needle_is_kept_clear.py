"""What a needle may do while it may be near, held against where its apex really is."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Generator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoctl.engine.ending import EndReason
from cryoctl.engine.needle_desk import NeedleDesk
from cryoctl.errors import ConnectionLost, InterlockRefused, StepLost
from cryoctl.interfaces.needle import NeedleHold, NeedleState
from cryoctl.steps import (
    MoveStage,
    NeedleAt,
    NoteGap,
    NoteHold,
    PlaceNeedle,
    ReadNeedle,
    SetNeedleVoltage,
    Step,
    StepNeedle,
    WithdrawNeedle,
)
from tests.unit.engine.bench import Bench, FakeNeedle

CLEAR_M = 2e-6


def bench(**given_: Any) -> Bench:
    return Bench(with_needle=True, with_holder=True, limits={"needle_clear_m": CLEAR_M}, **given_)


def tried(place: Bench, *steps: Step[Any]) -> list[Any]:
    """What came of each step: its result, or the error that the protocol was told."""
    came: list[Any] = []

    def script() -> Generator[Any, Any, str]:
        for step in steps:
            try:
                came.append((yield from step))
            except (InterlockRefused, StepLost) as error:
                came.append(error)
        return "ok"

    assert place.play_script(script).reason is EndReason.COMPLETED
    return came


def refusals(came: list[Any]) -> list[bool]:
    return [isinstance(one, InterlockRefused) for one in came]


def test_no_coarse_step_without_a_gap_that_was_seen() -> None:
    place = bench()
    came = tried(place, StepNeedle(axis="z", steps=1), NoteGap(gap_m=2e-5, sigma_m=1e-7), StepNeedle(axis="z", steps=1))
    assert refusals(came) == [True, False, False]
    assert "not known" in str(came[0])
    assert place.needle.steps == [0, 0, 1]


def test_each_step_is_taken_off_the_gap_at_its_longest() -> None:
    came = tried(bench(), NoteGap(gap_m=1e-5, sigma_m=1e-6), StepNeedle(axis="x", steps=-4), ReadNeedle())
    assert came[0].gap_low_m == pytest.approx(7e-6)
    assert came[2].gap_low_m == pytest.approx(5e-6)


def test_steps_that_might_touch_are_refused_as_a_whole() -> None:
    place = bench()
    came = tried(place, NoteGap(gap_m=2e-6, sigma_m=0.0), StepNeedle(axis="z", steps=4), StepNeedle(axis="z", steps=3))
    assert refusals(came) == [False, True, False]
    assert place.needle.bursts == [3]


@pytest.mark.parametrize("hold", [hold for hold in NeedleHold if hold is not NeedleHold.FREE])
def test_in_contact_neither_coarse_steps_nor_the_stage_move(hold: NeedleHold) -> None:
    place = bench()
    held = NoteHold(hold=hold.value)
    came = tried(place, NoteGap(gap_m=1.0, sigma_m=0.0), held, StepNeedle(axis="z", steps=1), MoveStage(tilt_deg=1.0))
    assert refusals(came) == [False, False, True, True]
    assert came[1].gap_low_m == 0.0
    assert not place.stage.moves


def test_the_stage_moves_beside_a_needle_that_is_clear_or_was_left_alone() -> None:
    wobble = MoveStage(tilt_deg=1.0)
    far, near = NoteGap(gap_m=5e-6, sigma_m=0.0), NoteGap(gap_m=CLEAR_M / 2, sigma_m=0.0)
    came = tried(bench(), wobble, far, StepNeedle(axis="z", steps=1), wobble, StepNeedle(axis="z", steps=6), wobble)
    assert refusals(came) == [False, False, False, False, False, True]
    assert refusals(tried(bench(), far, StepNeedle(axis="z", steps=1), near, wobble)) == [False, False, False, True]


def test_with_the_tube_live_the_stage_moves_only_where_the_gap_was_seen() -> None:
    live, wobble = SetNeedleVoltage(on=True), MoveStage(tilt_deg=1.0)
    assert refusals(tried(bench(), live, wobble, NoteGap(gap_m=1e-5, sigma_m=0.0), wobble)) == [
        False,
        True,
        False,
        False,
    ]


def test_withdrawn_it_is_clear_but_its_gap_is_unknown() -> None:
    place = bench()
    came = tried(
        place,
        NoteGap(gap_m=1e-5, sigma_m=0.0),
        SetNeedleVoltage(on=True),
        PlaceNeedle(x_m=0.0, y_m=0.0, z_m=1e-6),
        NoteHold(hold="contact"),
        WithdrawNeedle(),
        MoveStage(tilt_deg=1.0),
        StepNeedle(axis="z", steps=1),
    )
    assert refusals(came) == [False] * 6 + [True]
    assert not came[4].high_voltage_on
    assert came[4].hold == "free"


@pytest.mark.parametrize("hold", ["carrying", "bonded"])
def test_what_hangs_on_it_or_holds_it_is_not_torn_off(hold: Any) -> None:
    place = bench()
    assert refusals(tried(place, NoteHold(hold=hold), WithdrawNeedle())) == [False, True]
    assert place.needle.hold is NeedleHold(hold)


@pytest.mark.parametrize("output_on", [True, False])
def test_no_needle_is_drawn_away_from_a_source_that_is_on(output_on: bool) -> None:
    async def read() -> Any:
        return SimpleNamespace(output_on=output_on)

    needle = FakeNeedle()
    needle.gap_m, needle.hold = 0.0, NeedleHold.CONTACT
    desk = NeedleDesk(
        SimpleNamespace(needle=needle, bias=SimpleNamespace(name="bias", read=read)),  # type: ignore[arg-type]
        SimpleNamespace(time_s=0.0),  # type: ignore[arg-type]
        SimpleNamespace(),  # type: ignore[arg-type]
        lambda name, found: InterlockRefused(f"{name}: {found}"),
        asyncio.sleep,  # type: ignore[arg-type]
    )
    withdrawn = desk.table[WithdrawNeedle](WithdrawNeedle())
    if output_on:
        with pytest.raises(InterlockRefused, match="bring it to rest, then withdraw"):
            asyncio.run(withdrawn)  # type: ignore[arg-type]
    else:
        asyncio.run(withdrawn)  # type: ignore[arg-type]
    assert (needle.hold is NeedleHold.CONTACT) is output_on


def test_the_tube_is_grounded_only_where_the_jump_is_shorter_than_the_gap() -> None:
    place = bench()
    came = tried(
        place,
        NoteGap(gap_m=3e-6, sigma_m=0.0),
        SetNeedleVoltage(on=True),
        PlaceNeedle(x_m=0.0, y_m=0.0, z_m=2e-6),
        SetNeedleVoltage(on=False),
        NoteGap(gap_m=3e-6, sigma_m=0.0),
        SetNeedleVoltage(on=False),
    )
    assert refusals(came) == [False, False, False, True, False, False]


def of_one_polarity(place: Bench) -> Bench:
    """Its tube stands at the lower end of its range when it is grounded, and at 0 as soon as it is live."""
    needle, at = place.needle, (-2.5e-6, 0.0, 0.0)
    needle.capabilities = replace(FakeNeedle.capabilities, grounded_m=at, fine_sigma_rel=0.1)
    needle.tube = at

    async def high_voltage(on: bool) -> NeedleState:
        needle.gap_m -= math.dist(needle.tube, (0.0, 0.0, 0.0) if on else at)
        needle.on, needle.tube = on, (0.0, 0.0, 0.0) if on else at
        return await needle.state()

    needle.high_voltage = high_voltage  # type: ignore[method-assign]
    return place


def test_a_tube_that_moves_when_it_comes_on_needs_a_gap_that_is_wider() -> None:
    assert refusals(tried(of_one_polarity(bench()), SetNeedleVoltage(on=True))) == [True]
    came = tried(
        of_one_polarity(bench()),
        NoteGap(gap_m=3.2e-6, sigma_m=0.0),
        SetNeedleVoltage(on=True),
        NoteGap(gap_m=8e-6, sigma_m=0.0),
        SetNeedleVoltage(on=True),
        SetNeedleVoltage(on=False),
        SetNeedleVoltage(on=True),
    )
    assert refusals(came) == [False, True, False, False, False, True]
    assert came[3].gap_low_m == pytest.approx(8e-6 - 1.3 * 2.5e-6)


def test_high_voltage_needs_good_vacuum() -> None:
    place = bench()
    place.holder.pascal = 2e-3
    assert refusals(tried(place, SetNeedleVoltage(on=True))) == [True]
    assert not place.needle.on
    blind = Bench(with_needle=True)
    assert "can't be read" in str(tried(blind, SetNeedleVoltage(on=True))[0])


def test_vacuum_lost_with_the_tube_live_ends_the_run_and_grounds_it() -> None:
    place = bench()

    def script() -> Generator[Any, Any, str]:
        yield from SetNeedleVoltage(on=True)
        place.holder.pascal = 2e-3
        yield from ReadNeedle()
        return "ok"

    ending = place.play_script(script)
    assert ending.reason is EndReason.INTERLOCK
    assert "needle" in ending.message
    assert not place.needle.on


def test_a_burst_whose_link_is_lost_is_not_sent_again() -> None:
    place = bench()

    async def lost() -> None:
        raise ConnectionLost("needle: the link is lost")

    place.needle.hooks["step"] = lost
    came = tried(place, NoteGap(gap_m=1e-5, sigma_m=0.0), StepNeedle(axis="z", steps=2), ReadNeedle())
    assert isinstance(came[1], StepLost)
    assert place.needle.bursts == [2]
    assert came[2].gap_low_m == pytest.approx(9e-6), "what may have gone is taken off all the same"


def test_a_tube_at_its_end_is_told_to_the_protocol() -> None:
    """A drive that stands still lets it come there; the instrument is in order, and the run ends as the chart says."""
    place = bench()
    came = tried(
        place,
        NoteGap(gap_m=1e-4, sigma_m=0.0),
        SetNeedleVoltage(on=True),
        PlaceNeedle(x_m=-2.6e-6, y_m=0.0, z_m=0.0),
        ReadNeedle(),
    )
    assert isinstance(came[2], StepLost)
    assert "reaches from -2.5 to 2.5 um" in str(came[2])
    assert came[3].fine_m == (0.0, 0.0, 0.0)


def test_a_burst_that_went_on_by_itself_ends_the_run() -> None:
    place = bench()

    async def runs_away() -> None:
        place.needle.steps[0] += 3

    place.needle.hooks["step"] = runs_away

    def script() -> Generator[Any, Any, str]:
        yield from NoteGap(gap_m=1e-4, sigma_m=0.0)
        yield from StepNeedle(axis="x", steps=2)
        return "ok"

    ending = place.play_script(script)
    assert ending.reason is EndReason.DEVICE
    assert "2 coarse steps along x were sent, its counters went on by (5, 0, 0)" in ending.message


def test_a_tube_that_lost_its_voltage_ends_in_good_order_and_nothing_moves_by_what_was_seen() -> None:
    place = bench()
    came: list[Any] = []

    def script() -> Generator[Any, Any, str]:
        yield from NoteGap(gap_m=1e-4, sigma_m=0.0)
        yield from SetNeedleVoltage(on=True)
        place.needle.on = False
        for step in (ReadNeedle(), StepNeedle(axis="x", steps=1), MoveStage(tilt_deg=1.0), WithdrawNeedle()):
            try:
                came.append((yield from step))
            except InterlockRefused as error:
                came.append(error)
        return "ok"

    place.play_script(script)
    assert refusals(came) == [True, True, True, False]
    assert "high voltage went off by itself" in str(came[0])
    assert not place.stage.moves
    assert next(one["name"] for one in place.runner.interlocks_met) == "needle"


def test_a_pause_acts_between_bursts() -> None:
    place = bench()
    tried(place, NoteGap(gap_m=1e-3, sigma_m=0.0), StepNeedle(axis="z", steps=-600))
    assert place.needle.bursts == [-250, -250, -100]


ACTS = st.one_of(
    st.builds(lambda steps: StepNeedle(axis="z", steps=steps), st.integers(-12, 12)),
    st.builds(lambda z_m: PlaceNeedle(x_m=0.0, y_m=0.0, z_m=z_m), st.floats(-2e-6, 2e-6)),
    st.builds(lambda on: SetNeedleVoltage(on=on), st.booleans()),
    st.just(MoveStage(tilt_deg=1.0)),
    st.just("see the gap"),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(ACTS, max_size=25), st.lists(st.floats(-1.0, 1.0), min_size=1, max_size=8))
def test_whatever_is_asked_for_no_coarse_step_touches_and_no_stage_moves_near(
    acts: list[Any], ways: list[float]
) -> None:
    """Steps go either way by up to the longest; the gap is seen right."""
    place, count = bench(), 0

    def way() -> float:
        nonlocal count
        count += 1
        return ways[count % len(ways)] * place.needle.capabilities.coarse_step_m[1]

    place.needle.way = way

    def script() -> Generator[Any, Any, str]:
        moved = False
        for act in ["see the gap", *acts]:
            step: Step[Any] = act
            if act == "see the gap":
                step = NoteGap(gap_m=max(0.0, place.needle.gap_m), sigma_m=0.0)
            elif isinstance(act, PlaceNeedle) and place.needle.gap_m < 5e-6:
                continue  # a tube that is driven into the specimen is the protocol's, step by step
            before = len(place.stage.moves)
            try:
                came = yield from step
            except InterlockRefused:
                continue
            if isinstance(came, NeedleAt) and came.gap_low_m == came.gap_low_m:
                assert came.gap_low_m <= max(0.0, place.needle.gap_m) + 1e-12
            moved = moved or isinstance(act, StepNeedle)
            assert len(place.stage.moves) == before or not moved or place.needle.gap_m >= CLEAR_M
        return "ok"

    place.play_script(script)
    assert place.needle.touched == 0
