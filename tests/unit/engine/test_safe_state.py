"""Every action of the safe state on its own: done, read back, tried again, bounded, and the rest done all the same."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.engine.safe_state import (
    ACTION_LIMIT_S,
    BIAS,
    BLANK,
    NEEDLE,
    STAGE,
    VALVES,
    SafeAction,
    dangers,
    reach_safe_state,
)
from cryoctl.errors import ConnectionLost, DeviceError
from cryoctl.interfaces.device_set import DeviceSet
from tests.unit.engine.bench import FakeBeam, FakeStage, hanging, throwing

Hook = Callable[[], Awaitable[None]]


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


class Place:
    """Beam, stage, source and needle; `reach` gives the actions and the time they took."""

    def __init__(self) -> None:
        self.beam, self.stage = FakeBeam(), FakeStage()
        self.bias, self.needle = Resting("bias"), Resting("needle")
        self.beam.open = True

    def reach(self, alarm: bool = False) -> tuple[dict[str, SafeAction], float]:
        async def main() -> tuple[dict[str, SafeAction], float]:
            devices: Any = DeviceSet(
                stage=self.stage,  # type: ignore[arg-type]
                beam=self.beam,  # type: ignore[arg-type]
                image_detectors={},
                bias=self.bias,  # type: ignore[arg-type]
                needle=self.needle,  # type: ignore[arg-type]
            )
            done = await reach_safe_state(devices, alarm=alarm)
            return {action.name: action for action in done}, now_s()

        return run_virtual(main())


def test_all_is_brought_to_rest_in_order() -> None:
    place = Place()
    done, lasted_s = place.reach()
    assert list(done) == [BLANK, STAGE, BIAS, NEEDLE]
    assert all(action.confirmed for action in done.values())
    assert not place.beam.open
    assert place.beam.valves, "no alarm: the valves stay open"
    assert place.stage.stopped == 1
    assert place.bias.at_rest
    assert place.needle.at_rest
    assert lasted_s == 0.0


def test_on_an_alarm_the_valves_close_after_blanking() -> None:
    place = Place()
    done, _ = place.reach(alarm=True)
    assert list(done)[:2] == [BLANK, VALVES]
    assert not place.beam.valves
    assert place.beam.log.index("blank") < place.beam.log.index("close_valves")


@pytest.mark.parametrize("how", [hanging, throwing(DeviceError("x: no")), throwing(TypeError("a driver's bug"))])
@pytest.mark.parametrize("what", ["blank", "stage", "bias", "needle"])
def test_one_that_fails_is_bounded_and_keeps_nothing_else_from_its_rest(what: str, how: Hook) -> None:
    place = Place()
    if what == "blank":
        place.beam.hooks["blank"] = how
    elif what == "stage":
        place.stage.hooks["stop"] = how
    else:
        getattr(place, what).hook = how
    done, lasted_s = place.reach()
    failed = {"blank": BLANK, "stage": STAGE, "bias": BIAS, "needle": NEEDLE}[what]
    assert [name for name, action in done.items() if not action.confirmed] == [failed]
    assert done[failed].detail
    assert lasted_s <= ACTION_LIMIT_S + 1.0
    assert not place.beam.irradiating
    assert place.stage.stopped >= 1
    assert place.bias.at_rest is (what != "bias")
    assert place.needle.at_rest is (what != "needle")
    said = {action.name for action in dangers(tuple(done.values()))}
    assert said == ({failed} if what in ("bias", "needle") else set()), "a beam behind a valve is no danger"


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
