"""What each kind of step means on the instrument; exposures have a desk of their own."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from cryoctl.clock import now_s
from cryoctl.engine.allowed import Allowed
from cryoctl.engine.bias_desk import BiasDesk
from cryoctl.engine.compute import computed
from cryoctl.engine.exposures import ExposureDesk
from cryoctl.engine.frames import FrameShelf
from cryoctl.engine.light_desk import LightDesk
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.needle_desk import CLEAR_M, NeedleDesk
from cryoctl.engine.operator import OperatorDesk
from cryoctl.engine.reconnect import LINK_FAULTS, Links
from cryoctl.engine.recorder import Recorder
from cryoctl.engine.safe_between import make_safe
from cryoctl.engine.stage_desk import StageDesk
from cryoctl.errors import (
    BadInput,
    InterlockRefused,
    ReadBackMismatch,
    StepLost,
)
from cryoctl.interfaces.beam import Optics
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.edx import EdxDetector
from cryoctl.interfaces.image_detector import ImageDetector
from cryoctl.steps import (
    Afford,
    Checkpoint,
    Command,
    Compute,
    Computed,
    Conclude,
    CurrentMeasured,
    EndTarget,
    Expose,
    Insert,
    MakeSafe,
    MeasureCurrent,
    MoveStage,
    NextRequest,
    Note,
    NoteParticles,
    OpticsSet,
    ReadSensors,
    Requested,
    Retract,
    Sensors,
    SetLight,
    SetTemperature,
    Step,
    UseOptics,
    Wait,
    Waited,
)
from cryoctl.steps.codec import encode

WAIT_SLICE_S = 1.0
"""Long waits are divided: a pause or an interlock acts within this."""
TRIES = 3
"""Of a step whose link is lost again and again."""


class Actions:
    """Carries out one step at a time.

    Args:
        between: awaited between the slices of long steps (pause, interlocks).
        refuse: tells an interlock that forbids a step, and gives what to raise.
    """

    def __init__(
        self,
        devices: DeviceSet,
        optics: Mapping[str, Optics],
        desk: ExposureDesk,
        shelf: FrameShelf,
        recorder: Recorder,
        monitors: Monitors,
        operator: OperatorDesk,
        between: Callable[[], Awaitable[None]],
        allowed: Allowed,
        links: Links,
        refuse: Callable[[str, str], InterlockRefused],
        limits: Mapping[str, float],
    ) -> None:
        self._devices = devices
        self._optics = optics
        self._desk = desk
        self._shelf = shelf
        self._recorder = recorder
        self._monitors = monitors
        self._operator = operator
        self._between = between
        self._allowed = allowed
        self._links = links
        self._refuse = refuse
        self._limits = limits
        self._nominal_a = math.nan
        self.needle = NeedleDesk(devices, recorder, monitors, refuse, between, limits.get("needle_clear_m", CLEAR_M))
        self.bias = BiasDesk(devices, recorder, monitors, allowed, refuse, limits, lambda: desk.open_s)
        self._stage = StageDesk(devices.stage, allowed, operator, recorder, self.needle.check_stage_move, between)
        self._light = LightDesk(devices.light, monitors, recorder)
        operator.requests.stop_exposure = desk.stop
        self._table: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            Afford: self._afford,
            Checkpoint: self._checkpoint,
            Compute: self._compute,
            Conclude: self._conclude,
            EndTarget: self._end_target,
            Expose: self._expose,
            Insert: self._insert,
            MakeSafe: self._make_safe,
            MeasureCurrent: self._measure_current,
            MoveStage: self._stage.move,
            NextRequest: self._next_request,
            Note: self._note,
            NoteParticles: self._note_particles,
            ReadSensors: self._read_sensors,
            Retract: self._retract,
            SetLight: self._light.set,
            SetTemperature: self._set_temperature,
            UseOptics: self._use_optics,
            Wait: self._wait,
            **self.needle.table,
            **self.bias.table,
        }

    async def carry_out(self, step: Step[Any]) -> Any:
        """See each step. A link that is lost on the way is mended; what is absolute is then done again.

        Raises:
            StepLost: a link was lost and came back, and the step must not be repeated.
            DeviceError: a link did not come back, or was lost time and again.
        """
        action = self._table.get(type(step))
        if action is None:
            raise BadInput(f"step: this instrument can't carry out {type(step).__name__}")
        before = self._desk.count
        tries = 0
        while True:
            tries += 1
            try:
                return await action(step)
            except LINK_FAULTS as error:
                if tries == TRIES or self._desk.books.beam_unconfirmed:
                    raise
                await self._links.mend(self._links.of(error), moves=isinstance(step, MoveStage))
                if step.on_interrupt != "repeat" and (self._desk.count > before or not isinstance(step, Expose)):
                    what = "its dose is charged" if isinstance(step, Expose) else "look what came of it"
                    raise StepLost(f"{type(step).__name__}: {error}, and came back; {what}") from error

    async def set_again(self, step: Step[Any]) -> None:
        """A setting that the run had made, after a link was lost; see `SetPoints.way_back`."""
        if isinstance(step, UseOptics):
            before = self._desk.current.remember()
            await self._apply_optics(step)
            self._desk.current.recall(*before)
        else:
            await self._table[type(step)](step)

    async def _afford(self, step: Afford) -> Any:
        return self._desk.afford(step)

    async def _checkpoint(self, step: Checkpoint) -> Command:
        self._recorder.event("progress", step.label, step.label, data={"progress": step.progress})
        return Command(command=self._operator.collect(), time_s=self._recorder.time_s)

    async def _compute(self, step: Compute) -> Computed:
        arrays = tuple(self._shelf.image(reference) for reference in step.frames)
        return await computed(step, arrays, step.arguments, "these pictures")

    async def _conclude(self, step: Conclude) -> None:
        self._recorder.record("conclusion", {"name": step.name, "values": step.values})

    async def _end_target(self, step: EndTarget) -> None:
        self._recorder.record("target", {"name": step.name, "outcome": step.outcome, "reason": step.reason})
        level = "info" if step.outcome == "completed" else "warning"
        self._recorder.event(
            "target",
            step.name,
            f"target {step.name}: {step.outcome} {step.reason}".strip(),
            level,
            data={"outcome": step.outcome, "reason": step.reason},
        )

    def _detector(self, name: str) -> ImageDetector | EdxDetector:
        if name in self._devices.image_detectors:
            return self._devices.image_detectors[name]
        if self._devices.edx is not None and name in ("edx", self._devices.edx.name):
            return self._devices.edx
        known = ", ".join([*self._devices.image_detectors, *(["edx"] if self._devices.edx else [])])
        raise BadInput(f"detector: {name!r} is not in the instrument file; it has {known}")

    async def _insert(self, step: Insert) -> None:
        detector = self._detector(step.detector)
        await detector.insert()
        if not await detector.is_inserted():
            raise ReadBackMismatch(f"{detector.name}: told to go in, reads back out")

    async def _retract(self, step: Retract) -> None:
        detector = self._detector(step.detector)
        await detector.retract()
        if await detector.is_inserted():
            raise ReadBackMismatch(f"{detector.name}: told to go out, reads back in")

    async def _expose(self, step: Expose) -> Any:
        wanted = self._desk.where_it_is_now(step)
        self._allowed.check_shift(wanted)
        limit = min(self._allowed.dose_rate_e_per_a2_s, self._limits.get("dose_rate_max_e_per_a2_s", math.inf))
        rate = self._desk.dose_rate_e_per_a2_s(step) if limit < math.inf else 0.0
        if rate > limit:
            raise self._refuse(
                "dose-rate",
                f"the {step.kind} exposure would give {rate:.4g} e-/A^2/s, allowed are {limit:.4g}; use larger pixels "
                "or less current",
            )
        return await self._desk.expose(wanted)

    async def _measure_current(self, step: MeasureCurrent) -> CurrentMeasured:
        reading = await self._devices.beam.measure_current()
        self._desk.learn_current(reading)
        self._monitors.current_ratio = reading.current_a / self._nominal_a
        self._monitors.keep("beam_current", reading.current_a, force=True)
        return CurrentMeasured(current_a=reading.current_a, sigma_rel=reading.sigma_rel, time_s=self._recorder.time_s)

    async def _note(self, step: Note) -> None:
        self._recorder.event("note", step.name, step.message, step.level)

    async def _note_particles(self, step: NoteParticles) -> None:
        data = {name: value for name, value in dataclasses.asdict(step).items() if name != "message"}
        self._recorder.event("particles", f"frame {step.frame}", step.message, data=data)

    async def _read_sensors(self, step: ReadSensors) -> Sensors:
        readings = await self._monitors.sample()
        temperature = readings.temperature_k if readings.temperature_valid else float("nan")
        return Sensors(
            temperature_k=temperature,
            nitrogen=readings.nitrogen,
            pressure_pa=readings.pressure_pa,
            time_s=self._recorder.time_s,
        )

    async def _set_temperature(self, step: SetTemperature) -> None:
        if self._devices.holder is None:
            raise BadInput("temperature: the instrument file has no holder that could be set")
        await self._devices.holder.set_temperature(step.temperature_k)

    async def darken(self, why: str) -> None:
        """Light off, verified, where there is one that shines. Raises `DeviceError`."""
        await self._light.darken(why)

    async def _make_safe(self, step: MakeSafe) -> None:
        await make_safe(step, self._devices, self._monitors, self._recorder)
        await self.needle.made_safe()

    async def _next_request(self, step: NextRequest) -> Requested:
        requests = self._operator.requests
        requests.answer(step)
        asked = await requests.next(self._between, self._devices)
        return Requested(step=None if asked is None else encode(asked), time_s=self._recorder.time_s)

    async def _use_optics(self, step: UseOptics) -> OpticsSet:
        self._desk.books.close()  # what was exposed with the optics before is not measured any more
        return await self._apply_optics(step)

    async def _apply_optics(self, step: UseOptics) -> OpticsSet:
        if step.name not in self._optics:
            raise BadInput(f"optics: no preset {step.name!r}; the instrument file has {', '.join(self._optics)}")
        wanted = self._optics[step.name]
        if step.beam_current_a is not None:
            wanted = dataclasses.replace(wanted, beam_current_a=step.beam_current_a)
        self._allowed.check_optics(wanted)
        self._desk.current.forget()
        read_back = await self._devices.beam.apply(wanted)
        if read_back != wanted:
            names = (field.name for field in dataclasses.fields(wanted))
            other = ", ".join(
                f"{name} {getattr(read_back, name)} in place of {getattr(wanted, name)}"
                for name in names
                if getattr(read_back, name) != getattr(wanted, name)
            )
            raise ReadBackMismatch(
                f"{self._devices.beam.name}: optics {wanted.name!r} were set but read back otherwise ({other[:180]})"
            )
        self._desk.current.use(read_back)
        self._nominal_a = read_back.beam_current_a * self._allowed.current_ratio
        return OpticsSet(name=read_back.name, voltage_v=read_back.voltage_v, beam_current_a=read_back.beam_current_a)

    async def _wait(self, step: Wait) -> Waited:
        end = now_s() + step.duration_s
        while (left := end - now_s()) > 0:
            await asyncio.sleep(min(left, WAIT_SLICE_S))
            await self._between()
        return Waited(time_s=self._recorder.time_s)
