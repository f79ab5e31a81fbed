"""A piezo needle is brought to a coated particle and a bias applied while it is watched (science.md, E4)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ClassVar

from pydantic import BaseModel

from cryoctl.errors import DoseRefused, InterlockRefused, Interrupted, RecipeError, StepLost
from cryoctl.protocol import Chart, InstrumentFacts, Protocol, Steps
from cryoctl.steps import (
    Checkpoint,
    Compute,
    Conclude,
    EndTarget,
    Expose,
    Exposed,
    FrameRef,
    Insert,
    MeasureOpenCircuit,
    MoveStage,
    NeedleAt,
    NoteGap,
    NoteHold,
    PlaceNeedle,
    ReadBias,
    ReadNeedle,
    RestBias,
    Retract,
    SetBiasLimits,
    SetNeedleVoltage,
    StartWaveform,
    StepNeedle,
    UseOptics,
    Wait,
    WithdrawNeedle,
)
from cryoctl.units import ELEMENTARY_CHARGE_C
from cryoctl_protocols import blocks
from cryoctl_protocols.bias_recipe import check_bias
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters, needle_chart

VIEW = "analysis.needle_view:needle_view"
HEIGHTS = "analysis.needle_view:heights"
AIM = "analysis.contact:aim"
DECIDE = "analysis.contact:decide"

TARGET = "particle"
DOSE_PIXEL_M = 100e-9
FAR_SIGMA_M = 500e-9
"""A third of how far off a stage's place may be before anything was seen."""
_DRIFT_M_PER_S = 2e-9
_FIRST_STEP_M = 150e-9
"""What a coarse step is taken for before one was seen."""
_LONGEST_STEP_M = 500e-9
_WOBBLES = 12
_ROUGH_M = 0.5e-6
"""Difference of heights that is good enough to come near."""
_WINDOW = 9
"""Pictures that a decision on contact looks back on, beside the first."""
_WIDE_M = 25e-9
"""Gap above which the tube takes three steps at once."""
_TUBE_GAP_M = 1.2e-6
_CLOSE_GAP_M = 150e-9
_AIMED_M = 10e-9
_AIMS = 40


State = Callable[["NeedleBiasing"], Steps]


def ending_well(state: State) -> State:
    """Whatever stops the state, the run goes on to rest and withdrawal."""

    @wraps(state)
    def guarded(protocol: NeedleBiasing) -> Steps:
        try:
            return (yield from state(protocol))
        except (DoseRefused, InterlockRefused, Interrupted, StepLost) as error:
            return protocol.end_by(error)

    return guarded


