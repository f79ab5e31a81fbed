"""Emulated Thermo Fisher TEM behind temscript's servers: three, so that one can blank while another one acquires.

Stage, column and detector are three emulators of one microscope, each beside the device of an instrument file that
drives it. What they do happens in the simulated world.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np

from cryoctl.errors import ConnectionLost, DeviceError, NoAnswer, OutOfRange
from cryoctl.interfaces.device_settings import From0, Settings
from cryoctl.units import Seconds
from cryoctl_simulators.devices.image_detector import SimulatedImageDetector
from cryoctl_simulators.devices.simulated_device import SimulatedDevice
from cryoctl_simulators.devices.stage import SimulatedStage
from cryoctl_simulators.devices.vacuum import SimulatedVacuum
from cryoctl_simulators.settings import ImageDetectorSettings, StageSettings, VacuumSettings
from cryoctl_simulators.wire.emulated_column import EmulatedBeamSettings, EmulatedColumn
from cryoctl_simulators.wire.emulator import EmulatorFactory, Wire
from cryoctl_simulators.wire.line_faults import Bent, LineFaults, ScheduledLineFaults
from cryoctl_simulators.wire.temscript_server import TemscriptServer, packed
from cryoctl_simulators.world import World
from cryoctl_simulators.world.noise import generator

_VERSION = "2.1.0"
_AXES = {"x": "x_m", "y": "y_m", "z": "z_m", "a": "tilt_deg"}


class EmulatedStageSettings(StageSettings):
    settle_s: Annotated[Seconds, From0] = 0.02


class EmulatedDetectorSettings(ImageDetectorSettings):
    detector: str = "HAADF"


class EmulatedTem:
    """One a world; `stage`, `column` and `detectors` are there as far as they are plugged in."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.stage: SimulatedStage | None = None
        self.column: EmulatedColumn | None = None
        self.detectors: dict[str, _Detector] = {}
        self.gauge: _Gauge | None = None
        self.line_faults: LineFaults | None = None
        """In the place of those that are scheduled."""
        self._rng = generator(world.seed, "temscript", "line")
        self._swapped = False
        self._servers: tuple[TemscriptServer, ...] = ()

    @classmethod
    def of(cls, world: World) -> EmulatedTem:
        shared = world.context.shared
        if "emulated-tem" not in shared:
            shared["emulated-tem"] = cls(world)
        return shared["emulated-tem"]

    def open(self) -> Mapping[str, Any]:
        if not self._servers:
            self._servers = tuple(TemscriptServer(self.answer, self.bend) for _ in range(3))
        column, blanker, stage = (server.port for server in self._servers)
        return {"host": "127.0.0.1", "column": column, "blanker": blanker, "stage": stage}

    def attach(self) -> None:
        self.world.open()
        self.open()
        for server in self._servers:
            server.attach()

    def close(self) -> None:
        servers, self._servers = self._servers, ()
        for server in servers:
            server.close()

    async def answer(self, method: str, end_point: str, query: Mapping[str, list[str]], body: Any) -> Any:
        column = self.column
        if column is not None:
            await asyncio.sleep(column.settings.call_s)
        self._link(self.device_of(end_point))
        if method == "GET":
            return await self._get(end_point, query)
        await self._put(end_point, query, body)
        return None

    def device_of(self, end_point: str) -> SimulatedDevice[Any] | None:
        """Whose faults act on it."""
        if end_point.startswith("stage_"):
            return self.stage
        return self.gauge if end_point == "vacuum" else self.column

    def bend(self, path: str, reply: bytes) -> Bent:
        device = self.device_of(path.removeprefix("/v1/"))
        if self.line_faults is not None:
            return self.line_faults.bend(reply)
        return Bent(pieces=(reply,)) if device is None else ScheduledLineFaults(device.fault, self._rng).bend(reply)

    def _link(self, device: SimulatedDevice[Any] | None) -> None:
        """The link's faults."""
        if device is None:
            return
        lost = device.fault("lost-link")
        if isinstance(lost, dict):
            if lost["forgets"]:
                device.forget_settings()
            self._swapped = bool(lost["swapped"])
            raise ConnectionLost(f"{device.name}: its server is gone")
        if device.fault("no-answer"):
            raise NoAnswer(f"{device.name}: its server hangs")

    async def _get(self, end_point: str, query: Mapping[str, list[str]]) -> Any:
        computer = f"TEM-PC-{self.world.seed}{'-other' if self._swapped else ''}"
        general = {"family": "TITAN", "version": _VERSION, "microscope_id": computer}
        if end_point in general:
            return general[end_point]
        if end_point.startswith("stage_") and self.stage is not None:
            return await self._get_stage(self.stage, end_point)
        if end_point == "stem_detectors":
            binnings = list(self.column.settings.binnings) if self.column is not None else [1]
            return {name: {"type": "STEM_DETECTOR", "binnings": binnings} for name in self.detectors or ("HAADF",)}
        if self.column is None:
            raise KeyError(f"Unknown endpoint: '{end_point}'")
        if end_point == "vacuum":
            return self._vacuum()
        if end_point == "acquire":
            return await self._acquire(self.column, query.get("detectors", []))
        return self._get_column(self.column, end_point)

    async def _get_stage(self, stage: SimulatedStage, end_point: str) -> Any:
        await stage.connect()
        if end_point == "stage_status":
            return "GOING" if await stage.is_moving() else "READY"
        if end_point == "stage_holder":
            return "SINGLE_TILT"
        if end_point == "stage_limits":
            limits = {short: getattr(stage.limits, axis) for short, axis in _AXES.items()}
            return limits | {"a": [math.radians(value) for value in limits["a"]], "b": [0.0, 0.0]}
        if end_point == "stage_position":
            at = await stage.position()
            return {"x": at.x_m, "y": at.y_m, "z": at.z_m, "a": math.radians(at.tilt_deg), "b": 0.0}
        raise KeyError(f"Unknown endpoint: '{end_point}'")

    def _get_column(self, column: EmulatedColumn, end_point: str) -> Any:
        record = self.world.column.record
        told: dict[str, Any] = {
            "beam_blanked": column.blanked,
            "beam_shift": [record["shift_x_m"], record["shift_y_m"]],
            "column_valves_open": bool(record["valves_open"]),
            "convergence_angle": column.settings.convergence_rad,
            "defocus": record["defocus_m"],
            "indicated_camera_length": column.settings.camera_length_m,
            "instrument_mode": column.mode,
            "intensity": column.intensity,
            "spot_size_index": column.spot,
            "stem_acquisition_param": dict(column.acquisition),
            "stem_available": True,
            "stem_magnification": column.magnification,
            "stem_rotation": column.rotation_rad,
            "voltage": column.settings.voltage_v * 1e-3,
        }  # fmt: skip
        if end_point not in told:
            raise KeyError(f"Unknown endpoint: '{end_point}'")
        return told[end_point]

    def _vacuum(self) -> dict[str, Any]:
        valves_open = bool(self.world.column.record["valves_open"])
        gauges = {"IGPco": self.world.pressure_pa(), "PIRbf": "UNDERFLOW"}
        return {"status": "READY", "column_valves_open": valves_open, "pvp_running": False, "gauges(Pa)": gauges}

    async def _put(self, end_point: str, query: Mapping[str, list[str]], body: Any) -> None:
        if end_point == "stage_position" and self.stage is not None:
            await self._go(self.stage, {key: float(value) for key, value in body.items()})
            return
        column = self.column
        if column is None:
            raise KeyError(f"Unknown endpoint: '{end_point}'")
        await column.connect()
        record = self.world.column.record
        match end_point:
            case "beam_blanked":
                await column.set_blanked(bool(body))
            case "column_valves_open":
                await column.set_valves(bool(body))
            case "beam_shift":
                record |= {"shift_x_m": float(body[0]), "shift_y_m": float(body[1])}
            case "defocus":
                record["defocus_m"] = float(body)
            case "instrument_mode" if body in ("TEM", "STEM"):
                column.mode = body
            case "intensity":
                column.intensity = float(body)
            case "spot_size_index":
                column.spot = min(max(int(body), 1), 11)
            case "stem_acquisition_param":
                self._set_acquisition(column, body)
            case "stem_magnification":
                column.magnification = float(body)
            case "stem_rotation":
                column.rotation_rad = float(body)
            case _:
                raise KeyError(f"Unknown endpoint: '{end_point}'")

    async def _go(self, stage: SimulatedStage, wanted: Mapping[str, float]) -> None:
        """Comes back when it has arrived, or has ended elsewhere: nothing tells which."""
        await stage.connect()
        axes = {_AXES[key]: math.degrees(value) if key == "a" else value for key, value in wanted.items()}
        try:
            await stage.move(**axes)
        except OutOfRange as error:
            raise ValueError(str(error)) from error
        except DeviceError:
            if stage.fault("touch-alarm"):
                raise

    def _set_acquisition(self, column: EmulatedColumn, wanted: Mapping[str, Any]) -> None:
        if set(wanted) - set(column.acquisition):
            raise ValueError("Unknown keys in parameter dictionary.")
        if "binning" in wanted and wanted["binning"] not in column.settings.binnings:
            raise ValueError("Value does not fall within the expected range.")
        if wanted.get("image_size", "FULL") not in ("FULL", "HALF", "QUARTER"):
            raise ValueError("Value does not fall within the expected range.")
        column.acquisition |= wanted

    async def _acquire(self, column: EmulatedColumn, names: list[str]) -> dict[str, Any]:
        await column.connect()
        scan, frame = await column.acquire()
        taken: dict[str, Any] = {}
        for name in dict.fromkeys(names):  # unknown ones are left out without a word, as temscript does
            detector = self.detectors.get(name)
            if detector is None:
                continue
            dark = np.full(scan.shape, round(detector.settings.offset_counts), dtype=np.uint16)
            picture = dark if frame is None else detector.picture(frame)
            if picture is not None and frame is not None:
                picture[math.ceil(frame.lines) :] = dark[math.ceil(frame.lines) :]
            if picture is not None:
                taken[name] = packed(picture)
        return taken


