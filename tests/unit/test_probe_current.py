"""What a probe of a contact tells: a current that changed with the touch, and nothing where none did."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from cryoctl.analysis.bias_trace import BiasTrace
from cryoctl.analysis.probe_current import probe_evidence, probed
from cryoctl.engine.bias_desk import BiasDesk
from cryoctl.errors import InterlockRefused
from cryoctl.interfaces.bias import BiasLimits
from cryoctl.interfaces.needle import NeedleHold
from cryoctl.steps import (
    Compute,
    ComputeTrace,
    PlaceNeedle,
    ReadBias,
    RestBias,
    SetBiasLimits,
    StartWaveform,
    Wait,
    Waited,
)
from cryoctl.steps.bias import WaveformStarted
from cryoctl.steps.compute import Computed
from cryoctl.steps.waveform import constant_voltage
from cryoctl_protocols.needle_drive import NeedleDrive
from cryoctl_protocols.needle_probe import ContactProbe
from cryoctl_protocols.needle_recipe import NeedleBiasingParameters

OFFSET_A, NOISE_A, PROBE_V = 1.5e-12, 2e-12, 0.05


def trace(rng: np.random.Generator, current_a: float, *, limited: bool = False, count: int = 80) -> BiasTrace:
    """Two seconds; what charges at first is ten times as much."""
    time_s = 100.0 + 0.025 * np.arange(count)
    current = OFFSET_A + current_a * np.where(time_s < 100.4, 10.0, 1.0) + rng.normal(0.0, NOISE_A, count)
    return BiasTrace(
        time_s=time_s,
        voltage_v=np.full(count, PROBE_V),
        current_a=current,
        in_compliance=np.full(count, limited),
        beam_open=np.where(np.arange(count) == count - 1, 1.0, 0.0),
    )


def told(rng: np.random.Generator, current_a: float, **how: Any) -> dict[str, Any]:
    apart = probed(trace=trace(rng, 0.0), settled_s=100.5)
    return probe_evidence(apart=apart, touching=probed(trace=trace(rng, current_a, **how), settled_s=100.5))


@pytest.mark.parametrize(("current_a", "conducts"), [(0.0, False), (5e-12, True), (-5e-12, True), (3e-10, True)])
def test_a_current_is_told_from_offset_and_noise(current_a: float, conducts: bool) -> None:
    rng = np.random.default_rng(1)
    many = [told(rng, current_a) for _ in range(200)]
    assert sum(one["conducts"] is conducts for one in many) >= 199
    pulls = [(one["current_a"] - current_a) / one["current_a_sigma"] for one in many]
    assert abs(np.mean(pulls)) < 0.3
    assert 0.8 < np.std(pulls) < 1.25, "the offset cancels, what charged at first is left out"


def test_a_short_is_held_by_the_limit_and_no_sample_tells_nothing() -> None:
    rng = np.random.default_rng(2)
    short = told(rng, 1e-9, limited=True)
    assert short["conducts"]
    assert short["limited"]
    nothing = told(rng, 1e-9, count=2)
    assert not nothing["conducts"]
    assert math.isnan(nothing["current_a"])
    assert "no samples" in nothing["message"]


def test_the_source_has_the_limits_of_the_probe_until_the_contact_is_made() -> None:
    recipe = NeedleBiasingParameters.model_validate({"needle": {"conducts": True}})
    drive, rng = NeedleDrive("right"), np.random.default_rng(3)
    probe = ContactProbe(recipe, drive)
    asked: list[Any] = []

    def answered(block: Any, current_a: float) -> Any:
        answer: Any = None
        while True:
            try:
                step = block.send(answer)
            except StopIteration as over:
                return over.value
            asked.append(step)
            match step:
                case StartWaveform():
                    answer = WaveformStarted(began_s=100.0, ends_s=102.0, sample_interval_s=0.025)
                case ComputeTrace():
                    answer = Computed(values=probed(trace=trace(rng, current_a), **step.arguments))
                case Wait():
                    answer = Waited(time_s=103.0)
                case Compute():
                    answer = Computed(values=probe_evidence(**step.arguments))
                case _:
                    answer = None

    answered(probe.limits(), 0.0)
    answered(probe.apart(), 0.0)
    assert not [one for one in asked if isinstance(one, PlaceNeedle)], "free, nothing is known of its drift"
    drive.make_up_for(onward=-1e-9)
    told_by_current = answered(probe.touching(), 4e-11)
    assert [one for one in asked if isinstance(one, PlaceNeedle)], "in contact it is held meanwhile"
    limits = [(one.voltage_limit_v, one.compliance_a) for one in asked if isinstance(one, SetBiasLimits)]
    assert limits == [(0.05, 1e-9), (recipe.bias.limit_v, recipe.bias.compliance_a)]
    assert isinstance(asked[-1], SetBiasLimits), "after everything else"
    assert [one.probing for one in asked if isinstance(one, StartWaveform)] == [True, True]
    assert sum(isinstance(one, RestBias) for one in asked) == sum(isinstance(one, ReadBias) for one in asked) == 2
    assert told_by_current["conducts"]
    assert abs(told_by_current["current_a"] - 4e-11) < 2e-12
    assert not answered(ContactProbe(NeedleBiasingParameters(), drive).touching(), 0.0), "not asked for"


@pytest.mark.parametrize(("volts", "compliance_a"), [(0.06, 1e-9), (-0.06, 1e-9), (0.05, 2e-9)])
def test_what_is_called_a_probe_is_held_to_its_limits_in_contact_as_well(volts: float, compliance_a: float) -> None:
    limits = BiasLimits(voltage_limit_v=1.0, compliance_a=compliance_a)
    started: list[Any] = []

    async def status() -> Any:
        return SimpleNamespace(restarted=False, limits=limits)

    async def state() -> Any:
        return SimpleNamespace(hold=NeedleHold.CONTACT)

    source = SimpleNamespace(name="bias", status=status)
    devices = SimpleNamespace(bias=source, needle=SimpleNamespace(name="needle", state=state))
    watch = SimpleNamespace(on=False, limits=limits, switched_on=lambda *given, **how: started.append(given))
    desk = BiasDesk(
        cast(Any, devices),
        cast(Any, SimpleNamespace(time_s=1.0)),
        cast(Any, SimpleNamespace(source=watch)),
        cast(Any, None),
        lambda which, why: InterlockRefused(why),
        {"probe_v": 0.05, "probe_a": 1e-9},
    )
    with pytest.raises(InterlockRefused, match="is no probe"):
        asyncio.run(desk.table[StartWaveform](StartWaveform(waveform=constant_voltage(volts, 1.0), probing=True)))
    assert not started
