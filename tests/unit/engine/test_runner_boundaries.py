"""Operator, interlocks, followers and broken protocols, each where it acts."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import threading
from collections.abc import Generator
from typing import Any

import numpy as np
import pytest

from cryoctl.clock import virtual
from cryoctl.engine.compute import as_plain
from cryoctl.engine.ending import EndReason
from cryoctl.errors import BadInput, ConnectionLost, RunFileError
from cryoctl.interfaces.beam import Optics
from cryoctl.steps import Checkpoint, Compute, Computed, Conclude, Insert, MoveStage, Note, Retract, Wait
from tests.unit.engine.bench import Bench, exposure, hanging, throwing

LIMITS = {"temperature_max_k": 120.0, "nitrogen_min": 0.1, "pressure_max_pa": 1e-4, "patience_s": 600.0}


def cold(**changes: Any) -> Bench:
    return Bench(with_holder=True, limits={**LIMITS, **changes})


def statuses(bench: Bench) -> list[str]:
    return [record["status"] for record in bench.memory.of("status")]


def yields_numpy() -> Generator[Any, Any, str]:
    yield from Conclude(name="x", values={"a": np.float64(1.0)})
    return "ok"


def raises() -> Generator[Any, Any, str]:
    yield from Note(name="n", message="m")
    raise ZeroDivisionError("a protocol's bug")


def yields_in_finally() -> Generator[Any, Any, str]:
    try:
        yield from exposure()
    finally:
        yield from Note(name="n", message="m")


def yields_rubbish() -> Generator[Any, Any, str]:
    yield 42
    return "ok"


def no_such_way() -> Generator[Any, Any, str]:
    yield from Note(name="n", message="m")
    return "nowhere"


def no_trigger() -> Generator[Any, Any, Any]:
    yield from Note(name="n", message="m")


def no_generator() -> Any:
    return None


def bad_input() -> Generator[Any, Any, str]:
    yield from Note(name="n", message="m")
    raise BadInput("script: something is amiss")


SCRIPTS = (
    yields_numpy,
    raises,
    yields_in_finally,
    yields_rubbish,
    no_such_way,
    no_trigger,
    no_generator,
    bad_input,
)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.__name__)
def test_a_broken_protocol_ends_safe_with_a_sentence(script: Any) -> None:
    bench = Bench()
    ending = bench.play_script(script)
    assert ending.exit_code in (4, 5)
    assert 0 < len(ending.message) <= 300
    assert bench.stage.stopped == 1
    assert bench.memory.of("end")


def test_a_live_result_is_what_the_journal_would_give_back() -> None:
    bench = Bench()

    def script() -> Generator[Any, Any, str]:
        async def carry_out(step: Any) -> Any:
            return Computed(values={"pair": (1, 2), "nothing": float("nan")})

        bench.runner._actions.carry_out = carry_out  # type: ignore[method-assign]
        bench.results.append((yield from Compute(function="analysis.drift:shift")))
        return "ok"

    assert bench.play_script(script).exit_code == 0
    (found,) = bench.results
    assert found.values["pair"] == [1, 2], "a tuple comes back as the list that JSON makes of it"
    (kept,) = bench.memory.of("result")
    assert kept["result"]["values"]["pair"] == [1, 2]


@pytest.mark.parametrize(
    "value", [np.float64(1.0), np.int32(1), np.bool_(True), np.zeros(2)], ids=lambda v: str(type(v))
)
def test_a_result_of_a_numpy_type_is_refused_not_kept(value: Any) -> None:
    bench = Bench()

    def script() -> Generator[Any, Any, str]:
        async def carry_out(step: Any) -> Any:
            return Computed(values={"a": value})

        bench.runner._actions.carry_out = carry_out  # type: ignore[method-assign]
        yield from Compute(function="analysis.drift:shift")
        return "ok"

    ending = bench.play_script(script)
    assert ending.exit_code == 5
    assert "not a plain Python value" in ending.message
    assert not bench.memory.of("result")


def test_pause_acts_at_the_boundary_with_the_beam_blanked_and_abort_ends_the_pause() -> None:
    bench = Bench()
    seen: list[bool] = []

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(4.0)
        bench.operator.take("pause", "test")
        loop = asyncio.get_running_loop()

        def later() -> None:
            seen.append(bench.beam.open)
            bench.operator.take("abort", "test")

        # Virtual time stands still while paused: only something from outside, as a signal, can end it.
        threading.Timer(0.3, lambda: loop.call_soon_threadsafe(later)).start()

    ending = bench.play(exposure(), Wait(duration_s=1e6, reason="long"), beside=beside)
    assert ending.exit_code == 3
    assert seen == [False]
    assert statuses(bench)[-2:] == ["securing", "aborted"]


@pytest.mark.parametrize("then", ["go", "abort"])
def test_a_pause_stops_the_stage_on_its_way_and_the_move_is_made_again(then: str) -> None:
    bench = Bench()
    bench.stage.lasts_s = 40.0

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(7.0)
        bench.operator.take("pause", "test")
        loop = asyncio.get_running_loop()
        threading.Timer(0.1, lambda: loop.call_soon_threadsafe(bench.operator.take, then, "test")).start()

    ending = bench.play(MoveStage(tilt_deg=60.0), Note(name="n", message="m"), beside=beside)
    (paused_s,) = (record["t"] for record in bench.memory.of("status") if record["status"] == "paused")
    assert paused_s < 7.0 + 1.0
    assert bench.stage.moves[0] == (0.0, 7.0)
    assert ending.exit_code == (0 if then == "go" else 3)
    if then == "go":
        assert [end - begin for begin, end in bench.stage.moves] == [7.0, 40.0]
        assert len([one for one in bench.memory.of("step") if one["step"]["is"] == "MoveStage"]) == 1
    else:
        assert len(bench.stage.moves) == 1


def test_a_stage_that_can_not_be_stopped_pauses_at_its_end() -> None:
    bench = Bench()

    bench.stage.lasts_s, bench.stage.hooks["stop"] = 40.0, throwing(ConnectionLost("stage: no answer"))

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(7.0)
        bench.operator.take("pause", "test")
        loop = asyncio.get_running_loop()
        threading.Timer(0.1, lambda: loop.call_soon_threadsafe(bench.operator.take, "go", "test")).start()

    ending = bench.play(MoveStage(tilt_deg=60.0), Note(name="n", message="m"), beside=beside)
    assert ending.exit_code == 0
    assert bench.stage.moves == [(0.0, 40.0)]


@pytest.mark.parametrize("during", ["wait", "interlock"])
def test_pause_and_go(during: str) -> None:
    bench = cold()
    if during == "interlock":
        bench.holder.level = 0.05

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(7.0)
        bench.operator.take("pause", "test")
        loop = asyncio.get_running_loop()
        if during == "interlock":
            await asyncio.sleep(8.0)
            bench.holder.level = 1.0
        threading.Timer(0.3, lambda: loop.call_soon_threadsafe(bench.operator.take, "go", "test")).start()

    ending = bench.play(Wait(duration_s=20.0, reason="x"), beside=beside)
    assert ending.exit_code == 0
    paused_s = [record["t"] for record in bench.memory.of("status") if record["status"] == "paused"]
    assert paused_s
    if during == "wait":
        assert paused_s[0] <= 7.0 + 1.0, "a long wait is divided"


def test_a_person_may_take_longer_than_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "HOLD_LIMIT_S", 0.05)
    bench = Bench()

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(3.0)
        bench.operator.take("pause", "test")
        threading.Timer(0.25, lambda: bench.operator.ask("go", "test")).start()

    assert bench.play(Wait(duration_s=9.0, reason="x"), beside=beside).exit_code == 0


def test_an_abort_ends_the_wait_for_an_interlock_at_once() -> None:
    bench = cold()
    bench.holder.level = 0.02

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(12.3)
        bench.operator.take("abort", "test")

    assert bench.play(exposure(), beside=beside).exit_code == 3
    (securing_s,) = (record["t"] for record in bench.memory.of("status") if record["status"] == "securing")
    assert securing_s < 12.3 + 0.1


def test_closed_valves_end_the_run_before_anything_is_exposed() -> None:
    bench = cold()
    bench.beam.valves = False
    ending = bench.play(exposure())
    assert (ending.reason, ending.exit_code) == (EndReason.INTERLOCK, 4)
    assert "valves" in ending.message
    assert bench.beam.open_s == []


def test_an_invalid_sensor_is_waited_for_and_then_ends_the_run() -> None:
    bench = cold(patience_s=60.0)
    bench.holder.reading = dataclasses.replace(bench.holder.reading, valid=False)
    ending = bench.play(exposure())
    assert ending.reason is EndReason.INTERLOCK
    assert bench.runner.interlocks_met[0]["name"] == "temperature-sensor"
    assert bench.beam.open_s == []


def test_optics_that_read_back_otherwise_end_the_run() -> None:
    bench = Bench()
    bench.beam.applied = Optics(name="record", voltage_v=2e5, beam_current_a=9e-10)
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert "read back otherwise" in ending.message
    assert bench.beam.open_s == []


@pytest.mark.parametrize(("step", "stays"), [(Insert(detector="haadf"), False), (Retract(detector="haadf"), True)])
def test_a_detector_that_stays_where_it_is_ends_the_run(step: Any, stays: bool) -> None:
    bench = Bench()

    async def nothing() -> None: ...

    async def is_inserted() -> bool:
        return stays

    bench.detector.insert = bench.detector.retract = nothing  # type: ignore[attr-defined]
    bench.detector.is_inserted = is_inserted  # type: ignore[attr-defined]
    ending = bench.play(step)
    assert ending.exit_code == 5
    assert "reads back" in ending.message


def test_analyses_give_plain_values() -> None:
    found = as_plain({"a": np.float64(1.5), "b": np.array([1, 2]), "c": (np.bool_(True),)})
    assert found == {"a": 1.5, "b": [1, 2], "c": [True]}
    assert [type(found["a"]), type(found["b"][0]), type(found["c"][0])] == [float, int, bool]


def test_a_refill_is_waited_for_and_the_run_goes_on() -> None:
    bench = cold()
    bench.holder.level = 0.02

    async def refill(bench: Bench) -> None:
        await asyncio.sleep(120.0)
        bench.holder.level = 1.0

    ending = bench.play(exposure(), beside=refill)
    assert ending.exit_code == 0
    (met,) = bench.runner.interlocks_met
    assert (met["name"], met["outcome"]) == ("nitrogen", "cleared")
    assert bench.beam.open_s[0][0] >= 120.0


def test_patience_has_an_end() -> None:
    bench = cold(patience_s=60.0)
    bench.holder.level = 0.02
    ending = bench.play(exposure())
    assert (ending.reason, ending.exit_code) == (EndReason.INTERLOCK, 4)
    assert bench.runner.interlocks_met[0]["outcome"] == "ended the run"
    assert bench.beam.open_s == []


@pytest.mark.parametrize("worse", ["pressure", "link"])
def test_waiting_for_one_interlock_does_not_hide_a_worse_one(worse: str) -> None:
    bench = cold()
    bench.holder.reading = dataclasses.replace(bench.holder.reading, temperature_k=150.0)

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(30.0)
        if worse == "pressure":
            bench.holder.pascal = 1.0
        else:  # its temperature would read as nothing, which trips no limit
            bench.holder.hooks["temperature"] = throwing(ConnectionLost("holder: gone"))
            bench.holder.hooks["connect"] = throwing(ConnectionLost("holder: gone"))

    ending = bench.play(exposure(), beside=beside)
    assert ending.reason is (EndReason.INTERLOCK if worse == "pressure" else EndReason.DEVICE)
    assert [met["name"] for met in bench.runner.interlocks_met] == [
        "temperature",
        "vacuum" if worse == "pressure" else "link",
    ]
    assert all(met["outcome"] == "ended the run" for met in bench.runner.interlocks_met)
    assert bench.beam.open_s == []
    assert not bench.beam.valves


def test_a_second_interlock_is_looked_at_when_the_first_has_cleared() -> None:
    bench = cold(patience_s=100.0)
    bench.holder.reading = dataclasses.replace(bench.holder.reading, valid=False)
    bench.holder.level = 0.0

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(30.0)
        bench.holder.reading = dataclasses.replace(bench.holder.reading, valid=True)

    ending = bench.play(exposure(), beside=beside)
    assert ending.exit_code == 4
    assert bench.beam.open_s == []


def test_a_bad_vacuum_ends_an_exposure_under_way() -> None:
    bench = cold()

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(12.0)
        bench.holder.pascal = 1.0

    ending = bench.play(exposure(dwell_s=12e-3), beside=beside)
    assert ending.reason is EndReason.INTERLOCK
    opened, closed = bench.beam.open_s[0]
    assert closed - opened < 20.0
    assert bench.memory.of("exposed")[0]["row"]["outcome"] == "partial"


@pytest.mark.parametrize("verb", ["temperature", "connect"])
@pytest.mark.parametrize("hook", [hanging, throwing(ConnectionLost("x"))])
def test_a_holder_that_stays_silent_ends_the_run(hook: Any, verb: str) -> None:
    bench = cold()
    bench.holder.hooks["temperature"] = hook
    bench.holder.hooks[verb] = hook
    ending = bench.play(exposure())
    assert ending.reason is EndReason.DEVICE
    assert bench.runner.interlocks_met[-1]["outcome"] == "ended the run"
    assert "holder" in ending.message
    assert bench.beam.open_s == []


class Deaf:
    """A follower that fails at the first event."""

    def __init__(self) -> None:
        self.heard = 0

    def event(self, event: Any) -> None:
        self.heard += 1
        raise RuntimeError("follower")

    def picture(self, picture: Any) -> None:
        raise RuntimeError("follower")


class Listening:
    def __init__(self) -> None:
        self.heard: list[tuple[float, str, str]] = []

    def event(self, event: Any) -> None:
        self.heard.append((event.time_s, event.event, event.name))

    def picture(self, picture: Any) -> None: ...


def test_followers_that_fail_are_dropped_and_the_others_hear_everything_in_order() -> None:
    good = Listening()
    bad = [Deaf(), Deaf(), Deaf()]
    bench = Bench(sinks=[bad[0], bad[1], good, bad[2]])
    assert bench.play(exposure()).exit_code == 0
    assert [one.heard for one in bad] == [1, 1, 1]
    told = [
        ("status", record["status"]) if record["k"] == "status" else (record["event"], record["name"])
        for record in bench.memory.records
        if record["k"] in ("event", "status")
    ]
    told.remove(("status", "preparing"))
    told.insert(0, ("status", "preparing"))  # what was told when the others failed comes before their failure
    assert [(event, name) for _, event, name in good.heard] == told
    assert sum(event == "fault" and name == "Deaf" for event, name in told) == 3


def test_an_abort_acts_though_it_cannot_be_written_down() -> None:
    bench = Bench()

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(3.0)
        bench.memory.full = "command"
        with contextlib.suppress(OSError):
            bench.operator.take("abort", "test")

    ending = bench.play(exposure(), beside=beside)
    assert ending.exit_code == 3
    assert sum(end - begin for begin, end in bench.beam.open_s) < 4.0


@pytest.mark.parametrize("command", ["pause", "blank", "go", "skip", "stop-after", "abort", "ack", "note"])
@pytest.mark.parametrize("time_s", [0.0, 5.0, 9.9, 10.5])
def test_every_command_in_every_phase_ends_in_an_orderly_status(command: str, time_s: float) -> None:
    bench = Bench()

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(time_s)
        bench.operator.take(command, "test", "text")
        if command in ("pause", "blank"):
            threading.Timer(0.05, lambda: bench.operator.ask("go", "test")).start()

    steps = (exposure(), Checkpoint(progress=0.5, label="half"), Wait(duration_s=5.0, reason="x"))
    ending = bench.play(*steps, beside=beside)
    assert ending.exit_code == (3 if command == "abort" else 0)
    assert statuses(bench)[-1] == ("aborted" if command == "abort" else "completed")
    if command in ("skip", "stop-after") and time_s < 9:
        assert bench.results[3].command == command
    assert bench.memory.of("command")[0]["command"] == command


def from_another_thread(bench: Bench, command: str) -> None:
    """While the loop is busy, so that it can't take the wish by itself."""
    thread = threading.Thread(target=bench.operator.ask, args=(command, "thread"))
    thread.start()
    thread.join()


