"""Settings of an ANC300: which axis is which, what it is driven with, and how far that goes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from cryoctl.units import Farads, Hertz, Metres, MetresPerVolt, Seconds, Volts
from cryoctl_drivers.piezo_needle import NeedleDriveSettings

Axis = Annotated[int, Field(ge=1, le=7)]
Sign = Literal[-1, 1]
Gain = Annotated[MetresPerVolt, Field(gt=0, le=1e-6)]
StepVolts = Annotated[Volts, Field(gt=0, le=150)]
StepHertz = Annotated[Hertz, Field(ge=1, le=10_000)]


class AttocubeSettings(NeedleDriveSettings):
    """Three numbers are those of x, y and z in the specimen's frame."""

    password: str = "123456"
    """Of the network console, as it leaves the factory."""
    password_variable: str = ""
    """Environment variable that holds the password instead; settings are copied into every run file."""
    step_axes: tuple[Axis, Axis, Axis] = (1, 2, 3)
    step_signs: tuple[Sign, Sign, Sign] = (1, 1, 1)
    """1 where `stepu` goes towards plus."""
    step_frequency_hz: tuple[StepHertz, StepHertz, StepHertz] = (500.0, 500.0, 500.0)
    """Whole numbers: it takes no others."""
    step_voltage_v: tuple[StepVolts, StepVolts, StepVolts] = (30.0, 30.0, 30.0)
    coarse_step_m: tuple[Metres, Metres] = (20e-9, 500e-9)
    """Shortest and longest single step at this voltage, whatever the direction, warm or cold."""
    burst_s: Annotated[Seconds, Field(ge=1e-3, le=0.1)] = 0.05
    """Longest motion that is sent at once."""
    fine_axes: tuple[Axis, Axis, Axis] = (4, 5, 6)
    fine_signs: tuple[Sign, Sign, Sign] = (1, 1, 1)
    """1 where more voltage goes towards plus."""
    fine_m_per_v: tuple[Gain, Gain, Gain] = (3.3e-8, 3.3e-8, 3.3e-8)
    fine_sigma_rel: Annotated[float, Field(ge=0, le=0.3)] = 0.1
    """Of fine_m_per_v (one sigma), hysteresis included."""
    fine_voltage_v: tuple[Annotated[Volts, Field(ge=0, le=150)], Annotated[Volts, Field(ge=0, le=150)]] = (0.0, 150.0)
    """Within which the offset may be; at a low temperature the piezo may take another range than the output has."""
    rest_v: Annotated[Volts, Field(ge=0, le=150)] = 75.0
    """The offset that is the fine set point 0."""
    capacitance_farad: tuple[Farads, Farads] = (1e-9, 10e-6)
    """What a connected piezo measures (cold, some tenths of warm); a cable that is not plugged in is below."""

    @model_validator(mode="after")
    def _is_a_needle(self) -> AttocubeSettings:
        axes = (*self.step_axes, *self.fine_axes)
        if len(set(axes)) < len(axes):
            raise ValueError(f"step_axes and fine_axes: found {axes}, allowed are six different ones of 1 to 7")
        if any(one != round(one) for one in self.step_frequency_hz):
            raise ValueError(f"step_frequency_hz: found {self.step_frequency_hz}, allowed are whole numbers")
        low_v, high_v = self.fine_voltage_v
        if not low_v <= self.rest_v <= high_v or low_v == high_v:
            raise ValueError(
                f"rest_v: found {self.rest_v:g} V, allowed is within fine_voltage_v {low_v:g} to {high_v:g} V"
            )
        if not 0 < self.coarse_step_m[0] <= self.coarse_step_m[1]:
            raise ValueError(f"coarse_step_m: found {self.coarse_step_m}, allowed is a shortest above 0 and a longest")
        return self

    @property
    def fine_range_m(self) -> tuple[float, float]:
        """What all three axes reach."""
        low_v, high_v = self.fine_voltage_v
        ends = [
            sorted((sign * gain * (low_v - self.rest_v), sign * gain * (high_v - self.rest_v)))
            for sign, gain in zip(self.fine_signs, self.fine_m_per_v, strict=True)
        ]
        return max(low for low, _ in ends), min(high for _, high in ends)

    @property
    def grounded_m(self) -> tuple[float, float, float]:
        x_m, y_m, z_m = (-s * gain * self.rest_v for s, gain in zip(self.fine_signs, self.fine_m_per_v, strict=True))
        return (x_m, y_m, z_m)

    def offset_v(self, axis: int, fine_m: float) -> float:
        """Of a fine set point on one axis (0 to 2)."""
        return self.rest_v + self.fine_signs[axis] * fine_m / self.fine_m_per_v[axis]

    def fine_m(self, axis: int, offset_v: float) -> float:
        return self.fine_signs[axis] * (offset_v - self.rest_v) * self.fine_m_per_v[axis]
