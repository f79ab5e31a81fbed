"""The biasing source's steps: its limits before anything, its output only within them, its rest verified."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from cryoctl.engine.allowed import Allowed
from cryoctl.engine.compute import computed
from cryoctl.engine.monitors import Monitors
from cryoctl.engine.patience import answered
from cryoctl.engine.recorded import as_recorded, fields_of
from cryoctl.engine.recorder import Recorder
from cryoctl.errors import BadInput, InterlockRefused, ReadBackMismatch, StepLost
from cryoctl.interfaces.bias import BiasLimits, BiasRest, BiasSource, OffMode, RecordedSource
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.interfaces.needle import NeedleHold
from cryoctl.runfile.source_samples import stretch_of
from cryoctl.steps import (
    ApplyBias,
    BiasAtRest,
    BiasLimitsSet,
    BiasRead,
    Computed,
    ComputeTrace,
    MeasureOpenCircuit,
    OpenCircuit,
    ReadBias,
    RestBias,
    SetBiasLimits,
    StartWaveform,
    Step,
    StopWaveform,
    WaveformStarted,
)

LIMITS = "source-limits"
CONTACT = "needle-contact"
PROBE_V, PROBE_A = 0.05, 1e-9
"""Most that is applied without confirmed contact through a needle whose tube is live, unless the protocol says less:
one that is parked is not what a wired specimen is biased through."""
_SLACK = 1e-6
"""Relative; what a limit and its reading back lose on the way through a source's own numbers."""


