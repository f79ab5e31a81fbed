"""SECoP driver on its emulated node: the contract of a holder, updates in between, a bad line, what does not fit."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import ConnectionLost, CryoctlError, DeviceError, InstrumentError, OutOfRange, ReadBackMismatch
from cryoctl.testing.device import refused
from cryoctl.testing.holder import HolderContract
from tests.wire.emulated import EmulatedInstrument, holder_on_a_bad_line, on_a_wire, plugged_in

_NAMED = {"temperature": "T", "nitrogen": "N2", "pressure": "P", "temperature_range_k": [90.0, 350.0]}
_EXACT = {"sensor_sigma_k": 0.0}
_FAST = {"deadline_s": 0.05, "confirm": True}


class TestSecop(EmulatedInstrument, HolderContract):
    driver, model = "secop-holder", "secop-node"
    settings = _NAMED


class TestSecopAmongUpdates(EmulatedInstrument, HolderContract):
    driver, model = "secop-holder", "secop-node"
    settings = {**_NAMED, "ramp_k_per_min": 10.0}  # noqa: RUF012
    emulated = {"talkative": True, "updates_s": 7.0}  # noqa: RUF012


def _checked(
    check: Callable[[Any, Any], Awaitable[None]], settings: dict[str, Any] | None = None, **emulated: Any
) -> None:
    on_a_wire("secop-holder", "secop-node", {**_NAMED, **(settings or {})}, {**_EXACT, **emulated}, check)


def _answers(emulator: Any, question: str, reply: Callable[[], str]) -> None:
    """Another reply to one question than the node's own."""
    own = emulator.answer
    emulator.answer = lambda command, session: reply() if command == question else own(command, session)


def _among_updates(emulator: Any, seed: int) -> None:
    """Updates of a wrong value before and after every reply, some of them cut in two by it."""
    own, draw = emulator.answer, random.Random(seed)
    wrong = [
        'update T:value [11.0,{"t":1.0}]',
        'error_update T:value ["HardwareError","x",{}]',
        "update T:target [12.0,{}]",
    ]

    def answer(command: str, session: dict[str, Any]) -> str:
        before = [draw.choice(wrong) for _ in range(draw.randrange(4))]
        after = [draw.choice(wrong) for _ in range(draw.randrange(3))]
        begun = draw.choice(wrong)[: draw.randrange(12)] if draw.random() < 0.3 else None
        return "\n".join([*before, own(command, session), *after, *([] if begun is None else [begun])])

    emulator.answer = answer


def test_reads_what_the_world_is() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        world = emulator.world
        assert (await holder.temperature()).temperature_k == pytest.approx(world.specimen_temperature_k(), abs=1e-4)
        assert await holder.pressure() == pytest.approx(world.pressure_pa(), rel=1e-9)
        await asyncio.sleep(7200.0)
        assert await holder.nitrogen() == pytest.approx(world.cold.nitrogen(world.time_s), abs=1e-5)

    _checked(check)


def test_a_ramp_is_set_first() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        await holder.set_temperature(125.0)
        await asyncio.sleep(60.0)
        assert emulator.world.cold.set_point_k(60.0) == pytest.approx(101.0)
        reading = await holder.temperature()
        assert reading.valid, "busy is no fault"
        assert reading.temperature_k == pytest.approx(95 + 6 * math.exp(-1), abs=0.01)

    _checked(check, {"ramp_k_per_min": 6.0})


def test_updates_in_between_are_never_taken_for_replies() -> None:
    async def play() -> int:
        holder, emulator = plugged_in(
            "secop-holder",
            "secop-node",
            {**_NAMED, "deadline_s": 1.0},
            {**_EXACT, "talkative": True, "updates_s": 0.05},
        )
        await holder.connect()
        _among_updates(emulator, seed=1)
        good = 0
        for target_k in (100.0, 120.0, 140.0, 160.0, 180.0, 200.0):
            try:
                true_k = emulator.world.specimen_temperature_k()
                reading = await holder.temperature()
                later_k = emulator.world.specimen_temperature_k()
                assert true_k - 1e-3 <= reading.temperature_k <= later_k + 1e-3
                await holder.set_temperature(target_k)
                assert emulator.answer("read T:target", {}).count(f"reply T:target [{target_k},") == 1
                good += 1
            except CryoctlError as error:
                assert len(str(error)) <= 300
        await holder.close()
        emulator.close()
        return good

    assert asyncio.run(play()) >= 3


@pytest.mark.parametrize("cases", [12, pytest.param(1000, marks=pytest.mark.campaign)])
def test_on_a_bad_line_nothing_wrong_is_believed(cases: int) -> None:
    line = holder_on_a_bad_line("secop-holder", "secop-node", {**_NAMED, **_FAST}, {"talkative": True}, cases)
    not_cut = cases - line.kinds.get("line-reset", 0)
    assert line.succeeded > 0.7 * not_cut, "what the link can't mend by itself is a cut"


