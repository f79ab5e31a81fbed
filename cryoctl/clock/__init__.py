"""One clock for everything: the event loop's own time, virtual in rehearsal and tests.

Nothing in the engine, the protocols or the simulators asks the operating system for the time: they call
`now_s` and `asyncio.sleep`, and `VirtualTimeLoop` decides how fast that passes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator
from contextlib import contextmanager

__all__ = ["hold_time", "in_virtual_time", "let_time_pass", "now_s"]


def now_s() -> float:
    """Time of the running event loop in s; 0 at the start of a virtual loop."""
    return asyncio.get_running_loop().time()


def in_virtual_time() -> bool:
    """Whether nothing is gained by doing something beside the loop; also where no loop runs."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return True
    return hasattr(loop, "hold")


@contextmanager
def hold_time(patient: bool = False) -> Generator[None]:
    """Virtual time stands still inside: for real work (a process, a socket) that takes no simulated time.

    A hold fails loudly after `virtual.HOLD_LIMIT_S` without a sign of life, unless `patient` (a person is awaited).
    Without effect on a loop in real time.
    """
    loop = asyncio.get_running_loop()
    hold = getattr(loop, "hold", None)
    if hold is None:
        yield
        return
    with hold(patient):
        yield


@contextmanager
def let_time_pass() -> Generator[None]:
    """The one thread that waits for an answer holds no time inside: it is for an emulated instrument, which answers
    when virtual time has passed. To be used only where somebody does wait, and holds time.

    Without effect on a loop in real time.
    """
    loop = asyncio.get_running_loop()
    let_pass = getattr(loop, "let_pass", None)
    if let_pass is None:
        yield
        return
    with let_pass():
        yield
