"""Keithley 2400 driver on its emulator: the contract of a source, over both wires, and on a bad line."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from cryoctl.errors import DeviceError, InstrumentError, ReadBackMismatch, Refused
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.bias import BiasLimits
from cryoctl.testing.bias import BiasContract
from cryoctl.testing.device import refused
from tests.wire.emulated import BadLine, EmulatedInstrument, plugged_in, with_source

_LIMITS = BiasLimits(voltage_limit_v=5.0, compliance_a=1e-6)
_FAST = {"deadline_s": 0.1, "confirm": True, "baud": 57600}
_EXACT = {"noise_v": 0.0, "noise_a": 0.0, "noise_rel": 0.0, "offset_a": 0.0, "clock_drift_sigma_rel": 0.0}


class _Contract(EmulatedInstrument, BiasContract):
    driver, model = "keithley-2400", "keithley-2400"
    stamp_tolerance_rel = 5e-3  # stamps of seven digits


class TestKeithley2400OverSerial(_Contract):
    emulated = {"wire": "pty"}  # noqa: RUF012


class TestKeithley2400OverTcp(_Contract):
    emulated = {"wire": "tcp"}  # noqa: RUF012


def _with(
    check: Callable[[Any, Any], Awaitable[None]], settings: dict[str, Any] | None = None, **emulated: Any
) -> None:
    with_source("keithley-2400", _LIMITS, check, settings, {**_EXACT, **emulated})


@pytest.mark.parametrize("wire", ["tcp", "pty"])
@pytest.mark.parametrize("cases", [2, pytest.param(500, marks=pytest.mark.campaign)])
def test_on_a_bad_line_nothing_wrong_is_believed(wire: str, cases: int) -> None:
    async def play() -> BadLine:
        cell = {"cell_resistance_ohm": 1e7, "lead_ohm": 1e-3, "leakage_ohm": 1e18, "relay": False}
        emulated = {"wire": wire, **_EXACT, **cell, "settle_share": 0.0, "integration_cycles": 0.01}
        source, emulator = plugged_in("keithley-2400", "keithley-2400", {**_FAST, "integration_cycles": 0.01}, emulated)
        await source.connect()
        await source.set_limits(_LIMITS)
        draw = random.Random(3)

        async def act() -> None:
            """With its output off, so that no case has to wait for a batch: a short waveform and its samples."""
            wanted_v = round(draw.uniform(-4.0, 4.0), 3)
            if await source.output(False):
                raise AssertionError
            before = (await source.samples(0)).total
            await source.start_waveform(forms.constant_voltage(wanted_v, 0.05))
            found = await source.samples(before)
            assert found.total - before <= 30
            assert np.allclose(found.voltage_v, wanted_v, rtol=1e-5, atol=1e-6)
            assert np.allclose(found.current_a, wanted_v * 1e-7, rtol=1e-4, atol=2e-13)
            assert np.all(np.diff(found.time_s) > 0)
            before_s = emulator.world.source.clock_s(emulator.world.time_s) + 10.0
            told_s = await source.clock_s()
            assert before_s - 2e-3 <= told_s <= emulator.world.source.clock_s(emulator.world.time_s) + 10.002
            status = await source.status()
            assert (status.output_on, status.limits) == (False, _LIMITS)

        line = BadLine(source, emulator, act, patience_s=60 * source.link.longest_s)
        await line.play(cases, seed=cases, share=0.03)
        await source.close()
        emulator.close()
        return line

    line = asyncio.run(play())
    print(f"{wire}: {cases} cases, {line.succeeded} succeeded, slowest {line.slowest_s:.2f} s, {line.kinds}")
    assert line.succeeded > 0.2 * cases


def test_a_2450_is_another_instrument() -> None:
    async def play() -> None:
        source, emulator = plugged_in("keithley-2400", "keithley-2400", _FAST, {"relay": False})
        emulator.answer = lambda command, session: "KEITHLEY INSTRUMENTS,MODEL 2450,04012345,1.7.0b"
        assert "2450" in str(await refused(InstrumentError, source.connect()))
        await source.close()
        emulator.close()

    asyncio.run(play())


def test_what_it_is_told_while_it_sweeps_waits() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.start_waveform(forms.constant_voltage(1.0, 2.0))
        emulator._command(type("Line", (), {"session": {}, "send": lambda self, data: None})(), ":OUTP 0")
        assert emulator.world.source.record["output_on"]
        await asyncio.sleep(2.5)
        assert not emulator.world.source.record["output_on"]

    _with(check)


def test_a_constant_bias_is_sampled_in_batches() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.set_voltage(2.0)
        assert await source.output(True)
        await asyncio.sleep(5.0)
        found = await source.samples(0)
        assert len(found.time_s) >= 80
        assert np.all(np.diff(found.time_s) > 0)
        assert np.max(np.diff(found.time_s)) < 0.2  # between two batches
        assert np.allclose(found.voltage_v[2:], 2.0, atol=1e-3)
        assert await source.set_voltage(-1.0) == -1.0
        await asyncio.sleep(1.0)
        assert (await source.read()).voltage_v == pytest.approx(-1.0, abs=1e-3)

    _with(check)


def test_a_power_cycle_is_noticed_while_it_is_on() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.set_voltage(1.0)
        await source.output(True)
        await asyncio.sleep(2.0)
        before = (await source.samples(0)).total
        emulator.forget_settings()
        assert not (await source.read()).output_on
        status = await source.status()
        assert (status.output_on, status.restarted, status.ended) == (False, True, "")
        assert (await source.samples(0)).total < before
        await source.set_limits(_LIMITS)
        assert not (await source.status()).restarted

    _with(check)


def test_its_own_trip_ends_a_bias() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.output(True)
        await asyncio.sleep(1.2)
        total = (await source.samples(0)).total
        emulator._own["tripped"] = True
        emulator.world.source.switch(False, emulator.world.time_s, ended="compliance")
        await asyncio.sleep(2.0)
        assert not (await source.read()).output_on
        status = await source.status()
        assert (status.output_on, status.playing, status.ended) == (False, False, "compliance")
        found = await source.samples(0)
        assert found.total <= total + 13  # no batch twice
        assert np.all(np.diff(found.time_s) > 0)
        await source.make_safe()

    _with(check)


def test_what_it_complains_of_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        answer = emulator.answer
        emulator.answer = lambda command, session: answer(command.replace(":SOUR:VOLT 2", ":SOUR:VLOT 2"), session)
        assert "-113" in str(await refused(DeviceError, source.set_voltage(2.0)))
        assert await source.link.ask(":SYST:ERR:COUN?") == "0"
        await source.link.tell(":BOGUS")
        await source.make_safe()  # whatever is in the queue

    _with(check)


def test_a_stuck_output_reads_back_on() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.output(True)
        fault = emulator.fault
        emulator.fault = lambda name: name == "output-stuck" or fault(name)
        assert await source.output(False)
        await refused(ReadBackMismatch, source.make_safe())
        await source.cut_off()
        assert not emulator.world.source.record["output_on"]

    _with(check)


def test_a_waveform_ends_by_itself_when_its_driver_is_gone() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.start_waveform(forms.constant_voltage(1.0, 3.0))
        await source.close()
        await asyncio.sleep(2.5)
        assert emulator.world.source.now(emulator.world.time_s).voltage_v[0] == pytest.approx(1.0)
        await asyncio.sleep(1.0)
        emulator.world.source.advance(emulator.world.time_s)
        assert not emulator.world.source.record["output_on"]

    _with(check)


@pytest.mark.parametrize(
    "waveform",
    [
        forms.constant_voltage(1.0, 60.0),
        forms.galvanostatic_cycling(1e-8, -0.1, 0.1, 1.0, 1),
    ],
)
def test_what_nobody_could_look_at_is_refused(waveform: forms.Waveform) -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert "2450" in str(await refused(Refused, source.start_waveform(waveform)))
        assert not (await source.status()).output_on

    _with(check)


def test_the_open_circuit_voltage_is_no_sample() -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert await source.open_circuit_voltage() == pytest.approx(0.7, abs=1e-3)
        assert (await source.samples(0)).total == 0

    _with(check, cell_voltage_v=0.7, cell_resistance_ohm=1e6)