class _Stage(SimulatedStage):
    wired = True


class _Gauge(SimulatedVacuum):
    wired = True


class _Detector(SimulatedImageDetector):
    wired = True

    def picture(self, frame: Any) -> np.ndarray[Any, Any] | None:
        """None where it never comes."""
        if self.world.faults.take(self.name, "frame-missing") is not None:
            return None
        return np.array(self._picture(frame))


class _Part:
    """Of the one microscope; told of `open` and `close` as if it were all of it."""

    ports: Mapping[str, str] = {"port": "column"}
    """The driver's settings, and which of the servers each names."""

    def __init__(self, name: str, settings: Settings, world: World, wire: Wire) -> None:
        del wire
        self.tem = EmulatedTem.of(world)
        self.world = world
        self.plug(name, settings, world)

    def plug(self, name: str, settings: Any, world: World) -> None:
        raise NotImplementedError

    def open(self) -> Mapping[str, Any]:
        told = self.tem.open()
        return {"host": told["host"], **{key: told[which] for key, which in self.ports.items()}}

    def attach(self) -> None:
        self.tem.attach()

    def close(self) -> None:
        self.tem.close()


class EmulatedStage(_Part):
    ports = {"port": "stage"}  # noqa: RUF012

    def plug(self, name: str, settings: Any, world: World) -> None:
        self.tem.stage = _Stage(name, settings, world)


class EmulatedBeam(_Part):
    ports = {"port": "column", "blanker_port": "blanker"}  # noqa: RUF012

    def plug(self, name: str, settings: Any, world: World) -> None:
        self.tem.column = EmulatedColumn(name, settings, world)


class EmulatedDetector(_Part):
    def plug(self, name: str, settings: Any, world: World) -> None:
        self.tem.detectors[settings.detector] = _Detector(name, settings, world)


class EmulatedGauge(_Part):
    ports = {"port": "stage"}  # noqa: RUF012

    def plug(self, name: str, settings: Any, world: World) -> None:
        self.tem.gauge = _Gauge(name, settings, world)


STAGE = EmulatorFactory("stage", EmulatedStageSettings, EmulatedStage)
BEAM = EmulatorFactory("beam", EmulatedBeamSettings, EmulatedBeam)
DETECTOR = EmulatorFactory("image_detector", EmulatedDetectorSettings, EmulatedDetector)
GAUGE = EmulatorFactory("vacuum", VacuumSettings, EmulatedGauge)
