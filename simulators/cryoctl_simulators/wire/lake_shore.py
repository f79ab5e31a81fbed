"""Emulated Lake Shore 335: silent setters, chained queries on one line, an unknown query answered by nothing."""

from __future__ import annotations

import re
from typing import Any, Literal

from cryoctl_simulators.settings import HolderSettings
from cryoctl_simulators.wire.emulator import Emulator, EmulatorFactory, Wire
from cryoctl_simulators.world.noise import cut_normal, generator

_INPUTS = "AB"


class EmulatedLakeShoreSettings(HolderSettings):
    wire: Wire = "pty"
    model: Literal["335", "336"] = "335"


class EmulatedLakeShore(Emulator[EmulatedLakeShoreSettings]):
    kind = "holder"

    def answer(self, command: str, session: dict[str, Any]) -> str | None:
        del session
        replies = [self._one(part.strip()) for part in command.split(";")]
        told = [reply for reply in replies if reply is not None]
        return ";".join(told) if told else None

    def _one(self, command: str) -> str | None:
        name, _, rest = command.upper().partition(" ")
        arguments = [part.strip() for part in rest.split(",")] if rest else []
        if name == "*IDN?":
            return f"LSCI,MODEL{self.settings.model},LSA{self.world.seed:04d},1.6"
        if name in ("KRDG?", "RDGST?") and arguments and arguments[0] in _INPUTS:
            return self._kelvin() if name == "KRDG?" else f"{1 if self._invalid else 0:03d}"
        if arguments[:1] != ["1"]:
            return None
        record = self._record
        match name:
            case "SETP?":
                return f"{record['set_k']:+.3f}"
            case "RANGE?":
                return f"{record['range']}"
            case "HTR?":
                return f"{self._heater_percent():+.1f}"
            case "SETP" if len(arguments) == 2 and re.fullmatch(r"[+-]?\d+(\.\d*)?", arguments[1]):
                record["set_k"] = float(arguments[1])
            case "RANGE" if len(arguments) == 2 and arguments[1] in "0123":
                record["range"] = int(arguments[1])
            case _:
                return None
        goal_k = record["set_k"] if record["range"] else self.settings.temperature_k
        self.world.cold.set_point(goal_k, self.world.time_s)
        self.world.commit()
        return None

    @property
    def _record(self) -> dict[str, Any]:
        return self.world.file.record.setdefault("lake_shore", {"set_k": self.settings.temperature_k, "range": 0})

    @property
    def _invalid(self) -> bool:
        return self.world.faults.find(self.name, "sensor-invalid") is not None

    def _kelvin(self) -> str:
        rng = generator(self.world.seed, "holder", "temperature", f"{self.world.time_s:.3f}")
        found_k = self.world.specimen_temperature_k() + cut_normal(rng, self.settings.sensor_sigma_k)
        return "+000.000" if self._invalid else f"{found_k:+08.3f}"

    def _heater_percent(self) -> float:
        record, settings = self._record, self.settings
        span_k = settings.temperature_range_k[1] - settings.temperature_k
        share = (record["set_k"] - settings.temperature_k) / span_k if record["range"] and span_k > 0 else 0.0
        return 100.0 * min(1.0, max(0.0, share))

    def forget_settings(self) -> None:
        self._record.update(set_k=self.settings.temperature_k, range=0)
        self.world.cold.set_point(self.settings.temperature_k, self.world.time_s)
        self.world.commit()


FACTORY = EmulatorFactory("holder", EmulatedLakeShoreSettings, EmulatedLakeShore)
