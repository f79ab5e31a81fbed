"""What a recipe can say of a bias: its waveform in the forms that people speak of, and the limits that hold it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from cryoctl.errors import RecipeError
from cryoctl.protocol import InstrumentFacts
from cryoctl.steps import waveform as forms
from cryoctl.units import Amperes, Seconds, StrictModel, Volts, VoltsPerSecond
from cryoctl_protocols.parameters import Interlocks, Policy

_SLACK = 1e-9
_AMPLE_S = Field(gt=0.0, le=30 * 86400.0)
_MOST_CYCLES = 100_000
Cycles = Annotated[int, Field(ge=1, le=_MOST_CYCLES, strict=True)]


class _Form(StrictModel):
    def played(self, voltage_v: float) -> forms.Waveform:
        """As the source plays it.

        Args:
            voltage_v: of the recipe, where the form names none of its own.

        Raises:
            RecipeError: one sentence.
        """
        raise NotImplementedError


class ConstantVoltage(_Form):
    """One voltage for a time."""

    scheme: Literal["constant-voltage"] = "constant-voltage"
    duration_s: Annotated[Seconds, _AMPLE_S] = 600.0
    """At its end the source switches off by itself."""

    def played(self, voltage_v: float) -> forms.Waveform:
        return forms.constant_voltage(voltage_v, self.duration_s)


class ConstantCurrent(_Form):
    """One current for a time; the voltage is what it needs, up to `limit_v`."""

    scheme: Literal["constant-current"] = "constant-current"
    current_a: Amperes
    """Below 0 in the other direction; within `compliance_a`."""
    duration_s: Annotated[Seconds, _AMPLE_S] = 600.0

    def played(self, voltage_v: float) -> forms.Waveform:
        del voltage_v
        return forms.constant_current(self.current_a, self.duration_s)


class Ramp(_Form):
    """From one voltage to `voltage_v` at a rate, and held there."""

    scheme: Literal["ramp"] = "ramp"
    start_v: Volts = 0.0
    rate_v_per_s: Annotated[VoltsPerSecond, Field(gt=0.0)] = 0.1
    hold_s: Annotated[Seconds, Field(ge=0.0)] = 0.0

    def played(self, voltage_v: float) -> forms.Waveform:
        return forms.ramp(self.start_v, voltage_v, self.rate_v_per_s, self.hold_s)


class Steps(_Form):
    """One level after the other."""

    scheme: Literal["steps"] = "steps"
    levels_v: Annotated[tuple[Volts, ...], Field(min_length=1, max_length=1000)]
    dwell_s: Annotated[Seconds, _AMPLE_S] = 10.0
    """At each level."""

    def played(self, voltage_v: float) -> forms.Waveform:
        del voltage_v
        return forms.steps(self.levels_v, self.dwell_s)


class Pulses(_Form):
    """Pulses of `voltage_v` on a base."""

    scheme: Literal["pulses"] = "pulses"
    base_v: Volts = 0.0
    width_s: Annotated[Seconds, _AMPLE_S] = 1.0
    period_s: Annotated[Seconds, _AMPLE_S] = 10.0
    """Longer than the pulse, which it begins with."""
    count: Cycles = 10

    def played(self, voltage_v: float) -> forms.Waveform:
        return forms.pulses(self.base_v, voltage_v, self.width_s, self.period_s, self.count)


class CyclicVoltammetry(_Form):
    """From the start to the first vertex, to the second, and back, again and again."""

    scheme: Literal["cyclic-voltammetry"] = "cyclic-voltammetry"
    start_v: Volts = 0.0
    first_v: Volts
    second_v: Volts
    rate_v_per_s: Annotated[VoltsPerSecond, Field(gt=0.0)] = 0.05
    cycles: Cycles = 1

    def played(self, voltage_v: float) -> forms.Waveform:
        del voltage_v
        return forms.cyclic_voltammetry(self.start_v, self.first_v, self.second_v, self.rate_v_per_s, self.cycles)


class GalvanostaticCycling(_Form):
    """A current until one voltage is reached, its reverse until the other is."""

    scheme: Literal["galvanostatic-cycling"] = "galvanostatic-cycling"
    current_a: Amperes
    """Above 0: to `high_v` first."""
    low_v: Volts
    high_v: Volts
    longest_s: Annotated[Seconds, _AMPLE_S] = 3600.0
    """A half cycle that has not reached its limit ends then."""
    rest_s: Annotated[Seconds, Field(ge=0.0)] = 0.0
    """Without current after each half cycle."""
    cycles: Cycles = 1

    def played(self, voltage_v: float) -> forms.Waveform:
        del voltage_v
        return forms.galvanostatic_cycling(
            self.current_a, self.low_v, self.high_v, self.longest_s, self.cycles, self.rest_s
        )


class OpenCircuit(_Form):
    """No current is drawn; the cell's own voltage is sampled."""

    scheme: Literal["open-circuit"] = "open-circuit"
    duration_s: Annotated[Seconds, _AMPLE_S] = 600.0

    def played(self, voltage_v: float) -> forms.Waveform:
        del voltage_v
        return forms.open_circuit(self.duration_s)


