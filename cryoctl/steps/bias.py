"""Steps for the biasing source. Whatever switches its output on is never repeated by a resume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from cryoctl.interfaces.waveform import Waveform
from cryoctl.steps.base import Step


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasLimitsSet:
    """As read back. `open_circuit_v` is the voltage of what is connected, to which the source ramps before it rests."""

    voltage_limit_v: float
    compliance_a: float
    off_mode: str
    open_circuit_v: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class SetBiasLimits(Step[BiasLimitsSet]):
    """The source's own limits to either side, with its output off; how it rests is set with them."""

    voltage_limit_v: float
    compliance_a: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCircuit:
    voltage_v: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasureOpenCircuit(Step[OpenCircuit]):
    """With the output off, so that no current is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasRead:
    """`stopped_by` tells why the bias went off last: complete, rest, compliance, restarted, or what else stopped it (a
    pause, an interlock, a lost link); empty while it is on, and before it was on for the first time.

    `charge_c` is what has flowed since it was last switched on, with its two-sigma bound `charge_bound_c`: smaller
    charges than that can't be told from offset and noise.
    """

    voltage_v: float
    current_a: float
    in_compliance: bool
    output_on: bool
    playing: bool
    stopped_by: str
    charge_c: float
    charge_bound_c: float
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadBias(Step[BiasRead]):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyBias(Step[BiasRead]):
    """A voltage or a current, held until another step changes it; for what a protocol controls by itself. What the
    source can play alone, and end alone when nobody is there any more, is better a waveform."""

    on_interrupt: ClassVar[str] = "never"

    voltage_v: float | None = None
    current_a: float | None = None
    sample_interval_s: float | None = None
    """None: the source's shortest."""
    switch_on: bool = False
    """Whether it may switch the output on. Without, what is on is changed, and `StepLost` is raised where a pause, an
    interlock or a resume has switched it off: a bias that was stopped does not come back by a change of its voltage."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveformStarted:
    """Times of the run; at `ends_s` at the latest the source switches off by itself."""

    began_s: float
    ends_s: float
    sample_interval_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StartWaveform(Step[WaveformStarted]):
    """The source plays it by itself while other steps go on. A pause, an abort or a resume stops it, and nothing but
    another such step starts one again: see `BiasRead.stopped_by`."""

    on_interrupt: ClassVar[str] = "never"

    waveform: Waveform
    sample_interval_s: float | None = None
    """None: the source's shortest."""
    probing: bool = False
    """A look at a contact, within the protocol's `probe_v` and `probe_a` in contact as well: it does not count as when
    the bias came on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BiasAtRest:
    """Read back. `open_circuit_v` is the voltage of what is connected afterwards; `stopped_by` as in `BiasRead`."""

    off_mode: str
    open_circuit_v: float
    stopped_by: str
    time_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StopWaveform(Step[BiasAtRest]):
    """End a waveform, played to its end or not, and rest."""

    on_interrupt: ClassVar[str] = "never"


@dataclass(frozen=True, slots=True, kw_only=True)
class RestBias(Step[BiasAtRest]):
    """Ramp to the open-circuit voltage that was found with the limits, output off in high impedance, verified."""
