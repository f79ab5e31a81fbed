"""Emulated SECoP node of a cryostat: temperature `T`, dewar `N2`, vacuum `P`; updates to those who activate them.

After the specification 1.1: messages, error classes, data reports with time stamps, status codes, and the order of an
update before the reply to what caused it.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from cryoctl.units import Seconds
from cryoctl_simulators.settings import HolderSettings
from cryoctl_simulators.wire.emulator import Emulator, EmulatorFactory, Wire
from cryoctl_simulators.wire.line import Line
from cryoctl_simulators.wire.secop_description import described
from cryoctl_simulators.world import World
from cryoctl_simulators.world.noise import cut_normal, generator

_ITS_CLOCK_S = 1.7e9
"""What the node's clock shows when the world begins."""
_PA_PER_MBAR = 100.0
_THERE_K = 0.5


class EmulatedNodeSettings(HolderSettings):
    wire: Literal["tcp"] = "tcp"
    updates_s: Annotated[Seconds, Field(gt=0)] = 1.0
    """How often it tells values to those who activated them."""
    talkative: bool = False
    """Tells them to everybody, as no node should."""
    ramp_k_per_min: Annotated[float, Field(ge=0, le=100)] = 0.0
    """0 jumps."""


class _NodeError(Exception):
    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class EmulatedNode(Emulator[EmulatedNodeSettings]):
    kind = "holder"
    reply_end = b"\n"

    def __init__(self, name: str, settings: EmulatedNodeSettings, world: World, wire: Wire) -> None:
        super().__init__(name, settings, world, wire)
        self.description = described(settings)
        self._connected: list[Line] = []
        self._timer: asyncio.TimerHandle | None = None

    def answer(self, command: str, session: dict[str, Any]) -> str | None:
        action, _, rest = command.partition(" ")
        specifier, _, data = rest.partition(" ")
        try:
            return self._answer(action, specifier, data, session)
        except _NodeError as error:
            return f"error_{action} {specifier} {_json([error.kind, str(error), {'t': self._clock_s}])}"

    def _answer(self, action: str, specifier: str, data: str, session: dict[str, Any]) -> str:
        match action:
            case "*IDN?":
                return "ISSE,SECoP,V2021-02-17,v1.1"
            case "describe":
                return f"describing . {_json(self.description)}"
            case "ping":
                return f"pong {specifier} {_json([None, {'t': self._clock_s}])}"
            case "activate":
                session["activated"] = True
                return "\n".join([*self._updates(), "active"])
            case "deactivate":
                session["activated"] = False
                return "inactive"
            case "read":
                return f"reply {specifier} {self._report(specifier)}"
            case "change":
                self._change(specifier, data)
                return self._side_effects(session, f"changed {specifier} {self._report(specifier)}")
            case "do":
                self._do(specifier)
                return self._side_effects(session, f"done {specifier} {_json([None, {'t': self._clock_s}])}")
            case _:
                raise _NodeError("ProtocolError", f"unknown action {action[:40]}")

    # What it tells by itself

    def _opened(self, line: Line) -> None:
        self._connected.append(line)
        super()._opened(line)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self.settings.updates_s, self._tell)

    def _tell(self) -> None:
        """While somebody is connected."""
        self._connected = [line for line in self._connected if line.is_open]
        self._timer = None
        if self._connected:
            self._timer = asyncio.get_running_loop().call_later(self.settings.updates_s, self._tell)
        for line in self._connected:
            if self.settings.talkative or line.session.get("activated"):
                line.send("".join(f"{one}\n" for one in self._updates()).encode())

    def _side_effects(self, session: dict[str, Any], reply: str) -> str:
        """Everybody who activated is told before the reply, its asker too."""
        updates = self._updates()
        for line in self._connected:
            if line.session is not session and line.session.get("activated"):
                line.send("".join(f"{one}\n" for one in updates).encode())
        return "\n".join([*updates, reply]) if session.get("activated") else reply

    def _updates(self) -> list[str]:
        told: list[str] = []
        for module, one in self.description["modules"].items():
            for name, accessible in one["accessibles"].items():
                if accessible["datainfo"]["type"] == "command":
                    continue
                specifier = f"{module}:{name}"
                try:
                    told.append(f"update {specifier} {self._report(specifier)}")
                except _NodeError as error:
                    told.append(f"error_update {specifier} {_json([error.kind, str(error), {'t': self._clock_s}])}")
        return told

    # What it knows

    @property
    def _clock_s(self) -> float:
        return round(_ITS_CLOCK_S + self.world.time_s, 6)

    @property
    def _record(self) -> dict[str, Any]:
        fresh = {"target": self.settings.temperature_k, "ramp": self.settings.ramp_k_per_min}
        return self.world.file.record.setdefault("secop_node", fresh)

    def _report(self, specifier: str) -> str:
        self._accessible(specifier, command=False)
        return _json([self._value(specifier), {"t": self._clock_s}])

    def _accessible(self, specifier: str, *, command: bool) -> Mapping[str, Any]:
        module, _, name = specifier.partition(":")
        if module not in self.description["modules"]:
            raise _NodeError("NoSuchModule", f"there is no module {module[:40]}")
        found = self.description["modules"][module]["accessibles"].get(name)
        if found is None or (found["datainfo"]["type"] == "command") != command:
            kind = "NoSuchCommand" if command else "NoSuchParameter"
            raise _NodeError(kind, f"module {module} has no {name[:40]}")
        return found

    def _value(self, specifier: str) -> Any:
        cold, time_s = self.world.cold, self.world.time_s
        match specifier:
            case "T:value":
                if self._invalid:
                    raise _NodeError("HardwareError", "sensor disconnected")
                rng = generator(self.world.seed, "holder", "temperature", f"{time_s:.3f}")
                return round(self.world.specimen_temperature_k() + cut_normal(rng, self.settings.sensor_sigma_k), 4)
            case "T:target":
                return self._record["target"]
            case "T:ramp":
                return self._record["ramp"]
            case "T:setpoint":
                return round(cold.set_point_k(time_s), 4)
            case "T:status":
                return list(self._status())
            case "N2:value":
                low = self.world.faults.find(self.name, "nitrogen-low")
                level = cold.nitrogen(time_s)
                return round(100 * (level if low is None else min(level, low["level"])), 3)
            case "P:value":
                return self.world.pressure_pa() / _PA_PER_MBAR
            case _:
                return [100, ""]

    @property
    def _invalid(self) -> bool:
        return self.world.faults.find(self.name, "sensor-invalid") is not None

    def _status(self) -> tuple[int, str]:
        if self._invalid:
            return 400, "sensor disconnected"
        if self.world.cold.set_point_k(self.world.time_s) != self._record["target"]:
            return 370, "ramping"
        if abs(self.world.specimen_temperature_k() - self._record["target"]) > _THERE_K:
            return 380, "stabilising"
        return 100, ""

    # What it is told

    def _change(self, specifier: str, data: str) -> None:
        described = self._accessible(specifier, command=False)
        if described["readonly"]:
            raise _NodeError("ReadOnly", f"{specifier} can't be changed")
        try:
            value = json.loads(data)
        except ValueError:
            raise _NodeError("BadJSON", f"{data[:40]} is no JSON") from None
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _NodeError("WrongType", f"{data[:40]} is no number")
        info = described["datainfo"]
        if not info["min"] <= value <= info["max"]:
            raise _NodeError("RangeError", f"{value} is outside {info['min']} to {info['max']}")
        self._record[specifier.partition(":")[2]] = float(value)
        if specifier == "T:target":
            self.world.cold.set_point(float(value), self.world.time_s, ramp_k_per_s=self._record["ramp"] / 60)
        self.world.commit()

    def _do(self, specifier: str) -> None:
        self._accessible(specifier, command=True)
        here_k = self.world.cold.set_point_k(self.world.time_s)
        self._record["target"] = here_k
        self.world.cold.set_point(here_k, self.world.time_s)
        self.world.commit()

    def forget_settings(self) -> None:
        self._record.update(target=self.settings.temperature_k, ramp=self.settings.ramp_k_per_min)
        self.world.cold.set_point(self.settings.temperature_k, self.world.time_s)
        self.world.commit()

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        super().close()


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), allow_nan=False)


FACTORY = EmulatorFactory("holder", EmulatedNodeSettings, EmulatedNode)
