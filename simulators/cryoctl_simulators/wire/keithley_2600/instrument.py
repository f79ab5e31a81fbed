"""The emulated instrument: lines to its script engine, attributes to what the world's source does.

What it keeps by its scripts lives in this process. In a world that is opened again it has been switched off meanwhile.
"""

from __future__ import annotations

import asyncio
import math
import re
from collections import deque
from collections.abc import Callable
from typing import Any

from cryoctl_simulators.wire.emulator import EmulatorFactory
from cryoctl_simulators.wire.keithley_2600.lua import Lua, LuaError, Wait
from cryoctl_simulators.wire.keithley_2600.panel import (
    COMMON,
    NO_INTERLOCK,
    NOT_NOW,
    TEXTS,
    Refusal,
    Take,
    channel_table,
    family_of,
)
from cryoctl_simulators.wire.line import Line
from cryoctl_simulators.wire.source_emulator import EmulatedSourceSettings, SourceEmulator
from cryoctl_simulators.world.source import TRIPPED

_EPOCH_S = 1_700_000_000
_VOLTS = 1
_CONTROL = {1: ("voltage", "levelv"), 0: ("current", "leveli")}
_MOST_ERRORS, _MOST_HELD = 64, 1000
_COMPLIANCE = 64
"""Bit of a reading's status."""
_SAFE_V = 20.0
"""Above it an interlock has to be closed."""
_TWO = ("2602B", "2604B", "2612B", "2614B", "2634B", "2636B")


class EmulatedKeithley2600Settings(EmulatedSourceSettings):
    model: str = "2636B"
    channel: str = "smua"
    """To which the specimen is connected."""
    interlock_closed: bool = False


