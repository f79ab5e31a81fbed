"""What the biasing source should be doing: kept up with while its output is on, and brought to rest when it must be.

Its samples are fetched from its own buffer in batches and journaled, its clock is read between two readings of the
run's. Nobody but this switches it off, but for the safe state.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable

import numpy as np

from cryoctl.analysis.charge import Charge, charge
from cryoctl.engine.patience import answered
from cryoctl.engine.recorder import Recorder
from cryoctl.errors import DeviceError, ReadBackMismatch
from cryoctl.interfaces.bias import BiasLimits, BiasReading, BiasSource, OffMode, RecordedSource
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.source_samples import SampledSource, batch

FETCH_S = 2.0
"""How often samples are fetched."""
CLOCK_S = 30.0
"""How often its clock is read."""
CLOCK_READINGS = 5
"""At a time: the one with the shortest way there and back counts."""
REST_LIMIT_S = 20.0
COMPLETE, RESTARTED = "complete", "restarted"
ENDED, INTERRUPTED = "the end of the run", "the run was interrupted"


class SourceWatch:
    """Of the run's one source, or of none: then nothing is ever on.

    Args:
        blank: blanks the beam; awaited before whatever brings the source to rest unasked.
    """

    def __init__(self, source: BiasSource | None, recorder: Recorder, blank: Callable[[], Awaitable[None]]) -> None:
        self.source = source
        self._blank = blank
        self._recorder = recorder
        self._lock = asyncio.Lock()
        self.on = False
        """The run has switched its output on, and nothing is known to have switched it off."""
        self.playing = False
        self.stopped_by = ""
        """See `BiasRead`."""
        self.limits: BiasLimits | None = None
        """As set and read back in this session, None before and after they were lost."""
        self.problem = ""
        """What is wrong with it, for the interlock `source`."""
        self.sampled = SampledSource()
        """All that it sampled in this run, earlier sessions included."""
        self._limited_since_s = math.inf
        self.secured = False
        """The run has reached its safe state, which rests the source by itself."""
        self._cut_short = False
        self._session = 0
        self._period = 0
        self._following = 0
        self._fetched_s = self._clock_read_s = -math.inf
        self._charge_c = self._bound2_c = self._biased_s = 0.0
        self._last: tuple[float, float] | None = None

    @property
    def off_mode(self) -> OffMode:
        """In which it rests."""
        assert self.source is not None
        has = self.source.capabilities.has_high_impedance_off
        return OffMode.HIGH_IMPEDANCE if has else OffMode.ZERO_VOLTS

    @property
    def compliance_s(self) -> float:
        """For how long one of its limits has held by now."""
        return max(0.0, self._recorder.time_s - self._limited_since_s)

    def continue_after(self, fold: RunFold) -> None:
        """Go on with the numbers of an earlier session of the run."""
        sampled = self.sampled = fold.sampled
        self._session = max(sampled.sessions, default=0)
        if self._session in sampled.sessions:
            self._following = sampled.sessions[self._session].following
        self._period = fold.bias_periods
        self.on, self.stopped_by, self._cut_short = fold.bias_on, fold.bias_stopped_by, fold.bias_cut_short

    # While it is on

    def switched_on(self, ends_s: float, *, playing: bool, probing: bool = False) -> None:
        """A step did it; `ends_s` is when it goes off by itself (run time), infinite where it does not."""
        self.on, self.playing, self.stopped_by, self.problem = True, playing, "", ""
        self._period += 1
        self._limited_since_s = math.inf
        self._fetched_s = self._clock_read_s = -math.inf
        self._charge_c = self._bound2_c = self._biased_s = 0.0
        self._last = None
        self._recorder.record("bias", {"on": True, "ends_s": ends_s, "playing": playing}, sync=True)
        name = "" if self.source is None else self.source.name
        self._recorder.event("bias", name, "output on to probe" if probing else "output on", data={"on": True})

    async def look(self, reading: BiasReading) -> None:
        """The source was read: keep up with it, and see whether it still does what it should."""
        if not self.on:
            return
        if not reading.output_on:
            await self._went_off()
            return
        now_s = self._recorder.time_s
        self._limited_since_s = min(self._limited_since_s, now_s) if reading.in_compliance else math.inf
        if now_s - self._clock_read_s >= CLOCK_S:
            await self.read_clock()
        if now_s - self._fetched_s >= FETCH_S:
            await self.fetch()

    def follow_recorded(self) -> None:
        """What a source of recorded data was seen to do until now; nothing of any other."""
        if not isinstance(self.source, RecordedSource):
            return
        for one in self.source.told():
            if one.kind == "event":
                self._recorder.recorded_event(one.time_s, **one.fields)
                continue
            self._recorder.journal.append(one.kind, one.fields, t=one.time_s)
            take = self.sampled.take_clock if one.kind == "clock" else self.sampled.take_samples
            take(one.fields)

    async def read_clock(self) -> None:
        """Bracketed by two readings of the run's own."""
        async with self._lock:
            await self._read_clock()

    async def fetch(self) -> None:
        """What it has sampled since the last time goes into the journal."""
        async with self._lock:
            await self._fetch()

    async def _read_clock(self) -> None:
        source = self.source
        if source is None:
            return
        read: list[dict[str, float]] = []
        for _ in range(CLOCK_READINGS):
            before_s = self._recorder.time_s
            device_s = await answered(source.clock_s(), source.name)
            read.append({"device_s": device_s, "before_s": before_s, "after_s": self._recorder.time_s})
        best = min(read, key=lambda one: one["after_s"] - one["before_s"])
        self._clock_read_s = self._recorder.time_s
        told = {"source": source.name, "session": self._session, **best}
        self._recorder.record("clock", told)
        self.sampled.take_clock(told)

    async def _fetch(self) -> None:
        source = self.source
        if source is None:
            return
        found = await answered(source.samples(self._following), source.name)
        if found.total < self._following:
            self._session, self._following = self._session + 1, 0
            found = await answered(source.samples(0), source.name)
            await self._read_clock()
        self._fetched_s = self._recorder.time_s
        if not len(found.time_s):
            return
        if found.first > self._following:
            lost = found.first - self._following
            self._recorder.event(
                "bias", source.name, f"{lost} samples were overwritten before they were fetched", "warning"
            )
        times, currents = found.time_s, found.current_a
        columns = (times, found.voltage_v, currents, found.in_compliance)
        told = batch(source.name, self._session, self._period, found.first, *columns)
        self._recorder.record("samples", told)
        self.sampled.take_samples(told)
        self._following = found.first + len(times)
        if self._last is not None:
            times, currents = np.append(self._last[0], times), np.append(self._last[1], currents)
        part = charge(times, currents, offset_bound_a=0.0)
        self._charge_c += part.charge_c
        self._bound2_c += part.bound_c**2
        self._biased_s += part.duration_s
        self._last = (float(times[-1]), float(currents[-1]))

    def charge(self) -> Charge:
        """Since the output was last switched on, as fetched so far."""
        offset_c = 0.0 if self.source is None else self.source.capabilities.offset_a * self._biased_s
        bound_c = math.hypot(offset_c, math.sqrt(self._bound2_c))
        return Charge(charge_c=self._charge_c, bound_c=bound_c, duration_s=self._biased_s)

    async def _went_off(self) -> None:
        """By itself: its waveform is over, it tripped, or it was switched off and on at its mains."""
        source = self.source
        assert source is not None
        async with self._lock:
            status = await answered(source.status(), source.name)
            if status.output_on or not self.on:
                return
            if status.restarted:
                why, self.limits = RESTARTED, None
                self.problem = f"{source.name} was restarted while it was on: its output is off, its limits are lost"
            elif status.ended == COMPLETE:
                why = COMPLETE
            elif status.ended:
                why = status.ended
                self.problem = f"{source.name} switched its output off by itself ({why})"
            elif self.secured:
                why = ENDED
            else:
                why = "another hand"
                self.problem = f"{source.name} was switched off by another hand than the run's"
            await self._read_the_rest()
            self._switched_off(why, "warning" if self.problem else "info")

    async def _read_the_rest(self) -> None:
        """Samples and clock of a source that has just gone off; what can't be had any more is done without."""
        with contextlib.suppress(DeviceError):
            await self._read_clock()
            await self._fetch()

    def _switched_off(self, why: str, level: str = "info") -> None:
        self.on = self.playing = False
        self.stopped_by = why
        self._limited_since_s = math.inf
        self._recorder.record("bias", {"on": False, "why": why, "cut_short": why == ENDED}, sync=True)
        name = "" if self.source is None else self.source.name
        self._recorder.event("bias", name, f"output off: {why}", level, data={"on": False, "why": why})

    # Rest

    async def rest(self, why: str, *, asked: bool = False) -> None:
        """Bring it to rest where the run has it on, the beam blanked before; verified.

        Args:
            asked: by a step, whose the beam is, and also where the run knows the source to be off.

        Raises:
            DeviceError: it can't be confirmed.
        """
        source = self.source
        if source is None or not (self.on or asked):
            return
        async with self._lock:
            if not (self.on or asked):
                return
            if not asked:
                await self._blanked()
            await answered(source.make_safe(), source.name, REST_LIMIT_S)
            status = await answered(source.status(), source.name)
            if status.output_on or status.off_mode is not self.off_mode:
                raise ReadBackMismatch(
                    f"{source.name}: was brought to rest and reads back output {'on' if status.output_on else 'off'}, "
                    f"{status.off_mode}; disconnect it"
                )
            if self.on:
                await self._read_the_rest()
                self._switched_off(why)

    async def begin(self, reading: BiasReading | None) -> None:
        """Before a run does anything: a source that is on, by whomever, comes to rest, and one that an earlier session
        had switched on tells what it sampled meanwhile.

        Raises:
            DeviceError: it can't be confirmed.
        """
        if self.on:
            await self.rest(INTERRUPTED)
        elif self._cut_short:
            self._cut_short = False
            self._switched_off(INTERRUPTED)
        elif reading is not None and reading.output_on:
            self.on = True
            await self.rest("it was on before the run")

    async def lost(self) -> None:
        """It does not answer: with its output on the second path is taken at once. Never raises."""
        source = self.source
        if source is None or not self.on:
            return
        await self._blanked()
        try:
            await answered(source.cut_off(), source.name)
        except Exception as error:  # whatever a driver throws: the safe state tries again
            self._recorder.event(
                "bias", source.name, f"on, does not answer and can't be cut off: {error}"[:300], "error"
            )
        else:
            self._recorder.event("bias", source.name, "on, does not answer: cut off by its second path", "warning")

    async def _blanked(self) -> None:
        """A beam that does not answer is the boundary's: it keeps no source on."""
        with contextlib.suppress(Exception):
            await answered(self._blank(), "beam")

    async def answers_again(self) -> None:
        """Its link came back: whatever it does, it rests.

        Raises:
            DeviceError: it can't be confirmed.
        """
        if self.on:
            await self.rest("its link was lost")
        self.limits = None
