"""Keithley 2600 driver on its emulator: the contract of a source, over both wires, and on a bad line."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Awaitable, Callable
from importlib.resources import files
from typing import Any

import numpy as np
import pytest

from cryoctl.errors import DeviceError, InstrumentError, NoAnswer, OutOfRange, ReadBackMismatch, Refused
from cryoctl.interfaces import waveform as forms
from cryoctl.interfaces.bias import BiasLimits, BiasRest, OffMode
from cryoctl.testing.bias import BiasContract
from cryoctl.testing.device import refused
from tests.wire.emulated import BadLine, EmulatedInstrument, plugged_in, with_source

_LIMITS = BiasLimits(voltage_limit_v=5.0, compliance_a=1e-6)
_FAST = {"deadline_s": 0.05, "confirm": True}
_EXACT = {"noise_v": 0.0, "noise_a": 0.0, "noise_rel": 0.0, "offset_a": 0.0, "clock_drift_sigma_rel": 0.0}


class _Contract(EmulatedInstrument, BiasContract):
    driver, model = "keithley-2600", "keithley-2600"


class TestKeithley2600OverTcp(_Contract):
    emulated = {"wire": "tcp"}  # noqa: RUF012


class TestKeithley2600OverSerial(_Contract):
    emulated = {"wire": "pty"}  # noqa: RUF012


def _with(
    check: Callable[[Any, Any], Awaitable[None]], settings: dict[str, Any] | None = None, **emulated: Any
) -> None:
    """In virtual time, connected and with limits."""
    with_source("keithley-2600", _LIMITS, check, settings, {**_EXACT, **emulated})


@pytest.mark.parametrize("wire", ["tcp", "pty"])
@pytest.mark.parametrize("cases", [6, pytest.param(500, marks=pytest.mark.campaign)])
def test_on_a_bad_line_nothing_wrong_is_believed(wire: str, cases: int) -> None:
    async def play() -> BadLine:
        cell = {"cell_resistance_ohm": 1e7, "lead_ohm": 1e-3, "leakage_ohm": 1e18, "relay": False}
        emulated = {"wire": wire, **_EXACT, **cell, "settle_share": 0.0, "integration_cycles": 0.01}
        own = {**_FAST, "integration_cycles": 0.01}
        source, emulator = plugged_in("keithley-2600", "keithley-2600", own, emulated)
        await source.connect()
        loaded_s = emulator._host._timer_s
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
            before_s = emulator._host.clock()
            told_s = loaded_s + await source.clock_s()
            assert before_s - 2e-3 <= told_s <= emulator._host.clock() + 2e-3
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
        ("KEITHLEY INSTRUMENTS,MODEL 2450,04012345,1.7.0b", "MODEL 2450"),
        ("Keithley Instruments Inc., Model 2651A, 1234567, 3.2.2", "2651A"),
    ],
)
def test_another_instrument_is_told_by_name_and_gets_no_trigger(answer: str, told: str) -> None:
    async def play() -> None:
        source, emulator = plugged_in("keithley-2600", "keithley-2600", _FAST, {"relay": False})
        heard: list[str] = []

        def other(command: str, session: dict[str, Any]) -> str:
            heard.append(command)
            return answer

        emulator.answer = other
        assert told in str(await refused(InstrumentError, source.connect()))
        assert set(heard) == {"*IDN?"}
        await source.close()
        emulator.close()

    asyncio.run(play())


def test_a_channel_that_it_has_not_is_told() -> None:
    async def play() -> None:
        own = {**_FAST, "channel": "smub"}
        source, emulator = plugged_in("keithley-2600", "keithley-2600", own, {"relay": False, "model": "2601B"})
        assert "smua only" in str(await refused(InstrumentError, source.connect()))
        await source.close()
        emulator.close()

    asyncio.run(play())


def test_its_second_channel_is_driven_where_that_is_asked_for() -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert await source.set_voltage(2.0) == 2.0
        assert await source.output(True)
        assert (await source.read()).voltage_v == pytest.approx(2.0, abs=1e-3)
        assert await source.link.ask("print(smua.source.output)") == "0.00000e+00"  # waits for the script's end
        await source.make_safe()

    with pytest.raises(NoAnswer):
        _with(check, {"channel": "smub", "deadline_s": 0.05}, model="2602B", channel="smub")


def test_prompts_that_another_program_left_on_are_no_answers() -> None:
    async def play() -> None:
        source, emulator = plugged_in("keithley-2600", "keithley-2600", _FAST, {"relay": False})
        emulator._host.values["localnode.prompts"] = 1
        await source.connect()
        assert emulator._host.values["localnode.prompts"] == 0
        await source.close()
        emulator.close()

    asyncio.run(play())


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

    _with(check, {"deadline_s": 0.05})


def test_a_power_cycle_in_the_midst_of_setting_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.output(True)
        stop = source._script.stop

        async def restarted(*then: str) -> None:
            emulator.forget_settings()
            await stop(*then)

        source._script.stop = restarted
        assert "off and on" in str(await refused(ReadBackMismatch, source.set_voltage(2.0)))
        source._script.stop = stop
        assert (await source.status()).restarted

    _with(check, {"deadline_s": 0.05})


def test_what_it_complains_of_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        answer = emulator.answer

        def deaf(command: str, session: dict[str, Any]) -> str | None:
            return answer(command.replace("smua.source.levelv = 2", "smua.source.levlev = 2"), session)

        emulator.answer = deaf
        error = await refused(DeviceError, source.set_voltage(2.0))
        assert "-286" in str(error)
        assert await source.link.ask("print(errorqueue.count)") == "0.00000e+00"
        await source.link.tell("bogus(")
        await source.make_safe()  # whatever is in the queue

    _with(check)


def test_a_setting_that_is_not_taken_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        answer = emulator.answer
        emulator.answer = lambda command, session: (
            None if command.startswith("smua.source.offmode") else answer(command, session)
        )
        assert "offmode" in str(await refused(ReadBackMismatch, source.make_safe()))

    _with(check)


def test_a_script_that_is_damaged_on_its_way_is_loaded_again_or_told() -> None:
    async def play(times: int) -> None:
        source, emulator = plugged_in("keithley-2600", "keithley-2600", _FAST, {"relay": False})
        answer, damaged = emulator.answer, 0

        def noisy(command: str, session: dict[str, Any]) -> str | None:
            nonlocal damaged
            if "pause(at - c.need)" in command and damaged < times:
                damaged += 1
                command = command.replace("-", "+")
            return answer(command, session)

        emulator.answer = noisy
        if times == 1:
            await source.connect()
        else:
            assert "script" in str(await refused(ReadBackMismatch, source.connect()))
        assert damaged == times
        await source.close()
        emulator.close()

    asyncio.run(play(1))
    asyncio.run(play(4))


def test_the_script_keeps_to_the_language_of_the_instrument() -> None:
    """Lua 5.0; the emulator's is newer and would take more."""
    text = (files("cryoctl_drivers.keithley_2600") / "script.lua").read_text()
    code = re.sub(r'"[^"\n]*"', '""', re.sub(r"--[^\n]*", "", text))
    assert not re.search(r"#|%|\.\.\.|//|\bgoto\b|::", code)
    known = "byte clear concat count format getn gsub insert len max measure min mod next reset t wait"
    called = set(re.findall(r"\b(?:string|table|math|timer|trigger|errorqueue|timer\.measure)\.(\w+)", code))
    assert called <= set(known.split())


