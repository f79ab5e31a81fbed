"""The virtual loop: jumps, holds, and fails loudly where it would hang."""

from __future__ import annotations

import asyncio
import math
import threading
import time

import pytest

from cryoctl.clock import hold_time, let_time_pass, now_s, virtual
from cryoctl.clock.virtual import VirtualTimeStalled, run_virtual


def test_a_night_passes_in_no_time_and_in_order() -> None:
    async def main() -> list[float]:
        seen: list[float] = []

        async def wake(after_s: float) -> None:
            await asyncio.sleep(after_s)
            seen.append(now_s())

        await asyncio.gather(wake(30_000.0), wake(0.25), wake(3600.0))
        return seen

    seen = run_virtual(main())
    assert seen == sorted(seen)
    assert all(abs(found - wanted) < 1e-6 for found, wanted in zip(seen, [0.25, 3600.0, 30_000.0], strict=True))


def test_tiny_waits_late_in_a_long_run_still_make_progress() -> None:
    async def main() -> int:
        await asyncio.sleep(1e9)
        for _ in range(100):
            await asyncio.sleep(math.ulp(1e9) / 4)
        return 100

    assert run_virtual(main()) == 100


@pytest.mark.parametrize("now", [0.0, 1.0, 1e9])
def test_a_jump_always_moves_time(now: float) -> None:
    loop = virtual.VirtualTimeLoop()
    try:
        loop.jump(now)
        before = loop.time()
        loop.jump(math.ulp(before) / 8)
        assert loop.time() > before
    finally:
        loop.close()


def test_time_holds_while_a_thread_works() -> None:
    async def main() -> tuple[float, float]:
        clock = asyncio.create_task(asyncio.sleep(10.0))
        before = now_s()
        await asyncio.get_running_loop().run_in_executor(None, time.sleep, 0.05)
        after = now_s()
        await clock
        return before, after

    before, after = run_virtual(main())
    assert before == after == 0.0


def test_hold_for_real_work_outside_the_executor() -> None:
    async def main() -> float:
        loop = asyncio.get_running_loop()
        arrived = asyncio.Event()
        asyncio.get_running_loop().call_later(5.0, lambda: None)
        threading.Timer(0.05, lambda: loop.call_soon_threadsafe(arrived.set)).start()
        with hold_time():
            await arrived.wait()
        return now_s()

    assert run_virtual(main()) == 0.0


def test_a_deadlock_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "HOLD_LIMIT_S", 0.05)

    async def main() -> None:
        await asyncio.Event().wait()

    with pytest.raises(VirtualTimeStalled, match="nothing is scheduled"):
        run_virtual(main())


def test_a_hanging_worker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(virtual, "HOLD_LIMIT_S", 0.05)
    release = threading.Event()

    async def main() -> None:
        await asyncio.get_running_loop().run_in_executor(None, release.wait, 5.0)

    try:
        with pytest.raises(VirtualTimeStalled, match="did not answer"):
            run_virtual(main())
    finally:
        release.set()


def test_hold_is_harmless_in_real_time() -> None:
    async def main() -> bool:
        with hold_time():
            await asyncio.sleep(0)
        return True

    assert asyncio.run(main())


def test_time_passes_for_a_thread_that_waits_for_it_and_for_no_other() -> None:
    async def main() -> tuple[float, float]:
        loop = asyncio.get_running_loop()
        answered, released = threading.Event(), threading.Event()
        waiting = loop.run_in_executor(None, answered.wait)

        async def answer_after(time_s: float) -> None:
            with let_time_pass():
                await asyncio.sleep(time_s)
            answered.set()

        await answer_after(5.0)
        await waiting
        passed_s = now_s()
        busy = loop.run_in_executor(None, released.wait)
        answered.clear()
        waiting = loop.run_in_executor(None, answered.wait)
        answering = asyncio.create_task(answer_after(5.0))
        loop.call_soon(threading.Timer(0.05, released.set).start)
        await busy
        held_s = now_s()
        await asyncio.gather(answering, waiting)
        return passed_s, held_s

    passed_s, held_s = run_virtual(main())
    assert passed_s == pytest.approx(5.0)
    assert held_s == pytest.approx(passed_s)
