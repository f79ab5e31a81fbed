"""Who may do what at a node, what it refuses, and that what it refuses reaches no device."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import ConnectionLost, DeviceError, Refused
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.node.calls import named_devices
from cryoctl.node.messages import LARGEST_REQUEST, pack, unpack
from cryoctl.node.verbs import VERBS
from cryoctl.testing.beam import permit_for
from tests.node_bench import ADMIN, ANNA, BEN, VIEWER, NodeBench

LONG = Scan(shape=(512, 512), pixel_size_m=2e-9, dwell_s=1e-4)
"""Half a minute."""


def played(check: Callable[[NodeBench], Awaitable[None]], **settings: Any) -> None:
    async def whole() -> None:
        bench = NodeBench(**settings)
        for device in bench.devices:
            await device.connect()
        await check(bench)

    run_virtual(whole())


async def exposing(bench: NodeBench, scan: Scan = LONG) -> tuple[Any, asyncio.Task[Any]]:
    """Anna's beam with an exposure under way."""
    beam = bench.remote("beam")
    await beam.connect()
    await beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
    task = asyncio.create_task(beam.expose(permit_for(beam, scan, 1.0), scan))
    await asyncio.sleep(2.0)
    assert not await bench.devices.beam.is_blanked()
    return beam, task


def spied(bench: NodeBench) -> list[str]:
    """Every call of a verb of a device of the node from now on."""
    called: list[str] = []
    for name, (kind, device) in named_devices(bench.devices).items():
        for verb in (*VERBS[kind], "close"):

            def wrapped(real: Any, told: str) -> Any:
                async def act(*arguments: Any, **named: Any) -> Any:
                    called.append(told)
                    return await real(*arguments, **named)

                return act

            setattr(device, verb, wrapped(getattr(device, verb), f"{name}.{verb}"))
    return called


def test_a_second_controller_is_told_who_has_the_lease() -> None:
    async def check(bench: NodeBench) -> None:
        await bench.remote("stage").connect()
        with pytest.raises(DeviceError, match=r"anna \(bench\) has controlled this instrument for 0 s") as caught:
            await bench.remote("stage", bench.client(BEN)).connect()
        assert len(str(caught.value)) <= 300

    played(check)


def test_a_viewer_looks_and_stops_and_does_nothing_else() -> None:
    async def check(bench: NodeBench) -> None:
        _, task = await exposing(bench)
        looking = bench.client(VIEWER, control=False)
        await looking.open("look")
        called = spied(bench)
        place = (await looking.main.call("stage.position", {})).value
        assert place["tilt_deg"] == 0.0
        for do, given in (
            ("stage.move", {"tilt_deg": 3.0}),
            ("bias.output", {"on": True}),
            ("needle.make_safe", {}),
            ("beam.connect", {}),
            ("node.lease", {}),
        ):
            with pytest.raises(DeviceError, match="vera is a viewer, who may look and stop"):
                await looking.main.call(do, given)
        assert called == ["stage.position"]
        await looking.main.call("beam.blank", {})
        assert (await task).ended == "stopped"
        assert await bench.devices.beam.is_blanked()
        assert [one["what"] for one in bench.audit.latest].count("refused") == 5

    played(check)


def test_anyone_may_make_all_safe_and_the_lease_is_gone() -> None:
    async def check(bench: NodeBench) -> None:
        beam, task = await exposing(bench)
        looking = bench.client(VIEWER, control=False)
        await looking.open("look")
        told = (await looking.main.call("node.safe", {})).value
        assert told["ended"] == {"name": "anna", "where": "bench"}
        assert all(one["confirmed"] for one in told["actions"])
        await asyncio.wait((task,))
        assert bench.desk.lease.held is None
        with pytest.raises(ConnectionLost, match="beam: the node direct took the lease away"):
            await beam.measure_current()
        await beam.connect()
        assert (await beam.measure_current()).current_a > 0

    played(check)


def test_only_an_admin_takes_the_lease_over_and_all_is_safe_before() -> None:
    async def check(bench: NodeBench) -> None:
        _, task = await exposing(bench)
        other, admin = bench.client(BEN, control=False), bench.client(ADMIN, control=False)
        await other.open("x")
        await admin.open("x")
        with pytest.raises(DeviceError, match="only an admin may take it over"):
            await other.main.call("node.lease", {"take_over": True})
        assert not await bench.devices.beam.is_blanked()
        await admin.main.call("node.lease", {"take_over": True})
        assert await bench.devices.beam.is_blanked()
        assert bench.secured == ["taken over by ada (bench)"]
        await asyncio.wait((task,))
        assert bench.desk.lease.held is not None
        assert bench.desk.lease.held.person.name == "ada"

    played(check)


