"""An instrument that does exactly what its file states: answers steps at once, without pictures or noise.

It moves, scans and measures in the time that its devices state, drifts after a tilt as its stage states, and sees each
picture displaced by just that drift. The dose is counted by the real gate and ledger. What no device states (where the
target lies, how it looks) is as the recipe has it; its height is one sigma off, so that finding it takes its time.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryoctl.dose.current import KnownCurrent
from cryoctl.dose.ledger import Deposit, DoseLedger
from cryoctl.engine.exposure_row import scan_of
from cryoctl.engine.exposures import STREAMS
from cryoctl.errors import BadInput, DoseRefused, RecipeError
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.scan_cost import scan_cost
from cryoctl.launch.counting import make_gate
from cryoctl.launch.stated_source import StatedSource
from cryoctl.protocol import InstrumentFacts
from cryoctl.steps import (
    Afford,
    Affordable,
    Checkpoint,
    Command,
    Compute,
    Computed,
    ComputeTrace,
    CurrentMeasured,
    Expose,
    Exposed,
    FrameRef,
    Insert,
    LightSet,
    MeasureCurrent,
    MoveStage,
    OpticsSet,
    ReadSensors,
    Retract,
    Sensors,
    SetLight,
    StageAt,
    Step,
    UseOptics,
    Wait,
    Waited,
)
from cryoctl.units import ELEMENTARY_CHARGE_C

_AXES = ("x_m", "y_m", "z_m", "tilt_deg")
_GOLDEN_ANGLE = math.pi * (3 - math.sqrt(5))
"""Each tilt sends the specimen another way; which, nobody states. Turned by this, the ways are spread evenly."""
_CLEAR = 1e3
"""Quality of a picture without noise."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Where the target appeared in a picture: (x, y) from its centre in m, beam-normal, and where focus lay."""

    x_m: float
    y_m: float
    pixel_size_m: float
    defocus_m: float