class Points(_Form):
    """Straight lines between times and voltages, or times and currents."""

    scheme: Literal["points"] = "points"
    times_s: Annotated[tuple[Seconds, ...], Field(min_length=2, max_length=1000)]
    """From 0 on, each later than the one before."""
    voltages_v: tuple[Volts, ...] | None = None
    """One a time; or `currents_a`."""
    currents_a: tuple[Amperes, ...] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Points:
        if (self.voltages_v is None) == (self.currents_a is None):
            raise ValueError("voltages_v and currents_a: one of them is wanted, not both and not neither")
        return self

    def played(self, voltage_v: float) -> forms.Waveform:
        del voltage_v
        if self.voltages_v is not None:
            return forms.points(self.times_s, self.voltages_v, "voltage")
        return forms.points(self.times_s, self.currents_a or (), "current")


def _default_scheme(value: Any) -> Any:
    """What passes through here is no longer JSON to pydantic: strict, it then takes tuples for tuples only."""
    if not isinstance(value, dict):
        return value
    fields = {key: tuple(one) if isinstance(one, list) else one for key, one in value.items()}
    return {"scheme": "constant-voltage", **fields}


AnyForm = (
    ConstantVoltage
    | ConstantCurrent
    | Ramp
    | Steps
    | Pulses
    | CyclicVoltammetry
    | GalvanostaticCycling
    | OpenCircuit
    | Points
)
AnyWaveform = Annotated[
    Annotated[AnyForm, Field(discriminator="scheme")],
    BeforeValidator(_default_scheme),
]
"""The scheme decides which other fields there are; constant-voltage where none is named."""


class Bias(StrictModel):
    """Limits are the source's own, set and read back before its output is switched on."""

    voltage_v: Volts = 2.0
    """Of a constant voltage, of pulses, and at the end of a ramp; below 0 in the other direction."""
    limit_v: Annotated[Volts, Field(gt=0.0)] = 5.0
    """Never more to either side, whatever is controlled."""
    compliance_a: Annotated[Amperes, Field(gt=0.0)] = 1e-8
    """Never more current to either side."""
    sample_interval_s: Annotated[Seconds, Field(gt=0.0)] | None = None
    """Null: as fast as the source can."""

    @model_validator(mode="after")
    def _voltage_within_its_limit(self) -> Bias:
        if abs(self.voltage_v) > self.limit_v * (1 + _SLACK):
            raise ValueError(f"voltage_v is {self.voltage_v:g} V, beyond limit_v {self.limit_v:g} V: lower it")
        return self


class BiasWaveform(Bias):
    waveform: AnyWaveform = ConstantVoltage()
    """What the source plays by itself, always bounded in time."""

    @model_validator(mode="after")
    def _waveform_within_the_limits(self) -> BiasWaveform:
        try:
            one = self.played()
        except RecipeError as error:
            raise ValueError(error.message) from error
        if one.peak_v > self.limit_v * (1 + _SLACK):
            raise ValueError(f"waveform goes to {one.peak_v:g} V, beyond limit_v {self.limit_v:g} V: lower it")
        if one.peak_a > self.compliance_a * (1 + _SLACK):
            most_a = self.compliance_a
            raise ValueError(f"waveform goes to {one.peak_a:g} A, beyond compliance_a {most_a:g} A: lower it")
        return self

    def played(self) -> forms.Waveform:
        """As the source plays it."""
        return self.waveform.played(self.voltage_v)


def check_bias(bias: Bias, facts: InstrumentFacts, prefix: str = "bias") -> None:
    """Raises `RecipeError` for what the source, or the operator's limits in the instrument file, do not allow."""
    source = facts.bias
    if source is None:
        raise RecipeError(f"{prefix}: the instrument file has no biasing source; name an instrument that has one")
    if bias.limit_v > source.largest_v * (1 + _SLACK):
        raise RecipeError(
            f"{prefix}.limit_v: found {bias.limit_v:g} V, the source and the instrument file allow up to "
            f"{source.largest_v:g} V: lower it"
        )
    most_a = source.current_range_a[1]
    if bias.compliance_a > most_a * (1 + _SLACK):
        raise RecipeError(
            f"{prefix}.compliance_a: found {bias.compliance_a:g} A, the source and the instrument file allow up to "
            f"{most_a:g} A: lower it"
        )
    if bias.compliance_a < source.least_compliance_a * (1 - _SLACK):
        raise RecipeError(
            f"{prefix}.compliance_a: found {bias.compliance_a:g} A, the source holds {source.least_compliance_a:g} A "
            "or more: raise it"
        )
    if isinstance(bias, BiasWaveform) and bias.played().duration_s > source.longest_waveform_s:
        raise RecipeError(
            f"{prefix}.waveform: takes {bias.played().duration_s:g} s, the source plays up to "
            f"{source.longest_waveform_s:g} s by itself: shorten it, or use another source"
        )
    least_s, most_s = source.sample_interval_s
    if bias.sample_interval_s is not None and not least_s * (1 - _SLACK) <= bias.sample_interval_s <= most_s:
        raise RecipeError(
            f"{prefix}.sample_interval_s: found {bias.sample_interval_s:g} s, the source samples every {least_s:g} to "
            f"{most_s:g} s: choose one of these"
        )


class BiasInterlocks(Interlocks):
    source: Policy = "secure"
    """The source switched its output off by itself, or was restarted and lost its limits."""
    compliance: Policy = "secure"
    """The source is held by one of its limits: a short, or more current than was thought."""
    compliance_s: Annotated[Seconds, Field(ge=0.0)] = 5.0
    """For how long it may be."""

    def limits(self) -> dict[str, float]:
        return {**super().limits(), "compliance_s": self.compliance_s}

    def policies(self) -> dict[str, str]:
        return {**super().policies(), "source": self.source, "compliance": self.compliance}
