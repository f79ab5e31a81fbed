"""Node and watchdog go before other programs of the instrument's PC, where the system lets them."""

from __future__ import annotations

import contextlib
import os
import sys

NICE = -10
_HIGH_PRIORITY_CLASS = 0x80


def go_first() -> bool:
    """Raise the priority of this process; False where that is not allowed, and all goes on as it is.

    A process that is killed has to run once more before its connections close, so that its priority counts then too.
    """
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.windll.kernel32
        return bool(kernel.SetPriorityClass(kernel.GetCurrentProcess(), _HIGH_PRIORITY_CLASS))
    if hasattr(os, "setpriority"):
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, NICE)
            return True
    return False
