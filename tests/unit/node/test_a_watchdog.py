"""A node and its watchdog notice each other's end: killed, hung, blocked, left in good order."""

from __future__ import annotations

import asyncio
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from cryoctl.node.audit import Audit
from cryoctl.node.watchdog import BEAT, LEAVE, NodeEnded, Watchdog
from cryoctl.node.watched import Watched

ECHOES = "import os; os.read(0, 99); os.write(1, b'ready at once\\n')\nwhile b := os.read(0, 99): os.write(1, b)"
NOTES = """
import asyncio, sys
from pathlib import Path
from cryoctl.node.watchdog import NodeEnded, first_line
first_line(sys.stdin.buffer)
ended = NodeEnded(sys.stdin.buffer, sys.stdout.buffer, 1.0)
why = asyncio.run(ended.wait(lambda: print("ready", flush=True)))
Path(sys.argv[1]).write_text(why)
"""


def ended_by(act: Callable[[int], None], hung_s: float = 0.3) -> tuple[str, float]:
    """What the watchdog's end says of a node that does `act` with its pipe, and after how long."""

    async def whole() -> tuple[str, float]:
        out, into = os.pipe()
        with os.fdopen(out, "rb", buffering=0) as beats, io.BytesIO() as echoes:
            since_s = time.monotonic()
            node = threading.Thread(target=act, args=(into,))
            why = await NodeEnded(beats, echoes, hung_s).wait(node.start)  # type: ignore[arg-type]
            took_s = time.monotonic() - since_s
            await asyncio.to_thread(node.join)
        return why, took_s

    return asyncio.run(whole())


@pytest.mark.parametrize(("last", "said"), [(b"", "died"), (LEAVE, "left"), (BEAT + LEAVE, "left")])
def test_a_pipe_that_ends_is_noticed_at_once(last: bytes, said: str) -> None:
    def act(into: int) -> None:
        os.write(into, BEAT + last)
        os.close(into)

    why, took_s = ended_by(act, hung_s=30.0)
    assert why == said
    assert took_s < 5.0


def test_a_node_that_beats_lives_and_one_that_stops_hangs() -> None:
    def act(into: int) -> None:
        for _ in range(10):
            os.write(into, BEAT)
            time.sleep(0.05)
        time.sleep(1.0)
        os.close(into)

    why, took_s = ended_by(act)
    assert why == "hangs"
    assert 0.5 + 0.2 < took_s < 0.5 + 1.0


def kept(script: str, check: Callable[[Watched, Watchdog, list[str]], Awaitable[None]], *words: str) -> None:
    async def whole() -> None:
        lost: list[str] = []

        async def make_safe(why: str) -> None:
            lost.extend((why, watched.no_beam()))

        dog = Watchdog([sys.executable, "-c", script, *words], b"told")
        watched = Watched(dog, make_safe, Audit(None))
        assert watched.no_beam()
        await watched.start()
        keeping = asyncio.create_task(watched.keep())
        try:
            await check(watched, dog, lost)
        finally:
            keeping.cancel()
            watched.close()

    asyncio.run(whole())


async def soon(true: Callable[[], object], within_s: float = 10.0) -> float:
    """Seconds until it was."""
    since_s = time.monotonic()
    while not true():
        assert time.monotonic() - since_s < within_s
        await asyncio.sleep(0.005)
    return time.monotonic() - since_s


@pytest.mark.parametrize(("by", "said"), [(signal.SIGKILL, "died"), (signal.SIGSTOP, "hangs")])
def test_without_its_watchdog_a_node_is_made_safe_and_opens_no_beam_until_another_is_there(
    by: signal.Signals, said: str
) -> None:
    async def check(watched: Watched, dog: Watchdog, lost: list[str]) -> None:
        await asyncio.sleep(0.4)
        assert watched.no_beam() == ""
        assert lost == []
        first = dog.process_id
        assert first is not None
        os.kill(first, by)
        await soon(lambda: lost)
        refused = "the node's watchdog is not there and is being started anew; ask again in some seconds"
        assert lost == [f"the node's watchdog {said}", refused]
        await soon(lambda: not watched.no_beam())
        assert dog.process_id != first
        with pytest.raises(ProcessLookupError):
            os.kill(first, 0)

    kept(ECHOES, check)


def test_a_watchdog_that_does_not_become_ready_is_none() -> None:
    async def whole() -> None:
        dog = Watchdog([sys.executable, "-c", "print('no')"], b"told")
        assert not await dog.start()
        assert not dog.alive

    asyncio.run(whole())


def test_a_node_whose_loop_is_blocked_by_a_driver_hangs(tmp_path: Path) -> None:
    file = tmp_path / "why"

    async def check(watched: Watched, dog: Watchdog, lost: list[str]) -> None:
        del watched, dog, lost
        await asyncio.sleep(0.6)
        assert not file.exists(), "it beats, and is taken for alive"
        time.sleep(2.0)  # noqa: ASYNC251
        assert file.read_text() == "hangs"

    kept(NOTES, check, str(file))