class NeedleBiasing(Protocol):
    """Finds needle and grid, makes their heights equal, approaches until contact, biases, rests and withdraws."""

    name: ClassVar[str] = "needle-biasing"
    summary: ClassVar[str] = "A piezo needle in contact with a coated particle, pictures while it is biased"
    Parameters: ClassVar[type[BaseModel]] = NeedleBiasingParameters
    chart: ClassVar[Chart] = needle_chart()
    requires: ClassVar[tuple[str, ...]] = ("stage", "beam", "image_detector", "bias", "needle")

    def __init__(self, parameters: NeedleBiasingParameters, facts: InstrumentFacts) -> None:
        super().__init__(parameters, facts)
        self.recipe = parameters
        self.current_a = math.nan
        self.gap_m = math.nan
        self.steps_m: dict[tuple[str, int], float] = {}
        self.tube = (0.0, 0.0, 0.0)
        self.near = False
        self.ended = "done"
        self.why = ""
        self.dose_e_per_a2 = 0.0
        self.shift = (0.0, 0.0)
        self.apex = (math.nan, math.nan)

    # What is known before

    @classmethod
    def check(cls, parameters: NeedleBiasingParameters, facts: InstrumentFacts) -> tuple[str, ...]:
        check_bias(parameters.bias, facts)
        for name in (parameters.looks.optics, parameters.pictures.optics):
            if name not in facts.optics:
                raise RecipeError(
                    f"optics: found {name!r}, the instrument file has {', '.join(facts.optics)}: name one"
                )
        low, high = facts.stage.tilt_deg
        tilt = parameters.needle.wobble_deg
        if not (low <= -tilt and tilt <= high):
            raise RecipeError(
                f"needle.wobble_deg: found {tilt:g}, the stage tilts from {low:g} to {high:g} deg: lower it"
            )
        return ()

    def dose_limit_e_per_a2(self) -> float:
        return self.recipe.dose.limit_e_per_a2

    def dose_pixel_m(self) -> float:
        return DOSE_PIXEL_M

    def interlock_limits(self) -> Mapping[str, float]:
        return {
            "temperature_max_k": self.recipe.temperature_limit_k,
            "needle_clear_m": self.recipe.needle.clear_distance_m,
            "probe_v": self.recipe.probe_v,
            "probe_a": self.recipe.probe_a,
            **self.recipe.interlocks.limits(),
        }

    def interlock_policies(self) -> Mapping[str, str]:
        return self.recipe.interlocks.policies()

    def lost_by_interruption(self) -> tuple[str, ...]:
        return ("the needle near the specimen",) if self.near else ()

    def covered_area_m(self) -> tuple[float, float, float, float]:
        looks = self.recipe.looks
        pixel_m = looks.overview_m / looks.shape[1]
        half_x = looks.overview_m / 2 + self.facts.timing.settle_px * pixel_m + 1e-5
        half_y = looks.shape[0] * pixel_m / 2 + 1e-5
        return (self.recipe.x_m - half_x, self.recipe.x_m + half_x, self.recipe.y_m - half_y, self.recipe.y_m + half_y)

    def describe(self) -> Mapping[str, Any]:
        recipe = self.recipe
        width_m = self._pixel_m(self.facts.optics[recipe.pictures.optics].beam_current_a) * recipe.pictures.shape[1]
        count = recipe.before + math.ceil(recipe.bias.played().duration_s / max(recipe.frame_interval_s, 0.5))
        return {
            "title": "Needle biasing",
            "specimen": recipe.specimen.name,
            "areas": {"record": {"x_m": recipe.x_m, "y_m": recipe.y_m, "width_m": width_m, "height_m": width_m}},
            "targets": [TARGET],
            "image": {"shape": list(recipe.pictures.shape), "pixel_size_m": width_m / recipe.pictures.shape[1]},
            "edx": None,
            "tilts": count,
        }

    def closing_message(self, final: str) -> str:
        told = super().closing_message(final)
        return f"{told}: {self.why}" if self.why else told

    # States

    @ending_well
    def prepare(self) -> Steps:
        bias = self.recipe.bias
        yield from Insert(detector=self.recipe.pictures.detector)
        yield from self._use(self.recipe.looks.optics)
        yield from SetBiasLimits(voltage_limit_v=bias.limit_v, compliance_a=bias.compliance_a)
        yield from MoveStage(x_m=self.recipe.x_m, y_m=self.recipe.y_m, tilt_deg=0.0)
        return "done"

    @ending_well
    def overview(self) -> Steps:
        view = yield from self._look(self.recipe.looks.overview_m / self.recipe.looks.shape[1])
        if not view["found"]:
            return self._give_up("lost", "no needle is seen in the overview; bring it into the field")
        if not view["specimen_found"]:
            return self._give_up("lost", "no grid is seen in the overview; bring its edge into the field")
        return "done"

    @ending_well
    def specimen_height(self) -> Steps:
        """Both by wobbling at the lowest magnification: the grid by the goniometer, the needle roughly by its drive."""
        pixel_m = self.recipe.looks.overview_m / self.recipe.looks.shape[1]
        before: tuple[float, int] | None = None
        for turn in range(_WOBBLES):
            found = yield from self._wobble(pixel_m)
            if found is None:
                return self._give_up("lost", "needle and grid could not be told apart while wobbling")
            at = yield from MoveStage(tilt_deg=0.0)
            if turn < 2:
                yield from MoveStage(z_m=at.z_m + float(found["specimen_z_m"]))
                continue
            above_m = float(found["needle_above_m"])
            if before is not None:
                sign = 1 if before[0] < 0 else -1
                self._learn("z", sign, sign * (above_m - before[0]) / before[1])
            if abs(above_m) <= max(_ROUGH_M, 2 * float(found["needle_sigma_m"])):
                return "done"
            count = yield from self._coarse("z", -above_m)
            before = (above_m, count) if count else None
            yield from self._look(pixel_m)
        return self._give_up("no_contact", "the needle could not be brought near the specimen's height")

    @ending_well
    def come_near(self) -> Steps:
        """Coarse steps, fewer as the gap shrinks; never so many that the longest of them would use it up."""
        needle = self.recipe.needle
        for _ in range(needle.looks):
            pixel_m = self._wide_pixel_m()
            view = yield from self._look(pixel_m)
            if not view["found"]:
                return self._give_up("lost", "the needle was lost from sight on its way")
            if self.gap_m <= needle.coarse_stop_m:
                return "done"
            aside_m = self.apex[0] if self._axis == "x" else self.apex[1]
            if abs(aside_m) > 1e-6:
                yield from self._coarse(self._other_axis, -aside_m)
                continue
            before_m = self.gap_m
            count = yield from self._coarse(self._axis, self._sign * (self.gap_m - 0.8 * needle.coarse_stop_m))
            if count:
                yield from self._look(pixel_m)
                self._learn(self._axis, self._sign, (before_m - self.gap_m) / count)
        return self._give_up("no_contact", "the needle did not come near; look at its coarse drive")

    @ending_well
    def needle_height(self) -> Steps:
        """Differential wobbling: the apex against the grid. Coarse steps first, the tube for the rest."""
        needle = self.recipe.needle
        pixel_m = self._wide_pixel_m()
        live = False
        for _ in range(_WOBBLES):
            found = yield from self._wobble(pixel_m)
            if found is None:
                return self._give_up("lost", "needle and grid could not be told apart while wobbling")
            at = yield from MoveStage(tilt_deg=0.0)
            above_m, sigma_m = float(found["needle_above_m"]), float(found["needle_sigma_m"])
            if live and abs(above_m) < needle.height_m:
                yield from Conclude(
                    name="eucentric",
                    values={
                        "grid_z_m": at.z_m + float(found["specimen_z_m"]),
                        "grid_z_m_sigma": float(found["specimen_sigma_m"]),
                        "needle_z_m": at.z_m + float(found["specimen_z_m"]) + above_m,
                        "needle_z_m_sigma": sigma_m,
                    },
                )
                return "done"
            if not live and abs(above_m) > 0.4e-6:
                yield from self._coarse("z", -above_m)
                yield from self._look(pixel_m)
                continue
            if not live:
                yield from SetNeedleVoltage(on=True)
                self.near = live = True
            yield from self._tube(0.0, 0.0, -above_m)
            yield from self._look(pixel_m)
        return self._give_up("no_contact", "needle and specimen could not be brought to one height")

    @ending_well
    def approach(self) -> Steps:
        yield from self._use(self.recipe.pictures.optics)
        for _ in range(self.recipe.needle.looks):
            view = yield from self._look(self._wide_pixel_m())
            if not view["found"] or view["overlap"]:
                return self._give_up("lost", "the needle was lost from sight on its way")
            if self.gap_m <= _TUBE_GAP_M:
                break
            if not (yield from self._coarse(self._axis, self._sign * (self.gap_m - 0.5 * _TUBE_GAP_M))):
                break
        if not (yield from self._aim()):
            return self._give_up("lost", self.why or "needle and particle could not be told apart")
        return (yield from self._touch())

    @ending_well
    def series(self) -> Steps:
        recipe = self.recipe
        waveform = recipe.bias.played()
        yield from self._use(recipe.pictures.optics)
        pixel_m = self._pixel_m(self.current_a)
        yield from Conclude(
            name="dose_rate",
            values={
                "asked_e_per_a2_s": recipe.dose_rate_e_per_a2_s,
                "current_a": self.current_a,
                "pixel_size_m": pixel_m,
            },
        )
        first: FrameRef | None = None
        for _ in range(recipe.before):
            first = (yield from self._record(pixel_m, first)) or first
            yield from Wait(duration_s=recipe.frame_interval_s, reason="interval")
        began = yield from StartWaveform(waveform=waveform, sample_interval_s=recipe.bias.sample_interval_s)
        last_s = math.inf if recipe.end.time_s is None else began.began_s + recipe.end.time_s
        while True:
            first = (yield from self._record(pixel_m, first)) or first
            waited = yield from Wait(duration_s=max(recipe.frame_interval_s, 0.5), reason="interval")
            found = yield from ReadBias()
            if not found.output_on:
                if found.stopped_by != "complete":
                    self.ended = "stopped" if found.stopped_by == "pause" else "lost"
                    self.why = f"the bias went off ({found.stopped_by})"
                return "over"
            if waited.time_s >= last_s:
                self.ended = "condition"
                return "over"
            share = min(1.0, (waited.time_s - began.began_s) / waveform.duration_s)
            command = yield from Checkpoint(progress=share, label=f"{waited.time_s - began.began_s:.0f} s under bias")
            if command.command:
                self.ended, self.why = "stopped", command.command
                return "over"

    def rest(self) -> Steps:
        last = yield from ReadBias()
        at_rest = yield from RestBias()
        voltage = yield from MeasureOpenCircuit()
        yield from Conclude(
            name="bias",
            values={
                "charge_c": last.charge_c,
                "charge_c_sigma": last.charge_bound_c / 2,
                "open_circuit_v": voltage.voltage_v,
                "stopped_by": at_rest.stopped_by,
            },
        )
        return "rested"

    def withdraw(self) -> Steps:
        if self.near or (yield from ReadNeedle()).hold != "free":
            yield from WithdrawNeedle()
            self.near = False
        outcome = "completed" if self.ended in ("done", "condition") else "partial"
        yield from EndTarget(name=TARGET, outcome=outcome, reason=self.why)
        yield from Retract(detector=self.recipe.pictures.detector)
        return self.ended

    # Pictures

    def _use(self, optics: str) -> Block[None]:
        yield from UseOptics(name=optics)
        self.current_a = (yield from blocks.measure_current()).current_a

    def _expose(
        self, kind: str, shape: tuple[int, int], pixel_m: float, dwell_s: float, sigma_m: float = FAR_SIGMA_M
    ) -> Expose:
        shortest, longest = self.facts.dwell_range_s
        x_m, y_m = self.shift
        return Expose(
            kind=kind,
            area=kind,
            target=TARGET,
            x_m=self.recipe.x_m + x_m,
            y_m=self.recipe.y_m + y_m,
            shift_x_m=x_m,
            shift_y_m=y_m,
            defocus_m=0.0,
            shape=shape,
            pixel_size_m=pixel_m,
            dwell_s=min(max(dwell_s, shortest), longest),
            detector=self.recipe.pictures.detector,
            position_sigma_m=sigma_m,
            drift_bound_m_per_s=_DRIFT_M_PER_S,
        )

    def _take(self, exposure: Expose) -> Block[FrameRef]:
        done, frame = yield from blocks.take(exposure)
        self.dose_e_per_a2 += done.dose_e_per_a2
        if frame is None:
            raise StepLost(f"{exposure.kind} picture: none came")
        return frame

    def _look(self, pixel_m: float) -> Block[Mapping[str, Any]]:
        """A picture of needle and grid; its gap is noted."""
        looks = self.recipe.looks
        frame = yield from self._take(self._expose("view", looks.shape, pixel_m, looks.dwell_s))
        view = (yield from Compute(function=VIEW, frames=(frame,), arguments={"side": self.recipe.needle.side})).values
        if view["found"]:
            self.gap_m = float(view["gap_px"]) * pixel_m
            self.apex = (float(view["apex_y_px"]) * pixel_m, float(view["apex_x_px"]) * pixel_m)
            yield from NoteGap(gap_m=self.gap_m, sigma_m=float(view["gap_sigma_px"]) * pixel_m)
        return view

    def _wobble(self, pixel_m: float) -> Block[Mapping[str, Any] | None]:
        looks, tilt = self.recipe.looks, self.recipe.needle.wobble_deg
        frames: list[FrameRef] = []
        for angle in (-tilt, tilt):
            yield from MoveStage(tilt_deg=angle)
            yield from Wait(duration_s=2.0, reason="the stage comes to rest")
            frames.append((yield from self._take(self._expose("wobble", looks.shape, pixel_m, looks.dwell_s))))
        found = yield from Compute(
            function=HEIGHTS,
            frames=tuple(frames),
            arguments={"pixel_size_m": pixel_m, "tilt_deg": tilt, "side": self.recipe.needle.side},
        )
        return found.values if found.values["found"] else None

    def _wide_pixel_m(self) -> float:
        """So that apex and edge are both in the picture, whose middle is at the edge: which may run aslant."""
        along_m = abs(self.apex[1] if self._axis == "x" else self.apex[0])
        looks = self.recipe.looks
        widest = looks.overview_m / looks.shape[1]
        along = looks.shape[1] if self._axis == "x" else looks.shape[0]
        return min(widest, max(4e-9, 1.3 * max(self.gap_m, along_m) / (along / 2)))

    def _record(self, pixel_m: float, first: FrameRef | None) -> Block[FrameRef | None]:
        """A picture of the series; later ones follow the drift against the first."""
        pictures = self.recipe.pictures
        try:
            done: Exposed = yield from self._expose("record", pictures.shape, pixel_m, pictures.dwell_s, 300e-9)
        except StepLost:
            return None
        if done.frame is None or first is None:
            return done.frame
        found = yield from blocks.measure_shift(first, done.frame, pixel_size_m=pixel_m)
        if found.found and found.quality > 12.0:
            self.shift = (self.shift[0] + 0.7 * found.x_m, self.shift[1] + 0.7 * found.y_m)
        return None

    # The needle

    @property
    def _axis(self) -> str:
        return "x" if self.recipe.needle.side in ("left", "right") else "y"

    @property
    def _other_axis(self) -> str:
        return "y" if self._axis == "x" else "x"

    @property
    def _sign(self) -> int:
        """Direction of the needle's own axis that leads to the specimen."""
        return -1 if self.recipe.needle.side in ("right", "bottom") else 1

    def _step_m(self, axis: str, sign: int) -> float:
        return self.steps_m.get((axis, sign), _FIRST_STEP_M)

    def _learn(self, axis: str, sign: int, seen_m: float) -> None:
        if 10e-9 < seen_m < _LONGEST_STEP_M:
            self.steps_m[axis, sign] = seen_m

    def _coarse(self, axis: str, wanted_m: float) -> Block[int]:
        """Coarse steps over a distance, as far as the gap allows; returns how many."""
        sign = 1 if wanted_m > 0 else -1
        at: NeedleAt = yield from ReadNeedle()
        allowed = int((at.gap_low_m - 1e-9) / _LONGEST_STEP_M)
        count = min(int(abs(wanted_m) / self._step_m(axis, sign)), allowed)
        if count > 0:
            yield from StepNeedle(axis=axis, steps=sign * count)  # type: ignore[arg-type]
        return max(0, count)

    def _tube(self, x_m: float, y_m: float, z_m: float) -> Block[None]:
        """Move the tube on by so much."""
        self.tube = (self.tube[0] + x_m, self.tube[1] + y_m, self.tube[2] + z_m)
        yield from PlaceNeedle(x_m=self.tube[0], y_m=self.tube[1], z_m=self.tube[2])

    def _onward(self, by_m: float) -> Block[None]:
        along = self._sign * by_m
        yield from (self._tube(along, 0.0, 0.0) if self._axis == "x" else self._tube(0.0, along, 0.0))

    def _aim(self) -> Block[bool]:
        """To a short gap before the particle's middle, by the tube: aside first, on where nothing is in the way."""
        looks, side = self.recipe.looks, self.recipe.needle.side
        self.gap_m = max(self.gap_m, abs(self.apex[1] if self._axis == "x" else self.apex[0]))
        for _ in range(_AIMS):
            pixel_m = max(looks.close_pixel_m, 1.4 * self.gap_m / (looks.close_shape[1] / 2))
            frame = yield from self._take(self._expose("view", looks.close_shape, pixel_m, looks.close_dwell_s))
            seen = (yield from Compute(function=AIM, frames=(frame,), arguments={"side": side})).values
            if not seen["found"]:
                self.why = "needle and particle could not be told apart"
                return False
            gap_m, clear_m = float(seen["gap_px"]) * pixel_m, float(seen["clear_px"]) * pixel_m
            aside_m = float(seen["aside_px"]) * pixel_m
            self.gap_m = max(gap_m, abs(aside_m))
            self.shift = (
                self.shift[0] + float(seen["target_x_px"]) * pixel_m,
                self.shift[1] + float(seen["target_y_px"]) * pixel_m,
            )
            yield from NoteGap(gap_m=clear_m, sigma_m=pixel_m)
            if gap_m <= 0.0 or clear_m <= 0.0:
                self.why = "the needle lies over the specimen, at another height"
                return False
            aimed = abs(aside_m) < max(_AIMED_M, pixel_m)
            if abs(aside_m) < _AIMED_M and gap_m < _CLOSE_GAP_M:
                return True
            if aimed:
                along = max(0.0, 0.6 * (min(gap_m, clear_m) - 0.7 * _CLOSE_GAP_M))
                yield from self._onward(along)
            if abs(aside_m) >= _AIMED_M:
                across = -max(-0.6 * clear_m, min(0.6 * clear_m, aside_m))
                yield from (self._tube(0.0, across, 0.0) if self._axis == "x" else self._tube(across, 0.0, 0.0))
        self.why = "the needle could not be aimed at the particle"
        return False

    def _touch(self) -> Block[str]:
        recipe, looks = self.recipe, self.recipe.looks
        arguments = {"pixel_size_m": looks.close_pixel_m, "side": recipe.needle.side}
        frames: list[FrameRef] = []
        for _ in range(recipe.needle.looks):
            exposure = self._expose("view", looks.close_shape, looks.close_pixel_m, looks.close_dwell_s)
            frames.append((yield from self._take(exposure)))
            if len(frames) < 5:
                continue
            chosen = (frames[0], *frames[1:][-_WINDOW:])
            told = (yield from Compute(function=DECIDE, frames=chosen, arguments=arguments)).values
            if not told["seen"]:
                return self._give_up("no_contact", str(told["message"]))
            if told["found"]:
                at = yield from NoteHold(hold="contact")
                yield from Conclude(
                    name="contact",
                    values={
                        "found": 1,
                        "time_s": at.time_s,
                        "contrast_change": float(told["contrast_change"]),
                        "contrast_change_sigma": float(told["contrast_sigma"]),
                        "pushed_m": float(told["pushed_m"]),
                        "pushed_m_sigma": float(told["pushed_sigma_m"]),
                        "fine_m": [float(one) for one in self.tube],
                        "dose_e_per_a2": self.dose_e_per_a2,
                    },
                )
                return "done"
            if not told["suspected"]:
                wide = float(told["gap_m"]) > _WIDE_M
                yield from self._onward(recipe.needle.tube_step_m * (3 if wide else 1))
        return self._give_up("no_contact", "no contact was seen; look at the needle")

    def _give_up(self, ended: str, why: str) -> str:
        self.ended, self.why = ended, why
        return "over"

    def end_by(self, error: Exception) -> str:
        ways: tuple[tuple[type[Exception], str], ...] = ((DoseRefused, "dose"), (InterlockRefused, "held"))
        return self._give_up(next((name for kind, name in ways if isinstance(error, kind)), "lost"), str(error))

    def _pixel_m(self, current_a: float) -> float:
        """With which a scan gives the dose rate asked for, averaged over its field and time, the ends of its lines with
        the beam blanked included: s I / (e N p^2), s the share of a line that is in the field."""
        pictures, timing = self.recipe.pictures, self.facts.timing
        rows, columns = pictures.shape
        line_s = (columns + timing.settle_px) * pictures.dwell_s + timing.flyback_s
        share = columns * pictures.dwell_s / line_s
        per_m2_s = self.recipe.dose_rate_e_per_a2_s * 1e20
        return math.sqrt(share * current_a / (ELEMENTARY_CHARGE_C * rows * columns * per_m2_s))