@pytest.mark.parametrize(
    ("question", "reply", "said"),
    [
        ("read T:value", 'error_read T:value ["HardwareError","sensor disconnected",{}]', "sensor disconnected"),
        ("read T:value", 'error_read T:value ["SomethingNew","who knows",{}]', "who knows"),
        ("read T:value", 'reply T:value [95.0,{"t":1699999950.0}]', "50 s ago"),
        ("read T:value", 'reply T:value ["95.0",{}]', "no number"),
        ("read T:value", "reply T:value [true,{}]", "no number"),
        ("read T:value", "reply T:value [1e999,{}]", "no number"),
        ("read T:value", f"reply T:value [1{400 * '0'},{{}}]", "no number"),
        ("read T:status", 'reply T:status [[400,"heater broken"],{}]', "heater broken"),
        ("read T:status", 'reply T:status [[430,""],{}]', "430"),
        ("read T:status", 'reply T:status [[0,""],{}]', "disabled"),
        ("read T:status", "reply T:status [100,{}]", "no status"),
    ],
)
def test_what_the_node_does_not_trust_reads_invalid(question: str, reply: str, said: str) -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _answers(emulator, question, lambda: reply)
        reading = await holder.temperature()
        assert not reading.valid
        assert math.isnan(reading.temperature_k)
        assert said in str(await refused(DeviceError, holder.make_safe()))

    _checked(check)


@pytest.mark.parametrize("status", ['[200,"nitrogen below 20 %"]', '[250,""]', '[376,"x"]', '[390,""]'])
def test_warnings_and_what_is_busy_are_valid(status: str) -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _answers(emulator, "read T:status", lambda: f"reply T:status [{status},{{}}]")
        assert (await holder.temperature()).valid
        await holder.set_temperature(120.0)

    _checked(check)


def test_a_node_that_changed_is_a_fault_of_the_device() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _answers(emulator, "read T:value", lambda: 'error_read T:value ["NoSuchModule","there is no module T",{}]')
        assert "NoSuchModule" in str(await refused(DeviceError, holder.temperature()))

    _checked(check)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ('error_change T:target ["RangeError","120.0 is outside 0 to 100",{}]', OutOfRange),
        ('error_change T:target ["IsBusy","a sample is being changed",{}]', DeviceError),
        ('error_change T:target ["ReadOnly","not now",{}]', DeviceError),
        ('changed T:target [100.0,{"t":1.0}]', ReadBackMismatch),
        ("changed T:target [120.0,{}]", ReadBackMismatch),
    ],
)
def test_a_target_that_was_not_taken_is_told(reply: str, error: type[CryoctlError]) -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _answers(emulator, "change T:target 120.0", lambda: reply)
        await refused(error, holder.set_temperature(120.0))

    _checked(check)


def test_a_reply_that_got_lost_is_no_reason_to_say_it_again() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        own, said = emulator.answer, []

        def answer(command: str, session: dict[str, Any]) -> str | None:
            reply = own(command, session)
            if command.startswith("change"):
                said.append(command)
                return None
            return reply

        emulator.answer = answer
        await holder.set_temperature(120.0)
        assert said == ["change T:target 120.0"]

    _checked(check, {"deadline_s": 0.1})


def test_an_error_after_the_target_was_set_is_told() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _answers(emulator, "read T:status", lambda: 'reply T:status [[400,"heater is open"],{}]')
        assert "heater is open" in str(await refused(DeviceError, holder.set_temperature(120.0)))

    _checked(check)


def test_a_level_or_pressure_that_can_not_be_read_is_no_number() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        _answers(emulator, "read N2:value", lambda: 'error_read N2:value ["CommunicationFailed","no reply",{}]')
        assert "no reply" in str(await refused(DeviceError, holder.nitrogen()))
        _answers(emulator, "read N2:value", lambda: "reply N2:value [130.0,{}]")
        assert "0 to 1" in str(await refused(DeviceError, holder.nitrogen()))
        _answers(emulator, "read P:value", lambda: "reply P:value [null,{}]")
        assert "no number" in str(await refused(DeviceError, holder.pressure()))
        _answers(emulator, "read P:value", lambda: "reply P:value [-1e-3,{}]")
        assert "-0.1 Pa" in str(await refused(DeviceError, holder.pressure()))

    _checked(check)


def test_nothing_is_read_that_no_setting_names() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        assert math.isnan(await holder.nitrogen())
        assert math.isnan(await holder.pressure())

    _checked(check, {"nitrogen": None, "pressure": None})


def _without(path: str, value: Any = None) -> Callable[[dict[str, Any]], None]:
    """The description with one thing changed, or left out."""

    def change(node: dict[str, Any]) -> None:
        *way, last = path.split(".")
        for name in way:
            node = node[name]
        if value is None:
            del node[last]
        else:
            node[last] = value

    return change


_T = "modules.T.accessibles."


