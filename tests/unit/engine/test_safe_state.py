"""Every action of the safe state on its own: done, read back, tried again, bounded, and the rest done all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.engine.ending import Ending, EndReason
from cryoctl.engine.safe_state import (
    ACTION_LIMIT_S,
    BIAS,
    BLANK,
    COLD,
    CUT_OFF,
    DARK,
    FLUSH,
    HALT,
    NEEDLE,
    STAGE,
    VALVES,
    SafeAction,
    dangers,
    reach_safe_state,
)
from cryoctl.engine.securing import ending_after
from cryoctl.errors import ConnectionLost, DeviceError
from cryoctl.interfaces.bias import BiasReading
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.needle import NeedleHold, NeedleState
from tests.unit.engine.bench import FakeBeam, FakeHolder, FakeStage, hanging, throwing

Hook = Callable[[], Awaitable[None]]
DONE = Ending(EndReason.COMPLETED, "done")


class Resting:
    """A source or a needle: at rest once it was made safe."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.hook: Hook | None = None
        self.asked = 0
        self.at_rest = False

    async def make_safe(self) -> None:
        self.asked += 1
        if self.hook is not None:
            await self.hook()
        self.at_rest = True


class Source(Resting):
    """`second` runs inside its second path."""

    def __init__(self) -> None:
        super().__init__("bias")
        self.second: Hook | None = throwing(DeviceError("bias: it has no second path"))
        self.is_cut_off = False

    async def cut_off(self) -> None:
        if self.second is not None:
            await self.second()
        self.is_cut_off = True


class Drive(Resting):
    """A needle; `creeps` where it moves although it was stopped."""

    def __init__(self) -> None:
        super().__init__("needle")
        self.hold = NeedleHold.FREE
        self.stopped = 0
        self.creeps = False
        self.silent: Hook | None = None
        self._looked = 0

    async def state(self) -> NeedleState:
        if self.silent is not None:
            await self.silent()
        self._looked += self.creeps
        return NeedleState(
            coarse_steps=(0, 0, self._looked), fine_m=(0.0, 0.0, 1e-6), high_voltage_on=True, hold=self.hold
        )

    async def stop(self) -> None:
        if self.silent is not None:
            await self.silent()
        self.stopped += 1


class Place:
    """Beam, stage, source, needle and holder; `reach` gives the actions and the time they took."""

    def __init__(self) -> None:
        self.beam, self.stage, self.holder = FakeBeam(), FakeStage(), FakeHolder()
        self.bias, self.needle, self.light = Source(), Drive(), Resting("light")
        self.beam.open = True
        self.flush: Callable[[], None] | None = None
        self.last_bias: BiasReading | None = None

    def reach(self, alarm: bool = False) -> tuple[dict[str, SafeAction], float]:
        async def main() -> tuple[dict[str, SafeAction], float]:
            devices: Any = DeviceSet(
                stage=self.stage,  # type: ignore[arg-type]
                beam=self.beam,  # type: ignore[arg-type]
                image_detectors={},
                bias=self.bias,  # type: ignore[arg-type]
                needle=self.needle,  # type: ignore[arg-type]
                holder=self.holder,  # type: ignore[arg-type]
                light=self.light,  # type: ignore[arg-type]
            )
            done = await reach_safe_state(devices, alarm=alarm, last_bias=self.last_bias, flush=self.flush)
            return {action.name: action for action in done}, now_s()

        return run_virtual(main())


def bias_reading(voltage_v: float, current_a: float, *, on: bool = True) -> BiasReading:
    return BiasReading(voltage_v=voltage_v, current_a=current_a, in_compliance=False, output_on=on, time_s=0.0)


def test_all_is_brought_to_rest_in_order() -> None:
    place = Place()
    done, lasted_s = place.reach()
    assert list(done) == [BLANK, STAGE, HALT, BIAS, NEEDLE, COLD, DARK]
    assert all(action.confirmed for action in done.values())
    assert not place.beam.open
    assert place.beam.valves, "no alarm: the valves stay open"
    assert place.stage.stopped == 1
    assert place.bias.at_rest
    assert place.needle.at_rest
    assert place.needle.stopped == 1
    assert place.light.at_rest
    assert lasted_s == 0.0


def test_on_an_alarm_the_valves_close_after_blanking() -> None:
    place = Place()
    done, _ = place.reach(alarm=True)
    assert list(done)[:2] == [BLANK, VALVES]
    assert not place.beam.valves
    assert place.beam.log.index("blank") < place.beam.log.index("close_valves")


def full_disk() -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("how", [hanging, throwing(DeviceError("x: no")), throwing(TypeError("a driver's bug"))])
@pytest.mark.parametrize("what", ["blank", "stage", "bias", "needle", "holder", "light"])
def test_one_that_fails_is_bounded_and_keeps_nothing_else_from_its_rest(what: str, how: Hook) -> None:
    place = Place()
    place.last_bias = bias_reading(1.0, 1e-9)
    hooks = {"blank": place.beam.hooks, "stage": place.stage.hooks, "holder": place.holder.hooks}
    verbs = {"blank": "blank", "stage": "stop", "holder": "temperature"}
    if what in hooks:
        hooks[what][verbs[what]] = how
    else:
        getattr(place, what).hook = how
    done, lasted_s = place.reach()
    names = {"blank": [BLANK], "stage": [STAGE], "bias": [BIAS, CUT_OFF], "needle": [NEEDLE], "holder": [COLD]}
    failed = {**names, "light": [DARK]}[what]
    assert [name for name, action in done.items() if not action.confirmed] == failed
    assert all(done[name].detail for name in failed)
    assert lasted_s <= ACTION_LIMIT_S * len(failed) + 1.0
    assert not place.beam.irradiating
    assert place.stage.stopped >= 1
    assert place.bias.at_rest is (what != "bias")
    assert place.needle.at_rest is (what != "needle")
    said = {action.name for action in dangers(tuple(done.values()))}
    assert said == ({failed[0]} if what in ("bias", "needle") else set()), "a beam behind a valve is no danger"


