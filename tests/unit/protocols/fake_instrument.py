"""Answers a protocol's steps with simple geometry: backlash, drift, height error, runout; no pixels, no loop.

A frame is remembered by where the specimen appeared in it; "analyses" read that back with a little noise, so that
the protocol has to find height, drift and runout by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from cryoctl.errors import CryoctlError, DoseRefused, InterlockRefused, StepLost
from cryoctl.interfaces.beam import Optics, ScanTiming
from cryoctl.interfaces.stage import StageLimits
from cryoctl.protocol import CalibratedValue, InstrumentFacts, Protocol
from cryoctl.steps import (
    Afford,
    Affordable,
    Checkpoint,
    Command,
    Compute,
    Computed,
    Conclude,
    CurrentMeasured,
    EndTarget,
    Expose,
    Exposed,
    FrameRef,
    MeasureCurrent,
    MoveStage,
    OpticsSet,
    ReadSensors,
    Sensors,
    StageAt,
    UseOptics,
    Wait,
    Waited,
)
from cryoctl.steps.codec import decode, encode

CHARGE_C = 1.602176634e-19
STREAMS = {"record": "image", "search": "search", "focus": "focus", "track": "track", "wobble": "focus"}


def some_facts(**changes: Any) -> InstrumentFacts:
    values: dict[str, Any] = {
        "kinds": ("stage", "beam", "image_detector", "edx", "holder"),
        "stage": StageLimits(x_m=(-1e-3, 1e-3), y_m=(-1e-3, 1e-3), z_m=(-3e-4, 3e-4), tilt_deg=(-75.0, 75.0)),
        "tilt_speed_deg_per_s": 2.0,
        "timing": ScanTiming(settle_px=16, flyback_s=1e-4, blanks_flyback=True, latency_s=2e-6),
        "image_shift_range_m": 8e-6,
        "defocus_range_m": 5e-5,
        "dwell_range_s": (1e-7, 1e-1),
        "max_scan_px": 4096,
        "current_range_a": (1e-12, 5e-9),
        "tilt_limits_deg": {"holder": (-70.0, 70.0), "haadf": (-80.0, 80.0), "edx": (-80.0, 80.0)},
        "optics": {
            "search": Optics(name="search", voltage_v=2e5, beam_current_a=1e-10),
            "record": Optics(name="record", voltage_v=2e5, beam_current_a=2e-10),
        },
        "calibrations": {
            "backlash": CalibratedValue(value=(0.3e-6,), sigma=0.05e-6, date="2026-01-01"),
            "image_shift": CalibratedValue(value=(1.02, 0.01, -0.01, 0.98), sigma=0.005, date="2026-01-01"),
        },
        "edx_max_energy_ev": 10e3,
    }
    return InstrumentFacts(**(values | changes))


@dataclass
class Truth:
    """What nobody tells the protocol."""

    backlash_m: float = 0.32e-6
    height_m: float = 0.4e-6
    drift_m_per_s: float = 1e-11
    runout_m: float = 120e-9
    focus_error_m: float = 80e-9
    wire_y_m: float = 0.0
    shift_matrix: tuple[float, float, float, float] = (1.02, 0.01, -0.01, 0.98)
    current_factor: float = 1.05
    sigma_rel: float = 0.004


@dataclass
class Seen:
    """Where the target's surroundings appeared in a frame (m from its centre)."""

    tilt_deg: float
    dx_m: float
    dy_m: float
    defocus_m: float
    best_m: float
    pixel_m: float = 10e-9


@dataclass
class Laid:
    """One exposure: where it was believed and where it truly lay in the specimen's frame."""

    step: Expose
    tilt_deg: float
    true_x_m: float
    true_y_m: float
    dose_e_per_a2: float


