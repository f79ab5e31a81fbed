"""The gate and the ledger against everything that could make dose vanish."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Generator
from typing import Any

import pytest

from cryoctl.engine.ending import EndReason
from cryoctl.errors import DoseRefused, StepLost
from cryoctl.interfaces.stage import StagePosition
from cryoctl.steps import Afford, MeasureCurrent, UseOptics
from tests.unit.engine.bench import CURRENT_A, FULL_DOSE, Bench, exposure, throwing

NAN, INF = math.nan, math.inf
UNCOUNTABLE: list[dict[str, Any]] = [
    {"dwell_s": NAN},
    {"dwell_s": INF},
    {"dwell_s": 0.0},
    {"dwell_s": -1e-3},
    {"pixel_size_m": NAN},
    {"pixel_size_m": -10e-9},
    {"pixel_size_m": 0.0},
    {"scans": 0},
    {"scans": -1},
    {"shape": (0, 64)},
    {"shape": (-64, -64)},
    {"x_m": NAN},
    {"y_m": INF},
    {"rotation_deg": NAN},
    {"position_sigma_m": NAN},
    {"position_sigma_m": -1e-6},
    {"shift_x_m": NAN},
    {"x_m": 1.9e-6},  # partly beyond the map
    {"y_m": -4e-6},
]


@pytest.mark.parametrize("changes", UNCOUNTABLE, ids=str)
@pytest.mark.parametrize("limit", [INF, 1000.0])
def test_what_cannot_be_counted_never_opens_the_beam(changes: dict[str, Any], limit: float) -> None:
    bench = Bench(limit=limit)
    ending = bench.play(exposure(**changes))
    assert ending.reason is EndReason.DOSE
    assert bench.beam.open_s == []
    assert not bench.memory.of("intent")
    assert bench.peak == 0.0
    if "position_sigma_m" not in changes:  # only the gate looks at that
        assert "shift_image" not in bench.beam.log, "nothing moves for it"


@pytest.mark.parametrize("tilt_deg", [NAN, 90.0, 120.0])
def test_a_tilt_that_makes_no_footprint_never_opens_the_beam(tilt_deg: float) -> None:
    bench = Bench()
    bench.stage.at = StagePosition(x_m=0.0, y_m=0.0, z_m=0.0, tilt_deg=tilt_deg)
    assert bench.play(exposure()).exit_code == 4
    assert bench.beam.open_s == []


@pytest.mark.parametrize("current_a", [0.0, NAN, INF, -1e-10])
def test_a_current_that_cannot_be_measured_ends_the_run(current_a: float) -> None:
    bench = Bench()
    bench.beam.current = dataclasses.replace(bench.beam.current, current_a=current_a)
    assert bench.play(exposure()).exit_code == 5
    assert bench.beam.open_s == []


def test_afford_refuses_what_cannot_be_counted() -> None:
    bench = Bench(limit=1000.0)
    ending = bench.play(Afford(exposures=(exposure(dwell_s=NAN),), tilt_deg=0.0))
    assert ending.reason is EndReason.DOSE


def test_the_intent_is_synced_before_the_beam_opens_and_the_frame_before_the_done_record() -> None:
    bench = Bench()
    assert bench.play(exposure()).exit_code == 0
    (intent,), (exposed,), (frame,) = bench.memory.of("intent"), bench.memory.of("exposed"), bench.memory.of("frame")
    assert intent["sync"]
    assert exposed["sync"]
    assert frame["sync"]
    assert not intent["beam"]
    assert not exposed["beam"]
    assert intent["t"] <= bench.beam.open_s[0][0]
    order = [record["k"] for record in bench.memory.records if record["k"] in ("intent", "frame", "exposed")]
    assert order == ["intent", "frame", "exposed"]


def test_no_intent_on_disk_no_beam() -> None:
    bench = Bench()
    bench.memory.full = "intent"
    ending = bench.play(exposure())
    assert ending.exit_code == 5
    assert "No space left" in ending.message
    assert bench.beam.open_s == []
    assert bench.stage.stopped == 1


@pytest.mark.parametrize("kind", ["status", "step", "result", "exposed", "frame", "event", "monitor", "end", "state"])
def test_a_full_disk_at_any_record_still_reaches_the_safe_state(kind: str) -> None:
    bench = Bench()
    bench.memory.full = kind
    ending = bench.play(exposure())
    assert ending.exit_code == (0 if kind == "end" else 5)
    assert not bench.beam.irradiating
    assert bench.stage.stopped == 1
    if bench.beam.open_s:
        assert bench.peak >= FULL_DOSE


def test_a_frame_that_cannot_be_kept_is_charged_all_the_same() -> None:
    bench = Bench()
    bench.memory.frames_full = True
    assert bench.play(exposure()).exit_code == 5
    exposed = bench.memory.of("exposed")[0]
    assert exposed["row"]["frame"] == -1
    assert bench.peak >= FULL_DOSE


def test_a_stopped_exposure_charges_the_first_rows_fully_and_the_last_hardly() -> None:
    """Lines run from low y to high y, as the scan generator goes."""
    bench = Bench()

    async def beside(bench: Bench) -> None:
        await asyncio.sleep(3.0 + 1.2)  # half-way through the first scan frame
        bench.operator.take("abort", "test")

    bench.play(exposure(scans=1, dwell_s=2.4e-3), beside=beside)
    opened, closed = bench.beam.open_s[0]
    share = (closed - opened) / (64 * 64 * 2.4e-3)
    first, last = bench.ledger.at(0.0, -0.30e-6), bench.ledger.at(0.0, 0.28e-6)
    assert first >= FULL_DOSE
    assert last < 0.05 * FULL_DOSE
    charged = bench.ledger.total.sum() * bench.ledger.grid.pixel_size_m**2
    assert charged >= share * FULL_DOSE * (64 * 10e-9) ** 2


@pytest.mark.parametrize("reported", [NAN, INF, -1.0])
def test_a_report_that_is_no_number_is_charged_in_full(reported: float) -> None:
    bench = Bench()
    bench.beam.reported_on_s = reported
    assert bench.play(exposure()).exit_code == 5
    assert bench.memory.of("exposed")[0]["row"]["outcome"] == "charged-in-full"
    assert bench.peak > FULL_DOSE


def test_a_report_of_a_fault_is_charged_in_full_with_the_reserve() -> None:
    bench = Bench()
    bench.beam.ended = "fault"
    assert bench.play(exposure()).exit_code == 5
    assert bench.memory.of("exposed")[0]["row"]["outcome"] == "charged-in-full"


def test_a_beam_that_was_on_for_longer_than_planned_is_charged_for_it() -> None:
    bench = Bench()
    bench.beam.reported_on_s = 2 * 9.83
    bench.play(exposure())
    assert bench.peak >= 1.98 * FULL_DOSE


def test_reading_slowly_lets_the_current_drift_and_is_charged() -> None:
    slow, quick = Bench(drift_rel_per_s=1e-3), Bench(drift_rel_per_s=1e-3)

    async def slowly() -> None:
        await asyncio.sleep(25.0)

    slow.detector.hooks["read_scan"] = slowly
    for bench in (slow, quick):
        assert bench.play(exposure()).exit_code == 0
        assert bench.memory.of("exposed")[0]["row"]["outcome"] == "settled"
    # 2 x 25 s at 1e-3 a second, on top of the 10 s that both take
    assert slow.peak == pytest.approx(quick.peak * 1.06 / 1.01, rel=2e-3)


def test_a_current_that_rose_beyond_its_drift_is_charged_again() -> None:
    bench = Bench()

    def script() -> Generator[Any, Any, str]:
        yield from UseOptics(name="record")
        yield from MeasureCurrent()
        yield from exposure()
        bench.beam.current = dataclasses.replace(bench.beam.current, current_a=3e-10)
        before = bench.peak
        yield from MeasureCurrent()
        assert bench.peak >= 1.49 * before
        assert len(bench.memory.of("exposed")) == 2
        after = bench.peak
        yield from MeasureCurrent()
        assert bench.peak == after
        return "ok"

    assert bench.play_script(script).exit_code == 0
    first, second = bench.memory.of("exposed")
    assert first["exposure"] == second["exposure"]
    assert sum(one["dose_e_per_a2"] for one in second["deposits"]) >= 1.49 * FULL_DOSE


@pytest.mark.parametrize("current_a", [1.99e-10, 2.01e-10])
def test_measuring_again_within_the_uncertainty_charges_what_it_may_have_been_and_is_no_fault(current_a: float) -> None:
    bench = Bench()

    def script() -> Generator[Any, Any, str]:
        yield from UseOptics(name="record")
        yield from MeasureCurrent()
        yield from exposure()
        bench.beam.current = dataclasses.replace(bench.beam.current, current_a=current_a)
        yield from MeasureCurrent()
        return "ok"

    bench.play_script(script)
    assert not [one for one in bench.memory.of("event") if one["event"] == "fault"]
    assert len(bench.memory.of("exposed")) == (2 if current_a > CURRENT_A else 1)
    assert bench.peak >= FULL_DOSE / (1 - 0.008) * max(1.0, current_a / CURRENT_A) * (1 - 1e-4)


def test_after_a_failed_change_of_optics_no_current_is_known() -> None:
    bench = Bench()
    told: list[str] = []

    def script() -> Generator[Any, Any, str]:
        yield from UseOptics(name="record")
        yield from MeasureCurrent()
        bench.runner._desk.current.forget()  # what UseOptics does before it touches a lens
        try:
            yield from exposure()
        except StepLost as lost:
            told.append(str(lost))
        return "ok"

    assert bench.play_script(script).exit_code == 0
    assert "UseOptics" in told[0]
    assert bench.beam.open_s == []


def test_the_limit_holds_with_everything_reserved() -> None:
    """As many exposures as fit; the one that would pass is refused and the sum stays below."""
    limit = 3.6 * FULL_DOSE  # each may have been 13 % more than its charge before the current is measured again
    bench = Bench(limit=limit)
    ending = bench.play(*[exposure() for _ in range(10)])
    assert (ending.reason, ending.exit_code) == (EndReason.DOSE, 4)
    assert 2.9 * FULL_DOSE < bench.peak <= limit
    assert len(bench.memory.of("intent")) == 3


def test_a_fault_stays_below_the_limit_by_the_reserve() -> None:
    limit = 1.22 * FULL_DOSE
    bench = Bench(limit=limit)
    bench.beam.hooks["frame"] = throwing(TypeError("bug"))
    bench.play(exposure())
    assert FULL_DOSE < bench.peak <= limit


def test_a_ledger_takes_no_poison() -> None:
    bench = Bench()
    from cryoctl.dose.ledger import Deposit

    for dose in (NAN, INF, -1.0):
        deposit = Deposit(x_m=0.0, y_m=0.0, width_m=1e-7, height_m=1e-7, dose_e_per_a2=dose)
        with pytest.raises(ValueError, match="can't be charged"):
            bench.ledger.charge("record", [deposit], 0.0)
    assert bench.peak == 0.0


def test_a_protocol_may_catch_the_refusal() -> None:
    bench = Bench(limit=1.0)
    caught: list[str] = []

    def script() -> Generator[Any, Any, str]:
        yield from UseOptics(name="record")
        try:
            yield from exposure()
        except DoseRefused as refused:
            caught.append(str(refused))
        return "ok"

    assert bench.play_script(script).exit_code == 0
    assert "limit" in caught[0]
    assert bench.beam.open_s == []
