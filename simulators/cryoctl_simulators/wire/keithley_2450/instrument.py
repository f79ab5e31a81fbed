"""The emulated instrument: commands to what the world's source does, readings from what it samples."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from cryoctl_simulators.wire.emulator import EmulatorFactory
from cryoctl_simulators.wire.keithley_2450.panel import TABLE, WHOLE, switched_on
from cryoctl_simulators.wire.keithley_2450.traces import EPOCH_S, Traces, buffer_of
from cryoctl_simulators.wire.keithley_2450.trigger_blocks import Program, Walk
from cryoctl_simulators.wire.scpi import (
    BAD_VALUE,
    CONFLICT,
    INIT_IGNORED,
    OUT_OF_RANGE,
    UNKNOWN,
    ScpiEmulator,
    ScpiError,
    number,
    short,
    switch,
)
from cryoctl_simulators.wire.source_emulator import EmulatedSourceSettings, SourceEmulator
from cryoctl_simulators.world.source import COMPLETE, TRIPPED

_LISTS = {"VOLT": '"VoltCustomSweepList"', "CURR": '"CurrCustomSweepList"'}
_CONTROL = {"VOLT": "voltage", "CURR": "current"}
_MOST_LEVELS, _LEVELS_A_COMMAND, _MOST_BLOCKS, _MOST_EVENTS = 2500, 100, 63, 1000


class EmulatedKeithley2450Settings(EmulatedSourceSettings):
    language: str = "SCPI"
    """TSP: as it leaves the factory."""
    echoes: bool = False
    """Commands are repeated on the line, as some emulations of this instrument do."""


class EmulatedKeithley2450(SourceEmulator[EmulatedKeithley2450Settings], ScpiEmulator[EmulatedKeithley2450Settings]):
    # Being plugged in

    def attach(self) -> None:
        super().attach()
        self.world.file.record.setdefault("keithley_2450", switched_on())
        self._traces = Traces(self.world, lambda: self._own)

    def answer(self, command: str, session: dict[str, Any]) -> str | None:
        reply = super().answer(command, session)
        return command if reply is None and self.settings.echoes else reply

    # What it is

    @property
    def _own(self) -> dict[str, Any]:
        return self.world.file.record["keithley_2450"]

    @property
    def _set(self) -> dict[str, Any]:
        return self._own["set"]

    @property
    def _function(self) -> str:
        return self._set["SOUR:FUNC"]

    def look(self) -> None:
        source, time_s = self._source, self.world.time_s
        source.advance(time_s)
        if self.fault("restarted"):
            self.forget_settings()
        if self._on and self.fault("compliance-trip"):
            self._own["tripped"] = True
            source.switch(False, time_s, ended=TRIPPED)
        if self._own["hidden"] and self._own["hidden"][-1][1] is None and not self._running():
            self._own["hidden"][-1][1] = source.record["total"]

    def forget_settings(self) -> None:
        self._source.restart(self.world.time_s)
        self.world.file.record["keithley_2450"] = switched_on()
        self.world.commit()

    def _running(self) -> bool:
        trigger = self._own["trigger"]
        if trigger is None or trigger["endless"]:
            return trigger is not None
        record = self._source.record
        return record["playing"] is not None or (record["ended"] != COMPLETE and self.world.time_s < trigger["ends_s"])

    # Questions

    def query(self, header: str, arguments: list[str], session: dict[str, Any]) -> str | None:
        del session
        own = self._own
        match header:
            case "*IDN":
                return f"KEITHLEY INSTRUMENTS,MODEL 2450,{4_000_000 + self.world.seed % 1_000_000:08d},1.7.12b"
            case "*LANG":
                return self.settings.language
            case "*ESR":
                told, own["power_on"] = 128 if own["power_on"] else 0, False
                return str(told)
            case "*OPC":
                return "1"
            case "OUTP":
                return str(int(self._on))
            case "SYST:LFR":
                return f"{self.settings.line_hz:.0f}"
            case "SYST:TIME":
                return f"{self._clock_s():.0f}"
            case "SYST:ERR" | "SYST:ERR:COUN" | "SYST:EVEN:NEXT":
                return self._log(header, arguments)
            case "SOUR:VOLT:PROT:TRIP":
                return str(int(own["tripped"]))
            case "SOUR:VOLT:ILIM:TRIP" | "SOUR:CURR:VLIM:TRIP":
                return str(int(self._on and bool(self._source.now(self.world.time_s).limited[0])))
            case "SOUR:LIST:VOLT" | "SOUR:LIST:CURR":
                return ",".join(f"{value:.6E}" for value in own["lists"][header[-4:]])
            case "SOUR:LIST:VOLT:POIN" | "SOUR:LIST:CURR:POIN":
                return str(len(own["lists"][header[10:14]]))
            case "TRIG:STAT":
                word, last = "RUNNING" if self._running() else "IDLE", len(own["blocks"])
                return f"{word if last else 'EMPTY'};{word if last else 'EMPTY'};{last}"
            case "READ" | "FETC":
                return self._traces.read(header == "READ", self._running(), arguments)
            case _ if header.startswith("TRAC:"):
                return self._traces.query(header, arguments)
            case _ if header in TABLE:
                return self._told(header)
            case _:
                raise ScpiError(UNKNOWN)

    def _told(self, header: str) -> str:
        value = self._set[header]
        if header == "SENS:FUNC":
            return f'"{value}"' if value == "RES" else f'"{value}:DC"'
        return (
            f"{value:.0f}"
            if header in WHOLE
            else self._traces.number(value)
            if isinstance(value, float)
            else str(value)
        )

    def _log(self, header: str, arguments: list[str]) -> str:
        events: list[list[Any]] = self._own["events"]
        errors = [event for event in events if event[1] == 1]
        if header == "SYST:ERR:COUN":
            return str(len(errors))
        if header == "SYST:ERR":
            # What came before an error that is read can't be read any more.
            found = errors[0] if errors else None
            del events[: events.index(found) + 1 if found is not None else len(events)]
        else:
            kinds = {"ERR": 1, "WARN": 2, "INF": 4}
            wanted = [kinds.get(short(one), 0) for one in arguments] or [1, 2, 4]
            found = next((event for event in events if event[1] in wanted), None)
            if found is not None:
                events.remove(found)
        if found is None:
            return '0,"No error;0;0 0"'
        code, kind, text, time_s = found
        when = str(np.datetime64(round(1000 * time_s), "ms")).replace("-", "/").replace("T", " ")
        return f'{code},"{text};{kind};{when}"'

    # Commands

    def command(self, header: str, arguments: list[str], session: dict[str, Any]) -> str | None:
        del session
        own = self._own
        match header:
            case "*CLS":
                own["events"], own["power_on"] = [], False
            case "*RST":
                self._source.switch(False, self.world.time_s)
                kept = {name: own[name] for name in ("events", "power_on", "hidden")}
                self.world.file.record["keithley_2450"] = {**switched_on(), **kept}
                self._told_world()
            case "OUTP":
                self._output(bool(switch(arguments[0])))
            case "INIT":
                self._begin()
            case "ABOR":
                self._abort()
            case "SYST:CLE":
                own["events"] = []
            case "SYST:EVEN:POST":
                kind = {"ERR": 1, "WARN": 2, "INF": 4}[short(arguments[1]) if len(arguments) > 1 else "INF"]
                self._note(1003, kind, "User: " + arguments[0].strip("\"'"))
            case "TRAC:POIN":
                own["points"][buffer_of(arguments, 1)] = int(number(arguments[0], 10, 6_875_000))
                self._traces.clear()
            case "TRAC:CLE":
                self._traces.clear()
            case "TRAC:FILL:MODE" if short(arguments[0]) in ("CONT", "ONCE"):
                self._traces.clear()
            case "TRIG:LOAD" if arguments[0].strip("\"'").upper() == "EMPTY":
                own["blocks"] = {}
            case "SENS:AZER:ONCE" | "STAT:PRES" | "SYST:BEEP" | "DISP:SCR":
                pass
            case "OUTP:SMOD":
                for one in ("VOLT", "CURR"):
                    self._take(f"OUTP:{one}:SMOD", arguments[0])
            case _ if header.startswith("TRIG:BLOC:"):
                self._block(header.removeprefix("TRIG:BLOC:"), arguments)
            case _ if re.fullmatch(r"SOUR:LIST:(VOLT|CURR)(:APP)?", header):
                self._levels(header, arguments)
            case _ if header in TABLE:
                self._take(header, arguments[0])
            case _:
                raise ScpiError(UNKNOWN)
        return None

    def _take(self, header: str, text: str) -> None:
        value = TABLE[header][1](text)
        before = self._set[header]
        protection = self._set["SOUR:VOLT:PROT"]
        if header == "SOUR:CURR:VLIM" and protection != "NONE" and value > float(protection[4:]):
            raise ScpiError(OUT_OF_RANGE)
        self._set[header] = value
        if header == "SOUR:FUNC" and value != before and self._on:
            self._source.switch(False, self.world.time_s)
        self._told_world()
        if header == f"SOUR:{self._function}" and self._on:
            self._drive(float(value))

    def _told_world(self) -> None:
        mode = self._set[f"OUTP:{self._function}:SMOD"]
        self._source.record |= {
            "compliance_a": self._set["SOUR:VOLT:ILIM"],
            "voltage_limit_v": self._set["SOUR:CURR:VLIM"],
            "off_mode": "high-impedance" if mode == "HIMP" else "zero-volts",
        }

    def _drive(self, value: float) -> None:
        due_s = self._source.record["due_s"]
        self._source.drive(_CONTROL[self._function], value, self.world.time_s)
        self._source.record["due_s"] = due_s

    def _output(self, on: bool) -> None:
        if not on and self.fault("output-stuck"):
            return
        if on == self._on:
            return
        if on:
            self._drive(self._set[f"SOUR:{self._function}"])
        self._source.switch(on, self.world.time_s)
        self._source.record["due_s"] = math.inf
        self._own["tripped"] = False
        if not on:
            self.world.made_safe("bias at rest")

    # What it plays by itself

    def _block(self, name: str, arguments: list[str]) -> None:
        if self._running():
            raise ScpiError(CONFLICT)
        known = "CONF:REC CONF:NEXT SOUR:STAT NOT NOP DEL:CONS MEAS WAIT BUFF:CLE BRAN:ALW BRAN:COUN BRAN:COUN:RES"
        if name not in (*known.split(), "BRAN:LIM:CONS"):
            raise ScpiError(UNKNOWN)
        at = int(number(arguments[0], 1, _MOST_BLOCKS))
        if at > len(self._own["blocks"]) + 1:
            raise ScpiError(OUT_OF_RANGE)
        if name.startswith("CONF") and not self._own["lists"].get(_list(arguments[1]), []):
            raise ScpiError(BAD_VALUE)
        self._own["blocks"][str(at)] = [name, arguments[1:]]

    def _levels(self, header: str, arguments: list[str]) -> None:
        take, which = TABLE[header[:10].replace("LIST:", "") + header[10:14]][1], header[10:14]
        values = [take(one) for one in arguments]
        before = self._own["lists"][which] if header.endswith(":APP") else []
        if not values or len(values) > _LEVELS_A_COMMAND or len(before) + len(values) > _MOST_LEVELS:
            raise ScpiError(OUT_OF_RANGE)
        self._own["lists"][which] = [*before, *values]

    def _begin(self) -> None:
        own, source, time_s = self._own, self._source, self.world.time_s
        if self._running():
            raise ScpiError(INIT_IGNORED)
        if not own["blocks"]:
            raise ScpiError(CONFLICT)
        tick_s = self._set["TRIG:TIM1:DEL"]
        blocks = {int(at): (name, arguments) for at, (name, arguments) in own["blocks"].items()}
        levels = {name: own["lists"][which] for which, name in _LISTS.items()}
        program = Walk(blocks, levels, {name: _CONTROL[which] for which, name in _LISTS.items()}, tick_s).walk()
        hides = program.buffer == '"defbuffer2"'
        if hides:
            own["hidden"].append([source.record["total"], None])
        if program.endless:
            own["trigger"] = {"endless": True, "ends_s": math.inf}
            ends = self._on
        else:
            if not program.ends_off or not program.segments:
                raise ScpiError(CONFLICT)
            own["trigger"] = {"endless": False, "ends_s": time_s + _lasts_s(program)}
            source.play({"segments": program.segments, "repeats": program.repeats}, time_s)
            ends = True
        source.record["interval_s"] = tick_s
        measured_s = 2 * self._aperture_s - self._aperture_s / 2
        source.record["due_s"] = time_s + program.rest_s + measured_s if ends else math.inf

    def _abort(self) -> None:
        own, source = self._own, self._source
        if not self._running():
            own["trigger"] = None
            return
        own["trigger"] = None
        if source.record["playing"] is not None:
            level = source.playing_value(self.world.time_s)
            self._set[f"SOUR:{self._function}"] = level
            self._drive(level)
        source.record["due_s"] = math.inf
        self.look()

    @property
    def _aperture_s(self) -> float:
        return self._source.aperture_s

    def _clock_s(self) -> float:
        return EPOCH_S + float(self._source.clock_s(self.world.time_s))

    def note_error(self, code: tuple[int, str]) -> None:
        self._note(code[0], 1, code[1])

    def _note(self, code: int, kind: int, text: str) -> None:
        events: list[list[Any]] = self._own["events"]
        events.append([code, kind, text, self._clock_s()])
        del events[:-_MOST_EVENTS]


def _list(text: str) -> str:
    return next((which for which, name in _LISTS.items() if text.strip("\"'") == name.strip('"')), "")


def _lasts_s(program: Program) -> float:
    return program.repeats * math.fsum(one["duration_s"] for one in program.segments)


FACTORY = EmulatorFactory("bias", EmulatedKeithley2450Settings, EmulatedKeithley2450)