def test_blank_stops_the_exposure_the_run_stands_and_then_goes_on_with_what_came_of_it() -> None:
    bench = Bench()
    open_while_paused: list[bool] = []

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(2.0)
        bench.operator.take("blank", "test")
        loop = asyncio.get_running_loop()

        def later() -> None:
            open_while_paused.append(bench.beam.open)
            bench.operator.take("go", "test")

        threading.Timer(0.1, lambda: loop.call_soon_threadsafe(later)).start()

    ending = bench.play(exposure(), exposure(), beside=beside)
    assert ending.exit_code == 0
    assert open_while_paused == [False]
    assert [one.outcome for one in bench.results[2:]] == ["partial", "done"]
    assert bench.results[2].scans_done == 0
    assert bench.beam.open_s[0] == (0.0, 2.0)
    (paused_s,) = (record["t"] for record in bench.memory.of("status") if record["status"] == "paused")
    assert paused_s == 2.0
    assert 0 < bench.memory.of("exposed")[0]["row"]["charge_c"] < bench.memory.of("exposed")[1]["row"]["charge_c"]


@pytest.mark.parametrize("command", ["abort", "blank"])
def test_what_is_asked_while_the_loop_is_busy_between_two_scan_frames_opens_no_beam_any_more(command: str) -> None:
    bench = Bench()

    async def busy() -> None:
        from_another_thread(bench, command)
        if command == "blank":
            threading.Timer(0.1, lambda: bench.operator.ask("go", "test")).start()

    bench.detector.hooks["read_scan"] = busy
    assert bench.play(exposure()).exit_code == (3 if command == "abort" else 0)
    assert len(bench.beam.open_s) == 1
    if command == "blank":
        assert (bench.results[2].outcome, bench.results[2].scans_done) == ("partial", 1)


