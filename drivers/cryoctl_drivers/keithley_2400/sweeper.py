"""What a 2400 does by itself: batches of samples under a constant bias, or one sweep through a list of levels.

Until either is over it answers nothing: who wants to ask waits by `quiet`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import numpy as np
import numpy.typing as npt

from cryoctl.clock import now_s
from cryoctl.errors import CryoctlError, ReadBackMismatch, Refused
from cryoctl.interfaces.waveform import Waveform
from cryoctl_drivers.keithley_2400.settings import MOST_POINTS, SHORT
from cryoctl_drivers.link import Exchange, Link
from cryoctl_drivers.scpi import NUMBER, Setting, check_errors, clear_errors, make
from cryoctl_drivers.staircase import Staircase, staircase

_BATCH_S = 0.5
_PAUSE_S = 0.02
"""After somebody asked something: the next question can follow at once."""
_ON_ITS_WAY_S = 0.005
"""To the instrument; nothing tells when it has begun."""
_LATE = 1.02
"""What it takes against what is reckoned, at the most."""
_VALUES_A_COMMAND = 100
_ANSWERS_S = 0.3
_FULL = r"[+-]\d\.\d{6}E[+-]\d{2}"
_ROW = rf"{_FULL},{_FULL},{_FULL},{_FULL}"
_LEVELS = re.compile(rf"{_FULL}(?:,{_FULL})*")
_LIMITED = 1 << 3
_WRAPS_S = 100_000.0
"""Its time stamps begin anew after so long."""


class Sweeper:
    """
    Args:
        most_rows: how many samples are kept.
        value_s: that a number takes on the line.

    Attributes:
        rows: [n, 4] of all samples so far: its time (s), V, A, limited.
    """

    def __init__(self, link: Link, name: str, most_rows: int, value_s: float) -> None:
        self._link = link
        self._value_s = value_s
        self._name = name
        self._most_rows = most_rows
        self._lock = asyncio.Lock()
        self._asked = False
        self._batches: asyncio.Task[None] | None = None
        self._problem: CryoctlError | None = None
        self._over_s = 0.0
        self._pending = 0
        self._wraps = 0
        self._last_s = 0.0
        self.dropped = 0
        self.rows: npt.NDArray[np.float64] = np.zeros((0, 4))

    @property
    def sweeps(self) -> bool:
        """It plays a list, and can't be asked."""
        return self._pending > 0 and now_s() < self._over_s

    @property
    def total(self) -> int:
        return self.dropped + len(self.rows)

    def forget(self) -> None:
        self.rows, self.dropped, self._wraps, self._last_s = np.zeros((0, 4)), 0, 0, 0.0

    @asynccontextmanager
    async def quiet(self) -> AsyncIterator[None]:
        """While it sweeps nothing."""
        async with self._lock:
            self._asked = True
            await self._collect()
            yield

    def stamp_s(self, told_s: float) -> float:
        """Its time, without the jump after 99,999.999 s."""
        if told_s + self._wraps * _WRAPS_S < self._last_s - _WRAPS_S / 2:
            self._wraps += 1
        self._last_s = told_s + self._wraps * _WRAPS_S
        return self._last_s

    async def _collect(self) -> None:
        """What a sweep that was begun has sampled, once it is over."""
        if not self._pending:
            return
        await asyncio.sleep(max(0.0, self._over_s - now_s()))
        count, self._pending = self._pending, 0
        if int(float(await self._link.ask(":TRIG:COUN?", NUMBER))) != count:
            await self._give_up()  # it was switched off and on
            return
        shape = re.compile(_ROW if count == 1 else rf"{_ROW}(?:,{_ROW}){{{count - 1}}}")
        ask = Exchange(send=":FETC?", shape=shape, again=True, deadline_s=self._within_s(4 * count))
        told = np.array([float(one) for one in (await self._link.talk(ask))[0].split(",")]).reshape(-1, 4)
        times = np.array([self.stamp_s(float(one)) for one in told[:, 2]])
        if len(self.rows) and times[0] <= self.rows[-1, 0]:
            await self._give_up()  # with its output off it did not begin, and tells the batch before
            return
        limited = (told[:, 3].astype(np.int64) & _LIMITED) > 0
        self.rows = np.vstack([self.rows, np.column_stack([times, told[:, 0], told[:, 1], limited])])
        if (more := len(self.rows) - self._most_rows) > 0:
            self.rows, self.dropped = self.rows[more:], self.dropped + more

    def _within_s(self, values: int) -> float:
        return _ANSWERS_S + 2 * values * self._value_s

    # Batches under a constant bias

    async def sample(self, interval_s: float, least_s: float) -> None:
        """Begin; called in `quiet`."""
        count = max(1, round(_BATCH_S / interval_s))
        await make(
            self._link,
            self._name,
            Setting(":SOUR:DEL", max(0.0, interval_s - least_s)),
            Setting(":TRIG:COUN", count),
        )
        self._problem = None
        self._batches = asyncio.create_task(self._sample(count, interval_s))

    async def _sample(self, count: int, interval_s: float) -> None:
        try:
            while self._batches is not None:
                if self._asked:
                    self._asked = False
                    await asyncio.sleep(_PAUSE_S)
                async with self._lock:
                    await self._collect()
                    if not (self._asked or self._batches is None):
                        await self._begin(count, interval_s)
                await asyncio.sleep(max(0.0, self._over_s - now_s()))
        except CryoctlError as error:
            self._problem = error

    async def stop(self) -> None:
        """At once: also in the midst of a sweep; what that had sampled is lost."""
        task, self._batches = self._batches, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self._pending = 0
        await self._link.tell(":ABOR")

    async def _give_up(self) -> None:
        self.leave()
        await clear_errors(self._link)  # of what it could not begin

    def leave(self) -> None:
        """Sample no more; what the instrument does stays."""
        task, self._batches = self._batches, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def fresh(self, since: int, patience_s: float) -> npt.NDArray[np.float64] | None:
        """The newest row, once there are more than `since`; None where it samples no more.

        Raises:
            CryoctlError: what ended its sampling.
        """
        until_s = now_s() + patience_s
        while self.total <= since:
            if self._problem is not None:
                raise self._problem
            if self._batches is None:
                return None
            if now_s() > until_s:
                raise ReadBackMismatch(f"{self._name}: takes no samples though its output is on; see its display")
            await asyncio.sleep(_BATCH_S / 4)
            async with self._lock:
                await self._collect()
        return self.rows[-1]

    async def _begin(self, count: int, interval_s: float) -> None:
        await self._link.tell(":INIT")
        await asyncio.to_thread(time.sleep, _ON_ITS_WAY_S)
        self._pending, self._over_s = count, now_s() + count * interval_s * _LATE

    # A list of levels

    async def play(self, control: str, levels: Sequence[float], interval_s: float, least_s: float) -> None:
        """Begin; called in `quiet`, with the output off. It ends with its output off."""
        which = SHORT[control]
        header = f":SOUR:LIST:{which}"
        parts = [levels[at : at + _VALUES_A_COMMAND] for at in range(0, len(levels), _VALUES_A_COMMAND)]
        for number, part in enumerate(parts):
            await self._link.tell(f"{header}{':APP' if number else ''} " + ",".join(f"{one:.6E}" for one in part))
        await self._check(header, levels)
        await make(
            self._link,
            self._name,
            Setting(f":SOUR:{which}:MODE", "LIST"),
            Setting(":SOUR:DEL", max(0.0, interval_s - least_s)),
            Setting(":TRIG:COUN", len(levels)),
            Setting(":SOUR:CLE:AUTO:MODE", "TCO"),
            Setting(":SOUR:CLE:AUTO", 1),
        )
        await self._begin(len(levels), interval_s)

    async def _check(self, header: str, levels: Sequence[float]) -> None:
        within_s = self._within_s(len(levels))
        told = await self._link.talk(Exchange(send=f"{header}?", shape=_LEVELS, again=True, deadline_s=within_s))
        found = np.array([float(one) for one in told[0].split(",")])
        if found.shape != (len(levels),) or not np.allclose(found, levels, rtol=1e-5, atol=1e-12):
            raise ReadBackMismatch(
                f"{self._name}: was told {len(levels)} levels of a waveform and reads back {len(found)} or others; "
                "nothing was switched on"
            )
        await check_errors(self._link, self._name, header)

    async def take_back(self) -> npt.NDArray[np.float64]:
        """The last row of a sweep that was no sampling, once it is over; called in `quiet`."""
        before = len(self.rows)
        await self._collect()
        row = self.rows[-1]
        self.rows = self.rows[:before]
        return row

    async def end_play(self) -> None:
        """Back to a fixed level; called in `quiet`, with the output off."""
        await make(
            self._link,
            self._name,
            Setting(":SOUR:CLE:AUTO", 0),
            Setting(":SOUR:VOLT:MODE", "FIX"),
            Setting(":SOUR:CURR:MODE", "FIX"),
        )


def swept(waveform: Waveform, wanted_s: float, longest_s: float, name: str) -> tuple[Staircase, list[float]]:
    """A waveform as one sweep plays it: its stairs, and a level a sample.

    Raises:
        Refused: nobody could look at it while it plays, or it has more samples than a sweep.
    """
    if waveform.duration_s > longest_s or any(one.until_v is not None for one in waveform.segments):
        raise Refused(
            f"{name}.waveform: {waveform.form} takes {waveform.duration_s:g} s or waits for a voltage; it can't be "
            f"asked while it plays: at most {longest_s:g} s by the clock; use a 2450 or a constant bias"
        )
    stairs = staircase(waveform, wanted_s, MOST_POINTS, name)
    levels = [one for stair in stairs.stairs for level in stair.levels for one in [level] * stair.ticks]
    levels *= stairs.repeats
    if len(levels) > MOST_POINTS:
        raise Refused(
            f"{name}.waveform: {waveform.form} has {len(levels)} samples, allowed {MOST_POINTS}; sample slower"
        )
    return stairs, levels
