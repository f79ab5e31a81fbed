"""Emulated Amptek DP5 or PX5 on UDP: what the world's EDX detector would see, counted into one spectrum.

Quirks that are the real unit's: an acknowledgement does not say of what; long answers come in several datagrams without
numbers; a spectrum is refused as busy while pixels are buffered; a restarted unit has forgotten what was not saved and
says so once.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from cryoctl_simulators.settings import EdxSettings
from cryoctl_simulators.wire import amptek_packets as wire
from cryoctl_simulators.wire.amptek_counter import Counter
from cryoctl_simulators.wire.datagram_faults import DatagramFaults, ScheduledDatagramFaults
from cryoctl_simulators.wire.emulator import EmulatorFactory
from cryoctl_simulators.world import World
from cryoctl_simulators.world.column import ScanFrame
from cryoctl_simulators.world.noise import generator

_MODELS = {"DP5": 0, "PX5": 1}
_CHOICES = {
    "MCAS": ("NORM", "MCS", "FAST", "PUR", "RTD"),
    "GATE": ("OFF", "HI", "LO"),
    "MCAC": ("256", "512", "1024", "2048", "4096", "8192"),
    "GPED": ("RISING", "FALLING"),
    "GPGA": ("ON", "OFF"),
    "GPIN": ("AUX1", "AUX2"),
    "GPMC": ("ON", "OFF"),
    "GPME": ("ON", "OFF"),
}
_AT_START = {
    "MCAC": "1024",
    "MCAS": "NORM",
    "PRET": "OFF",
    "PRER": "10.00",
    "PREC": "OFF",
    "GATE": "OFF",
    "GAIN": "30.000",
    "TPEA": "2.400",
    "THSL": "0.391",
    "GPED": "RISING",
    "GPGA": "ON",
    "GPIN": "AUX1",
    "GPMC": "ON",
    "GPME": "ON",
}


class AmptekDp5Settings(EdxSettings):
    """The detector behind it (`n_channels` and `energy_scale_ev` say how far its energies go), and how it is wired."""

    model: Literal["DP5", "PX5"] = "DP5"
    serial: Annotated[int, Field(ge=0, lt=2**32)] = 10237
    gate_wired: bool = False
    pixel_clock_wired: bool = False
    buffers: Annotated[int, Field(ge=0, le=512)] = 128
    datagram_bytes: Annotated[int, Field(ge=64, le=65000)] = 520


class AmptekDp5:
    """Made, it is in the world; `open` binds its port, `attach`, in the running loop, answers.

    `faults` may be exchanged for others in tests.
    """

    kind = "edx"
    wired = True
    has_own_clock = False

    def __init__(self, name: str, settings: AmptekDp5Settings, world: World, wire: str = "udp") -> None:
        del wire  # there is but one
        self.name = name
        self.settings = settings
        self.world = world
        self.faults: DatagramFaults = ScheduledDatagramFaults(
            lambda fault: world.faults.take(name, fault), generator(world.seed, name, "datagrams")
        )
        self.counter = Counter(
            name,
            EdxSettings.model_validate(settings.model_dump(include=set(EdxSettings.model_fields))),
            world,
            gated=settings.gate_wired,
            clocked=settings.pixel_clock_wired,
            most=settings.buffers,
        )
        self._socket: socket.socket | None = None
        self.start()
        world.add(name, self.kind, settings, self)

    def start(self) -> None:
        """Switched on, or again after its power was away."""
        self.configuration = dict(_AT_START)
        condition = self.counter.condition
        condition.serial, condition.model = self.settings.serial, _MODELS[self.settings.model]
        condition.just_started = True
        condition.enabled = condition.buffering = False
        condition.pulses = condition.next_buffer = 0
        self.counter.stored = {}
        self.counter.gate = "OFF"
        self.counter.set_channels(1024)

    def open(self) -> Mapping[str, Any]:
        """Where the driver's settings find it."""
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            self._socket.setblocking(False)
            self._socket.bind(("127.0.0.1", 0))
        host, port = self._socket.getsockname()
        return {"host": host, "udp_port": port}

    def attach(self) -> None:
        """Answer, in the running loop."""
        loop = asyncio.get_running_loop()
        self.world.open()
        self.open()
        assert self._socket is not None
        loop.add_reader(self._socket, self._readable)

    def close(self) -> None:
        bound, self._socket = self._socket, None
        if bound is not None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(bound)
            bound.close()

    def record_scan(self, frame: ScanFrame) -> None:
        """The world's beam finished a scan frame."""
        self.counter.record_scan(frame)

    def _readable(self) -> None:
        assert self._socket is not None
        with contextlib.suppress(OSError):
            request, asker = self._socket.recvfrom(65535)
            arrived = self.faults.arrives(request)
            if arrived is None or self._is_away():
                return
            answer = self.answer(arrived)
            size = self.settings.datagram_bytes
            pieces = [answer[start : start + size] for start in range(0, len(answer), size)]
            for delay_s, data in self.faults.leaves(pieces):
                if delay_s > 0:
                    asyncio.get_running_loop().call_later(delay_s, self._send, data, asker)
                else:
                    self._send(data, asker)

    def _is_away(self) -> bool:
        """By a scheduled fault, in which it may have been restarted."""
        lost = self.world.faults.take(self.name, "lost-link")
        if lost is not None and lost["forgets"]:
            self.start()
        return lost is not None or self.world.faults.find(self.name, "no-answer") is not None

    def _send(self, data: bytes, asker: Any) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.sendto(data, asker)

    def answer(self, request: bytes) -> bytes:
        """The whole answer to the bytes of one request."""
        understood = wire.opened(request)
        if isinstance(understood, bytes):
            return understood
        pid1, pid2, data = understood
        counter = self.counter
        match (pid1, pid2):
            case (0x01, 0x01):
                told = wire.sealed(0x80, 0x01, counter.told())
                counter.condition.just_started = False
                return told
            case (0x02, 0x01 | 0x02 | 0x03 | 0x04):
                return self._spectrum(status=pid2 > 2, clear=pid2 % 2 == 0)
            case (0x02, 0x07):
                return self._buffer(data)
            case (0x20, 0x02 | 0x04):
                return self._configure(data.decode("ascii", "replace"))
            case (0x20, 0x03):
                return self._read_back(data.decode("ascii", "replace"))
            case (0xF1, 0x7F):
                return wire.sealed(0x8F, 0x7F, data)
            case (0xF0, 0x05):  # its input offset is searched for, and was found
                return wire.acknowledged(wire.OK)
            case (0xF0, _) if pid2 in self._commands:
                self._commands[pid2]()
                return wire.acknowledged(wire.OK)
            case _:
                return wire.acknowledged(wire.PID_ERROR)

    @property
    def _commands(self) -> Mapping[int, Any]:
        counter = self.counter
        return {
            0x01: counter.clear,
            0x02: counter.enable,
            0x03: counter.disable,
            0x10: lambda: setattr(counter.condition, "pulses", 0),
            0x1E: counter.restart_buffering,
            0x1F: lambda: setattr(counter.condition, "buffering", False),
        }

    def _spectrum(self, *, status: bool, clear: bool) -> bytes:
        counter = self.counter
        if counter.condition.buffering:
            return wire.acknowledged(wire.BUSY)
        told = _three_bytes(counter.spectrum) + (counter.told() if status else b"")
        pid2 = 2 * (counter.channels.bit_length() - 9) + (2 if status else 1)
        if clear:
            counter.clear()
        return wire.sealed(0x81, pid2, told)

    def _buffer(self, data: bytes) -> bytes:
        """There is always an answer, also for one that nothing was stored in."""
        counter = self.counter
        if len(data) != 2:
            return wire.acknowledged(wire.LENGTH_ERROR)
        empty = (counter.spectrum * 0, wire.Condition(serial=self.settings.serial).encode())
        stored, told = counter.stored.get(int.from_bytes(data, "big"), empty)
        return wire.sealed(0x81, 2 * (counter.channels.bit_length() - 8), _three_bytes(stored) + told)

    def _configure(self, text: str) -> bytes:
        """Commands before a wrong one have been carried out."""
        for one in filter(None, text.split(";")):
            command, _, value = one.partition("=")
            if command not in self.configuration or (command == "GATE" and self.settings.model == "PX5"):
                return wire.acknowledged(wire.UNKNOWN_COMMAND, one.encode())
            if command in _CHOICES:
                if value not in _CHOICES[command]:
                    return wire.acknowledged(wire.BAD_PARAMETER, one.encode())
            elif value != "OFF":
                try:
                    value = f"{float(value):.3f}"
                except ValueError:
                    return wire.acknowledged(wire.BAD_PARAMETER, one.encode())
            self.configuration[command] = value
        self.counter.set_channels(int(self.configuration["MCAC"]))
        self.counter.gate = self.configuration["GATE"]
        return wire.acknowledged(wire.OK)

    def _read_back(self, text: str) -> bytes:
        asked = [one.partition("=")[0] for one in filter(None, text.split(";"))]
        told = "".join(f"{command}={self.configuration.get(command, '??')};" for command in asked)
        return wire.sealed(0x82, 0x07, told.encode())


def _three_bytes(spectrum: Any) -> bytes:
    return spectrum.astype("<u4").view("u1").reshape(-1, 4)[:, :3].tobytes()


def _as_wired(driver: Mapping[str, Any]) -> dict[str, Any]:
    told: dict[str, Any] = {"serial": int(driver["serial"]) if str(driver.get("serial", "")).isdigit() else None}
    if "channels" in driver:
        told["n_channels"] = driver["channels"]
    if driver.get("pixel_buffers"):
        told |= {"pixel_clock_wired": True, "buffers": driver["pixel_buffers"]}
    if driver.get("gate", "OFF") != "OFF":
        told["gate_wired"] = True
    return told


FACTORY = EmulatorFactory("edx", AmptekDp5Settings, AmptekDp5, _as_wired)
