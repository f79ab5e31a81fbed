"""Keithley 2450 driver on its emulator: the contract of a source, over both wires, and on a bad line."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from cryoctl.errors import DeviceError, InstrumentError, NoAnswer, OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.bias import BiasLimits, OffMode
from cryoctl.testing.bias import BiasContract
from cryoctl.testing.device import refused
from tests.wire.emulated import BadLine, EmulatedInstrument, plugged_in, with_source

_LIMITS = BiasLimits(voltage_limit_v=5.0, compliance_a=1e-6)
_FAST = {"deadline_s": 0.05, "confirm": True}
_EXACT = {"noise_v": 0.0, "noise_a": 0.0, "noise_rel": 0.0, "offset_a": 0.0, "clock_drift_sigma_rel": 0.0}

_UNEVEN_S = [float(time_s) for time_s in np.cumsum([0.0, *(0.1 + 0.05 * (k % 7) for k in range(60))])]


class _Contract(EmulatedInstrument, BiasContract):
    driver, model = "keithley-2450", "keithley-2450"


class TestKeithley2450OverTcp(_Contract):
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestKeithley2450OverSerial(_Contract):
    emulated = {"wire": "pty"}  # noqa: RUF012


def _with(
    check: Callable[[Any, Any], Awaitable[None]], settings: dict[str, Any] | None = None, **emulated: Any
) -> None:
    """In virtual time, connected and with limits."""
    with_source("keithley-2450", _LIMITS, check, settings, {**_EXACT, **emulated})


@pytest.mark.parametrize("wire", ["tcp", "pty"])
@pytest.mark.parametrize("cases", [6, pytest.param(500, marks=pytest.mark.campaign)])
def test_on_a_bad_line_nothing_wrong_is_believed(wire: str, cases: int) -> None:
    async def play() -> BadLine:
        settings = {"cell_resistance_ohm": 1e7, "lead_ohm": 1e-3, "leakage_ohm": 1e18, "relay": False}
        emulated = {"wire": wire, **_EXACT, **settings, "settle_share": 0.0, "integration_cycles": 0.01}
        own = {**_FAST, "integration_cycles": 0.01}
        source, emulator = plugged_in("keithley-2450", "keithley-2450", own, emulated)
        await source.connect()
        await source.set_limits(_LIMITS)
        draw = random.Random(3)
        await source.set_voltage(1.0)
        await source.output(True)

        async def act() -> None:
            wanted_v = round(draw.uniform(-4.0, 4.0), 3)
            assert await source.set_voltage(wanted_v) == pytest.approx(wanted_v, abs=1e-9)
            assert emulator.world.source.record["value"] == pytest.approx(wanted_v, abs=1e-9)
            reading = await source.read()
            assert reading.voltage_v == pytest.approx(wanted_v, rel=1e-6)
            assert reading.current_a == pytest.approx(wanted_v * 1e-7, rel=1e-5, abs=2e-13)
            before_s = emulator._clock_s()
            told_s = await source.clock_s()
            # What it takes to ask is what the answer may be wrong by, and nobody who brackets it takes it for better.
            assert before_s - 2e-3 <= told_s <= emulator._clock_s() + 2e-3
            assert (await source.status()).limits == _LIMITS

        line = BadLine(source, emulator, act, patience_s=60 * source.link.longest_s)
        await line.play(cases, seed=cases, share=0.03)
        await source.close()
        emulator.close()
        return line

    line = asyncio.run(play())
    print(f"{wire}: {cases} cases, {line.succeeded} succeeded, slowest {line.slowest_s:.2f} s, {line.kinds}")
    assert line.succeeded > 0.2 * cases


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("LSCI,MODEL335,LSA0001,1.6", "MODEL335"),
        ("KEITHLEY INSTRUMENTS,MODEL 2461,04012345,1.7.0b", "2461"),
    ],
)
def test_another_instrument_is_told_by_name(answer: str, told: str) -> None:
    async def play() -> None:
        source, emulator = plugged_in("keithley-2450", "keithley-2450", _FAST, {"relay": False})
        emulator.answer = lambda command, session: answer
        assert told in str(await refused(InstrumentError, source.connect()))
        await source.close()
        emulator.close()

    asyncio.run(play())


def test_one_that_speaks_tsp_is_told_what_to_set() -> None:
    async def play() -> None:
        source, emulator = plugged_in("keithley-2450", "keithley-2450", _FAST, {"relay": False, "language": "TSP"})
        error = await refused(InstrumentError, source.connect())
        assert "TSP" in str(error)
        assert "command set" in str(error)
        await source.close()
        emulator.close()

    asyncio.run(play())


def test_a_wrong_baud_is_no_instrument() -> None:
    async def play() -> None:
        source, emulator = plugged_in("keithley-2450", "keithley-2450", _FAST, {"wire": "pty", "relay": False})
        emulator.answer = lambda command, session: "\x00\xf8\x80x\xfe"
        await refused(NoAnswer, source.connect())
        await source.close()
        emulator.close()

    asyncio.run(play())


def test_commands_that_are_echoed_are_no_answers() -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert await source.set_voltage(1.25) == 1.25
        assert await source.output(True)
        assert (await source.read()).voltage_v == pytest.approx(1.25, abs=1e-3)

    _with(check, echoes=True)


def test_a_power_cycle_is_noticed_while_it_is_on() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.set_voltage(1.0)
        await source.output(True)
        await asyncio.sleep(1.0)
        before = (await source.samples(0)).total
        emulator.forget_settings()
        assert not (await source.read()).output_on
        status = await source.status()
        assert (status.output_on, status.restarted, status.ended) == (False, True, "")
        assert status.limits != _LIMITS
        assert (await source.samples(0)).total < before
        assert (await source.status()).restarted  # until limits are set
        await source.set_limits(_LIMITS)
        assert not (await source.status()).restarted

    _with(check)


def test_what_it_complains_of_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        answer = emulator.answer

        def deaf(command: str, session: dict[str, Any]) -> str | None:
            return answer(command.replace(":SOUR:VOLT 2", ":SOUR:VLOT 2"), session)

        emulator.answer = deaf
        error = await refused(DeviceError, source.set_voltage(2.0))
        assert "-113" in str(error)
        assert await source.link.ask(":SYST:ERR:COUN?") == "0"
        await source.link.tell(":BOGUS")
        await source.make_safe()  # whatever is in the queue

    _with(check)


def test_a_setting_that_is_not_taken_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        answer = emulator.answer
        emulator.answer = lambda command, session: (
            None if command.startswith(":OUTP:VOLT:SMOD ") else answer(command, session)
        )
        error = await refused(ReadBackMismatch, source.make_safe())
        assert ":OUTP:VOLT:SMOD" in str(error)

    _with(check)


def test_its_own_trip_ends_a_bias_and_a_waveform() -> None:
    async def check(source: Any, emulator: Any) -> None:
        for waveform in (None, forms.constant_voltage(1.0, 20.0)):
            if waveform is None:
                await source.output(True)
            else:
                await source.start_waveform(waveform)
            await asyncio.sleep(0.5)
            emulator._own["tripped"] = True
            emulator.world.source.switch(False, emulator.world.time_s, ended="compliance")
            assert not (await source.read()).output_on
            status = await source.status()
            assert (status.output_on, status.playing, status.ended) == (False, False, "compliance")
            await source.make_safe()

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


def test_without_a_relay_it_is_said_what_to_do() -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert "settings.cut_off" in str(await refused(DeviceError, source.cut_off()))

    _with(check, relay=False)


def test_a_relay_that_sticks_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        emulator.fault = lambda name: name == "cut-off-fails"
        await refused(ReadBackMismatch, source.cut_off())

    _with(check)


def test_a_ramp_is_a_staircase_within_half_a_step() -> None:
    async def check(source: Any, emulator: Any) -> None:
        waveform = forms.cyclic_voltammetry(0.0, 1.0, -0.5, 0.5, 2)
        interval_s = await source.start_waveform(waveform)
        began_s = (await source.samples(0)).total
        assert began_s == 0
        await asyncio.sleep(waveform.duration_s + 0.5)
        status = await source.status()
        assert (status.output_on, status.ended) == (False, "complete")
        found = await source.samples(0)
        assert len(found.time_s) == round(waveform.duration_s / interval_s)
        times = found.time_s - found.time_s[0] + interval_s / 2
        planned = np.array([(waveform.at(min(t, waveform.duration_s - 1e-9)) or ("", 0.0))[1] for t in times])
        assert np.max(np.abs(found.voltage_v - planned)) <= 0.5 * interval_s * 0.55 + 1e-3

    _with(check, settle_share=0.0)


def test_cycling_by_current_turns_at_its_voltages() -> None:
    async def check(source: Any, emulator: Any) -> None:
        waveform = forms.galvanostatic_cycling(1e-8, -0.4, 0.4, 30.0, 2, rest_s=1.0)
        interval_s = await source.start_waveform(waveform)
        await asyncio.sleep(40.0)
        status = await source.status()
        assert (status.output_on, status.ended) == (False, "complete")
        found = await source.samples(0)
        assert found.voltage_v.max() <= 0.4 + 2 * 1e-8 / 1e-7 * interval_s
        assert found.voltage_v.min() >= -0.4 - 2 * 1e-8 / 1e-7 * interval_s
        resting = np.abs(found.current_a) < 1e-12
        assert 3.6 <= np.count_nonzero(resting) * interval_s <= 4.5

    _with(check, cell_capacitance_f=1e-7, cell_resistance_ohm=1e6)


def test_a_waveform_ends_by_itself_when_its_driver_is_gone() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.start_waveform(forms.constant_voltage(1.0, 3.0))
        await source.link.close()
        await asyncio.sleep(2.5)
        assert emulator.world.source.now(emulator.world.time_s).voltage_v[0] == pytest.approx(1.0)
        await asyncio.sleep(1.0)
        emulator.world.source.advance(emulator.world.time_s)
        assert not emulator.world.source.record["output_on"]

    _with(check)


@pytest.mark.parametrize(
    ("waveform", "why"),
    [
        (forms.constant_voltage(1.0, 0.01), "shorter"),
        (forms.points([0.0, 1.0, 1.5, 3.0, 3.1], [0.0, 1.0, 0.0, 1.0, 0.0], "voltage"), ""),
        (
            forms.Waveform(
                form="mixed",
                segments=(
                    forms.Segment(duration_s=1.0, control="voltage", start=1.0, end=1.0),
                    forms.Segment(duration_s=1.0, control="open"),
                ),
            ),
            "one after the other",
        ),
        (
            forms.points(list(np.cumsum([0.0, *(0.1 + 0.05 * (k % 7) for k in range(60))])), [0.5] * 61, "voltage"),
            "blocks",
        ),
    ],
)
def test_what_it_can_not_play_is_refused_in_one_sentence(waveform: forms.Waveform, why: str) -> None:
    async def check(source: Any, emulator: Any) -> None:
        if why:
            assert why in str(await refused(Refused, source.start_waveform(waveform)))
            assert not (await source.status()).output_on
        else:
            await source.start_waveform(waveform)

    _with(check)


def test_limits_that_it_does_not_hold_are_refused() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await refused(OutOfRange, source.set_limits(BiasLimits(voltage_limit_v=5.0, compliance_a=1e-10)))
        await refused(OutOfRange, source.set_limits(BiasLimits(voltage_limit_v=1e-3, compliance_a=1e-8)))
        assert (await source.status()).limits == _LIMITS

    _with(check)


def test_the_open_circuit_voltage_is_no_sample() -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert await source.open_circuit_voltage() == pytest.approx(0.7, abs=1e-3)
        assert (await source.samples(0)).total == 0
        assert (await source.status()).off_mode is OffMode.ZERO_VOLTS  # as it was
        await source.make_safe()
        assert (await source.status()).off_mode is OffMode.HIGH_IMPEDANCE

    _with(check, cell_voltage_v=0.7, cell_resistance_ohm=1e6)