class EmulatedKeithley2600(SourceEmulator[EmulatedKeithley2600Settings]):
    reply_end = b"\n"
    _lua: Lua | None = None

    # Being plugged in

    def attach(self) -> None:
        super().attach()
        if self._lua is None:
            lives = "keithley_2600" in self.world.file.record
            self._switched_on()
            if lives:
                self.forget_settings()

    def close(self) -> None:
        super().close()
        self._stop()

    def _switched_on(self) -> None:
        """As the maker set it, and with an empty memory."""
        self._task: asyncio.Task[None] | None = None
        self._sweep: asyncio.Task[None] | None = None
        self._sweeps = False
        self._armed: asyncio.Future[None] | None = None
        self._waits: asyncio.Future[None] | None = None
        self._triggered = False
        self._held: deque[tuple[Line, str]] = deque()
        self._collected: tuple[str, list[str], bool] | None = None
        self._errors: deque[tuple[int, str]] = deque()
        self._power_on = True
        self._timer_s = 0.0
        self._line: Line | None = None
        channel = channel_table(self.settings.model)
        self._table: dict[str, tuple[Any, Take | None]] = dict(COMMON)
        for name in ("smua", "smub"):
            self._table |= {f"{name}.{path}": told for path, told in channel.items()}
            self._table[f"display.{name}.measure.func"] = (0, lambda value: value)
        self._set = {path: value for path, (value, _) in self._table.items()}
        self.world.file.record["keithley_2600"] = {"model": self.settings.model}
        names = (
            "get set say fail attributes has measure drive sweeping overlap reset abort next_error clear_errors "
            "timer_reset timer clear_trigger utc clock"
        )
        self._lua = Lua(self.name, {name: getattr(self, f"_host_{name}") for name in names.split()})

    def forget_settings(self) -> None:
        self._stop()
        self._source.restart(self.world.time_s)
        self._switched_on()
        self.world.commit()

    # What it is

    def _of(self, path: str) -> Any:
        """A setting of the channel that the specimen is connected to."""
        return self._set[f"{self.settings.channel}.{path}"]

    def _look(self) -> None:
        """What happens by itself."""
        self._source.advance(self.world.time_s)
        if self.fault("restarted"):
            self.forget_settings()
        if self._on and self.fault("compliance-trip"):  # it has none: as if it grew too hot
            self._source.switch(False, self.world.time_s, ended=TRIPPED)
            self.world.commit()

    # Lines: a script that runs hears triggers and an abort, all else waits

    def _command(self, line: Line, command: str) -> None:
        if self._task is not None and command.strip() not in ("abort", "*TRG", "*trg"):
            if len(self._held) < _MOST_HELD:
                self._held.append((line, command))
            return
        self._line = line
        super()._command(line, command)

    def answer(self, command: str, session: dict[str, Any]) -> str | None:
        """What it says it says while it carries it out."""
        del session
        command = command.strip()
        self._look()
        if self._collected is not None and command != "abort":
            self._collect(command)
        elif (told := re.fullmatch(r"(loadscript|loadandrunscript)\s*(\w*)", command)) is not None:
            self._collected = (told[2], [], told[1] == "loadandrunscript")
        elif command == "abort":
            self._stop()
            self._later()
        elif command.upper() == "*TRG":
            self._trigger()
        elif command.startswith("*"):
            self._common(command)
        else:
            self._run(lambda: self._engine.thread(command))
        if self._task is None:
            self._prompt()
        return None

    @property
    def _engine(self) -> Lua:
        assert self._lua is not None
        return self._lua

    def _prompt(self) -> None:
        if self._set["localnode.prompts"] and self._collected is None:
            self._host_say("TSP?" if self._errors else "TSP>")

    def _collect(self, command: str) -> None:
        assert self._collected is not None
        name, lines, runs = self._collected
        if command != "endscript":
            lines.append(command)
            return
        self._collected = None
        try:
            self._engine.define(name or "anonymous", "\n".join(lines))
        except LuaError as error:
            self._note(error.code, str(error))
            return
        if runs:
            self._run(lambda: self._engine.thread(f"{name or 'anonymous'}()"))

    def _common(self, command: str) -> None:
        match command.upper():
            case "*IDN?":
                self._host_say(f"Keithley Instruments Inc., Model {self.settings.model}, {self._serial}, {_REVISION}")
            case "*ESR?":
                self._host_say(str(self._host_get("status.standard.event")))
            case "*OPC?":
                self._host_say("1")
            case "*CLS":
                self._errors.clear()
                self._power_on = False
            case "*RST":
                self._host_reset("")
            case "*WAI":
                self._run(lambda: self._engine.thread("waitcomplete()"))
            case _:
                self._note(-285, f"unexpected symbol near `{command[:20]}'")

    @property
    def _serial(self) -> str:
        return str(4_000_000 + self.world.seed % 1_000_000)

    # Scripts

    def _run(self, made: Callable[[], Any]) -> None:
        """At once as far as it comes without waiting; the rest beside what else happens."""
        try:
            thread = made()
            wait = self._engine.go_on(thread)
        except LuaError as error:
            self._note(error.code, str(error))
            return
        if wait is not None:
            self._task = asyncio.get_running_loop().create_task(self._go_on(thread, wait))

    async def _go_on(self, thread: Any, wait: Wait | None) -> None:
        try:
            while wait is not None:
                value = await self._waited(wait)
                self._look()
                if self._task is not asyncio.current_task():
                    return  # it was switched off and on
                wait = self._engine.go_on(thread, value)
        except LuaError as error:
            self._note(error.code, str(error))
        self._task = None
        self._prompt()
        self._later()

    async def _waited(self, wait: Wait) -> bool:
        """By its own clock; True where a trigger came."""
        seconds = wait.seconds / (1 + self._source.hidden.clock_drift_rel)
        if not wait.trigger:
            await asyncio.sleep(seconds)
            return False
        if not self._triggered:
            self._waits = asyncio.get_running_loop().create_future()
            timer = asyncio.get_running_loop().call_later(seconds, _wake, self._waits)
            await self._waits
            timer.cancel()
            self._waits = None
        came, self._triggered = self._triggered, False
        return came

    def _trigger(self) -> None:
        self._triggered = True
        for future in (self._waits, self._armed):
            if future is not None:
                _wake(future)

    def _stop(self) -> None:
        for task in (self._task, self._sweep):
            if task is not None:
                task.cancel()
        self._task = self._sweep = self._waits = self._armed = None
        self._sweeps = False

    def _later(self) -> None:
        """What waited for the end of a script."""
        while self._held and self._task is None:
            line, command = self._held.popleft()
            self._command(line, command)

    # What scripts call

    def _host_get(self, path: str) -> Any:
        channel, _, rest = path.partition(".")
        connected = channel == self.settings.channel
        match rest if channel.startswith("smu") else path:
            case "source.output" if connected:
                return int(self._on)
            case "source.compliance":
                return connected and self._on and bool(self._source.now(self.world.time_s).limited[0])
            case "localnode.linefreq":
                return int(self.settings.line_hz)
            case "localnode.model":
                return self.settings.model
            case "localnode.serialno":
                return self._serial
            case "localnode.revision":
                return _REVISION
            case "localnode.description":
                return ""
            case "errorqueue.count":
                return len(self._errors)
            case "status.condition":
                return 4 if self._errors else 0
            case "status.operation.sweeping.condition":
                return 2 * int(self._sweeps)
            case "status.standard.event":
                told, self._power_on = 128 if self._power_on else 0, False
                return told
            case _:
                return self._set[path]

    def _host_set(self, path: str, value: Any) -> None:
        take = self._table[path][1]
        assert take is not None
        try:
            value = take(value)
            self._take(path, value)
        except Refusal as refusal:
            self._note(*refusal.code)

    def _take(self, path: str, value: Any) -> None:
        channel, _, rest = path.partition(".")
        if rest.startswith(("source.", "measure.")) and self._sweeps:
            raise Refusal(NOT_NOW)
        if channel == self.settings.channel and rest == "source.output":
            self._output(bool(value))
            return
        self._set[path] = value
        if rest in ("source.rangev", "source.rangei", "measure.rangev", "measure.rangei"):
            self._set[path.replace("range", "autorange")] = 0
        if rest == "measure.autozero" and value == 1:
            self._set[path] = 0
        if channel != self.settings.channel:
            return
        self._told_world()
        control, level = _CONTROL[self._of("source.func")]
        if self._on and rest in (f"source.{level}", "source.func"):
            self._drive(control, self._of(f"source.{level}"))

    def _told_world(self) -> None:
        high_impedance = self._of("source.offmode") == 2
        self._source.record |= {
            "compliance_a": self._of("source.limiti"),
            "voltage_limit_v": self._of("source.limitv"),
            "off_mode": "high-impedance" if high_impedance else "zero-volts",
        }

    def _drive(self, control: str, value: float) -> None:
        self._source.drive(control, value, self.world.time_s)
        self._source.record["due_s"] = math.inf

    def _output(self, on: bool) -> None:
        if on == self._on or (not on and self.fault("output-stuck")):
            return
        if on:
            control, level = _CONTROL[self._of("source.func")]
            needs_v = self._of("source.levelv" if control == "voltage" else "source.limitv")
            barred = family_of(self.settings.model).has_interlock and not self.settings.interlock_closed
            if barred and abs(needs_v) > _SAFE_V:
                raise Refusal(NO_INTERLOCK)
            self._told_world()
            self._drive(control, self._of(f"source.{level}"))
        self._source.switch(on, self.world.time_s)
        self._source.record["due_s"] = math.inf  # its script samples
        if not on:
            self.world.made_safe("bias at rest")
        self.world.commit()

    def _host_measure(self, channel: str) -> tuple[float, float, float, int]:
        """A, V, what was sourced and the reading's status; at once: a real one takes its time."""
        if channel != self.settings.channel:
            return 0.0, 0.0, 0.0, 0
        voltage, current, limited = self._source.reading(self.world.time_s)
        if not self._on and self._source.record["off_mode"] == "high-impedance":
            voltage -= self._source.emf_v(self.world.time_s)  # its relay is open
        sourced = self._of("source." + _CONTROL[self._of("source.func")][1])
        return current, voltage, sourced, _COMPLIANCE if self._on and limited else 0

    def _host_drive(self, channel: str, level: float) -> None:
        """A level of a sweep: the idle level stays what it was."""
        if channel == self.settings.channel and self._on:
            self._drive(_CONTROL[self._of("source.func")][0], level)

    def _host_sweeping(self) -> bool:
        return self._sweeps

    def _host_overlap(self, thread: Any, armed: bool) -> None:
        self._sweeps = True
        self._sweep = asyncio.get_running_loop().create_task(self._overlap(thread, armed))

    async def _overlap(self, thread: Any, armed: bool) -> None:
        if armed and not self._triggered:
            self._armed = asyncio.get_running_loop().create_future()
            await self._armed
        self._triggered = False
        try:
            while (wait := self._engine.go_on(thread)) is not None:
                await self._waited(wait)
        except LuaError as error:
            self._note(error.code, str(error))
        self._sweeps, self._sweep = False, None

    def _host_reset(self, channel: str) -> None:
        if channel in ("", self.settings.channel):
            self._output(False)
        self._host_abort()
        self._set |= {path: value for path, (value, _) in self._table.items() if path.startswith(channel)}
        self._told_world()

    def _host_abort(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep, self._sweeps = None, False

    def _host_attributes(self, path: str) -> str:
        """Names below a path, each with 1 where it can be set, else 0."""
        depth = path.count(".") + 1
        found = [
            f"{name.rpartition('.')[2]}={int(take is not None)}"
            for name, (_, take) in self._table.items()
            if name.startswith(path + ".") and name.count(".") == depth
        ]
        return " ".join(found)

    def _host_has(self, channel: str) -> bool:
        return channel == "smua" or self.settings.model in _TWO

    def _host_say(self, text: str) -> None:
        if self._line is not None:
            self._say(self._line, text.encode("latin-1") + self.reply_end)

    def _host_fail(self, code: int) -> None:
        self._note(code, TEXTS[code])

    def _note(self, code: int, text: str) -> None:
        if len(self._errors) < _MOST_ERRORS:
            self._errors.append((code, text))

    def _host_next_error(self) -> tuple[int, str, int, int]:
        if not self._errors:
            return 0, "Queue Is Empty", 0, 0
        code, text = self._errors.popleft()
        return code, text, 20, 1

    def _host_clear_errors(self) -> None:
        self._errors.clear()

    def _host_clear_trigger(self) -> None:
        self._triggered = False

    def _host_clock(self) -> float:
        return float(self._source.clock_s(self.world.time_s))

    def _host_utc(self) -> float:
        return _EPOCH_S + self._host_clock()

    def _host_timer_reset(self) -> None:
        self._timer_s = self._host_clock()

    def _host_timer(self) -> float:
        return self._host_clock() - self._timer_s


_REVISION = "3.3.5"


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


FACTORY = EmulatorFactory("bias", EmulatedKeithley2600Settings, EmulatedKeithley2600)