@pytest.mark.parametrize(
    ("settings", "change", "said"),
    [
        ({"temperature": "Ts"}, None, ("temperature", "Ts", "T, N2, P")),
        ({"nitrogen": "N3"}, None, ("nitrogen", "N3", "T, N2, P")),
        ({"regulation": "N2"}, None, ("regulation", "N2:target", "value, status")),
        ({"temperature": "T:stop"}, None, ("temperature", "T:stop", "command")),
        ({}, _without(_T + "value.datainfo.unit", "degC"), ("T:value", "degC", "K")),
        ({}, _without(_T + "target.readonly", True), ("T:target", "read only")),
        ({}, _without(_T + "target"), ("T:target", "value, status")),
        ({}, _without(_T + "value.datainfo", {"type": "string"}), ("T:value", "string")),
        ({"pressure": "N2"}, None, ("pressure", "N2:value", "%", "Pa")),
        ({"temperature_range_k": [80.0, 350.0]}, None, ("80", "350", "90", "400")),
        ({"ramp_k_per_min": 200.0}, None, ("ramp_k_per_min", "200", "100")),
        ({"ramp_k_per_min": 2.0}, _without(_T + "ramp"), ("ramp_k_per_min", "T:ramp")),
        ({}, _without("modules"), ("describe",)),
        ({}, _without(_T + "target.datainfo.min", "low"), ("T:target", "min", "low")),
        ({}, _without(_T + "target.datainfo.max", 10**400), ("T:target", "max", "1000")),
        ({}, _without(_T + "value.datainfo.unit", ["K"]), ("T:value", "K")),
        ({}, _without(_T + "target.datainfo", {"type": "scaled", "scale": 0, "unit": "K"}), ("T:target", "scale")),
    ],
)
def test_what_does_not_fit_is_told_when_it_is_connected(
    settings: dict[str, Any], change: Callable[[dict[str, Any]], None] | None, said: tuple[str, ...]
) -> None:
    async def play() -> None:
        holder, emulator = plugged_in("secop-holder", "secop-node", {**_NAMED, **settings}, _EXACT)
        if change is not None:
            node = copy.deepcopy(emulator.description)
            change(node)
            _answers(emulator, "describe", lambda: f"describing . {json.dumps(node)}")
        error = await refused(InstrumentError, holder.connect())
        assert all(part in str(error) for part in said), str(error)
        await holder.close()
        emulator.close()

    run_virtual(play())


def test_scaled_integers_and_other_units_are_read_and_set() -> None:
    async def play() -> None:
        holder, emulator = plugged_in("secop-holder", "secop-node", {**_NAMED, "ramp_k_per_min": 6.0}, _EXACT)
        node = copy.deepcopy(emulator.description)
        there = node["modules"]["T"]["accessibles"]
        there["target"]["datainfo"] = {"type": "scaled", "scale": 0.01, "min": 0, "max": 40000, "unit": "K"}
        there["ramp"]["datainfo"] = {"type": "double", "min": 0, "max": 1, "unit": "K/s"}
        said: list[str] = []
        own = emulator.answer

        def answer(command: str, session: dict[str, Any]) -> str | None:
            if command == "describe":
                return f"describing . {json.dumps(node)}"
            if command.startswith(("change", "read T:target", "read T:ramp")):
                said.append(command)
                _, specifier, *value = command.split()
                kept = {"T:target": "12345", "T:ramp": "0.1"}[specifier]
                return f"{'changed' if value else 'reply'} {specifier} [{kept},{{}}]"
            return own(command, session)

        emulator.answer = answer
        await holder.connect()
        await holder.set_temperature(123.45)
        assert said == ["change T:ramp 0.1", "read T:ramp", "change T:target 12345", "read T:target"]
        await holder.close()
        emulator.close()

    run_virtual(play())


@pytest.mark.parametrize(
    ("says", "said"),
    [
        ("SSH-2.0-OpenSSH_9.2", "SSH-2.0"),
        ("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n<html></html>", "HTTP/1.1"),
        ("LSCI,MODEL336,LSA0011,1.6", "LSCI"),
        ("ISSE,SECoP,V2030-01-01,v3.0", "3.0"),
    ],
)
def test_another_server_on_that_port_is_told(says: str, said: str) -> None:
    async def play() -> None:
        holder, emulator = plugged_in("secop-holder", "secop-node", {**_NAMED, "deadline_s": 0.05}, _EXACT)
        emulator.answer = lambda command, session: says
        assert said in str(await refused((InstrumentError, DeviceError), holder.connect()))
        await holder.close()
        emulator.close()

    run_virtual(play())


def test_a_port_where_nobody_listens_is_told() -> None:
    async def play() -> None:
        holder, emulator = plugged_in("secop-holder", "secop-node", _NAMED, _EXACT)
        emulator.close()
        assert "refused" in str(await refused(ConnectionLost, holder.connect()))
        await holder.close()

    run_virtual(play())


def test_a_cut_that_nobody_noticed_is_mended_by_connecting() -> None:
    async def check(holder: Any, emulator: Any) -> None:
        first = await holder.connect()
        emulator.reset()
        assert await holder.connect() == first
        assert (await holder.temperature()).valid

    _checked(check)
