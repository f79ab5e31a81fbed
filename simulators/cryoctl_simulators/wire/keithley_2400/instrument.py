"""Emulated Keithley 2400: SCPI over a serial port. While it sweeps it carries out nothing but an abort; what else it is
told waits until the sweep is over."""

from __future__ import annotations

import asyncio
import math
import re
from typing import Any

from cryoctl_simulators.wire.emulator import EmulatorFactory, Wire
from cryoctl_simulators.wire.keithley_2400.panel import MOST_POINTS, TABLE, WHOLE, switched_on
from cryoctl_simulators.wire.line import Line
from cryoctl_simulators.wire.scpi import (
    BAD_VALUE,
    CONFLICT,
    OUT_OF_RANGE,
    UNKNOWN,
    ScpiEmulator,
    ScpiError,
    short,
    switch,
)
from cryoctl_simulators.wire.source_emulator import EmulatedSourceSettings, SourceEmulator
from cryoctl_simulators.wire.stairs import merged, pack
from cryoctl_simulators.world.source import TRIPPED

_CONTROL = {"VOLT": "voltage", "CURR": "current"}
_LIMITED, _FRONT = 1 << 3, 1 << 2
_OVERHEAD_S = 0.002
_VALUES_A_COMMAND, _MOST_ERRORS = 100, 10
_ON_SINCE_S = 10.0
_OFF = (803, "Not permitted with OUTPUT off")
_FULL = (-350, "Queue overflow")


class EmulatedKeithley2400Settings(EmulatedSourceSettings):
    wire: Wire = "pty"
    model: str = "2400"


