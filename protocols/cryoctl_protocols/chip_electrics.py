"""The electrical half of chip biasing: curves, what the beam adds, and the point of maximum power, followed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoctl.errors import StepLost
from cryoctl.steps import (
    ApplyBias,
    BiasRead,
    ComputeTrace,
    Conclude,
    MeasureOpenCircuit,
    ReadBias,
    RestBias,
    SetLight,
    StartWaveform,
    Wait,
    WaveformStarted,
)
from cryoctl.steps.waveform import constant_voltage
from cryoctl_protocols.blocks import Block
from cryoctl_protocols.chip_recipe import ChipBiasingParameters, Sweep
from cryoctl_protocols.ending import bias_went_off

CURVES = "analysis.jv:jv_curves"
DARK = "analysis.jv:dark_current"
HELD = "analysis.jv:held_power"
BEAM = "analysis.jv:beam_current"

_MARGIN_S = 0.5
"""After the end of a waveform: until then its last samples are there."""
_WATCHED_S = 20.0
"""At most between two looks at a source that plays by itself."""
QUIET_S = 1.0
"""Of rows with the beam blanked before and after it is open."""
_SETTLED_S = 0.2
"""After a change of voltage; what a source needs for it."""
_UNCLEAR_SIGMAS = 1.0
"""A difference of powers below this says nothing of the way to go."""


class BiasWentOff(StepLost):
    """`by` as in `BiasRead.stopped_by`; `ended` is the trigger of the last state."""

    def __init__(self, by: str) -> None:
        self.ended, why = bias_went_off(by)
        super().__init__(why)


def _is_on(read: BiasRead) -> bool:
    """False where a waveform has come to its end. Raises `BiasWentOff` where something else switched the output off."""
    if not read.output_on and read.stopped_by != "complete":
        raise BiasWentOff(read.stopped_by)
    return read.output_on


@dataclass(slots=True, kw_only=True)
class Curves:
    """Columns of all sweeps so far."""

    columns: dict[str, list[Any]] = field(default_factory=dict[str, list[Any]])

    def add(self, when: str, light_w_per_m2: float, values: Mapping[str, Any]) -> None:
        rows = len(values.get("direction", ()))
        told = {"when": [when] * rows, "light_w_per_m2": [light_w_per_m2] * rows, **values}
        for name, column in told.items():
            self.columns.setdefault(name, []).extend(column)

    def mean(self, when: str, name: str) -> float:
        """Over the sweeps made then; NaN where none has it."""
        pairs = zip(self.columns.get("when", ()), self.columns.get(name, ()), strict=True)
        found = [float(value) for at, value in pairs if at == when and math.isfinite(value)]
        return math.fsum(found) / len(found) if found else math.nan


class CellElectrics:
    """Asks the source and keeps what it told."""

    def __init__(self, recipe: ChipBiasingParameters) -> None:
        self._recipe = recipe
        self.curves = Curves()
        self.offset_a = 0.0
        self.offset_sigma_a = 0.0

    def dark(self) -> Block[None]:
        """The offset of the current, which all curves have taken off."""
        yield from SetLight(irradiance_w_per_m2=0.0)
        sweep = self._recipe.sweep.model_copy(update={"cycles": 1})
        began = yield from self._played(sweep)
        found = (yield from ComputeTrace(function=DARK, since_s=began.began_s, until_s=began.ends_s)).values
        if math.isfinite(float(found["offset_a"])):
            self.offset_a, self.offset_sigma_a = float(found["offset_a"]), float(found["offset_a_sigma"])
        yield from Conclude(name="dark", values=dict(found))

    def sweep(self, when: str) -> Block[None]:
        """Open-circuit voltage and curves in the light, kept as of this part of the run."""
        recipe = self._recipe
        light = yield from SetLight(irradiance_w_per_m2=recipe.light_w_per_m2)
        yield from Wait(duration_s=recipe.sweep.settle_s, reason="the cell settles in the light")
        open_v = yield from MeasureOpenCircuit()
        began = yield from self._played(recipe.sweep)
        for cycle in range(recipe.sweep.cycles):
            since_s = began.began_s + recipe.sweep.settle_s + cycle * recipe.sweep.cycle_s()
            found = yield from ComputeTrace(
                function=CURVES,
                since_s=since_s,
                until_s=since_s + recipe.sweep.cycle_s(),
                arguments={
                    "offset_a": self.offset_a,
                    "offset_sigma_a": self.offset_sigma_a,
                    "area_m2": recipe.sweep.area_m2,
                },
            )
            self.curves.add(when, light.irradiance_w_per_m2, found.values)
        told = {**self.curves.columns, f"open_circuit_{when}_v": open_v.voltage_v}
        yield from Conclude(name="jv", values=told)

    def _played(self, sweep: Sweep) -> Block[WaveformStarted]:
        """A sweep to its end, with as much of its samples as there will be. Raises `BiasWentOff`."""
        began = yield from StartWaveform(waveform=sweep.played(), sample_interval_s=self._recipe.bias.sample_interval_s)
        left_s = began.ends_s - began.began_s + _MARGIN_S
        while left_s > 0:
            wait_s = min(left_s, _WATCHED_S)
            yield from Wait(duration_s=wait_s, reason="a current-voltage curve")
            left_s -= wait_s
            _is_on((yield from ReadBias()))
        return began

    def beam_on(self, expose: Block[tuple[float, float]]) -> Block[Mapping[str, Any]]:
        """What the beam adds at 0 V in the dark, while `expose` opens it; concluded as `ebic`. Raises
        `BiasWentOff`."""
        yield from SetLight(irradiance_w_per_m2=0.0)
        yield from ApplyBias(voltage_v=0.0, sample_interval_s=self._recipe.bias.sample_interval_s, switch_on=True)
        yield from Wait(duration_s=_SETTLED_S, reason="the source settles")
        quiet = yield from Wait(duration_s=QUIET_S, reason="the cell without the beam")
        began_s, lasted_s = yield from expose
        over = yield from Wait(duration_s=QUIET_S, reason="the cell without the beam")
        read = yield from ReadBias()
        if not read.output_on:
            raise BiasWentOff(read.stopped_by)
        found = yield from ComputeTrace(
            function=BEAM, since_s=quiet.time_s - QUIET_S, until_s=max(over.time_s, began_s + lasted_s)
        )
        yield from RestBias()
        return found.values


class PowerPoint:
    """Perturb and observe: a voltage is changed, and changed further that way as long as the power grows.

    `voltage_v` is what to apply next. Each turn halves the change down to its least, two gains in a row let it grow
    again, so that a point that wanders is followed.
    """

    def __init__(self, start_v: float, *, step_v: float, least_step_v: float, limit_v: float) -> None:
        self.voltage_v = start_v
        self._step_v = step_v
        self._most_v = step_v
        self._least_v = least_step_v
        self._limit_v = limit_v
        self._way = 1.0
        self._gains = 0
        self._last: tuple[float, float] | None = None

    def observe(self, power_w: float, sigma_w: float) -> None:
        """The power at `voltage_v`."""
        if not math.isfinite(power_w):
            return
        if self._last is not None:
            gained_w, noise_w = power_w - self._last[0], math.hypot(sigma_w, self._last[1])
            if gained_w < -_UNCLEAR_SIGMAS * noise_w:
                self._way, self._gains = -self._way, 0
                self._step_v = max(self._step_v / 2, self._least_v)
            elif gained_w > _UNCLEAR_SIGMAS * noise_w:
                self._gains += 1
                if self._gains >= 3:
                    self._step_v = min(self._step_v * 1.5, self._most_v)
            else:
                self._gains = 0
                self._step_v = max(self._step_v / 2, self._least_v)
        self._last = (power_w, sigma_w)
        wanted = self.voltage_v + self._way * self._step_v
        if abs(wanted) > self._limit_v:
            self._way = -self._way
            wanted = self.voltage_v + self._way * self._step_v
        self.voltage_v = wanted


class Hold:
    """The cell in the light, its voltage held or its maximum power followed; `began_s` NaN before."""

    def __init__(self, recipe: ChipBiasingParameters, electrics: CellElectrics) -> None:
        self._recipe = recipe
        self._electrics = electrics
        self._point: PowerPoint | None = None
        self.began_s = math.nan
        self._ends_s = math.inf
        """When the source goes off by itself."""
        self.columns: dict[str, list[float]] = {}

    def biased_s(self, time_s: float) -> float:
        """Seconds under bias until then (s of the run), 0 before."""
        return max(0.0, min(time_s, self._ends_s) - self.began_s) if math.isfinite(self.began_s) else 0.0

    def still_on(self) -> Block[bool]:
        """False where it has come to its planned end; raises `BiasWentOff` where anything else took the bias off."""
        return _is_on((yield from ReadBias()))

    def begin(self) -> Block[float]:
        """Gives when (s of the run)."""
        recipe, bias = self._recipe, self._recipe.bias
        yield from SetLight(irradiance_w_per_m2=recipe.light_w_per_m2)
        if bias.hold == "constant-voltage":
            longer_s = bias.dwell_s + _WATCHED_S  # the last dwell and its pictures end after the hold has
            waveform = constant_voltage(bias.voltage_v, bias.duration_s + longer_s)
            began = yield from StartWaveform(waveform=waveform, sample_interval_s=bias.sample_interval_s)
            self.began_s, self._ends_s = began.began_s, began.ends_s
            return self.began_s
        told_v = self._electrics.curves.mean("before", "mpp_v")
        start_v = told_v if math.isfinite(told_v) else bias.voltage_v
        self._point = PowerPoint(
            start_v, step_v=bias.step_v, least_step_v=bias.least_step_v, limit_v=recipe.bias.limit_v
        )
        applied = yield from ApplyBias(voltage_v=start_v, sample_interval_s=bias.sample_interval_s, switch_on=True)
        self.began_s = applied.time_s
        return self.began_s

    def dwell(self, since_s: float) -> Block[float]:
        """At one voltage from `since_s` on for a dwell, its power kept, and to the next voltage; gives the time (s of
        the run). Raises `BiasWentOff`."""
        bias = self._recipe.bias
        waited = yield from Wait(duration_s=bias.dwell_s, reason="the cell is held")
        read = yield from ReadBias()
        if not _is_on(read):
            return read.time_s
        found = (
            yield from ComputeTrace(
                function=HELD,
                since_s=since_s,
                until_s=waited.time_s,
                arguments={"offset_a": self._electrics.offset_a, "settle_s": bias.dwell_s / 2},
            )
        ).values
        row = {"time_s": (since_s + waited.time_s) / 2, **{name: float(value) for name, value in found.items()}}
        for name, value in row.items():
            self.columns.setdefault(name, []).append(value)
        if self._point is None:
            return read.time_s
        self._point.observe(float(found["power_w"]), float(found["power_w_sigma"]))
        try:
            applied = yield from ApplyBias(voltage_v=self._point.voltage_v)
        except StepLost as lost:  # a pause came in between
            read = yield from ReadBias()
            if read.output_on:
                raise
            raise BiasWentOff(read.stopped_by) from lost
        return applied.time_s

    def told(self) -> dict[str, Any]:
        """For /results/hold."""
        powers = [value for value in self.columns.get("power_w", ()) if math.isfinite(value)]
        mean_w = math.fsum(powers) / len(powers) if powers else math.nan
        sigmas = [value for value in self.columns.get("power_w_sigma", ()) if math.isfinite(value)]
        noise_w = math.sqrt(math.fsum(one**2 for one in sigmas)) / len(sigmas) if sigmas else math.nan
        voltages = [value for value in self.columns.get("voltage_v", ()) if math.isfinite(value)]
        offset_w = self._electrics.offset_sigma_a * abs(voltages[-1]) if voltages else math.nan
        return {
            "kind": self._recipe.bias.hold,
            **self.columns,
            "mean_power_w": mean_w,
            "mean_power_w_sigma": math.hypot(noise_w, offset_w),
        }
