"""Before a needle is in contact no more than the probe's voltage and current is applied, whatever is controlled."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from cryoctl.engine.allowed import Allowed
from cryoctl.engine.bias_desk import BiasDesk
from cryoctl.errors import InterlockRefused
from cryoctl.interfaces.bias import BiasLimits, BiasStatus, OffMode
from cryoctl.interfaces.needle import NeedleHold
from cryoctl.steps import ApplyBias, StartWaveform
from cryoctl.steps.waveform import constant_current, constant_voltage, galvanostatic_cycling, open_circuit
from tests.unit.engine.bench import FakeNeedle

PROBE = {"probe_v": 0.05, "probe_a": 1e-9}


class Started(Exception):
    """The source would play now."""


class FakeSource:
    """Holds the limits that were set."""

    name = "bias"

    def __init__(self, limits: BiasLimits) -> None:
        self.limits = limits

    async def status(self) -> BiasStatus:
        return BiasStatus(output_on=False, off_mode=OffMode.HIGH_IMPEDANCE, limits=self.limits)

    async def sample_every(self, interval_s: float | None) -> float:
        raise Started

    async def start_waveform(self, waveform: Any, interval_s: float | None) -> float:
        raise Started


def begins(step: Any, hold: NeedleHold = NeedleHold.FREE, limit_v: float = 5.0, compliance_a: float = 1e-9) -> bool:
    """False where an interlock forbids it."""
    limits = BiasLimits(voltage_limit_v=limit_v, compliance_a=compliance_a)
    needle = FakeNeedle()
    needle.hold = hold
    watch = SimpleNamespace(limits=limits, on=False, switched_on=lambda ends_s, **how: None)
    desk = BiasDesk(
        SimpleNamespace(bias=FakeSource(limits), needle=needle),  # type: ignore[arg-type]
        SimpleNamespace(time_s=0.0),  # type: ignore[arg-type]
        SimpleNamespace(source=watch),  # type: ignore[arg-type]
        Allowed(),
        lambda name, found: InterlockRefused(f"{name}: {found}"),
        PROBE,
    )
    try:
        asyncio.run(desk.table[type(step)](step))
    except Started:
        return True
    except InterlockRefused as refused:
        assert "0.05 V and 1e-09 A" in str(refused)
    return False


BY_VOLTAGE = StartWaveform(waveform=constant_voltage(2.0, 10.0))
BY_CURRENT = StartWaveform(waveform=constant_current(1e-10, 10.0))
CYCLING = StartWaveform(waveform=galvanostatic_cycling(1e-10, 0.01, 0.04, 10.0, 1, 0.0))


@pytest.mark.parametrize("step", [BY_VOLTAGE, BY_CURRENT, CYCLING, ApplyBias(current_a=1e-10, switch_on=True)])
def test_what_may_go_beyond_the_probe_needs_a_contact(step: Any) -> None:
    """An open contact carries no current: its source goes to the voltage limit."""
    assert not begins(step)
    assert begins(step, NeedleHold.CONTACT)


def test_the_probe_itself_needs_none() -> None:
    probe = ApplyBias(voltage_v=0.05, switch_on=True)
    assert begins(probe)
    assert begins(StartWaveform(waveform=open_circuit(10.0)))
    assert begins(BY_CURRENT, limit_v=0.05)
    assert not begins(probe, compliance_a=2e-9)
    assert not begins(ApplyBias(voltage_v=-0.06, switch_on=True))


def test_a_probe_is_a_voltage() -> None:
    """In contact too: what a current takes the voltage to is not known beforehand."""
    assert begins(StartWaveform(waveform=constant_voltage(0.05, 2.0), probing=True))
    assert not begins(StartWaveform(waveform=constant_current(1e-10, 2.0), probing=True), NeedleHold.CONTACT)
