"""A biasing source that does what it is told on a cell that draws nothing; what it would refuse is told."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from cryoctl.errors import RecipeError, StepLost
from cryoctl.interfaces.bias import BiasCapabilities, OffMode
from cryoctl.interfaces.waveform import Waveform
from cryoctl.steps import (
    ApplyBias,
    BiasAtRest,
    BiasLimitsSet,
    BiasRead,
    MeasureOpenCircuit,
    OpenCircuit,
    ReadBias,
    RestBias,
    SetBiasLimits,
    StartWaveform,
    StopWaveform,
    WaveformStarted,
)

_SLACK = 1e-6


class StatedSource:
    """Answers the source's steps, which take no time.

    Args:
        allowed: of the source, within what the operator allows; None where there is none.
        time_s: gives the run's time (s).
    """

    def __init__(self, allowed: BiasCapabilities | None, time_s: Callable[[], float]) -> None:
        self._allowed = allowed
        self._time_s = time_s
        self._limits: SetBiasLimits | None = None
        self._held: float | None = None
        self._waveform: Waveform | None = None
        self._began_s = 0.0
        self._stopped_by = ""
        self.table: dict[type[Any], Callable[[Any], Any]] = {
            ApplyBias: self._apply,
            MeasureOpenCircuit: self._measure_open_circuit,
            ReadBias: self._read,
            RestBias: self._rest,
            SetBiasLimits: self._set_limits,
            StartWaveform: self._start,
            StopWaveform: self._rest,
        }

    def _set_limits(self, step: SetBiasLimits) -> BiasLimitsSet:
        allowed = self._source()
        for name, found, most, unit in (
            ("limit_v", step.voltage_limit_v, allowed.largest_v, "V"),
            ("compliance_a", step.compliance_a, allowed.current_range_a[1], "A"),
        ):
            if not 0 < found <= most * (1 + _SLACK):
                raise RecipeError(
                    f"bias.{name}: found {found:g} {unit}, allowed is above 0 and up to {most:g} {unit}, which the "
                    "source and the instrument file set: choose another limit"
                )
        self._limits = step
        return BiasLimitsSet(
            voltage_limit_v=step.voltage_limit_v,
            compliance_a=step.compliance_a,
            off_mode=self._mode(),
            open_circuit_v=0.0,
            time_s=self._time_s(),
        )

    def _measure_open_circuit(self, step: MeasureOpenCircuit) -> OpenCircuit:
        del step
        self._source()
        return OpenCircuit(voltage_v=0.0, time_s=self._time_s())

    def _apply(self, step: ApplyBias) -> BiasRead:
        if not (step.switch_on or self._read(ReadBias()).output_on):
            raise StepLost(f"ApplyBias: the output is off ({self._stopped_by or 'it was never on'})")
        self._check(step.voltage_v or 0.0, step.current_a or 0.0, step.sample_interval_s)
        self._held, self._waveform, self._stopped_by = step.voltage_v or 0.0, None, ""
        return self._read(ReadBias())

    def _start(self, step: StartWaveform) -> WaveformStarted:
        one = step.waveform
        interval_s = self._check(one.peak_v, one.peak_a, step.sample_interval_s)
        self._held, self._waveform, self._began_s, self._stopped_by = None, one, self._time_s(), ""
        return WaveformStarted(
            began_s=self._began_s, ends_s=self._began_s + one.duration_s, sample_interval_s=interval_s
        )

    def _check(self, voltage_v: float, current_a: float, interval_s: float | None) -> float:
        allowed, limits = self._source(), self._limits
        if limits is None:
            raise RecipeError("bias: no limits were set before the output is switched on: add SetBiasLimits before it")
        within_v = abs(voltage_v) <= limits.voltage_limit_v * (1 + _SLACK)
        if not (within_v and abs(current_a) <= limits.compliance_a * (1 + _SLACK)):
            raise RecipeError(
                f"bias: {voltage_v:g} V and {current_a:g} A are asked for, the limits set before are "
                f"{limits.voltage_limit_v:g} V and {limits.compliance_a:g} A: lower the bias or raise the limits"
            )
        least_s, most_s = allowed.sample_interval_s
        if interval_s is not None and not least_s * (1 - _SLACK) <= interval_s <= most_s:
            raise RecipeError(
                f"bias.sample_interval_s: found {interval_s:g} s, the source can sample every {least_s:g} to "
                f"{most_s:g} s: choose one of these"
            )
        return least_s if interval_s is None else interval_s

    def _read(self, step: ReadBias) -> BiasRead:
        del step
        self._source()
        voltage_v, playing = self._held, False
        if self._waveform is not None:
            at = self._waveform.at(self._time_s() - self._began_s)
            if at is None:
                self._waveform, self._stopped_by = None, "complete"
            else:
                voltage_v, playing = (at[1] if at[0] == "voltage" else 0.0), True
        return BiasRead(
            voltage_v=voltage_v or 0.0,
            current_a=0.0,
            in_compliance=False,
            output_on=voltage_v is not None,
            playing=playing,
            stopped_by=self._stopped_by,
            charge_c=0.0,
            charge_bound_c=math.inf,
            time_s=self._time_s(),
        )

    def _rest(self, step: RestBias | StopWaveform) -> BiasAtRest:
        del step
        if self._read(ReadBias()).output_on:
            self._stopped_by = "rest"
        self._held = self._waveform = None
        return BiasAtRest(off_mode=self._mode(), open_circuit_v=0.0, stopped_by=self._stopped_by, time_s=self._time_s())

    def _mode(self) -> str:
        has = self._source().has_high_impedance_off
        return (OffMode.HIGH_IMPEDANCE if has else OffMode.ZERO_VOLTS).value

    def _source(self) -> BiasCapabilities:
        if self._allowed is None:
            raise RecipeError("bias: the instrument file has no biasing source: name an instrument that has one")
        return self._allowed