def test_limits_of_its_family() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await refused(OutOfRange, source.set_limits(BiasLimits(voltage_limit_v=5.0, compliance_a=5e-9)))
        await refused(OutOfRange, source.set_limits(BiasLimits(voltage_limit_v=5e-3, compliance_a=1e-7)))
        assert (await source.status()).limits == _LIMITS
        narrow = BiasLimits(voltage_limit_v=0.01, compliance_a=1e-8)
        assert await source.set_limits(narrow) == narrow

    _with(check, model="2602B")


def test_a_limit_holds_and_switches_nothing_off() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.set_voltage(5.0)
        await source.output(True)
        reading = await source.read()
        assert reading.output_on
        assert reading.in_compliance
        assert reading.current_a == pytest.approx(1e-6, rel=1e-3)
        await source.set_voltage(0.5)
        assert not (await source.read()).in_compliance

    _with(check, cell_resistance_ohm=1e6)


def test_an_open_interlock_is_told() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.set_limits(BiasLimits(voltage_limit_v=50.0, compliance_a=1e-6))
        await source.set_current(1e-9)
        assert "interlock" in str(await refused(DeviceError, source.output(True)))
        assert "interlock" in str(await refused(DeviceError, source.start_waveform(forms.constant_voltage(30.0, 1.0))))
        assert not (await source.status()).output_on

    _with(check, {"voltage_range_v": (-60.0, 60.0)})


def test_what_switches_it_off_ends_a_bias_and_a_waveform() -> None:
    async def check(source: Any, emulator: Any) -> None:
        for waveform in (None, forms.constant_voltage(1.0, 20.0)):
            if waveform is None:
                await source.output(True)
            else:
                await source.start_waveform(waveform)
            await asyncio.sleep(0.5)
            emulator.world.source.switch(False, emulator.world.time_s)
            assert not (await source.read()).output_on
            await asyncio.sleep(0.1)
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


