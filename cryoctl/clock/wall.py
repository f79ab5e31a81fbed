"""The computer's own clock: what people read in a file. It may be set while a run goes on, so nothing is timed by it.

Everything that wants to know the date asks here; simulators let it jump.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_stepped_s = 0.0


def utc_now() -> datetime:
    """Date and time as the computer has them, in UTC."""
    return datetime.now(UTC) + timedelta(seconds=_stepped_s)


def local_now() -> datetime:
    """The same in the computer's time zone."""
    return utc_now().astimezone()


def step(step_s: float) -> None:
    """For simulators: somebody sets the clock, forward or back."""
    global _stepped_s
    _stepped_s += step_s


def right() -> None:
    """For simulators: the clock is right again."""
    global _stepped_s
    _stepped_s = 0.0