class BiasDesk:
    """Carries them out.

    Args:
        refuse: tells an interlock that forbids a step, and gives what to raise.
        limits: of the protocol; with `probe_v` and `probe_a` no more than that is applied before a needle is in
            contact; without, a parked needle counts for nothing, a live one as with the usual ones.
        open_s: gives when the beam was open so far, and for how long.
    """

    def __init__(
        self,
        devices: DeviceSet,
        recorder: Recorder,
        monitors: Monitors,
        allowed: Allowed,
        refuse: Callable[[str, str], InterlockRefused],
        limits: Mapping[str, float],
        open_s: Callable[[], Sequence[tuple[float, float]]] = tuple,
    ) -> None:
        self._devices = devices
        self._recorder = recorder
        self._monitors = monitors
        self._watch = monitors.source
        self._allowed = allowed
        self._refuse = refuse
        self._open_s = open_s
        self._probe_stated = "probe_v" in limits
        self._probe_v = limits.get("probe_v", PROBE_V)
        self._probe_a = limits.get("probe_a", PROBE_A)
        actions: dict[type[Any], Callable[[Any], Awaitable[Any]]] = {
            ApplyBias: self._apply,
            ComputeTrace: self._compute,
            MeasureOpenCircuit: self._measure_open_circuit,
            ReadBias: self._read,
            RestBias: self._rest,
            SetBiasLimits: self._set_limits,
            StartWaveform: self._start,
            StopWaveform: self._stop,
        }
        self.table = actions
        if isinstance(devices.bias, RecordedSource):
            self.table = dict.fromkeys(actions, self._as_recorded)

    async def _as_recorded(self, step: Step[Any]) -> Any:
        source = self._devices.bias
        assert isinstance(source, RecordedSource)
        kind, asked = fields_of(step)
        anew = isinstance(step, ComputeTrace) and not source.asked_alike(kind, {"arguments": asked["arguments"]})
        answer = await as_recorded(source, step, self._refuse)
        self._watch.follow_recorded()
        return await self._compute(step) if isinstance(step, ComputeTrace) and anew else answer

    async def _set_limits(self, step: SetBiasLimits) -> BiasLimitsSet:
        source = self._source()
        self._allowed.check_bias(step)
        await self._watch.rest("limits are set", asked=self._watch.on)
        wanted = BiasLimits(voltage_limit_v=step.voltage_limit_v, compliance_a=step.compliance_a)
        self._watch.limits = None
        await answered(source.set_limits(wanted), source.name)
        open_v = await answered(source.open_circuit_voltage(), source.name)
        mode = self._watch.off_mode
        await answered(source.set_rest(BiasRest(off_mode=mode, voltage_v=open_v)), source.name)
        self._watch.limits = await self._read_back(source, wanted, mode)
        self._watch.problem = ""
        return BiasLimitsSet(
            voltage_limit_v=self._watch.limits.voltage_limit_v,
            compliance_a=self._watch.limits.compliance_a,
            off_mode=mode.value,
            open_circuit_v=open_v,
            time_s=self._recorder.time_s,
        )

    async def _read_back(self, source: BiasSource, wanted: BiasLimits, mode: OffMode) -> BiasLimits:
        status = await answered(source.status(), source.name)
        if status.output_on or status.off_mode is not mode or not _same(status.limits, wanted):
            raise ReadBackMismatch(
                f"{source.name}: limits {wanted.voltage_limit_v:g} V, {wanted.compliance_a:g} A and {mode} when off "
                f"were set, it reads back {status.limits.voltage_limit_v:g} V, {status.limits.compliance_a:g} A, "
                f"{status.off_mode}, output {'on' if status.output_on else 'off'}"
            )
        return status.limits

    async def _measure_open_circuit(self, step: MeasureOpenCircuit) -> OpenCircuit:
        del step
        source = self._source()
        if self._watch.on:
            raise self._refuse(LIMITS, f"{source.name} has its output on: its current would be measured with; rest it")
        found_v = await answered(source.open_circuit_voltage(), source.name)
        return OpenCircuit(voltage_v=found_v, time_s=self._recorder.time_s)

    async def _apply(self, step: ApplyBias) -> BiasRead:
        source = self._source()
        voltage_v, current_a = step.voltage_v, step.current_a
        if (voltage_v is None) == (current_a is None):
            raise BadInput("ApplyBias: found a voltage and a current or neither of them; give one")
        if not (self._watch.on or step.switch_on):
            raise StepLost(
                f"ApplyBias: the output of {source.name} is off ({self._watch.stopped_by or 'it was never on'}); "
                "nothing is switched on by a change of voltage"
            )
        await self._check(source, voltage_v or 0.0, current_a or 0.0, by_current=current_a is not None)
        if not self._watch.on:
            await answered(source.sample_every(step.sample_interval_s), source.name)
        if voltage_v is not None:
            read_back, wanted = await answered(source.set_voltage(voltage_v), source.name), voltage_v
        else:
            assert current_a is not None
            read_back, wanted = await answered(source.set_current(current_a), source.name), current_a
        if not abs(read_back - wanted) <= _SLACK * max(abs(wanted), 1e-12):
            raise ReadBackMismatch(f"{source.name}: was set to {wanted:g} and reads back {read_back:g}")
        if self._watch.on:
            self._watch.playing = False
        else:
            self._watch.switched_on(math.inf, playing=False)
            if not await answered(source.output(True), source.name):
                raise ReadBackMismatch(f"{source.name}: told to switch its output on, it reads back off")
        return await self._read(ReadBias())

    async def _start(self, step: StartWaveform) -> WaveformStarted:
        source, waveform = self._source(), step.waveform
        if self._watch.on:
            raise self._refuse(LIMITS, f"{source.name} has its output on; rest it, then start a waveform")
        by_current = any(one.control == "current" for one in waveform.segments)
        await self._check(source, waveform.peak_v, waveform.peak_a, by_current=by_current)
        if step.probing:
            self._check_probe(waveform.peak_v, by_current=by_current)
        began_s = self._recorder.time_s
        ends_s = began_s + waveform.duration_s
        self._watch.switched_on(ends_s, playing=True, probing=step.probing)  # before it is: a crash must find it
        interval_s = await answered(source.start_waveform(waveform, step.sample_interval_s), source.name)
        status = await answered(source.status(), source.name)
        if not status.playing and not status.ended:
            raise ReadBackMismatch(f"{source.name}: told to play {waveform.form}, it does not")
        await self._watch.read_clock()
        return WaveformStarted(began_s=began_s, ends_s=ends_s, sample_interval_s=interval_s)

    async def _check(self, source: BiasSource, peak_v: float, peak_a: float, *, by_current: bool) -> None:
        """Raises `InterlockRefused` unless the limits that were set are still the source's own, and hold this.

        A current that meets no contact takes the voltage up to its limit, whatever it was meant to need.
        """
        limits = self._watch.limits
        if limits is None:
            raise self._refuse(LIMITS, f"{source.name} has no limits of this run; set them, with its output off, first")
        status = await answered(source.status(), source.name)
        if status.restarted or not _same(status.limits, limits):
            self._watch.limits = None
            raise self._refuse(
                LIMITS,
                f"{source.name} reads back {status.limits.voltage_limit_v:g} V, {status.limits.compliance_a:g} A, set "
                f"were {limits.voltage_limit_v:g} V, {limits.compliance_a:g} A: it was restarted; set them again",
            )
        most_v, most_a = limits.voltage_limit_v * (1 + _SLACK), limits.compliance_a * (1 + _SLACK)
        if not (abs(peak_v) <= most_v and abs(peak_a) <= most_a):
            raise self._refuse(
                LIMITS,
                f"{peak_v:g} V, {peak_a:g} A are asked for, the limits set are {limits.voltage_limit_v:g} V and "
                f"{limits.compliance_a:g} A",
            )
        await self._check_contact(limits.voltage_limit_v if by_current else abs(peak_v), limits.compliance_a)

    def _probes(self, peak_v: float, compliance_a: float) -> bool:
        return peak_v <= self._probe_v and compliance_a <= self._probe_a * (1 + _SLACK)

    def _check_probe(self, peak_v: float, *, by_current: bool) -> None:
        limits = self._watch.limits
        if by_current or limits is None or not self._probes(abs(peak_v), limits.compliance_a):
            raise self._refuse(
                CONTACT,
                f"{peak_v:g} V{' by a current' if by_current else ''} is no probe, which is a voltage of at most "
                f"{self._probe_v:g} V and {self._probe_a:g} A",
            )

    async def _check_contact(self, peak_v: float, compliance_a: float) -> None:
        needle = self._devices.needle
        if needle is None or self._probes(peak_v, compliance_a):
            return
        state = await answered(needle.state(), needle.name)
        parked = state.hold is NeedleHold.FREE and not state.high_voltage_on
        if state.hold is not NeedleHold.CONTACT and (self._probe_stated or not parked):
            raise self._refuse(
                CONTACT,
                f"{peak_v:g} V with up to {compliance_a:g} A, before contact are allowed {self._probe_v:g} V and "
                f"{self._probe_a:g} A; confirm the contact first",
            )

    async def _read(self, step: ReadBias) -> BiasRead:
        del step
        source, watch = self._source(), self._watch
        reading = await answered(source.read(), source.name)
        self._monitors.last_bias = reading
        if watch.on:
            await watch.look(reading)
        if watch.on:
            await watch.fetch()
        charge = watch.charge()
        return BiasRead(
            voltage_v=reading.voltage_v,
            current_a=reading.current_a,
            in_compliance=reading.in_compliance,
            output_on=reading.output_on,
            playing=watch.playing,
            stopped_by=watch.stopped_by,
            charge_c=charge.charge_c,
            charge_bound_c=charge.bound_c,
            time_s=self._recorder.time_s,
        )

    async def _compute(self, step: ComputeTrace) -> Computed:
        if self._watch.on:
            await self._watch.fetch()
        trace = stretch_of(self._watch.sampled, step.since_s, step.until_s, self._open_s())
        return await computed(step, (), {**step.arguments, "trace": trace}, "what the source sampled")

    async def _stop(self, step: StopWaveform) -> BiasAtRest:
        del step
        return await self._rest(RestBias())

    async def _rest(self, step: RestBias) -> BiasAtRest:
        del step
        source, watch = self._source(), self._watch
        if watch.on:
            await watch.look(await answered(source.read(), source.name))
        await watch.rest("rest", asked=True)
        open_v = await answered(source.open_circuit_voltage(), source.name)
        status = await answered(source.status(), source.name)
        if status.output_on:
            raise ReadBackMismatch(f"{source.name}: is at rest, yet its output reads back on; disconnect it")
        return BiasAtRest(
            off_mode=status.off_mode.value,
            open_circuit_v=open_v,
            stopped_by=watch.stopped_by,
            time_s=self._recorder.time_s,
        )

    def _source(self) -> BiasSource:
        if self._devices.bias is None:
            raise BadInput("bias: the instrument file has no biasing source; name an instrument that has one")
        return self._devices.bias


def _same(one: BiasLimits, other: BiasLimits) -> bool:
    return all(
        math.isclose(a, b, rel_tol=1e-3)
        for a, b in ((one.voltage_limit_v, other.voltage_limit_v), (one.compliance_a, other.compliance_a))
    )