@pytest.mark.parametrize("command", ["abort", "blank"])
def test_what_is_asked_while_the_intent_is_written_opens_no_beam(command: str) -> None:
    bench = Bench()
    append = bench.memory.append

    def slow_disk(kind: str, fields: Any, *, t: float, sync: bool = False) -> None:
        append(kind, fields, t=t, sync=sync)
        if kind == "intent":
            from_another_thread(bench, command)
            if command == "blank":
                threading.Timer(0.1, lambda: bench.operator.ask("go", "test")).start()

    bench.memory.append = slow_disk  # type: ignore[method-assign]
    assert bench.play(exposure()).exit_code == (3 if command == "abort" else 0)
    assert bench.beam.open_s == []
    (exposed,) = bench.memory.of("exposed")
    assert exposed["row"]["outcome"] == "partial"
    assert exposed["row"]["charge_c"] == 0.0


@pytest.mark.parametrize("made_ready", ["arm", "focus"])
def test_a_pause_while_an_exposure_is_made_ready_acts_before_the_beam(made_ready: str) -> None:
    bench = Bench()

    async def slowly() -> None:
        bench.operator.take("pause", "test")
        threading.Timer(0.1, lambda: bench.operator.ask("go", "test")).start()

    hooks = bench.detector.hooks if made_ready == "arm" else bench.beam.hooks
    hooks[made_ready] = slowly
    open_at_pause: list[bool] = []
    told = bench.memory.append

    def noted(kind: str, fields: Any, *, t: float, sync: bool = False) -> None:
        told(kind, fields, t=t, sync=sync)
        if kind == "status" and fields["status"] == "paused":
            open_at_pause.append(bool(bench.memory.of("intent")))

    bench.memory.append = noted  # type: ignore[method-assign]
    assert bench.play(exposure()).exit_code == 0
    assert open_at_pause == [False]
    assert len(bench.beam.open_s) == 2