def test_a_script_that_does_not_answer_is_ended_none_the_less() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.start_waveform(forms.constant_voltage(1.0, 100.0))
        command = emulator._command
        emulator._command = lambda line, told: None if told == "*TRG" else command(line, told)
        await refused(NoAnswer, source.status())
        await source.output(False)
        assert not emulator.world.source.record["output_on"]
        assert not (await source.status()).output_on

    _with(check, {"deadline_s": 0.05})


def test_a_ramp_is_a_staircase_within_half_a_step() -> None:
    async def check(source: Any, emulator: Any) -> None:
        waveform = forms.cyclic_voltammetry(0.0, 1.0, -0.5, 0.5, 2)
        interval_s = await source.start_waveform(waveform)
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


def test_a_bias_ends_by_itself_when_nobody_asks_any_more() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.set_voltage(1.0)
        await source.output(True)
        for _ in range(10):
            await asyncio.sleep(1.0)
            assert (await source.status()).output_on
        await source.link.close()
        await asyncio.sleep(2.9)
        assert emulator.world.source.record["output_on"]
        await asyncio.sleep(0.3)
        assert not emulator.world.source.record["output_on"]

    _with(check, {"unattended_s": 3.0})


def test_a_new_driver_finds_the_waveform_of_one_that_is_gone() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.start_waveform(forms.constant_voltage(1.0, 10.0))
        await asyncio.sleep(2.0)
        await source.close()
        again, _ = _another(source)
        assert (await again.connect()).model == "2636B"
        status = await again.status()
        assert (status.output_on, status.playing, status.restarted, status.limits) == (True, True, False, _LIMITS)
        assert emulator.world.source.now(emulator.world.time_s).voltage_v[0] == pytest.approx(1.0)
        await again.make_safe()
        assert not emulator.world.source.record["output_on"]
        assert (await again.status()).off_mode is OffMode.HIGH_IMPEDANCE
        await again.close()

    _with(check, {"deadline_s": 0.1})


def _another(source: Any) -> tuple[Any, Any]:
    settings = source.settings
    made = type(source)(source.name, settings, source.link, source._caller)
    return made, settings


def test_samples_whose_telling_got_lost_come_later() -> None:
    async def check(source: Any, emulator: Any) -> None:
        interval_s = await source.start_waveform(forms.constant_voltage(1.0, 12.0))
        report = source._script.report
        for k in range(11):
            await asyncio.sleep(1.0)
            if 2 < k < 8:
                await report()  # and nobody takes what it tells
            else:
                found = await source.samples(0)
                assert np.allclose(np.diff(found.time_s), interval_s, rtol=1e-3)
                assert found.total > len(found.time_s) or k < 8
        await asyncio.sleep(1.5)
        found = await source.samples(0)
        assert len(found.time_s) == found.total == round(12.0 / interval_s)
        assert np.allclose(np.diff(found.time_s), interval_s, rtol=1e-3)

    _with(check)


def test_it_keeps_its_newest_samples() -> None:
    async def check(source: Any, emulator: Any) -> None:
        await source.set_voltage(1.0)
        await source.output(True)
        await asyncio.sleep(30.0)
        total = (await source.samples(0)).total
        await asyncio.sleep(90.0)
        found = await source.samples(0)
        assert found.total > total + 1000
        assert found.first == found.total - 1000
        assert len(found.time_s) == 1000

    _with(check, {"buffer_samples": 1000})


@pytest.mark.parametrize(
    ("waveform", "why"),
    [
        (forms.constant_voltage(1.0, 0.01), "shorter"),
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
    ],
)
def test_what_it_can_not_play_is_refused_in_one_sentence(waveform: forms.Waveform, why: str) -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert why in str(await refused(Refused, source.start_waveform(waveform)))
        assert not (await source.status()).output_on

    _with(check)


def test_the_open_circuit_voltage_is_no_sample() -> None:
    async def check(source: Any, emulator: Any) -> None:
        assert await source.open_circuit_voltage() == pytest.approx(0.7, abs=1e-3)
        assert (await source.samples(0)).total == 0
        assert (await source.status()).off_mode is OffMode.ZERO_VOLTS  # as it was
        assert await source.set_rest(BiasRest(off_mode=OffMode.HIGH_IMPEDANCE)) is OffMode.HIGH_IMPEDANCE

    _with(check, cell_voltage_v=0.7, cell_resistance_ohm=1e6)