class EmulatedKeithley2400(SourceEmulator[EmulatedKeithley2400Settings], ScpiEmulator[EmulatedKeithley2400Settings]):
    command_ends = b"\r\n"
    _waiting: asyncio.TimerHandle | None = None

    def attach(self) -> None:
        super().attach()
        self._held: list[tuple[Line, str]] = []
        self.world.file.record.setdefault("keithley_2400", switched_on())

    # Deaf while it sweeps

    def _command(self, line: Line, command: str) -> None:
        self._finish()
        if self._left_s() > 0 and not re.fullmatch(r":?ABOR(T)?", command.strip(), re.IGNORECASE):
            self._held.append((line, command))
            if self._waiting is None:
                self._waiting = asyncio.get_running_loop().call_later(self._left_s(), self._go_on)
            return
        super()._command(line, command)

    def _go_on(self) -> None:
        self._waiting = None
        held, self._held = self._held, []
        for line, command in held:
            self._command(line, command)

    def _left_s(self) -> float:
        sweep = self._own["sweep"]
        return 0.0 if sweep is None else float(sweep["ends_s"]) - self.world.time_s

    def _finish(self) -> None:
        """A sweep that is over leaves its readings."""
        sweep, source = self._own["sweep"], self._source
        source.advance(self.world.time_s)
        if sweep is None or self._left_s() > 1e-9:
            return
        self._own["sweep"] = None
        first, _, rows = source.samples(sweep["first"], self.world.time_s + source.aperture_s)
        self._own["rows"] = [
            [float(value) for value in row] for row in rows[sweep["first"] - first :][: sweep["count"]]
        ]
        source.record["due_s"] = math.inf

    # What it is

    @property
    def _own(self) -> dict[str, Any]:
        return self.world.file.record["keithley_2400"]

    @property
    def _set(self) -> dict[str, Any]:
        return self._own["set"]

    @property
    def _function(self) -> str:
        return self._set["SOUR:FUNC"]

    def look(self) -> None:
        self._source.advance(self.world.time_s)
        if self.fault("restarted"):
            self.forget_settings()
        if self._on and self.fault("compliance-trip"):
            self._own["tripped"] = True
            self._source.switch(False, self.world.time_s, ended=TRIPPED)

    def forget_settings(self) -> None:
        self._source.restart(self.world.time_s)
        self.world.file.record["keithley_2400"] = switched_on()
        self.world.commit()

    # Questions

    def query(self, header: str, arguments: list[str], session: dict[str, Any]) -> str | None:
        del session
        own = self._own
        match header:
            case "*IDN":
                return (
                    f"KEITHLEY INSTRUMENTS INC.,MODEL {self.settings.model},{1_000_000 + self.world.seed % 10**6},C32"
                )
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
                return _stamp(float(self._source.clock_s(self.world.time_s)))
            case "SYST:ERR:COUN":
                return str(len(own["errors"]))
            case "SYST:ERR" | "STAT:QUE":
                code, text = own["errors"].pop(0) if own["errors"] else (0, "No error")
                return f'{code:+d},"{text}"' if code else '0,"No error"'
            case "SOUR:VOLT:PROT:TRIP":
                return str(int(own["tripped"]))
            case "SENS:CURR:PROT:TRIP" | "SENS:VOLT:PROT:TRIP":
                return str(int(self._on and bool(self._source.now(self.world.time_s).limited[0])))
            case "SOUR:LIST:VOLT" | "SOUR:LIST:CURR":
                return ",".join(f"{value:+.6E}" for value in own["lists"][header[-4:]])
            case "SENS:FUNC":
                return ",".join(f'"{one}:DC"' for one in own["sensed"])
            case "READ" | "MEAS:CURR" | "MEAS:VOLT" | "MEAS":
                return self._read(header)
            case "FETC":
                if not own["rows"]:
                    raise ScpiError((-230, "Data corrupt or stale"))
                return ",".join(self._elements(row) for row in own["rows"])
            case _ if header in TABLE:
                value = self._set[header]
                if header in WHOLE:
                    return f"{value:.0f}"
                return f"{value:+.6E}" if isinstance(value, float) else str(value)
            case _:
                raise ScpiError(UNKNOWN)

    def _read(self, header: str) -> str:
        """All its readings at once: a real one takes its time."""
        if header.startswith("MEAS") and not self._on:
            self._output(True)
        if not self._on:
            raise ScpiError(_OFF)
        count = int(self._set["TRIG:COUN"] * self._set["ARM:COUN"])
        time_s = self.world.time_s
        rows = []
        for _ in range(count):
            voltage, current, limited = self._source.reading(time_s)
            rows.append([float(self._source.clock_s(time_s)), voltage, current, float(limited)])
        self._own["rows"] = rows
        if header in ("MEAS:CURR", "MEAS:VOLT"):
            return f"{rows[-1][2 if header.endswith('CURR') else 1]:+.6E}"
        return ",".join(self._elements(row) for row in rows)

    def _elements(self, row: list[float]) -> str:
        """Stamped at the end of its integration."""
        clock_s, voltage, current, limited = row
        told = {
            "VOLT": voltage,
            "CURR": current,
            "RES": 9.91e37,
            "TIME": clock_s + self._source.aperture_s / 2,
            "STAT": float(_FRONT | (_LIMITED if limited else 0)),
        }
        return ",".join(f"{told[one]:+.6E}" if one != "TIME" else _stamp(told[one]) for one in self._own["elements"])

    # Commands

    def command(self, header: str, arguments: list[str], session: dict[str, Any]) -> str | None:
        del session
        own = self._own
        match header:
            case "*CLS" | "SYST:CLE":
                own["errors"] = []
            case "*RST":
                self._output(False)
                kept = {name: own[name] for name in ("errors", "power_on")}
                self.world.file.record["keithley_2400"] = {**switched_on(), **kept}
                self._told_world()
            case "OUTP":
                self._output(bool(switch(arguments[0])))
            case "INIT":
                self._begin()
            case "ABOR":
                self._abort()
            case "SENS:FUNC":
                own["sensed"] = [short(one.strip("\"'").split(":")[0]) for one in arguments]
            case "SENS:FUNC:ALL":
                own["sensed"] = ["VOLT", "CURR", "RES"]
            case "FORM:ELEM":
                found = [short(one) for one in arguments]
                if any(one not in ("VOLT", "CURR", "RES", "TIME", "STAT") for one in found):
                    raise ScpiError(BAD_VALUE)
                own["elements"] = [one for one in ("VOLT", "CURR", "RES", "TIME", "STAT") if one in found]
            case "STAT:PRES" | "SYST:BEEP" | "SYST:BEEP:STAT" | "SYST:TIME:RES" | "DISP:ENAB":
                pass
            case _ if re.fullmatch(r"SOUR:LIST:(VOLT|CURR)(:APP)?", header):
                which = header[10:14]
                values = [TABLE[f"SOUR:{which}"][1](one) for one in arguments]
                before = own["lists"][which] if header.endswith(":APP") else []
                if not values or len(values) > _VALUES_A_COMMAND or len(before) + len(values) > MOST_POINTS:
                    raise ScpiError(OUT_OF_RANGE)
                own["lists"][which] = [*before, *values]
            case _ if header in TABLE:
                self._take(header, arguments[0])
            case _:
                raise ScpiError(UNKNOWN)
        return None

    def _take(self, header: str, text: str) -> None:
        before, value = self._set[header], TABLE[header][1](text)
        self._set[header] = value
        if header == "SOUR:FUNC" and value != before and self._on:
            self._source.switch(False, self.world.time_s)
        if header.endswith(":RANG") and f"{header}:AUTO" in self._set:
            self._set[f"{header}:AUTO"] = 0
        self._told_world()
        if header == f"SOUR:{self._function}" and self._on:
            self._drive(float(value))

    def _told_world(self) -> None:
        self._source.record |= {
            "compliance_a": abs(self._set["SENS:CURR:PROT"]),
            "voltage_limit_v": abs(self._set["SENS:VOLT:PROT"]),
            "off_mode": "high-impedance" if self._set["OUTP:SMOD"] == "HIMP" else "zero-volts",
        }

    def _drive(self, value: float) -> None:
        self._source.drive(_CONTROL[self._function], value, self.world.time_s)

    def _output(self, on: bool) -> None:
        if on == self._on or (not on and self.fault("output-stuck")):
            return
        if on:
            self._drive(self._set[f"SOUR:{self._function}"])
        self._source.switch(on, self.world.time_s)
        self._source.record["due_s"] = math.inf
        self._own["tripped"] = False
        if not on:
            self.world.made_safe("bias at rest")

    # Sweeps

    def _begin(self) -> None:
        own, source, time_s, which = self._own, self._source, self.world.time_s, self._function
        listed = self._set[f"SOUR:{which}:MODE"] == "LIST"
        clears = bool(self._set["SOUR:CLE:AUTO"])
        if not (self._on or clears):
            raise ScpiError(_OFF)
        count = int(self._set["TRIG:COUN"] * self._set["ARM:COUN"])
        if count > MOST_POINTS:
            raise ScpiError(OUT_OF_RANGE)
        delay_s = self._set["SOUR:DEL"] + self._set["TRIG:DEL"]
        period_s = delay_s + 2 * source.aperture_s + _OVERHEAD_S
        own["sweep"] = {"first": source.record["total"], "count": count, "ends_s": time_s + count * period_s}
        if listed:
            levels = own["lists"][which]
            if not levels or not clears or self._set["SOUR:CLE:AUTO:MODE"] != "TCO":
                own["sweep"] = None
                raise ScpiError(CONFLICT)
            segments = [
                {"duration_s": period_s, "control": _CONTROL[which], "start": level, "end": level, "until_v": None}
                for level in (levels[k % len(levels)] for k in range(count))
            ]
            segments = merged(segments)
            pack(segments)
            source.play({"segments": segments, "repeats": 1}, time_s)
        source.record["interval_s"] = period_s
        source.record["due_s"] = time_s + delay_s + 1.5 * source.aperture_s + _OVERHEAD_S

    def _abort(self) -> None:
        sweep, self._own["sweep"] = self._own["sweep"], None
        if sweep is None:
            return
        source = self._source
        if source.record["playing"] is not None:
            self._drive(source.playing_value(self.world.time_s))
        source.record["due_s"] = math.inf
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None
            asyncio.get_running_loop().call_soon(self._go_on)

    def note_error(self, code: tuple[int, str]) -> None:
        errors = self._own["errors"]
        if len(errors) >= _MOST_ERRORS:
            errors[-1] = list(_FULL)
        else:
            errors.append(list(code))


def _stamp(time_s: float) -> str:
    """Seven digits; it counts from when it was switched on, a while before the world's clock began."""
    return f"{(time_s + _ON_SINCE_S) % 1e5:+.6E}"


FACTORY = EmulatorFactory("bias", EmulatedKeithley2400Settings, EmulatedKeithley2400)
