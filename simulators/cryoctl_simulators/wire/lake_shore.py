"""Emulated Lake Shore 335 and 336: silent setters, chained queries on one line, an unknown query answered by nothing.

Quirks of the instrument that a driver has to live with: while it ramps the set point reads where it is; a ramp begins
at the set point; a heater's fault is cleared by asking for it; inputs without a sensor read open. The world has one
temperature, behind `sensor` and output 1; the other outputs are set and read, and heat nothing.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import Field

from cryoctl.units import Kelvin
from cryoctl_simulators.settings import HolderSettings
from cryoctl_simulators.wire.emulator import Emulator, EmulatorFactory, Wire
from cryoctl_simulators.world import World
from cryoctl_simulators.world.noise import cut_normal, generator

_COMMAND = re.compile(r"(\*?[A-Z]+\??)\s*(.*)")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?")
_INPUTS = {"335": "AB", "336": "ABCD"}
_EXECUTION_ERROR, _COMMAND_ERROR, _POWER_ON = 16, 32, 128
_FAULTS = {"sound": 0, "open": 1, "short": 2}


class EmulatedLakeShoreSettings(HolderSettings):
    wire: Wire = "pty"
    model: Literal["335", "336"] = "335"
    sensor: Literal["A", "B", "C", "D"] = "A"
    heater: Literal["sound", "open", "short"] = "sound"
    temperature_limit_k: Annotated[Kelvin, Field(ge=0)] = 0.0
    """Above it the controller switches its heaters off; 0 is none."""


class EmulatedLakeShore336Settings(EmulatedLakeShoreSettings):
    wire: Wire = "tcp"
    model: Literal["335", "336"] = "336"


class EmulatedLakeShore(Emulator[EmulatedLakeShoreSettings]):
    kind = "holder"

    def __init__(self, name: str, settings: EmulatedLakeShoreSettings, world: World, wire: Wire) -> None:
        super().__init__(name, settings, world, wire)
        self.heater: str = settings.heater
        self._events = _POWER_ON
        self._heater_fault = 0

    def answer(self, command: str, session: dict[str, Any]) -> str | None:
        del session
        self._watch()
        told = [self._one(part.strip().upper()) for part in re.split(r";:?", command) if part.strip()]
        replies = [reply for reply in told if reply is not None]
        return ";".join(replies) if replies else None

    def _one(self, command: str) -> str | None:
        found = _COMMAND.fullmatch(command)
        name, rest = (found[1], found[2]) if found else (command, "")
        arguments = [part.strip() for part in rest.split(",")] if rest else []
        for kind in (self._common, self._sensor, self._output):
            known, reply = kind(name, arguments)
            if known:
                return reply
        self._events |= _COMMAND_ERROR
        return None

    def _common(self, name: str, arguments: list[str]) -> tuple[bool, str | None]:
        match name:
            case "*IDN?":
                return True, f"LSCI,MODEL{self.settings.model},LSA{self.world.seed:04d},1.6"
            case "*ESR?":
                events, self._events = self._events, 0
                return True, f"{events:03d}"
            case "*OPC?":
                return True, "1"
            case "*TST?":
                return True, "0"
            case "*CLS":
                self._events = 0
                return True, None
            case "EMUL" if self.settings.model == "335" and len(arguments) == 2:
                return True, None
        return False, None

    def _sensor(self, name: str, arguments: list[str]) -> tuple[bool, str | None]:
        inputs = _INPUTS[self.settings.model]
        asked = arguments[0] if arguments else ""
        match name:
            case "KRDG?" if asked == "0" and self.settings.model == "336":
                return True, ",".join(self._kelvin(one) for one in inputs)
            case "KRDG?" | "RDGST?" | "TLIMIT?" if asked in inputs and asked:
                readings = {"KRDG?": self._kelvin, "RDGST?": self._status, "TLIMIT?": self._limit}
                return True, readings[name](asked)
            case "TLIMIT" if len(arguments) == 2 and asked in inputs and _NUMBER.fullmatch(arguments[1]):
                self._record["limits"][asked] = float(arguments[1])
                self.world.commit()
                return True, None
        return False, None

    def _output(self, name: str, arguments: list[str]) -> tuple[bool, str | None]:
        number, *values = arguments or [""]
        if number not in self._record["outputs"]:
            return False, None
        loop = self._record["outputs"][number]
        match name, values:
            case "SETP?", []:
                return True, f"{self._set_k(loop):+.3f}"
            case "RANGE?", []:
                return True, f"{loop['range']}"
            case "RAMP?", []:
                return True, f"{loop['ramp']},{loop['rate']:+.3f}"
            case "RAMPST?", []:
                return True, "1" if self._ramp_left_s(loop) > 0 else "0"
            case "HTR?", []:
                return True, f"{self._heater_percent(number):+.1f}"
            case "HTRST?", []:
                fault, self._heater_fault = (self._heater_fault, 0) if number == "1" else (0, self._heater_fault)
                return True, f"{fault}"
            case "SETP", [kelvin] if _NUMBER.fullmatch(kelvin):
                loop |= {"from_k": self._set_k(loop), "set_k": float(kelvin), "since_s": self.world.time_s}
                loop["moves"] = loop["rate"] if loop["ramp"] else 0.0
            case "RANGE", [step] if step in ("0", "1", "2", "3"):
                loop |= {"from_k": self._set_k(loop), "since_s": self.world.time_s, "range": int(step)}
            case "RAMP", [("0" | "1") as on, rate] if _NUMBER.fullmatch(rate) and 0 <= float(rate) <= 100:
                loop |= {"from_k": self._set_k(loop), "since_s": self.world.time_s}
                loop |= {"ramp": int(on), "rate": float(rate), "moves": loop["moves"] if on == "1" else 0.0}
            case (("SETP" | "RANGE" | "RAMP"), _):
                self._events |= _EXECUTION_ERROR
                return True, None
            case _:
                return False, None
        if number == "1":
            self._heat(loop)
        return True, None

    # Its set points: where each began to move, when, and how fast (0: it has jumped)

    @property
    def _record(self) -> dict[str, Any]:
        """As it left the factory, and since then."""
        settings = self.settings
        at_rest = {"set_k": settings.temperature_k, "from_k": settings.temperature_k, "since_s": 0.0, "moves": 0.0}
        at_rest |= {"ramp": 0, "rate": 0.0, "range": 0}
        outputs = "12" if settings.model == "335" else "1234"
        fresh = {"outputs": {number: dict(at_rest) for number in outputs}, "limits": {}}
        return self.world.file.record.setdefault("lake_shore", fresh)

    def _ramp_left_s(self, loop: dict[str, Any]) -> float:
        if not loop["moves"]:
            return 0.0
        takes_s = 60 * abs(loop["set_k"] - loop["from_k"]) / loop["moves"]
        return max(0.0, loop["since_s"] + takes_s - self.world.time_s)

    def _set_k(self, loop: dict[str, Any]) -> float:
        short_k = self._ramp_left_s(loop) * loop["moves"] / 60
        return float(loop["set_k"] - short_k if loop["set_k"] > loop["from_k"] else loop["set_k"] + short_k)

    def _heat(self, loop: dict[str, Any]) -> None:
        """What the specimen is driven to: its set point, or without a heater the cold of the holder."""
        cold, time_s = self.world.cold, self.world.time_s
        if loop["range"] and self.heater == "sound":
            cold.set_point(loop["set_k"], time_s, from_k=self._set_k(loop), ramp_k_per_s=loop["moves"] / 60)
        else:
            cold.set_point(self.settings.temperature_k, time_s)
        self.world.commit()

    def _watch(self) -> None:
        """What it notices by itself: a heater that passes no current, a temperature above its limit."""
        loop = self._record["outputs"]["1"]
        if not loop["range"]:
            return
        if self.heater != "sound" and not self._heater_fault:
            self._heater_fault = _FAULTS[self.heater]
            self._heat(loop)
        limit_k = float(self._limit(self.settings.sensor))
        if 0 < limit_k < self.world.specimen_temperature_k():
            loop |= {"from_k": self._set_k(loop), "since_s": self.world.time_s, "range": 0}
            self._heat(loop)

    # Its sensors

    def _status(self, asked: str) -> str:
        if asked != self.settings.sensor:
            return "128"
        return f"{1 if self._invalid else 0:03d}"

    def _limit(self, asked: str) -> str:
        default = self.settings.temperature_limit_k if asked == self.settings.sensor else 0.0
        return f"{self._record['limits'].get(asked, default):.3f}"

    @property
    def _invalid(self) -> bool:
        return self.world.faults.find(self.name, "sensor-invalid") is not None

    def _kelvin(self, asked: str) -> str:
        if asked != self.settings.sensor or self._invalid:
            return "+000.000"
        rng = generator(self.world.seed, "holder", "temperature", f"{self.world.time_s:.3f}")
        return f"{self.world.specimen_temperature_k() + cut_normal(rng, self.settings.sensor_sigma_k):+08.3f}"

    def _heater_percent(self, output: str) -> float:
        """Of a heater that just reaches the top of the holder's range."""
        loop, settings = self._record["outputs"][output], self.settings
        span_k = settings.temperature_range_k[1] - settings.temperature_k
        if output != "1" or not loop["range"] or self.heater != "sound" or span_k <= 0:
            return 0.0
        return 100.0 * min(1.0, max(0.0, (self._set_k(loop) - settings.temperature_k) / span_k))

    def forget_settings(self) -> None:
        """Switched off and on: heaters are off and nothing ramps; set points and limits it keeps."""
        self._events, self._heater_fault = _POWER_ON, 0
        for loop in self._record["outputs"].values():
            loop |= {"set_k": self._set_k(loop), "moves": 0.0, "range": 0}
        self._heat(self._record["outputs"]["1"])


FACTORY = EmulatorFactory("holder", EmulatedLakeShoreSettings, EmulatedLakeShore)
FACTORY_336 = EmulatorFactory("holder", EmulatedLakeShore336Settings, EmulatedLakeShore)