def test_what_the_run_recorded_is_flushed_and_a_disk_that_is_full_is_told() -> None:
    place, flushed = Place(), list[int]()
    place.flush = lambda: flushed.append(1)
    assert place.reach()[0][FLUSH].confirmed
    assert flushed == [1]
    place.flush = full_disk
    done, _ = place.reach()
    assert "No space left" in done[FLUSH].detail
    assert not dangers(tuple(done.values()))
    assert ending_after(DONE, tuple(done.values())).exit_code == 5


@pytest.mark.parametrize("hold", [NeedleHold.CARRYING, NeedleHold.BONDED])
def test_a_needle_that_holds_something_is_stopped_and_never_withdrawn(hold: NeedleHold) -> None:
    place = Place()
    place.needle.hold = hold
    done, _ = place.reach(alarm=True)
    assert all(action.confirmed for action in done.values())
    assert place.needle.stopped == 1
    assert place.needle.asked == 0
    place.needle.creeps = True
    done, _ = place.reach()
    assert "yet it moves" in done[NEEDLE].detail
    assert ending_after(DONE, tuple(done.values())).exit_code == 6


@pytest.mark.parametrize("hold", [NeedleHold.FREE, NeedleHold.CONTACT])
@pytest.mark.parametrize(
    ("last", "withdrawn"),
    [
        (bias_reading(9.9, 9e-7), True),
        (bias_reading(-10.0, -1e-6), True),
        (bias_reading(10.1, 1e-9), False),
        (bias_reading(1.0, 2e-6), False),
        (bias_reading(20.0, 1.0, on=False), True),
        (None, False),
    ],
)
@pytest.mark.parametrize("second_path", [True, False])
def test_without_the_source_a_needle_is_withdrawn_only_where_little_was_read_last(
    last: BiasReading | None, withdrawn: bool, hold: NeedleHold, second_path: bool
) -> None:
    place = Place()
    place.needle.hold, place.last_bias = hold, last
    place.bias.hook = throwing(ConnectionLost("bias: no answer"))
    if second_path:
        place.bias.second = None
    done, _ = place.reach()
    assert place.bias.is_cut_off is second_path
    assert place.needle.at_rest is withdrawn
    assert done[NEEDLE].confirmed is withdrawn
    ended = ending_after(DONE, tuple(done.values()))
    assert ended.exit_code == (5 if withdrawn and second_path else 6)
    assert len(ended.message) <= 300


def test_a_needle_that_does_not_answer_is_not_moved() -> None:
    place = Place()
    place.needle.silent = throwing(ConnectionLost("needle: no answer"))
    done, _ = place.reach()
    assert place.needle.asked == 0
    assert ending_after(DONE, tuple(done.values())).exit_code == 6


def test_what_reads_back_otherwise_is_not_confirmed() -> None:
    place = Place()
    place.beam.stuck = True

    async def stays_open() -> bool:
        return True

    async def still_moves() -> bool:
        return True

    place.beam.valves_open = stays_open  # type: ignore[method-assign]
    place.stage.is_moving = still_moves  # type: ignore[method-assign]
    done, _ = place.reach(alarm=True)
    assert [name for name, action in done.items() if not action.confirmed] == [BLANK, VALVES, STAGE]
    assert {action.name for action in dangers(tuple(done.values()))} == {BLANK}


@pytest.mark.parametrize("what", ["stage", "bias", "needle"])
def test_a_link_that_comes_back_is_used(what: str) -> None:
    place = Place()

    async def gone() -> None:
        if now_s() < 4.0:
            raise ConnectionLost("no answer")

    if what == "stage":
        place.stage.hooks["stop"] = gone
    else:
        getattr(place, what).hook = gone
    done, lasted_s = place.reach()
    assert all(action.confirmed for action in done.values())
    assert 4.0 <= lasted_s < 5.0


def test_it_goes_on_though_it_is_cancelled() -> None:
    place = Place()

    async def slowly() -> None:
        await asyncio.sleep(2.0)

    place.stage.hooks["stop"] = place.bias.hook = slowly

    async def main() -> tuple[SafeAction, ...]:
        devices: Any = DeviceSet(
            stage=place.stage,  # type: ignore[arg-type]
            beam=place.beam,  # type: ignore[arg-type]
            image_detectors={},
            bias=place.bias,  # type: ignore[arg-type]
        )
        reaching = asyncio.create_task(reach_safe_state(devices, alarm=False))
        for at_s in (1.0, 0.01, 2.0):
            await asyncio.sleep(at_s)
            reaching.cancel()
        return await reaching

    assert all(action.confirmed for action in run_virtual(main()))
    assert place.bias.at_rest
