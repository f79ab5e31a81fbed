"""Node and watchdog go before other programs of the instrument's PC, where the system lets them.

A process that is killed has to run once more, with each of its threads, before its connections close; whoever waits for
that end waits for the slowest of them. So it counts for all threads, also those that libraries began at import.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

NICE = -10
_HIGH_PRIORITY_CLASS = 0x80
_THREADS, _GROUP = Path("/proc/self/task"), Path("/proc/self/autogroup")


def go_first() -> bool:
    """Raise the priority of this process; False where that is not allowed, and all goes on as it is.

    Threads that begin later inherit it. Linux weighs sessions against each other before it weighs their threads
    (sched(7), autogroup), so that the session of this process is raised as well: a terminal with all that runs in it.
    """
    if sys.platform == "win32":
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.windll.kernel32
        kernel.GetCurrentProcess.restype = wintypes.HANDLE
        kernel.SetPriorityClass.argtypes = (wintypes.HANDLE, wintypes.DWORD)
        return bool(kernel.SetPriorityClass(kernel.GetCurrentProcess(), _HIGH_PRIORITY_CLASS))
    try:
        for thread in _threads():
            with contextlib.suppress(ProcessLookupError):  # it has ended meanwhile
                os.setpriority(os.PRIO_PROCESS, thread, NICE)
    except OSError:
        return False
    with contextlib.suppress(OSError):  # a kernel without such groups
        _GROUP.write_text(str(NICE))
    return True


def _threads() -> tuple[int, ...]:
    """Those of this process; 0 where the system counts a priority by process."""
    try:
        return tuple(int(one.name) for one in _THREADS.iterdir())
    except OSError:
        return (0,)
