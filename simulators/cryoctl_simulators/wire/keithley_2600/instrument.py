"""The emulated instrument: lines to its script engine, attributes to what the world's source does.

What it keeps by its scripts lives in this process. In a world that is opened again it has been switched off meanwhile.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Callable
from typing import Any

from cryoctl_simulators.wire.emulator import EmulatorFactory
from cryoctl_simulators.wire.keithley_2600.host import REVISION, Host
from cryoctl_simulators.wire.keithley_2600.lua import Lua, LuaError, Wait
from cryoctl_simulators.wire.line import Line
from cryoctl_simulators.wire.source_emulator import EmulatedSourceSettings, SourceEmulator
from cryoctl_simulators.world.source import TRIPPED

_MOST_HELD = 1000


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
        self._line: Line | None = None
        self._host = Host(self, lambda: self._sweeps, self._abort_sweep)
        self.world.file.record["keithley_2600"] = {"model": self.settings.model}
        host = self._host
        names = "get set fail attributes has measure drive reset next_error clear_errors timer_reset timer utc clock"
        calls = {name: getattr(host, name) for name in names.split()}
        calls |= {"say": self._say_line, "clear_trigger": self._clear_trigger, "abort": self._abort_sweep}
        calls |= {"sweeping": lambda: self._sweeps, "overlap": self._overlap_with}
        self._lua = Lua(self.name, calls)

    def forget_settings(self) -> None:
        self._stop()
        self._source.restart(self.world.time_s)
        self._switched_on()
        self.world.commit()

    # What it is

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
        if self._host.values["localnode.prompts"] and self._collected is None:
            self._say_line("TSP?" if self._host.errors else "TSP>")

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
            self._host.note(error.code, str(error))
            return
        if runs:
            self._run(lambda: self._engine.thread(f"{name or 'anonymous'}()"))

    def _common(self, command: str) -> None:
        match command.upper():
            case "*IDN?":
                told = ("Keithley Instruments Inc.", f"Model {self.settings.model}", self._host.serial, REVISION)
                self._say_line(", ".join(told))
            case "*ESR?":
                self._say_line(str(self._host.get("status.standard.event")))
            case "*OPC?":
                self._say_line("1")
            case "*CLS":
                self._host.clear_errors()
                self._host.get("status.standard.event")
            case "*RST":
                self._host.reset("")
            case "*WAI":
                self._run(lambda: self._engine.thread("waitcomplete()"))
            case _:
                self._host.note(-285, f"unexpected symbol near `{command[:20]}'")

    # Scripts

    def _run(self, made: Callable[[], Any]) -> None:
        """At once as far as it comes without waiting; the rest beside what else happens."""
        try:
            thread = made()
            wait = self._engine.go_on(thread)
        except LuaError as error:
            self._host.note(error.code, str(error))
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
            self._host.note(error.code, str(error))
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

    # Sweeps, which go on beside other commands

    def _overlap_with(self, thread: Any, armed: bool) -> None:
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
            self._host.note(error.code, str(error))
        self._sweeps, self._sweep = False, None

    def _abort_sweep(self) -> None:
        if self._sweep is not None:
            self._sweep.cancel()
        self._sweep, self._sweeps = None, False

    def _say_line(self, text: str) -> None:
        if self._line is not None:
            self._say(self._line, text.encode("latin-1") + self.reply_end)

    def _clear_trigger(self) -> None:
        self._triggered = False


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


FACTORY = EmulatorFactory("bias", EmulatedKeithley2600Settings, EmulatedKeithley2600)
