"""A microscope made of fakes that misbehave on demand, and a runner that plays a script of steps on it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from pydantic import BaseModel

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.dose.ledger import DoseLedger, grid_over
from cryoctl.dose.permits import DoseGate
from cryoctl.engine.allowed import Allowed
from cryoctl.engine.ending import Ending
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.outfit import Outfit
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.runner import Runner
from cryoctl.errors import NotReached
from cryoctl.interfaces.beam import BeamCapabilities, CurrentReading, ExposureReport, Optics, Scan, ScanTiming
from cryoctl.interfaces.device import Identity
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.holder import TemperatureReading
from cryoctl.interfaces.needle import NeedleCapabilities, NeedleHold, NeedleState
from cryoctl.interfaces.permit import Permit
from cryoctl.interfaces.stage import StagePosition
from cryoctl.protocol import Chart, Protocol, Transition
from cryoctl.runfile.event_store import EventPlace
from cryoctl.runfile.frame_store import FramePlace
from cryoctl.steps import Expose, MeasureCurrent, UseOptics

CURRENT_A = 2e-10
TIMING = ScanTiming(settle_px=4, flyback_s=1e-4, blanks_flyback=True, latency_s=2e-6)

Hook = Callable[[], Awaitable[None]]
SOMEONE = Identity(maker="fake", model="fake", serial="1")


class FakeBeam:
    """Keeps `log` of what happened; `hooks[verb]` runs inside a verb and may throw, wait for ever or cancel."""

    name = "beam"
    capabilities = BeamCapabilities(
        timing=TIMING,
        image_shift_range_m=1e-5,
        defocus_range_m=1e-4,
        min_dwell_s=1e-9,
        max_dwell_s=1.0,
        max_scan_px=4096,
        current_range_a=(1e-12, 1e-8),
        blanker_latency_s=0.02,
        second_stop_s=0.5,
        current_drift_rel_per_s=1e-6,
        voltages_v=(2e5,),
    )

    def __init__(self) -> None:
        self.open = False
        self.valves = True
        self.log: list[str] = []
        self.hooks: dict[str, Hook] = {}
        self.open_s: list[tuple[float, float]] = []
        self.current = CurrentReading(current_a=CURRENT_A, sigma_rel=0.004, time_s=0.0)
        self.stuck = False
        self.reported_on_s: float | None = None
        self.ended = ""
        self.applied: Optics | None = None
        self.asked: list[tuple[Permit, Scan]] = []
        self.identity = SOMEONE
        self._stop = asyncio.Event()

    async def _hook(self, verb: str) -> None:
        self.log.append(verb)
        if verb in self.hooks:
            await self.hooks[verb]()

    async def connect(self) -> Any:
        await self._hook("connect")
        return self.identity

    async def close(self) -> None: ...

    async def make_safe(self) -> None: ...

    async def apply(self, optics: Optics) -> Optics:
        await self._hook("apply")
        return self.applied or optics

    async def shift_image(self, x_m: float, y_m: float) -> tuple[float, float]:
        await self._hook("shift_image")
        return (x_m, y_m)

    async def focus(self, defocus_m: float) -> float:
        await self._hook("focus")
        return defocus_m

    async def measure_current(self) -> CurrentReading:
        await self._hook("measure_current")
        return self.current

    async def expose(self, permit: Permit, scan: Scan, scan_frame_done: Any = None) -> ExposureReport:
        await self._hook("expose")
        self.asked.append((permit, scan))
        self._stop.clear()
        began = now_s()
        on_s, done, ended = 0.0, 0, "complete"
        frame_s = scan.shape[0] * (scan.shape[1] * scan.dwell_s + TIMING.latency_s)
        try:
            for index in range(scan.scans):
                self.open = True
                opened = now_s()
                try:
                    async with asyncio.timeout(frame_s):
                        await self._stop.wait()
                    ended = "stopped"
                except TimeoutError:
                    pass
                finally:
                    self.open = self.stuck
                    self.open_s.append((opened, now_s()))
                    on_s += now_s() - opened
                await self._hook("frame")
                if ended == "stopped":
                    break
                done = index + 1
                if scan_frame_done is not None:
                    await scan_frame_done(index)
                if self._stop.is_set() and done < scan.scans:
                    ended = "stopped"
                    break
        finally:
            self.log.append("exposure over")
        return ExposureReport(
            started_s=began,
            ended_s=now_s(),
            beam_on_s=on_s if self.reported_on_s is None else self.reported_on_s,
            scans_done=done,
            ended=self.ended or ended,
        )

    async def stop_exposure(self) -> None:
        await self._hook("stop_exposure")
        self._stop.set()

    async def blank(self) -> None:
        await self._hook("blank")
        self.open = self.open and self.stuck

    async def is_blanked(self) -> bool:
        await self._hook("is_blanked")
        return not self.open

    async def close_valves(self) -> None:
        await self._hook("close_valves")
        self.valves = False

    async def valves_open(self) -> bool:
        await self._hook("valves_open")
        return self.valves

    @property
    def irradiating(self) -> bool:
        return self.open and self.valves


class Linked:
    """What answers when it is asked who it is; `hooks["connect"]` as for the other verbs."""

    hooks: dict[str, Hook]
    identity = SOMEONE

    async def connect(self) -> Identity:
        if "connect" in self.hooks:
            await self.hooks["connect"]()
        return self.identity


class FakeStage(Linked):
    name = "stage"

    def __init__(self) -> None:
        self.at = StagePosition(x_m=0.0, y_m=0.0, z_m=0.0, tilt_deg=0.0)
        self.hooks: dict[str, Hook] = {}
        self.stopped = 0
        self.moves: list[tuple[float, float]] = []
        self.lasts_s = 1.0
        self._stop = asyncio.Event()

    async def position(self) -> StagePosition:
        if "position" in self.hooks:
            await self.hooks["position"]()
        return self.at

    async def move(self, **axes: float | None) -> StagePosition:
        if "move" in self.hooks:
            await self.hooks["move"]()
        self._stop.clear()
        began_s = now_s()
        try:
            async with asyncio.timeout(self.lasts_s):
                await self._stop.wait()
        except TimeoutError:
            return self.at
        finally:
            self.moves.append((began_s, now_s()))
        raise NotReached("stage: stopped on its way")

    async def is_moving(self) -> bool:
        return False

    async def stop(self) -> None:
        self.stopped += 1
        if "stop" in self.hooks:
            await self.hooks["stop"]()
        self._stop.set()


class FakeDetector(Linked):
    name = "haadf"

    def __init__(self) -> None:
        self.hooks: dict[str, Hook] = {}
        self._shape = (8, 8)

    async def arm(self, scan: Scan) -> None:
        if "arm" in self.hooks:
            await self.hooks["arm"]()
        self._shape = scan.shape

    async def read_scan(self, index: int) -> np.ndarray[Any, Any]:
        if "read_scan" in self.hooks:
            await self.hooks["read_scan"]()
        return np.full(self._shape, 7, np.uint16)


class FakeHolder(Linked):
    name = "holder"

    def __init__(self) -> None:
        self.reading = TemperatureReading(temperature_k=100.0, valid=True, time_s=0.0)
        self.level = 1.0
        self.pascal = 1e-6
        self.hooks: dict[str, Hook] = {}

    async def temperature(self) -> TemperatureReading:
        if "temperature" in self.hooks:
            await self.hooks["temperature"]()
        return self.reading

    async def nitrogen(self) -> float:
        return self.level

    async def pressure(self) -> float:
        return self.pascal


class FakeNeedle(Linked):
    """A drive whose apex is really somewhere: `gap_m` from the specimen, `way` is how far and which way each step goes.

    `touched` counts what coarse steps, or a tube that is grounded, drove into the specimen.
    """

    name = "needle"
    capabilities = NeedleCapabilities(
        coarse_step_m=(2e-8, 5e-7),
        fine_range_m=(-2.5e-6, 2.5e-6),
        rides_with_stage=True,
        step_s=0.002,
        vacuum_limit_pa=1e-3,
    )

    def __init__(self) -> None:
        self.hooks: dict[str, Hook] = {}
        self.gap_m = 2e-5
        self.way: Callable[[], float] = lambda: -5e-7
        self.touched = 0
        self.steps = [0, 0, 0]
        self.tube = (0.0, 0.0, 0.0)
        self.on = False
        self.hold = NeedleHold.FREE
        self.bursts: list[int] = []

    async def state(self) -> NeedleState:
        x, y, z = self.steps
        return NeedleState(coarse_steps=(x, y, z), fine_m=self.tube, high_voltage_on=self.on, hold=self.hold)

    async def step(self, axis: str, steps: int) -> NeedleState:
        self.bursts.append(steps)
        if "step" in self.hooks:
            await self.hooks["step"]()
        await asyncio.sleep(abs(steps) * self.capabilities.step_s)
        self.steps["xyz".index(axis)] += steps
        for _ in range(abs(steps)):
            self._moves(self.way())
        return await self.state()

    async def fine(self, x_m: float, y_m: float, z_m: float) -> NeedleState:
        self.gap_m -= math.dist(self.tube, (x_m, y_m, z_m))
        self.tube = (x_m, y_m, z_m)
        return await self.state()

    async def high_voltage(self, on: bool) -> NeedleState:
        if not on:
            self._moves(-math.dist(self.tube, (0.0, 0.0, 0.0)))
            self.tube = (0.0, 0.0, 0.0)
        self.on = on
        return await self.state()

    async def note_hold(self, hold: NeedleHold) -> NeedleState:
        self.hold = hold
        return await self.state()

    async def stop(self) -> None: ...

    async def make_safe(self) -> None:
        self.gap_m, self.tube, self.on, self.hold = 2e-5, (0.0, 0.0, 0.0), False, NeedleHold.FREE

    def _moves(self, by_m: float) -> None:
        self.gap_m += by_m
        self.touched += self.gap_m < -1e-12


class Memory:
    """Journal and stores in memory; `full` throws as a full disk does, from the record kind named on."""

    def __init__(self, beam: FakeBeam) -> None:
        self.records: list[dict[str, Any]] = []
        self.full = ""
        self.frames_full = False
        self._beam = beam

    def append(self, kind: str, fields: Mapping[str, Any], *, t: float, sync: bool = False) -> Any:
        if self.full and (kind == self.full or self.full == "*"):
            self.full = "*"
            raise OSError(28, "No space left on device")
        self.records.append({"k": kind, "sync": sync, "beam": self._beam.open, "t": t, **fields})

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [record for record in self.records if record["k"] == kind]


class Frames:
    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    def append(self, stream: str, frames: Any) -> FramePlace:
        if self._memory.frames_full:
            raise OSError(28, "No space left on device")
        return FramePlace(segment=f"{stream}_0.h5", slot=0, sha256="ab")

    def read(self, segment: str, slot: int) -> Any:
        return np.zeros((1, 8, 8), np.uint16)


class NoEvents:
    def append(self, scans: Any) -> EventPlace:
        return EventPlace(offset=0, bytes=0, sha256="")


class Nothing(BaseModel):
    pass


Script = Callable[[], Generator[Any, Any, str]]


class ScriptProtocol(Protocol):
    """One state that plays a script."""

    name: ClassVar[str] = "script"
    Parameters: ClassVar[type[BaseModel]] = Nothing
    requires: ClassVar[tuple[str, ...]] = ()
    chart: ClassVar[Chart] = Chart(
        initial="work",
        states=("work",),
        finals={"done": "completed", "over": "dose"},
        transitions=(
            Transition(trigger="ok", source="work", dest="done"),
            Transition(trigger="dose_spent", source="work", dest="over"),
        ),
    )

    def __init__(self, script: Script, limits: Mapping[str, float], policies: Mapping[str, str]) -> None:
        self._script = script
        self._limits = limits
        self._policies = policies

    def work(self) -> Generator[Any, Any, str]:
        return self._script()

    def interlock_limits(self) -> Mapping[str, float]:
        return self._limits

    def interlock_policies(self) -> Mapping[str, str]:
        return self._policies


@dataclass
class Bench:
    """`play` runs a script; afterwards everything can be looked at."""

    limit: float = float("inf")
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    policies: Mapping[str, str] = field(default_factory=dict[str, str])
    sinks: list[Any] = field(default_factory=list[Any])
    with_holder: bool = False
    with_needle: bool = False
    drift_rel_per_s: float = 1e-6
    box: tuple[float, float, float, float] = (-2e-6, 2e-6, -2e-6, 2e-6)
    pixel_ratio: float = 1.0
    allowed: Allowed = field(default_factory=Allowed)

    def __post_init__(self) -> None:
        self.beam = FakeBeam()
        self.stage = FakeStage()
        self.detector = FakeDetector()
        self.holder = FakeHolder()
        self.needle = FakeNeedle()
        self.memory = Memory(self.beam)
        self.ledger = DoseLedger(grid_over(self.box), self.limit)
        self.operator = OperatorDesk()
        self.results: list[Any] = []
        self.at_step: Callable[[int], None] = lambda number: None
        self.runner: Runner

    def build(self, script: Script) -> Runner:
        devices = DeviceSet(
            stage=self.stage,  # type: ignore[arg-type]
            beam=self.beam,  # type: ignore[arg-type]
            image_detectors={"haadf": self.detector},  # type: ignore[dict-item]
            holder=self.holder if self.with_holder else None,  # type: ignore[arg-type]
            needle=self.needle if self.with_needle else None,  # type: ignore[arg-type]
        )
        recorder = Recorder(self.memory, self.sinks, now_s())
        monitors = Monitors(devices=devices, recorder=recorder)
        gate = DoseGate(self.ledger, TIMING, second_stop_s=0.5, drift_rel_per_s=self.drift_rel_per_s)
        shelf = FrameShelf(Frames(self.memory), NoEvents(), recorder)
        outfit = Outfit(
            devices=devices,
            optics={"record": Optics(name="record", voltage_v=2e5, beam_current_a=CURRENT_A)},
            ledger=self.ledger,
            recorder=recorder,
            monitors=monitors,
            operator=self.operator,
            desk=ExposureDesk(devices, gate, recorder, shelf, monitors, self.pixel_ratio),
            shelf=shelf,
            allowed=self.allowed,
            identities={device.name: SOMEONE for device in devices},
        )
        self.runner = Runner(ScriptProtocol(script, self.limits, self.policies), outfit)
        return self.runner

    def play(self, *steps: Any, beside: Callable[[Bench], Awaitable[None]] | None = None) -> Ending:
        """`beside` runs at the same time (an operator, a canceller)."""

        def script() -> Generator[Any, Any, str]:
            for step in (UseOptics(name="record"), MeasureCurrent(), *steps):
                self.results.append((yield from step))
            return "ok"

        return self.play_script(script, beside)

    def play_script(self, script: Script, beside: Callable[[Bench], Awaitable[None]] | None = None) -> Ending:
        async def main() -> Ending:
            runner = self.build(script)
            companion = asyncio.create_task(beside(self)) if beside is not None else None
            ending = await runner.run()
            if companion is not None:
                companion.cancel()
            return ending

        return run_virtual(main())

    @property
    def peak(self) -> float:
        return self.ledger.peak_e_per_a2


def exposure(**changes: Any) -> Expose:
    """About 10 s of beam on 64 x 64 pixels of 10 nm in two scan frames."""
    values: dict[str, Any] = {
        "kind": "record",
        "area": "record",
        "target": "wire",
        "x_m": 0.0,
        "y_m": 0.0,
        "shift_x_m": 0.0,
        "shift_y_m": 0.0,
        "defocus_m": 0.0,
        "shape": (64, 64),
        "pixel_size_m": 10e-9,
        "dwell_s": 1.2e-3,
        "scans": 2,
        "position_sigma_m": 0.0,
        "drift_bound_m_per_s": 0.0,
    }
    return Expose(**(values | changes))


def throwing(error: BaseException) -> Hook:
    async def hook() -> None:
        raise error

    return hook


async def hanging() -> None:
    await asyncio.Event().wait()


FULL_DOSE = CURRENT_A * 2 * 1.2e-3 / (1.602176634e-19 * (10e-9 * 1e10) ** 2)
"""Beam-normal fluence of `exposure()` at the measured current, e-/A^2."""
