"""A source comes to rest by a ramp, and is switched off though the ramp can't be done."""

from __future__ import annotations

import math

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import OutOfRange, ReadBackMismatch
from cryoctl.interfaces.bias import BiasLimits, BiasReading, BiasRest, BiasStatus, OffMode
from cryoctl.interfaces.bias_rest import bring_to_rest

LIMIT_V = 5.0


class FakeSource:
    """Reads `reads_v`; `broken` refuses every set point, `stuck` stays on."""

    name = "bias"

    def __init__(self, reads_v: float = 2.0, broken: bool = False, stuck: bool = False) -> None:
        self.on, self.reads_v, self.broken, self.stuck = True, reads_v, broken, stuck
        self.set_v: list[float] = []

    async def status(self) -> BiasStatus:
        limits = BiasLimits(voltage_limit_v=LIMIT_V, compliance_a=1e-8)
        return BiasStatus(output_on=self.on, off_mode=OffMode.HIGH_IMPEDANCE, limits=limits)

    async def read(self) -> BiasReading:
        return BiasReading(voltage_v=self.reads_v, current_a=0.0, in_compliance=False, output_on=self.on, time_s=0.0)

    async def set_voltage(self, voltage_v: float) -> float:
        if self.broken:
            raise OutOfRange("bias.voltage_v: unchanged")
        self.set_v.append(voltage_v)
        return voltage_v

    async def output(self, on: bool) -> bool:
        self.on = on or self.stuck
        return self.on

    async def set_rest(self, rest: BiasRest) -> OffMode:
        return rest.off_mode


def rested(source: FakeSource, open_v: float | None = -0.5) -> FakeSource:
    run_virtual(bring_to_rest(source, BiasRest(voltage_v=open_v)))  # type: ignore[arg-type]
    return source


def test_it_goes_to_the_cells_own_voltage_evenly() -> None:
    source = rested(FakeSource())
    assert not source.on
    assert source.set_v == pytest.approx([2.0 - 0.25 * k for k in range(1, 11)])


@pytest.mark.parametrize("reads_v", [math.nan, math.inf, 9.9e37, -9.9e37])
def test_what_reads_no_voltage_is_not_taken_to_the_limit(reads_v: float) -> None:
    """An overflow would else begin the ramp at the limit."""
    source = rested(FakeSource(reads_v))
    assert not source.on
    assert source.set_v == pytest.approx([-0.5] * 10)


def test_a_ramp_that_fails_keeps_no_bias_on() -> None:
    assert not rested(FakeSource(broken=True)).on


def test_what_stays_on_is_told() -> None:
    with pytest.raises(ReadBackMismatch, match="reads back on"):
        rested(FakeSource(stuck=True))