@dataclass
class FakeInstrument:
    """`blind_tilts` are those at which nothing is recognised; `throw` maps exposure numbers to an error to raise."""

    facts: InstrumentFacts
    limit_e_per_a2: float = math.inf
    truth: Truth = field(default_factory=Truth)
    blind_tilts: tuple[float, ...] = ()
    blind_streams: tuple[str, ...] = ("track", "search")
    throw: dict[int, CryoctlError] = field(default_factory=dict)
    throw_on: dict[str, CryoctlError] = field(default_factory=dict)
    """By class name of a step: thrown whenever it comes."""
    commands: dict[int, str] = field(default_factory=dict)
    """By number of the checkpoint."""
    temperature_k: float = 95.0
    noise_px: float = 0.1
    drift_jump_m_per_s: float = 0.0

    def __post_init__(self) -> None:
        self.time_s = 0.0
        self.enc = {"x_m": 0.0, "y_m": 0.0, "z_m": 0.0, "tilt_deg": 0.0}
        self.slack = {"x_m": 0.0, "y_m": 0.0}
        self.optics = "record"
        self.nominal_a = 2e-10
        self.frames: dict[tuple[str, int], Seen] = {}
        self.laid: list[Laid] = []
        self.steps: list[Any] = []
        self.states: list[str] = []
        self.fired: set[tuple[str, str, str]] = set()
        self.concluded: dict[str, Any] = {}
        self.targets: list[EndTarget] = []
        self.checkpoints = 0
        self.exposures = 0
        self.random = 12345

    # Truth

    def content(self) -> tuple[float, float]:
        a = math.radians(self.enc["tilt_deg"])
        runout = self.truth.runout_m * (math.sin(a + 0.7) - math.sin(0.7)) / 2
        drift = self.truth.drift_m_per_s * self.time_s
        return (drift + 0.4 * runout, -0.5 * drift + runout)

    def height(self) -> float:
        return self.truth.height_m - self.enc["z_m"]

    def centre(self, step: Expose) -> tuple[float, float]:
        a, b, c, d = self.truth.shift_matrix
        return (a * step.shift_x_m + b * step.shift_y_m, c * step.shift_x_m + d * step.shift_y_m)

    def seen_at(self, x_m: float, y_m: float) -> tuple[float, float]:
        a = math.radians(self.enc["tilt_deg"])
        content = self.content()
        u = (y_m - self.enc["y_m"] - self.slack["y_m"]) * math.cos(a) + self.height() * math.sin(a) + content[1]
        return (x_m - self.enc["x_m"] - self.slack["x_m"] + content[0], u)

    def hit_by(self, x_m: float, y_m: float) -> tuple[float, float]:
        a = math.radians(self.enc["tilt_deg"])
        content = self.content()
        across = y_m - content[1] - self.height() * math.sin(a)
        return (
            self.enc["x_m"] + self.slack["x_m"] + x_m - content[0],
            self.enc["y_m"] + self.slack["y_m"] + across / math.cos(a),
        )

    def uniform(self) -> float:
        self.random = (1103515245 * self.random + 12345) % 2**31
        return self.random / 2**30 - 1.0

    # Answers

    def answer(self, step: Any) -> Any:
        thrown = self.throw_on.get(type(step).__name__)
        if thrown is not None:
            raise thrown
        method = getattr(self, f"on_{type(step).__name__}", None)
        return method(step) if method else None

    def on_ReadSensors(self, step: ReadSensors) -> Sensors:
        return Sensors(temperature_k=self.temperature_k, nitrogen=0.9, pressure_pa=1e-5, time_s=self.time_s)

    def on_UseOptics(self, step: UseOptics) -> OpticsSet:
        self.optics = step.name
        preset = self.facts.optics[step.name]
        self.nominal_a = step.beam_current_a or preset.beam_current_a
        return OpticsSet(name=step.name, voltage_v=preset.voltage_v, beam_current_a=self.nominal_a)

    def on_MeasureCurrent(self, step: MeasureCurrent) -> CurrentMeasured:
        self.time_s += 1.0
        current = self.nominal_a * self.truth.current_factor
        return CurrentMeasured(current_a=current, sigma_rel=self.truth.sigma_rel, time_s=self.time_s)

    def on_MoveStage(self, step: MoveStage) -> StageAt:
        for axis in ("x_m", "y_m", "z_m", "tilt_deg"):
            wanted = getattr(step, axis)
            if wanted is None:
                continue
            low, high = getattr(self.facts.stage, axis)
            assert low - 1e-12 <= wanted <= high + 1e-12, f"{axis} sent to {wanted}"
            moved = wanted - self.enc[axis]
            if axis in self.slack:
                half = self.truth.backlash_m / 2
                self.slack[axis] = min(max(self.slack[axis] - moved, -half), half)
            self.time_s += abs(moved) / (2.0 if axis == "tilt_deg" else 5e-6)
            self.enc[axis] = wanted
        return StageAt(**self.enc, time_s=self.time_s)

    def on_Wait(self, step: Wait) -> Waited:
        self.time_s += step.duration_s
        return Waited(time_s=self.time_s)

    def on_Checkpoint(self, step: Checkpoint) -> Command:
        assert 0.0 <= step.progress <= 1.0
        command = self.commands.get(self.checkpoints, "")
        self.checkpoints += 1
        return Command(command=command, time_s=self.time_s)

    def on_Conclude(self, step: Conclude) -> None:
        self.concluded[step.name] = step.values

    def on_EndTarget(self, step: EndTarget) -> None:
        self.targets.append(step)

    def dose(self, step: Expose) -> float:
        current = self.nominal_a * self.truth.current_factor
        area_a2 = (step.pixel_size_m * 1e10) ** 2
        return current * step.dwell_s * step.scans / CHARGE_C / area_a2

    def spent(self, step: Expose) -> float:
        """Upper dose of the worst pixel that shares ground with this exposure."""
        return sum(one.dose_e_per_a2 * 1.008 for one in self.laid if overlaps(one.step, step))

    def on_Afford(self, step: Afford) -> Affordable:
        for one in step.exposures:
            peak = self.spent(one) + self.dose(one) * 1.008
            if peak > self.limit_e_per_a2:
                return Affordable(fits=False, peak_e_per_a2=peak, limit_e_per_a2=self.limit_e_per_a2)
        return Affordable(fits=True, peak_e_per_a2=0.0, limit_e_per_a2=self.limit_e_per_a2)

    def on_Expose(self, step: Expose) -> Exposed:
        low, high = self.facts.dwell_range_s
        assert low <= step.dwell_s <= high
        reach = self.facts.image_shift_range_m
        assert abs(step.shift_x_m) <= reach
        assert abs(step.shift_y_m) <= reach
        number, self.exposures = self.exposures, self.exposures + 1
        thrown = self.throw.get(number)
        if isinstance(thrown, DoseRefused | InterlockRefused):
            raise thrown
        if self.spent(step) + self.dose(step) * 1.008 > self.limit_e_per_a2:
            raise DoseRefused("dose")
        started = self.time_s
        centre = self.centre(step)
        x, y = self.hit_by(*centre)
        self.laid.append(Laid(step, self.enc["tilt_deg"], x, y, self.dose(step)))
        if isinstance(thrown, StepLost):
            raise thrown
        frame = None
        if step.kind in STREAMS:
            stream = STREAMS[step.kind]
            index = sum(1 for key in self.frames if key[0] == stream)
            frame = FrameRef(stream=stream, index=index)
            place = self.seen_at(0.0 if step.target == "calibration" else step.x_m, self.truth.wire_y_m)
            best = self.height() * math.cos(math.radians(self.enc["tilt_deg"])) + self.truth.focus_error_m
            self.frames[(stream, index)] = Seen(
                self.enc["tilt_deg"],
                place[0] - centre[0],
                place[1] - centre[1],
                step.defocus_m,
                best,
                step.pixel_size_m,
            )
        before = self.content()
        duration = step.dwell_s * step.scans * step.shape[0] * (step.shape[1] + 16)
        self.time_s += duration
        after = self.content()
        return Exposed(
            exposure=number,
            outcome="done",
            frame=frame,
            dose_e_per_a2=self.dose(step),
            started_s=started,
            duration_s=duration,
            scans_done=step.scans,
            drift_x_m=after[0] - before[0] if step.register else 0.0,
            drift_y_m=after[1] - before[1] if step.register else 0.0,
            edx_counts=5000 if step.edx else 0,
        )

    def on_Compute(self, step: Compute) -> Computed:
        seen = [self.frames[(one.stream, one.index)] for one in step.frames]
        stream = step.frames[-1].stream
        pixel = seen[-1].pixel_m
        blind = seen[-1].tilt_deg in self.blind_tilts and stream in self.blind_streams
        quality = 4.0 if blind else 30.0
        noise = [self.noise_px * self.uniform() for _ in range(2)]
        if step.function.endswith(":through_focus"):
            best = seen[0].best_m
            return Computed(values={"defocus_m": best, "sigma_m": 1e-8, "found": not blind})
        if step.function.endswith(":wire_middle"):
            dx, dy = 0.0, seen[0].dy_m
        else:
            factor = step.arguments.get("stretch_y", 1.0)
            wanted = math.cos(math.radians(seen[1].tilt_deg)) / math.cos(math.radians(seen[0].tilt_deg))
            assert abs(factor - wanted) < 1e-3, "the reference must be stretched as the specimen is"
            dx, dy = seen[1].dx_m - seen[0].dx_m, seen[1].dy_m - seen[0].dy_m * factor
        values = {"dy_px": dy / pixel + noise[0], "dx_px": dx / pixel + noise[1], "quality": quality}
        return Computed(values=values | {"found": not blind})

    # The runner's part

    def run(self, protocol: Protocol) -> str:
        """Play the chart to its end as the runner does; gives the final state."""
        chart = protocol.chart
        state = chart.initial
        while state not in chart.finals:
            self.states.append(state)
            assert len(self.states) < 5000
            trigger = self._play(getattr(protocol, state)(), protocol, state)
            for move in chart.transitions:
                if (
                    move.trigger == trigger
                    and move.source == state
                    and (not move.guard or getattr(protocol, move.guard)())
                ):
                    self.fired.add((move.trigger, move.source, move.dest))
                    state = move.dest
                    break
            else:
                raise AssertionError(f"{state}: no way for {trigger}")
        return state

    def _play(self, generator: Any, protocol: Protocol, state: str) -> str:
        result: Any = None
        error: CryoctlError | None = None
        names = {StepLost: "lost", DoseRefused: "dose_spent", InterlockRefused: "interlocked"}
        while True:
            try:
                step = generator.send(result) if error is None else generator.throw(error)
            except StopIteration as finished:
                return finished.value
            except (StepLost, DoseRefused, InterlockRefused) as uncaught:
                trigger = names[type(uncaught)]
                assert any(m.trigger == trigger and m.source == state for m in protocol.chart.transitions)
                return trigger
            result, error = None, None
            asked = encode(step)
            assert encode(decode(asked)) == asked
            self.steps.append(asked)
            try:
                result = decode(encode(self.answer(step)))
            except (StepLost, DoseRefused, InterlockRefused) as thrown:
                error = thrown


def overlaps(one: Expose, other: Expose) -> bool:
    """Do two scans share ground along the tilt axis (and across it, at 0 degrees)?"""
    width = (one.shape[1] * one.pixel_size_m + other.shape[1] * other.pixel_size_m) / 2
    height = (one.shape[0] * one.pixel_size_m + other.shape[0] * other.pixel_size_m) / 2
    return abs(one.x_m - other.x_m) < width and abs(one.y_m - other.y_m) < height