class StatedInstrument:
    """Answers one step after another; `time_s` is run time.

    `frames` counts record frames, `bytes` those of all pictures, `edx_electrons` what the EDX detector saw exposed.
    """

    def __init__(self, devices: DeviceSet, facts: InstrumentFacts, ledger: DoseLedger) -> None:
        self.time_s = 0.0
        self.frames = 0
        self.bytes = 0
        self.edx_electrons = 0.0
        self.progress = 0.0
        self.ledger = ledger
        self._devices = devices
        self._facts = facts
        self._beam = devices.beam.capabilities
        self._gate = make_gate(devices, facts, ledger)
        self._at: dict[str, float] = dict.fromkeys(_AXES, 0.0)
        eucentric = facts.calibrations.get("eucentric_offset")
        self._height_m = 0.0 if eucentric is None else eucentric.value[0] + eucentric.sigma
        self._inside: set[str] = set()
        self._current_a = math.nan
        self._drift = (0.0, 0.0)
        self._kick = (0.0, 0.0)
        self._kicks = 0
        self._looks: dict[FrameRef, _Look] = {}
        self._exposures = 0
        self._table: dict[type[Any], Callable[[Any], Any]] = {
            Afford: self._afford,
            Checkpoint: self._checkpoint,
            Compute: self._compute,
            ComputeTrace: self._compute_trace,
            Expose: self._expose,
            Insert: self._insert,
            MeasureCurrent: self._measure_current,
            MoveStage: self._move_stage,
            ReadSensors: self._read_sensors,
            Retract: self._retract,
            SetLight: self._set_light,
            UseOptics: self._use_optics,
            Wait: self._wait,
            **StatedSource(facts.bias, lambda: self.time_s).table,
        }

    def answer(self, step: Step[Any]) -> Any:
        """The step's result; None for one that takes no time and tells nothing.

        Raises:
            DoseRefused: as the gate would.
            BadInput: an analysis whose answer can't be known without pictures.
        RecipeError: what the biasing source would refuse.
        """
        action = self._table.get(type(step))
        return None if action is None else action(step)

    # Time and drift

    def _pass(self, duration_s: float) -> None:
        settling = self._devices.stage.settling
        decay_s = settling.tilt_drift_decay_s
        left = math.exp(-duration_s / decay_s)
        steady = settling.drift_m_per_s * math.sqrt(0.5)
        kick = self._kick
        self._drift = (
            self._drift[0] + steady * duration_s + kick[0] * decay_s * (1 - left),
            self._drift[1] + steady * duration_s + kick[1] * decay_s * (1 - left),
        )
        self._kick = (kick[0] * left, kick[1] * left)
        self.time_s += duration_s

    def _wait(self, step: Wait) -> Waited:
        self._pass(step.duration_s)
        return Waited(time_s=self.time_s)

    def _checkpoint(self, step: Checkpoint) -> Command:
        self.progress = step.progress
        return Command(command="", time_s=self.time_s)

    def _read_sensors(self, step: ReadSensors) -> Sensors:
        del step
        return Sensors(temperature_k=math.nan, nitrogen=math.nan, pressure_pa=math.nan, time_s=self.time_s)

    def _set_light(self, step: SetLight) -> LightSet:
        light = self._facts.light
        if light is None:
            raise RecipeError("light: the instrument file has no light: name an instrument that has one")
        low, high = light.irradiance_w_per_m2
        wanted = step.irradiance_w_per_m2
        if wanted != 0.0 and not low <= wanted <= high:
            raise RecipeError(
                f"light: {wanted:g} W/m2 are asked for, the instrument's light has {low:g} to {high:g} W/m2: choose "
                "one of these"
            )
        self._pass(light.settle_s)
        return LightSet(irradiance_w_per_m2=wanted, time_s=self.time_s)

    # Stage and column

    def _move_stage(self, step: MoveStage) -> StageAt:
        stage = self._devices.stage
        asked = {axis: float(value) for axis in _AXES if (value := getattr(step, axis)) is not None}
        ways = {axis: abs(value - self._at[axis]) for axis, value in asked.items()}
        tilted_deg = ways.pop("tilt_deg", 0.0)
        moving_s = max(tilted_deg / stage.tilt_speed_deg_per_s, max(ways.values(), default=0.0) / stage.speed_m_per_s)
        self._pass(moving_s + stage.settling.settle_s)
        self._at |= asked
        if tilted_deg > 0.0:
            self._kicks += 1
            speed, turn = stage.settling.tilt_drift_m_per_s_per_deg * tilted_deg, self._kicks * _GOLDEN_ANGLE
            self._kick = (self._kick[0] + speed * math.cos(turn), self._kick[1] + speed * math.sin(turn))
        return StageAt(**self._at, time_s=self.time_s)

    def _use_optics(self, step: UseOptics) -> OpticsSet:
        preset = self._facts.optics[step.name]
        nominal_a = preset.beam_current_a if step.beam_current_a is None else step.beam_current_a
        self._current_a = nominal_a * self._facts.calibrated("beam_current", 1.0)
        self._pass(self._beam.optics_s)
        return OpticsSet(name=step.name, voltage_v=preset.voltage_v, beam_current_a=nominal_a)

    def _measure_current(self, step: MeasureCurrent) -> CurrentMeasured:
        del step
        self._pass(self._beam.measure_s)
        return CurrentMeasured(current_a=self._current_a, sigma_rel=self._beam.measure_sigma_rel, time_s=self.time_s)

    def _insert(self, step: Insert) -> None:
        if step.detector not in self._inside:
            self._inside.add(step.detector)
            self._pass(self._insert_s(step.detector))

    def _retract(self, step: Retract) -> None:
        if step.detector in self._inside:
            self._inside.discard(step.detector)
            self._pass(self._insert_s(step.detector))

    def _insert_s(self, name: str) -> float:
        detector = self._devices.image_detectors.get(name) or self._devices.edx
        return 0.0 if detector is None else detector.capabilities.insert_s

    # Exposures

    def _known_current(self) -> KnownCurrent:
        return KnownCurrent(
            current_a=self._current_a, sigma_rel=self._beam.measure_sigma_rel, time_s=self.time_s, measured=True
        )

    def _deposits(self, step: Expose, tilt_deg: float) -> tuple[tuple[Deposit, ...], tuple[Deposit, ...]]:
        plan = self._gate.plan(
            scan_of(step, tilt_deg),
            x_m=step.x_m,
            y_m=step.y_m,
            tilt_deg=tilt_deg,
            current=self._known_current(),
            now_s=self.time_s,
            drift_m_per_s=step.drift_bound_m_per_s,
        )
        return plan.deposits, plan.kept_back

    def _afford(self, step: Afford) -> Affordable:
        laid: list[Deposit] = []
        limit, peak, sigma_m = self.ledger.limit_e_per_a2, 0.0, 0.0
        for wanted in step.exposures:
            deposits, kept_back = self._deposits(wanted, step.tilt_deg)
            laid += deposits
            sigma_m = max(sigma_m, wanted.position_sigma_m)
            peak = self._gate.peak_after((*laid, *kept_back), sigma_m)
            if not self._gate.fits(peak):
                return Affordable(fits=False, peak_e_per_a2=peak, limit_e_per_a2=limit)
        return Affordable(fits=True, peak_e_per_a2=peak, limit_e_per_a2=limit)

    def _expose(self, step: Expose) -> Exposed:
        tilt_deg = self._at["tilt_deg"]
        deposits, kept_back = self._deposits(step, tilt_deg)
        peak = self._gate.peak_after((*deposits, *kept_back), step.position_sigma_m)
        if not self._gate.fits(peak):
            raise DoseRefused(f"the next {step.kind} exposure would bring a pixel to {peak:.4g} e-/A^2")
        if step.register:  # its drift is measured, and charged as it was
            deposits, _ = self._deposits(dataclasses.replace(step, drift_bound_m_per_s=0.0), tilt_deg)
        self.ledger.charge(step.kind, deposits, step.position_sigma_m)
        started_s, before = self.time_s, self._drift
        frame = self._look(step, tilt_deg) if step.detector and step.kind in STREAMS else None
        self._pass(scan_cost(scan_of(step, tilt_deg), self._facts.timing).duration_s)
        self._exposures += 1
        registered = 1.0 if step.register else 0.0
        return Exposed(
            exposure=self._exposures - 1,
            outcome="done",
            frame=frame,
            dose_e_per_a2=deposits[0].dose_e_per_a2,
            started_s=started_s,
            duration_s=self.time_s - started_s,
            scans_done=step.scans,
            drift_x_m=registered * (self._drift[0] - before[0]),
            drift_y_m=registered * (self._drift[1] - before[1]),
        )

    def _look(self, step: Expose, tilt_deg: float) -> FrameRef:
        rows, columns = step.shape
        self.bytes += 2 * rows * columns * step.scans
        self.frames += step.kind == "record"
        if step.edx:
            self.edx_electrons += self._current_a * step.dwell_s * rows * columns * step.scans / ELEMENTARY_CHARGE_C
        a, at = math.radians(tilt_deg), self._at
        height = self._height_m - at["z_m"]
        seen_x = step.x_m - at["x_m"] + self._drift[0]
        seen_y = (step.y_m - at["y_m"]) * math.cos(a) + height * math.sin(a) + self._drift[1]
        frame = FrameRef(stream=STREAMS[step.kind], index=len(self._looks))
        self._looks[frame] = _Look(
            seen_x - step.shift_x_m, seen_y - step.shift_y_m, step.pixel_size_m, height * math.cos(a)
        )
        return frame

    # Analyses

    def _compute(self, step: Compute) -> Computed:
        looks = [self._looks[frame] for frame in step.frames]
        answer = _ANALYSES.get(step.function)
        if answer is None:
            raise BadInput(f"{step.function}: what it finds can't be foretold without pictures; rehearse")
        self._pass(step.duration_s)
        return Computed(values=answer(looks, step.arguments))

    def _compute_trace(self, step: ComputeTrace) -> Computed:
        raise BadInput(f"{step.function}: what it finds can't be foretold without a source that samples; rehearse")


def _displacement(looks: list[_Look], arguments: Mapping[str, Any]) -> dict[str, Any]:
    first, second = looks
    stretch = float(arguments.get("stretch_y", 1.0))
    dx, dy = second.x_m - first.x_m, second.y_m - first.y_m * stretch
    return {"dx_px": dx / second.pixel_size_m, "dy_px": dy / second.pixel_size_m, "quality": _CLEAR, "found": True}


def _wire_middle(looks: list[_Look], arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return {"dx_px": 0.0, "dy_px": looks[0].y_m / looks[0].pixel_size_m, "quality": _CLEAR, "found": True}


def _through_focus(looks: list[_Look], arguments: Mapping[str, Any]) -> dict[str, Any]:
    del arguments
    return {"defocus_m": looks[0].defocus_m, "sigma_m": 0.0, "found": True}


_ANALYSES: Mapping[str, Callable[[list[_Look], Mapping[str, Any]], dict[str, Any]]] = {
    "analysis.tracking:displacement": _displacement,
    "analysis.tracking:wire_middle": _wire_middle,
    "analysis.tracking:through_focus": _through_focus,
}
