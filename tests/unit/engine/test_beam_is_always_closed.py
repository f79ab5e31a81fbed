"""However an exposure goes wrong: the beam ends blanked or behind a valve, its dose is charged, the run ends safe."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from cryoctl.clock import now_s
from cryoctl.engine.ending import EndReason
from cryoctl.errors import ConnectionLost, DeviceError, Refused
from cryoctl.steps import MoveStage, Wait
from tests.unit.engine.bench import FULL_DOSE, Bench, exposure, hanging, throwing

OSERROR = OSError(5, "Input/output error")
ODD = (DeviceError("beam: odd"), TypeError("a driver's bug"), OSERROR, ValueError("nan"), KeyError("x"))


def safe(bench: Bench) -> bool:
    return not bench.beam.irradiating and bench.stage.stopped == 1


@pytest.mark.parametrize("verb", ["apply", "shift_image", "focus", "measure_current", "expose", "frame"])
@pytest.mark.parametrize("error", ODD, ids=lambda error: type(error).__name__)
def test_any_error_of_the_column_ends_safe_with_exit_5(verb: str, error: Exception) -> None:
    bench = Bench()
    bench.beam.hooks[verb] = throwing(error)
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert len(ending.message) <= 300
    assert safe(bench)
    assert bench.memory.of("end")[0]["exit_code"] == 5
    assert bench.memory.of("status")[-1]["status"] == "faulted"
    if verb in ("expose", "frame"):
        assert bench.memory.of("exposed")[0]["row"]["outcome"] == "charged-in-full"
        assert bench.peak >= FULL_DOSE


@pytest.mark.parametrize("where", ["arm", "read_scan"])
@pytest.mark.parametrize("error", ODD[1:], ids=lambda error: type(error).__name__)
def test_any_error_of_a_detector_ends_safe(where: str, error: Exception) -> None:
    bench = Bench()
    bench.detector.hooks[where] = throwing(error)
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert safe(bench)
    charged = [{one["exposure"] for one in bench.memory.of(kind)} for kind in ("intent", "exposed")]
    assert charged[0] == charged[1]


def test_a_lost_frame_is_a_lost_step_and_its_dose_is_charged() -> None:
    bench = Bench()
    bench.detector.hooks["read_scan"] = throwing(DeviceError("haadf: no frame"))
    ending = bench.play(exposure())
    assert ending.reason is EndReason.TARGET_LOST
    assert bench.peak == pytest.approx(FULL_DOSE, rel=0.02)
    assert bench.peak >= FULL_DOSE


ABORT_TIMES = (0.0, 0.2, 1.0, 4.9, 5.3, 9.0, 9.9, 12.0)


@pytest.mark.parametrize("time_s", ABORT_TIMES)
@pytest.mark.parametrize("how", ["abort", "cancel", "cancel twice"])
def test_an_abort_at_any_time_stops_the_beam_and_charges_what_was_exposed(time_s: float, how: str) -> None:
    bench = Bench()

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(time_s)
        if how == "abort":
            bench.operator.take("abort", "test")
            return
        main = next(task for task in asyncio.all_tasks() if "main" in repr(task.get_coro()))
        main.cancel()
        if how == "cancel twice":
            await asyncio.sleep(0.01)
            main.cancel()

    ending = bench.play(exposure(), Wait(duration_s=30.0, reason="then"), beside=beside)
    assert (ending.exit_code, ending.reason) == (3, EndReason.OPERATOR)
    assert safe(bench)
    assert bench.memory.of("status")[-1]["status"] == "aborted"
    assert len(bench.memory.of("exposed")) == len(bench.memory.of("intent"))
    open_s = sum(end - begin for begin, end in bench.beam.open_s)
    if open_s:
        row = bench.memory.of("exposed")[0]["row"]
        assert row["outcome"] == ("settled" if open_s > 9.8 else "partial")
        assert open_s < time_s + 0.1
        # The lines that were scanned got the full dose of their frames.
        assert bench.peak >= FULL_DOSE * (1.0 if open_s > 4.93 else 0.5)
        assert bench.peak <= FULL_DOSE * 1.05
        assert bench.ledger.total.sum() >= open_s / 9.83 * FULL_DOSE * 64 * 64 / 4 * 0.999


def test_an_exposure_that_ignores_the_stop_is_left_behind_and_the_valves_closed() -> None:
    bench = Bench()
    bench.beam.stuck = True
    bench.beam.hooks["stop_exposure"] = hanging
    bench.beam.hooks["frame"] = hanging
    bench.beam.hooks["blank"] = hanging

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(2.0)
        bench.operator.take("abort", "test")

    ending = bench.play(exposure(), beside=beside)
    assert not bench.beam.valves
    assert ending.exit_code == 5  # the beam is behind the valve, but the blanker failed
    row = bench.memory.of("exposed")[0]["row"]
    assert row["outcome"] == "charged-in-full"
    assert bench.peak > FULL_DOSE
    kinds = [(record["k"], record.get("status")) for record in bench.memory.records]
    assert kinds.index(("exposed", None)) < kinds.index(("status", "securing")), "the exposure is awaited to its end"


def task_of(name: str) -> asyncio.Task[Any]:
    return next(task for task in asyncio.all_tasks() if name in repr(task.get_coro()))


@pytest.mark.parametrize("level", ["Actions.carry_out", "ExposureDesk._irradiate"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_cancelling_an_exposure_from_within_asks_the_beam_to_stop_and_never_cancels_it(level: str, times: int) -> None:
    """Two cancels 10 ms apart once left the beam open; here each task around the exposure is cancelled itself."""
    bench = Bench()
    exposing: list[asyncio.Task[Any]] = []

    async def slowly() -> None:
        await asyncio.sleep(0.05)

    bench.beam.hooks["stop_exposure"] = slowly

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(4.0)
        cancelled = task_of(level)
        exposing.append(task_of("FakeBeam.expose"))
        for _ in range(times):
            cancelled.cancel()
            await asyncio.sleep(0.01)

    ending = bench.play(exposure(), beside=beside)
    assert exposing[0].done()
    assert not exposing[0].cancelled()
    assert "stop_exposure" in bench.beam.log
    assert safe(bench)
    assert ending.exit_code in (3, 5)
    (exposed,) = bench.memory.of("exposed")
    assert exposed["row"]["outcome"] in ("partial", "charged-in-full")
    assert sum(end - begin for begin, end in bench.beam.open_s) < 4.1


@pytest.mark.parametrize("times", [1, 2])
def test_a_cancellation_does_not_interrupt_the_safe_state(times: int) -> None:
    bench = Bench()

    async def slowly() -> None:
        await asyncio.sleep(3.0)

    bench.stage.hooks["stop"] = slowly

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(11.0)  # of 9.8 s of beam; the stage is being stopped
        assert bench.memory.of("status")[-1]["status"] == "securing"
        main = task_of("main")
        for _ in range(times):
            main.cancel()
            await asyncio.sleep(0.01)

    ending = bench.play(exposure(), beside=beside)
    assert ending.exit_code == 0
    assert safe(bench)
    assert bench.memory.of("status")[-1]["status"] == "completed"


def test_an_exposure_that_never_ends_is_ended_by_its_permit() -> None:
    bench = Bench()
    bench.beam.hooks["frame"] = hanging
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert "did not end" in ending.message
    assert safe(bench)


def test_a_beam_that_reads_back_open_is_shut_behind_the_valves_at_once() -> None:
    bench = Bench()
    bench.beam.stuck = True
    charged: list[int] = []

    async def looked_at() -> None:
        charged.append(len(bench.memory.of("exposed")))

    bench.beam.hooks["close_valves"] = looked_at
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert charged[0] == 0, "before anything else is done, the safe state included"
    assert bench.peak > FULL_DOSE + 0.4 * FULL_DOSE * 0.5 / 9.83  # the time to the second stop is charged


def test_neither_blanker_nor_valves_is_exit_6_and_the_stage_is_stopped_all_the_same() -> None:
    bench = Bench()
    bench.beam.stuck = True
    bench.beam.hooks["close_valves"] = throwing(ConnectionLost("beam: no answer"))
    ending = bench.play(exposure())
    assert ending.exit_code == 6
    assert ending.reason is EndReason.UNCONFIRMED
    assert "go to the microscope" in ending.message
    assert bench.stage.stopped == 1


@pytest.mark.parametrize("hook", [hanging, throwing(TypeError("bug")), throwing(ConnectionLost("gone"))])
def test_a_stage_that_does_not_stop_keeps_nothing_else_from_being_made_safe(hook: Any) -> None:
    bench = Bench()
    bench.stage.hooks["stop"] = hook
    assert bench.play(exposure()).exit_code == 0
    assert not bench.beam.irradiating


def test_a_blanker_that_fails_at_the_end_of_a_good_run_is_not_called_completed() -> None:
    bench = Bench()
    bench.beam.hooks["blank"] = throwing(DeviceError("beam: no"))
    ending = bench.play()
    assert ending.exit_code == 5
    assert not bench.beam.valves


def test_a_move_that_hangs_ends_within_its_limit() -> None:
    bench = Bench()
    bench.stage.hooks["move"] = hanging
    ending = bench.play(MoveStage(tilt_deg=10.0))
    assert ending.exit_code == 5
    assert "MoveStage" in ending.message


def test_a_refused_permit_is_not_charged() -> None:
    bench = Bench()
    bench.beam.hooks["expose"] = throwing(Refused("beam: permit 1 was used before; the beam stayed blanked"))
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert bench.peak == 0.0
    row = bench.memory.of("exposed")[0]
    assert row["deposits"] == []
    assert row["row"]["dose_e_per_a2"] == 0.0


def test_a_link_that_comes_back_in_time_is_used_and_the_time_open_is_charged() -> None:
    bench = Bench()
    gone_until_s = 14.0

    async def gone() -> None:
        if 5.0 < now_s() < gone_until_s:
            raise ConnectionLost("beam: no answer")

    bench.beam.stuck = True  # the scan generator does not blank by itself
    for verb in ("frame", "blank", "is_blanked", "close_valves", "valves_open"):
        bench.beam.hooks[verb] = gone
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert not bench.beam.irradiating
    late_s = gone_until_s - 9.9  # since the exposure's planned end, at least
    assert bench.peak >= FULL_DOSE * (1 + 0.9 * late_s / 9.83)