@pytest.mark.parametrize("end", ["closed", "cut"])
def test_without_a_sign_of_its_runner_the_beam_is_blanked(end: str) -> None:
    async def check(bench: NodeBench) -> None:
        _, task = await exposing(bench)
        watching = asyncio.create_task(bench.desk.securing.watch_heartbeats(lambda: None))
        await asyncio.sleep(3.0)
        assert not await bench.devices.beam.is_blanked(), "heartbeats keep it"
        main = bench.links[0]
        since_s = now_s()
        if end == "closed":
            main.close()
        else:
            main.cut = True
        limit_s = 1.0 if end == "cut" else 0.0
        await asyncio.sleep(limit_s + 0.05)
        assert await bench.devices.beam.is_blanked()
        assert now_s() - since_s < limit_s + 0.06
        await asyncio.sleep(30.0)
        assert len(bench.secured) == 1
        assert task.done()
        assert isinstance(task.exception(), ConnectionLost)
        watching.cancel()

    played(check, heartbeat_limit_s=1.0)


def test_no_beam_without_a_watchdog() -> None:
    async def check(bench: NodeBench) -> None:
        bench.no_beam = "the node's watchdog is not there"
        beam = bench.remote("beam")
        await beam.connect()
        await beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
        called = spied(bench)
        with pytest.raises(Refused, match="watchdog is not there; the beam stayed blanked"):
            await beam.expose(permit_for(beam, LONG, 1.0), LONG)
        assert called == []

    played(check)


@pytest.mark.parametrize("wrong", ["used", "expired", "for a night", "narrow", "short", "weak", "nan"])
def test_the_node_holds_permits_against_the_scan_before_the_device_is_asked(wrong: str) -> None:
    async def check(bench: NodeBench) -> None:
        beam = bench.remote("beam")
        await beam.connect()
        await beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
        await beam.measure_current()
        scan = Scan(shape=(16, 20), pixel_size_m=10e-9, dwell_s=1e-5)
        permit = permit_for(beam, scan, 1e-9)
        if wrong == "used":
            await beam.expose(permit, scan)
        change: dict[str, Any] = {
            "used": {},
            "expired": {"expires_s": now_s() - 0.1},
            "for a night": {"expires_s": now_s() + 4e4},
            "narrow": {"width_m": permit.width_m * 0.5},
            "short": {"beam_on_s": permit.beam_on_s * 0.9},
            "weak": {"max_current_a": 1e-11},
            "nan": {"x_m": float("nan")},
        }[wrong]
        called = spied(bench)
        with pytest.raises(Refused, match="the beam stayed blanked"):
            await beam.expose(replace(permit, **change), scan)
        assert called == []

    played(check)


def test_two_runners_may_count_their_permits_from_one() -> None:
    async def check(bench: NodeBench) -> None:
        scan = Scan(shape=(16, 20), pixel_size_m=10e-9, dwell_s=1e-5)
        for person in (ANNA, BEN):
            beam = bench.remote("beam", bench.client(person))
            await beam.connect()
            await beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
            permit = replace(permit_for(beam, scan, 1.0), serial=1)
            assert (await beam.expose(permit, scan)).ended == "complete"
            await beam.close()

    played(check)


def test_the_node_ends_an_exposure_that_its_device_does_not_end() -> None:
    async def check(bench: NodeBench) -> None:
        real = bench.devices.beam

        async def stuck(permit: Any, scan: Any, done: Any = None) -> Any:
            """A scan generator that is told of half a minute instead of a second."""
            wide = replace(permit, serial=permit.serial + 1000, beam_on_s=1e3, expires_s=now_s() + 1e3, height_m=1.0)
            return await type(real).expose(real, wide, replace(scan, dwell_s=scan.dwell_s * 30), done)

        real.expose = stuck  # type: ignore[method-assign]
        beam = bench.remote("beam")
        await beam.connect()
        await beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
        scan = Scan(shape=(100, 100), pixel_size_m=2e-9, dwell_s=1e-4)
        began_s = now_s()
        report = await beam.expose(permit_for(beam, scan, 1.0), scan)
        assert report.ended == "stopped"
        assert now_s() - began_s < 2.0
        assert await real.is_blanked()

    played(check)


def test_a_replayed_message_is_refused() -> None:
    async def check(bench: NodeBench) -> None:
        client = bench.client()
        await client.open("x")
        sent: list[list[bytes]] = []
        link = bench.links[0]
        real = link.send
        link.send = lambda frames: (sent.append(frames), real(frames))[1]  # type: ignore[method-assign]
        await client.main.call("bias.output", {"on": False})
        called = spied(bench)
        before = bench.audit.refused
        for _ in range(5):
            real(sent[0])
            await asyncio.sleep(0.01)
        assert called == []
        assert bench.audit.refused - before == 5
        assert "it was here before" in bench.audit.latest[-1]["message"]

    played(check)


