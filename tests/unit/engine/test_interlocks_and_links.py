"""What interlocks do by their policy, and how a lost link is mended: never with an open beam, never blindly."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Generator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cryoctl.clock import now_s
from cryoctl.engine.allowed import Allowed
from cryoctl.engine.ending import EndReason
from cryoctl.engine.interlocks import POLICIES, build
from cryoctl.engine.monitors import DiskRoom
from cryoctl.engine.reconnect import RECONNECT_LIMIT_S
from cryoctl.errors import ConnectionLost, InterlockRefused, StepLost
from cryoctl.interfaces.device import Identity
from cryoctl.steps import Conclude, MeasureCurrent, MoveStage, Note, UseOptics, Wait
from tests.unit.engine.bench import FULL_DOSE, Bench, exposure

LIMITS = {"temperature_max_k": 120.0, "nitrogen_min": 0.1, "pressure_max_pa": 1e-4, "patience_s": 600.0}


def warm(policy: str, until_s: float = 1e9, **changes: Any) -> tuple[Bench, Callable[[Bench], Any]]:
    """A holder that is too warm from 5 s of the first exposure on."""
    bench = Bench(with_holder=True, limits={**LIMITS, **changes}, policies={"temperature": policy})

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(5.0)
        cold = bench.holder.reading
        bench.holder.reading = dataclasses.replace(cold, temperature_k=150.0)
        await asyncio.sleep(until_s)
        bench.holder.reading = cold

    return bench, beside


def met(bench: Bench) -> list[tuple[str, str, str]]:
    return [(one["name"], one["policy"], one["outcome"]) for one in bench.runner.interlocks_met]


def test_wait_finishes_the_exposure_and_goes_on_when_it_clears() -> None:
    bench, beside = warm("wait", until_s=200.0)
    assert bench.play(exposure(), exposure(), beside=beside).exit_code == 0
    assert [row["row"]["outcome"] for row in bench.memory.of("exposed")][:2] == ["settled", "settled"]
    assert bench.beam.open_s[2][0] >= 205.0
    assert met(bench) == [("temperature", "wait", "cleared")]


@pytest.mark.parametrize("command", ["ack", "go"])
def test_pause_stands_until_the_operator_answers_and_counts_again_once_it_cleared(command: str) -> None:
    bench, warming = warm("pause", until_s=60.0)

    async def beside(bench: Bench) -> None:
        await asyncio.gather(warming(bench), answering(bench))

    async def answering(bench: Bench) -> None:
        await asyncio.sleep(50.0)
        bench.operator.take(command, "test")
        await asyncio.sleep(30.0)
        bench.holder.reading = dataclasses.replace(bench.holder.reading, temperature_k=140.0)

    ending = bench.play(exposure(), exposure(), Wait(duration_s=30.0, reason="x"), exposure(), beside=beside)
    assert ending.reason is EndReason.INTERLOCK
    assert bench.beam.open_s[2][0] == pytest.approx(50.0, abs=0.5)
    assert met(bench) == [("temperature", "pause", "acknowledged"), ("temperature", "pause", "ended the run")]
    assert len(bench.beam.open_s) == 4


def test_a_pause_that_clears_by_itself_still_wants_an_answer_and_patience_ends_it() -> None:
    bench, beside = warm("pause", until_s=60.0, patience_s=100.0)
    ending = bench.play(exposure(), exposure(), beside=beside)
    assert (ending.reason, ending.exit_code) == (EndReason.INTERLOCK, 4)
    assert len(bench.beam.open_s) == 2
    assert met(bench) == [("temperature", "pause", "ended the run")]


def test_secure_lets_the_protocol_end_in_good_order_but_exposes_nothing_more() -> None:
    bench, beside = warm("secure")
    refused: list[str] = []

    def script() -> Generator[Any, Any, str]:
        yield from UseOptics(name="record")
        yield from MeasureCurrent()
        yield from exposure()
        for step in (exposure(), Note(name="n", message="m"), exposure()):
            try:
                yield from step
            except InterlockRefused as error:
                refused.append(type(step).__name__)
                assert "temperature" in str(error)
        yield from MoveStage(tilt_deg=0.0)
        yield from Conclude(name="x", values={"a": 1})
        return "ok"

    bench.play_script(script, beside)
    assert refused == ["Expose", "Expose"]
    assert len(bench.beam.open_s) == 2
    assert bench.memory.of("conclusion")
    assert bench.memory.of("exposed")[0]["row"]["outcome"] == "settled"
    told = [one for one in bench.memory.of("result") if one["outcome"] == "refused"]
    assert len(told) == 2, "what a protocol was told is in the journal"


def test_abort_stops_the_exposure_at_once() -> None:
    bench, beside = warm("abort")
    ending = bench.play(exposure(dwell_s=12e-3), beside=beside)
    assert ending.reason is EndReason.INTERLOCK
    opened, closed = bench.beam.open_s[0]
    assert closed - opened < 12.0
    assert bench.memory.of("exposed")[0]["row"]["outcome"] == "partial"


@settings(max_examples=40, deadline=None)
@given(
    policy=st.sampled_from(["wait", "pause", "secure", "abort"]),
    clears_s=st.sampled_from([3.0, 40.0, 400.0, 1e9]),
    patience_s=st.sampled_from([0.0, 30.0, 600.0]),
    answer_s=st.sampled_from([1.0, 20.0, 1e9]),
)
def test_whatever_the_policy_nothing_is_exposed_while_it_is_tripped_and_unanswered(
    policy: str, clears_s: float, patience_s: float, answer_s: float
) -> None:
    bench, warming = warm(policy, until_s=clears_s, patience_s=patience_s)
    answers: list[float] = []

    async def beside(bench: Bench) -> None:
        warmer = asyncio.create_task(warming(bench))
        await asyncio.sleep(answer_s)
        answers.append(now_s())
        bench.operator.take("ack", "test")
        await warmer

    ending = bench.play(*[exposure() for _ in range(4)], beside=beside)
    assert ending.exit_code in (0, 4)
    for opened, _ in bench.beam.open_s[2:]:  # the first exposure was under way
        tripped = 5.0 < opened < 5.0 + clears_s
        assert not tripped or (policy == "pause" and answers and opened >= answers[0])
    assert all(outcome for _, _, outcome in met(bench))
    assert not bench.beam.open


def test_each_interlock_has_its_policy_and_its_limit() -> None:
    every = {**LIMITS, "current_tolerance_rel": 0.5}
    assert {one.name: one.policy for one in build(every)} == POLICIES
    assert {one.name for one in build({})} == {
        "valves",
        "temperature-sensor",
        "disk",
        "needle-vacuum",
        "source",
        "needle",
        "compliance",
        "light",
    }
    assert {one.name: one.policy for one in build(every, {"vacuum": "wait"})}["vacuum"] == "wait"


def test_a_current_out_of_calibration_secures_the_run() -> None:
    bench = Bench(limits={"current_tolerance_rel": 0.5})
    bench.beam.current = dataclasses.replace(bench.beam.current, current_a=3.2e-10)
    ending = bench.play(exposure())
    assert ending.reason is EndReason.INTERLOCK
    assert "1.6 times" in ending.message
    assert bench.beam.open_s == []


@pytest.mark.parametrize("who", ["recipe", "instrument"])
def test_a_dose_rate_above_the_limit_is_refused_before_the_beam(who: str) -> None:
    """2e-10 A on 64 x 64 pixels of 10 nm are 30 e-/A^2/s."""
    for limit, exposed in ((25.0, False), (35.0, True)):
        bench = Bench(limits={"dose_rate_max_e_per_a2_s": limit} if who == "recipe" else {})
        if who == "instrument":
            bench.allowed = Allowed(dose_rate_e_per_a2_s=limit)
        ending = bench.play(exposure())
        assert bool(bench.beam.open_s) is exposed
        assert ending.exit_code == (0 if exposed else 4)
        assert met(bench) == ([] if exposed else [("dose-rate", "refuse", "refused")])


# Links


class Outage:
    """Verbs of a device throw from the call number `at` on, for `for_s`; then it is `identity` that answers."""

    def __init__(self, device: Any, verbs: tuple[str, ...], *, at: int, for_s: float, swapped: bool = False) -> None:
        self.device, self.at, self.for_s, self.swapped = device, at, for_s, swapped
        self.calls = 0
        self.began_s: float | None = None
        for verb in (*verbs, "connect"):
            device.hooks[verb] = self.verb

    async def verb(self) -> None:
        self.calls += 1
        if self.began_s is None and self.calls > self.at:
            self.began_s = now_s()
            if self.swapped:
                self.device.identity = Identity(maker="fake", model="fake", serial="2")
        if self.began_s is not None and now_s() < self.began_s + self.for_s:
            raise ConnectionLost(f"{self.device.name}: no answer")


def stage_lost(bench: Bench, **how: Any) -> Outage:
    return Outage(bench.stage, ("move", "position", "stop"), **how)


def test_a_stage_that_comes_back_is_moved_again() -> None:
    bench = Bench()
    stage_lost(bench, at=0, for_s=30.0)
    ending = bench.play(MoveStage(tilt_deg=5.0), exposure())
    assert ending.exit_code == 0
    assert bench.stage.moves[0][0] >= 30.0
    assert met(bench) == [("link", "reconnect", "reconnected")]
    assert [one["level"] for one in bench.memory.of("event") if one["event"] == "interlock"] == ["warning", "warning"]


def test_another_stage_that_answers_ends_the_run() -> None:
    bench = Bench()
    stage_lost(bench, at=0, for_s=30.0, swapped=True)
    ending = bench.play(MoveStage(tilt_deg=5.0), exposure())
    assert (ending.reason, ending.exit_code) == (EndReason.DEVICE, 5)
    assert "fake fake 2" in ending.message
    assert bench.stage.moves == []
    assert bench.beam.open_s == []


def test_a_link_that_stays_away_ends_the_run_within_its_time() -> None:
    bench = Bench()
    outage = stage_lost(bench, at=0, for_s=1e9)
    ending = bench.play(MoveStage(tilt_deg=5.0))
    assert ending.reason is EndReason.DEVICE
    assert outage.began_s is not None
    (securing_s,) = (record["t"] for record in bench.memory.of("status") if record["status"] == "securing")
    assert securing_s <= RECONNECT_LIMIT_S + 5.0


def test_a_column_that_comes_back_has_its_optics_and_its_current_again() -> None:
    bench = Bench()
    verbs = ("shift_image", "focus", "is_blanked", "blank", "valves_open", "apply", "measure_current")
    outage = Outage(bench.beam, verbs, at=1_000_000, for_s=20.0)

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(15.0)
        outage.at = outage.calls

    ending = bench.play(exposure(), Wait(duration_s=20.0, reason="x"), exposure(), beside=beside)
    assert ending.exit_code == 0
    assert met(bench) == [("link", "reconnect", "reconnected")]
    back = bench.beam.log[bench.beam.log.index("connect") :]
    applied = back.index("apply")
    assert "is_blanked" in back[:applied], "first of all it is known to be blanked"
    assert back[applied + 1] == "measure_current"
    assert "expose" in back[applied:]


def test_an_exposure_in_which_the_link_was_lost_is_charged_in_full_and_lost() -> None:
    bench = Bench()
    outage = Outage(bench.beam, ("frame", "is_blanked", "blank", "valves_open", "close_valves"), at=0, for_s=3.0)
    outage.at = 1_000_000
    told: list[str] = []

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(3.0)
        outage.at = outage.calls

    def script() -> Generator[Any, Any, str]:
        yield from UseOptics(name="record")
        yield from MeasureCurrent()
        try:
            yield from exposure()
        except StepLost as lost:
            told.append(str(lost))
        yield from exposure()
        return "ok"

    ending = bench.play_script(script, beside)
    assert ending.exit_code == 0
    assert told
    assert "came back" in told[0]
    rows = [record["row"] for record in bench.memory.of("exposed")]
    assert rows[0]["outcome"] == "charged-in-full"
    assert bench.peak > 2 * FULL_DOSE


@settings(max_examples=60, deadline=None)
@given(
    who=st.sampled_from(["stage", "beam"]),
    at=st.integers(min_value=0, max_value=14),
    for_s=st.sampled_from([0.5, 4.0, 30.0, 500.0]),
    swapped=st.booleans(),
)
def test_wherever_a_link_is_lost_nothing_is_exposed_twice_unseen_and_the_end_is_safe(
    who: str, at: int, for_s: float, swapped: bool
) -> None:
    bench = Bench()
    if who == "stage":
        stage_lost(bench, at=at, for_s=for_s, swapped=swapped)
    else:
        verbs = ("apply", "shift_image", "focus", "measure_current", "expose", "frame", "is_blanked", "valves_open")
        Outage(bench.beam, (*verbs, "blank", "close_valves"), at=at, for_s=for_s, swapped=swapped)
    lost: list[str] = []

    def script() -> Generator[Any, Any, str]:
        yield from UseOptics(name="record")
        yield from MeasureCurrent()
        for tilt_deg in (0.0, 10.0):
            yield from MoveStage(tilt_deg=tilt_deg)
            try:
                yield from exposure()
            except StepLost as error:
                lost.append(str(error))
        return "ok"

    ending = bench.play_script(script)
    assert ending.exit_code in (0, 5, 6)
    assert ending.exit_code != 6 or for_s > 4.0
    assert not bench.beam.open or ending.exit_code == 6
    intents = len(bench.memory.of("intent"))
    assert len(bench.beam.asked) <= intents <= 2
    # Whatever an open beam did is in the ledger.
    opened_s = sum(closed - opened for opened, closed in bench.beam.open_s)
    assert bench.peak >= FULL_DOSE * opened_s / (2 * 64 * (64 * 1.2e-3 + 2e-6)) * (1 - 1e-6)
    if ending.exit_code == 0 and intents == 2 and not lost:
        assert bench.peak >= 2 * FULL_DOSE


def test_a_disk_without_room_for_the_next_frame_and_the_packing_secures_the_run() -> None:
    bench = Bench()

    def script() -> Generator[Any, Any, str]:
        free = iter((400, 400, 400, 400))
        bench.runner._monitors.disk = DiskRoom(
            free_bytes=lambda: next(free, 250), frame_bytes=100.0, recorded=lambda: bench.runner._shelf.recorded
        )
        yield from UseOptics(name="record")
        yield from MeasureCurrent()
        yield from exposure()  # one frame: 300 bytes are needed from here on
        yield from exposure()
        return "ok"

    ending = bench.play_script(script)
    assert ending.reason is EndReason.INTERLOCK
    assert "make room" in ending.message
    assert met(bench) == [("disk", "secure", "ended the run")]
    assert len(bench.memory.of("frame")) == 1
