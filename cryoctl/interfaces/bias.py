"""Biasing source: limits are its own settings, read back with the output off; rest is high impedance.

A waveform is played by the source itself and ends by itself. While its output is on it samples at its own rate into its
own buffer, with time stamps of its own clock.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from cryoctl.interfaces.device import Device
from cryoctl.interfaces.recording import RecordedDevice
from cryoctl.interfaces.waveform import Waveform

FloatArray = npt.NDArray[np.float64]


class OffMode(StrEnum):
    """What the terminals are while the output is off. At 0 V a battery is shorted and goes on reacting."""

    HIGH_IMPEDANCE = "high-impedance"
    ZERO_VOLTS = "zero-volts"


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasCapabilities:
    """`clock_drift_rel` bounds how much faster or slower than true its clock may run."""

    voltage_range_v: tuple[float, float]
    current_range_a: tuple[float, float]
    has_high_impedance_off: bool
    sample_interval_s: tuple[float, float] = (0.02, 3600.0)
    buffer_samples: int = 10000
    clock_drift_rel: float = 2e-4
    longest_waveform_s: float = math.inf
    """That it plays."""
    least_compliance_a: float = 0.0
    """That it can hold."""
    offset_a: float = 0.0
    """Bound of what it reads with nothing connected, in its least current range."""

    @property
    def largest_v(self) -> float:
        """That it can hold as a limit, to either side."""
        low_v, high_v = self.voltage_range_v
        return min(-low_v, high_v)


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasLimits:
    """The source holds both by itself, in either direction: in current control the voltage, else the current."""

    voltage_limit_v: float
    compliance_a: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasRest:
    """How it rests. `voltage_v` is what it ramps to before it switches off; None where the cell's own voltage is not
    known: then it does not ramp but for a source without high impedance, which goes to 0 V."""

    off_mode: OffMode = OffMode.HIGH_IMPEDANCE
    voltage_v: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasReading:
    voltage_v: float
    current_a: float
    in_compliance: bool
    output_on: bool
    time_s: float
    """Time stamp of the source's own clock."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasStatus:
    """`restarted`: it was switched on since its limits were last set, and has lost them.

    `ended` tells why the output went off by itself: complete (its waveform was over), compliance (it tripped), or empty
    where it is on or was told to switch off.
    """

    output_on: bool
    off_mode: OffMode
    limits: BiasLimits
    playing: bool = False
    ended: str = ""
    restarted: bool = False


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class BiasSamples:
    """Samples in their order, numbered from 0 since the source was switched on; `first` is the number of the first.

    Time stamps are of the source's own clock, at the middle of the integration. `total` counts all so far: where it is
    smaller than it was, the source was switched on anew.
    """

    first: int
    total: int
    time_s: FloatArray = field(default_factory=lambda: np.zeros(0))
    voltage_v: FloatArray = field(default_factory=lambda: np.zeros(0))
    current_a: FloatArray = field(default_factory=lambda: np.zeros(0))
    in_compliance: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=np.bool_))


@runtime_checkable
class BiasSource(Device, Protocol):
    @property
    def capabilities(self) -> BiasCapabilities: ...

    async def set_limits(self, limits: BiasLimits) -> BiasLimits:
        """Only with the output off; read back. Raises `OutOfRange`."""
        ...

    async def set_rest(self, rest: BiasRest) -> OffMode:
        """Only with the output off; the off mode as it reads back. Raises `OutOfRange` for one that it has not."""
        ...

    async def set_voltage(self, voltage_v: float) -> float:
        """Set point of voltage control, read back; beyond the limits raises `OutOfRange` and changes nothing."""
        ...

    async def set_current(self, current_a: float) -> float:
        """Set point of current control, read back; beyond the limits raises `OutOfRange` and changes nothing."""
        ...

    async def output(self, on: bool) -> bool:
        """Switch the output; ends a waveform. Returns what it reads back."""
        ...

    async def start_waveform(self, waveform: Waveform, sample_interval_s: float | None = None) -> float:
        """Begin to play from its first value on, output on; at its end, and where it is stopped, the source switches
        off by itself. Returns the sampling interval that it really has (None: its shortest).

        Raises:
            OutOfRange: beyond the limits that are set; nothing was changed.
            Refused: its output is on.
        """
        ...

    async def sample_every(self, interval_s: float | None) -> float:
        """The interval (None: its shortest) at which it samples whenever its output is on; gives the one it has."""
        ...

    async def samples(self, since: int) -> BiasSamples:
        """What its buffer still holds from this number on; nothing is removed."""
        ...

    async def clock_s(self) -> float:
        """Its own clock, answered as fast as it can."""
        ...

    async def status(self) -> BiasStatus:
        """As the source itself says now."""
        ...

    async def open_circuit_voltage(self) -> float:
        """Voltage of what is connected while no current is drawn; only with the output off.

        Raises:
            Refused: the output is on.
        """
        ...

    async def read(self) -> BiasReading: ...

    async def cut_off(self) -> None:
        """The second way of switching off, for a source that does not answer: its interlock line or a relay.

        Raises:
            DeviceError: there is none, or it reads back closed.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedBias:
    """Something that a recorded source did or was read to do. `kind` is that of a journal's record: `samples`, `clock`
    or `event`, with the record's own `fields`; `time_s` is when, in s since the start of the run."""

    time_s: float
    kind: str
    fields: Mapping[str, Any]


@runtime_checkable
class RecordedSource(RecordedDevice, Protocol):
    """A source of recorded data."""

    def met(self, interlock: str) -> str:
        """What the interlock `source` or `compliance` found at this moment of the recording, empty where nothing."""
        ...

    def told(self) -> Sequence[RecordedBias]:
        """What was recorded of it until this moment, in its order, each once."""
        ...

    def asked_alike(self, kind: str, asked: Mapping[str, Any]) -> bool:
        """Whether the next recorded step of this kind, if there is one, had these fields."""
        ...