def test_what_moves_to_its_end_is_paused_at_once() -> None:
    bench = Bench()
    bench.detector.insert = lambda: asyncio.sleep(3.0)  # type: ignore[attr-defined]
    bench.detector.is_inserted = lambda: asyncio.sleep(0.0, True)  # type: ignore[attr-defined]

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(1.0)
        bench.operator.take("pause", "test")
        await asyncio.sleep(2.1)
        threading.Timer(0.05, lambda: bench.operator.ask("go", "test")).start()

    assert bench.play(Insert(detector="haadf"), beside=beside).exit_code == 0
    told = [(record["status"], record["t"]) for record in bench.memory.of("status")]
    assert ("paused", 1.0) in told


def test_wishes_before_the_loop_are_kept_and_act_when_it_begins() -> None:
    bench = Bench()
    bench.operator.ask("note", "early", "ice on the left", "anna@lab")
    bench.operator.ask("abort", "early", "", "anna@lab")
    ending = bench.play(exposure())
    assert ending.exit_code == 3
    assert bench.beam.open_s == []
    assert [(one["command"], one["text"], one["who"]) for one in bench.memory.of("command")] == [
        ("note", "ice on the left", "anna@lab"),
        ("abort", "", "anna@lab"),
    ]


def test_a_command_after_the_end_is_no_error() -> None:
    bench = Bench()
    bench.play()
    bench.operator.ask("abort", "late")


def test_an_analysis_that_fails_is_a_lost_step_not_a_fault() -> None:
    from cryoctl.steps import Compute

    bench = Bench()
    ending = bench.play(Compute(function="analysis.drift:shift", arguments={"reference": [[1.0]], "image": [[1.0]]}))
    assert ending.reason is EndReason.TARGET_LOST


def test_an_analysis_that_does_not_exist_is_told() -> None:
    from cryoctl.engine.compute import find_function

    with pytest.raises(RunFileError):
        find_function("os:system")
    with pytest.raises(RunFileError):
        find_function("analysis.drift:nothing")