NO_VERBS: list[Any] = [
    *("beam.close", "beam.__init__", "beam.unblank", "stage._path", "node.", "", "world.commit", "os.system"),
    *("beam.expose.__call__", "stage.name", "beam.capabilities", "nobody.stop", 5, None, ["stage.stop"]),
]


NO_FRAMES: list[Any] = [
    *(
        ("node.frames", given)
        for given in ({}, {"by": "pickle"}, {"by": ["memory"]}, {"by": "memory", "slot": "psm_0"})
    ),
    *(("node.frames", {"by": by, "token": token}) for by in ("memory", "network") for token in ("", "0" * 32, 5, {})),
    *(("node.taken", {"frames": numbers}) for numbers in (None, "1", {}, [1.0], ["1"], [None])),
    *(("node.frame", {"number": number}) for number in (None, 0, -1, 1, 1.0, "1", True, 10**30, [])),
    *(("node.frames", given) for given in ({"by": "reply", "token": []}, {"by": None}, {"by": "memory", "token": [1]})),
]


def _hurt(rng: random.Random, valid: list[bytes]) -> list[bytes]:
    """A message that no node may carry out, made of one that it would."""
    header = json.loads(valid[1])
    kind = rng.randrange(13)
    if kind == 0:
        return [rng.randbytes(rng.randrange(200)) for _ in range(rng.randrange(5))]
    if kind == 1:
        return [valid[0], valid[1][: rng.randrange(len(valid[1]))]]
    if kind == 2:
        return [rng.choice([b"", b"P", b"\x80\x04", b"JJ"]), valid[1]]
    if kind == 3:
        return [valid[0], b"[" * rng.randrange(1, 5000) + valid[1]]
    if kind == 4:
        return [valid[0], valid[1], *[b"x"] * rng.randrange(63, 80)]
    if kind == 5:
        return [valid[0], valid[1], b"x" * (LARGEST_REQUEST + rng.randrange(1, 1000))]
    if kind == 6:
        header["do"] = rng.choice(NO_VERBS)
    elif kind == 7:
        header["session"] = rng.choice(["", None, "0" * 32, 7, header["session"][:-1], header["session"] + "0", "é"])
    elif kind == 8:
        header["n"] = rng.choice([0, -1, 1.5, "9", None, True, 1 << 60, [], header["n"] - 10**6])
    elif kind == 9:
        header["with"] = rng.choice([None, [], "x", 3, {"tilt": 3.0}, {"tilt_deg": "3"}, {"tilt_deg": [1.0]}])
        header["do"] = "stage.move"
        if header["with"] is None:
            header["with"] = {"x_m": {"$array": 0, "dtype": "O", "shape": [1]}}
    elif kind == 10:
        header["do"] = rng.choice(["bias.output", "needle.step", "bias.set_voltage", "beam.apply", "beam.expose"])
        header["with"] = rng.choice([{"on": 1}, {"axis": "x", "steps": 1.5}, {"voltage_v": True}, {"optics": {}}, {}])
    elif kind == 11:
        header["do"], header["with"] = rng.choice(NO_FRAMES)
    else:
        header["do"], header["with"] = "needle.note_hold", {"hold": rng.choice(["glued", 1, None, "FREE"])}
    return [valid[0], json.dumps(header).encode()]


def fuzzed(count: int, seed: int) -> None:
    rng = random.Random(seed)

    async def check(bench: NodeBench) -> None:
        client = bench.client()
        await client.open("x")
        await asyncio.sleep(0.1)  # its first heartbeat
        link, before = bench.links[0], bench.audit.refused
        called = spied(bench)
        session = client.main.secret
        for number in range(count):
            good = pack({"n": 10**7 + number, "session": session, "do": "stage.move", "with": {"tilt_deg": 1.0}})
            link.send(_hurt(rng, good))
            if number % 100 == 0:
                await asyncio.sleep(0)
        await asyncio.sleep(0.1)
        assert called == []
        assert bench.audit.refused - before == count
        assert not bench.secured
        client.main._numbers = iter(range(10**8, 10**9))  # pyright: ignore
        assert (await client.main.call("stage.move", {"tilt_deg": 1.0})).value["tilt_deg"] == 1.0
        assert called[0] == "stage.move"

    played(check, heartbeat_limit_s=1e6)


def test_what_is_no_message_is_refused_told_and_reaches_no_device() -> None:
    fuzzed(300, 1)


@pytest.mark.campaign
def test_ten_thousand_fuzzed_messages() -> None:
    fuzzed(10_000, 2)
    print("10,000 fuzzed messages: all refused and audited, no device was called, the node answers")


def test_messages_are_told_apart_from_what_is_none() -> None:
    header, arrays = unpack(pack({"n": 1, "with": {"x": float("inf")}}, [b"abc"]), 1000)
    assert header == {"n": 1, "with": {"x": float("inf")}}
    assert arrays == [b"abc"]
