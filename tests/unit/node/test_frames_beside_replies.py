"""Frames by shared memory and over a connection of their own: whole, in order, none lost, none left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import ConnectionLost, DeviceError, Refused
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.node import frames_in
from cryoctl.node.checksum import checksum
from cryoctl.node.client import NodeClient
from cryoctl.node.dealer import DealerLink
from cryoctl.node.frame_push import PullEnd
from cryoctl.node.frames_out import FramesOut
from cryoctl.node.keys import KeyFolder
from cryoctl.node.roles import Role
from cryoctl.node.router import Router
from cryoctl.node.shared_slots import SlotReader, Slots
from cryoctl.testing.beam import permit_for
from tests.frames_process import give_pictures, picture, shared_names
from tests.node_bench import ADMIN, VIEWER, NodeBench, served
from tests.node_process import Network

SIDES = (300, 20, 200, 700, 300)
"""One is small enough to be in the reply, one needs a larger slot than there is."""


def played(check: Callable[[NodeBench], Awaitable[None]], **settings: Any) -> None:
    async def whole() -> None:
        bench = NodeBench(**settings)
        for device in bench.devices:
            await device.connect()
        try:
            await check(bench)
        finally:
            bench.desk.end_sessions()

    run_virtual(whole())
    assert shared_names() == []


def out_of(bench: NodeBench, client: NodeClient) -> FramesOut:
    """What the node has on its way to this client."""
    peers: Any = bench.desk._peers  # pyright: ignore[reportPrivateUsage]
    (found,) = (one for one in peers if one.session == client.main.secret)
    return found.frames_out


def test_frames_by_shared_memory_are_those_of_the_detector_and_leave_nothing_behind() -> None:
    async def check(bench: NodeBench) -> None:
        give_pictures(bench)
        client = bench.client(frames=("memory",))
        haadf = bench.remote("haadf", client)
        await haadf.connect()
        assert client.frames.way == "memory"
        for side in SIDES:
            assert (await haadf.read_scan(side) == picture(side)).all()
            await asyncio.sleep(0.01)
            assert out_of(bench, client).waiting == 0
            assert shared_names() == [], "names are gone once the runner has a slot open"
        several = await asyncio.gather(*(haadf.read_scan(side) for side in SIDES))
        assert [one.shape[0] for one in several] == list(SIDES)
        assert all((one == picture(side)).all() for one, side in zip(several, SIDES, strict=True))
        await haadf.close()
        assert shared_names() == []

    played(check)


def test_a_runner_on_another_computer_finds_no_such_memory_and_frames_come_in_the_reply(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def elsewhere(reader: SlotReader, name: str, size: int) -> bytearray:
        del reader, name
        return bytearray(size)

    async def check(bench: NodeBench) -> None:
        give_pictures(bench)
        client = bench.client(frames=("memory", "network"))
        haadf = bench.remote("haadf", client)
        monkeypatch.setattr(SlotReader, "read", elsewhere)
        await haadf.connect()
        assert client.frames.way == "reply"
        assert (await haadf.read_scan(300) == picture(300)).all()
        assert shared_names() == []

    played(check)


def test_a_frame_that_is_damaged_comes_again_by_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check(bench: NodeBench) -> None:
        give_pictures(bench)
        client = bench.client(frames=("memory",))
        haadf = bench.remote("haadf", client)
        await haadf.connect()
        real = SlotReader.read
        asked: list[int] = []

        def torn(reader: SlotReader, name: str, size: int) -> bytearray:
            data = real(reader, name, size)
            data[size // 2 :] = bytes(size - size // 2)
            return data

        def again(out: FramesOut, number: Any) -> Any:
            asked.append(number)
            return kept(out, number)

        kept = FramesOut.again
        monkeypatch.setattr(SlotReader, "read", torn)
        monkeypatch.setattr(FramesOut, "again", again)
        assert (await haadf.read_scan(300) == picture(300)).all()
        assert asked == [1]
        monkeypatch.setattr(FramesOut, "again", lambda out, number: b"x" * 180_000)
        with pytest.raises(DeviceError, match="frame 2 came damaged twice"):
            await haadf.read_scan(300)

    played(check)


def test_what_nobody_awaits_any_more_is_not_kept() -> None:
    async def check(bench: NodeBench) -> None:
        give_pictures(bench)
        client = bench.client(frames=("memory",))
        haadf = bench.remote("haadf", client)
        await haadf.connect()
        real: Any = bench.desk.send
        bench.desk.send = lambda peer, frames: asyncio.get_running_loop().call_later(0.5, real, peer, frames) and None
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await haadf.read_scan(300)
        await asyncio.sleep(1.5)
        assert out_of(bench, client).waiting == 0
        bench.desk.send = real
        assert (await haadf.read_scan(200) == picture(200)).all()

    played(check)


def test_frames_beside_replies_are_for_whoever_controls() -> None:
    async def check(bench: NodeBench) -> None:
        give_pictures(bench)
        client = bench.client(frames=("memory",))
        haadf = bench.remote("haadf", client)
        await haadf.connect()
        for person in (VIEWER, ADMIN):
            other = bench.client(person, control=False)
            await other.open("x")
            with pytest.raises(DeviceError, match="frames beside the reply are for whoever controls"):
                await other.main.call("node.frames", {"by": "memory"})
            for do, given in (("node.frame", {"number": 1}), ("node.taken", {"frames": [1]})):
                with pytest.raises(DeviceError, match="no frames are on their way to this session"):
                    await other.main.call(do, given)
            reply = await other.main.call("haadf.read_scan", {"index": 300})
            assert not reply.beside
            assert len(reply.arrays[0]) == 180_000

    played(check)


def test_no_exposure_begins_whose_frames_would_not_fit() -> None:
    async def check(bench: NodeBench) -> None:
        client = bench.client(frames=("memory",))
        beam, haadf = bench.remote("beam", client), bench.remote("haadf", client)
        await beam.connect()
        await haadf.connect()
        await beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
        await haadf.insert()
        large = Scan(shape=(512, 512), pixel_size_m=2e-9, dwell_s=1e-7)
        await haadf.arm(large)
        with pytest.raises(Refused, match=r"beam: its frames take 0.5243 MB, 0 MB wait .* at most 0.3 MB") as caught:
            await beam.expose(permit_for(beam, large, 1.0), large)
        assert len(str(caught.value)) <= 300
        assert await bench.devices.beam.is_blanked()
        small = Scan(shape=(256, 256), pixel_size_m=2e-9, dwell_s=1e-7)
        await haadf.arm(small)
        assert (await beam.expose(permit_for(beam, small, 1.0), small)).ended == "complete"
        assert (await haadf.read_scan(0)).shape == (256, 256)

    played(check, frame_budget=300_000)


def connected(router: Router, keys: KeyFolder, ways: tuple[str, ...], nets: list[Network]) -> NodeClient:
    class Detour(DealerLink):
        """Frames go by a network that can be cut."""

        def frames_from(self, port: int) -> PullEnd:
            nets.append(Network(port))
            return PullEnd(router.address, int(nets[-1].address.rpartition(":")[2]), keys)

    return NodeClient(router.address, lambda: Detour(router.address, keys), "bench", frames=ways)


@pytest.mark.parametrize(("with_keys", "end"), [(False, "cut"), (True, "closed")], ids=["cut", "closed, with keys"])
def test_frames_over_a_connection_of_their_own_survive_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_keys: bool, end: str
) -> None:
    monkeypatch.setattr(frames_in, "PATIENCE_S", 0.3)
    node, mine = KeyFolder(tmp_path / "node"), KeyFolder(tmp_path / "mine")
    if with_keys:
        node.make_own()
        mine.make_own()
        node.allow(mine.own_public, "anna", Role.OPERATOR)

    async def check(bench: NodeBench, router: Router) -> None:
        give_pictures(bench)
        if with_keys:
            mine.know(router.address, node.own_public)
        nets: list[Network] = []
        client = connected(router, mine, ("network",), nets)
        haadf = bench.remote("haadf", client)
        await haadf.connect()
        assert client.frames.way == "network"
        came = [await haadf.read_scan(side) for side in SIDES]
        assert await settled(lambda: out_of(bench, client).waiting == 0)
        reading = [asyncio.create_task(haadf.read_scan(200 + number)) for number in range(20)]
        await asyncio.sleep(0.002)
        if end == "cut":
            nets[0].cut()
        else:
            nets[0].close()
        came += [await one for one in reading]
        for side, got in zip((*SIDES, *range(200, 220)), came, strict=True):
            assert got.shape == (side, side)
            assert (got == picture(side)).all()
        assert (await haadf.read_scan(700) == picture(700)).all()
        if end == "cut":
            assert client.frames.way == "reply", "one that is silent is left"
        assert await settled(lambda: out_of(bench, client).waiting == 0)
        await haadf.close()
        if end == "cut":
            nets[0].close()

    served(check, node.folder if with_keys else None)
    assert shared_names() == []


async def settled(true: Callable[[], bool]) -> bool:
    for _ in range(200):
        if true():
            return True
        await asyncio.sleep(0.01)
    return False


@pytest.mark.parametrize("way", ["memory", "network"])
def test_a_series_over_a_network_that_is_cut_and_comes_back_lacks_no_frame(tmp_path: Path, way: str) -> None:
    """Everything is cut, so that the lease is lost; once it was taken again the detector gives what it has."""

    async def check(bench: NodeBench, router: Router) -> None:
        give_pictures(bench)
        keys, nets = KeyFolder(tmp_path), [Network(router.port)]

        class Detour(DealerLink):
            def frames_from(self, port: int) -> PullEnd:
                nets.append(Network(port))
                return PullEnd(router.address, int(nets[-1].address.rpartition(":")[2]), keys)

        client = NodeClient("node", lambda: Detour(nets[0].address, keys), "bench", frames=(way,))
        haadf = bench.remote("haadf", client)
        await haadf.connect()
        assert client.frames.way == way
        came: list[int] = []
        cuts = 0
        while len(came) < 30:
            side = 200 + len(came)
            reading = asyncio.create_task(haadf.read_scan(side))
            if len(came) == 10 and not cuts:
                await asyncio.sleep(0.001)
                for net in nets:
                    net.cut()
                cuts = 1
            try:
                got = await reading
            except ConnectionLost:
                nets[0] = Network(router.port)
                await haadf.connect()
                assert client.frames.way == way
                continue
            assert (got == picture(side)).all()
            came.append(got.shape[0])
        assert came == list(range(200, 230))
        assert bench.secured == ["no heartbeat of local (bench) for 0.3 s"]
        await haadf.close()
        assert await settled(lambda: shared_names() == [])
        for net in nets:
            net.close()

    served(check, heartbeat_limit_s=0.3)
    assert shared_names() == []


def test_only_the_key_of_the_runner_gets_its_frames(tmp_path: Path) -> None:
    node, mine, other = (KeyFolder(tmp_path / name) for name in ("node", "mine", "other"))
    for one in (node, mine, other):
        one.make_own()
    node.allow(mine.own_public, "anna", Role.OPERATOR)
    node.allow(other.own_public, "ben", Role.OPERATOR)

    async def check(bench: NodeBench, router: Router) -> None:
        give_pictures(bench)
        for one in (mine, other):
            one.know(router.address, node.own_public)
        client = NodeClient(router.address, lambda: DealerLink(router.address, mine), "bench", frames=("network",))
        haadf = bench.remote("haadf", client)
        await haadf.connect()
        push: Any = out_of(bench, client)._push  # pyright: ignore[reportPrivateUsage]
        stolen: list[int] = []
        thief = PullEnd(router.address, push.port, other)
        thief.arrived = lambda number, data: stolen.append(number)
        await asyncio.sleep(0.1)
        for side in (300, 301, 302, 303):
            assert (await haadf.read_scan(side) == picture(side)).all()
        assert stolen == []
        assert "a key that is not allowed" in [one["message"] for one in bench.audit.latest]
        thief.close()
        await haadf.close()

    served(check, node.folder)


def test_slots_are_used_again_grow_and_stay_within_their_limit() -> None:
    slots, reader = Slots(350_000), SlotReader()
    first = slots.take(100_000)
    assert first is not None
    assert slots.take(100_000) is not None
    assert slots.take(100_000) is None, "no room"
    checked = first.fill(b"ab" * 50_000)
    assert checksum(reader.read(first.name, 100_000)) == checked
    with pytest.raises(OSError, match="smaller than"):
        reader.read(first.name, 10**9)
    first.hide()
    first.busy = False
    assert slots.take(90_000) is first, "used again"
    assert checksum(reader.read(first.name, 100_000)) == checked, "the runner still has it open"
    first.busy = False
    assert slots.take(150_000) is not None, "the free one makes room"
    assert slots.gone == [first.name]
    reader.close()
    slots.close()
    assert shared_names() == []


def test_what_a_killed_node_left_is_removed() -> None:
    made = "from cryoctl.node.shared_slots import Slot; s = Slot(65536); print(s.name, flush=True); input()"
    node = subprocess.Popen([sys.executable, "-c", made], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert node.stdout is not None
    name = node.stdout.readline().decode().strip()
    assert shared_names(node.pid) == [name]
    os.kill(node.pid, signal.SIGKILL)
    node.wait()
    deadline_s = time.monotonic() + 10.0
    while shared_names(node.pid):
        assert time.monotonic() < deadline_s
        time.sleep(0.01)


@pytest.mark.parametrize("size", [0, 3, 8, 65536, 100_001, 262_144 + 5])
def test_a_checksum_tells_what_came_otherwise(size: int) -> None:
    data = np.random.default_rng(size).integers(1, 255, size, dtype=np.uint8).tobytes()
    for place in range(0, size, max(1, size // 7)):
        assert checksum(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]) != checksum(data)
        assert checksum(data[:place] + bytes(size - place)) != checksum(data)
    if size > 65536:
        assert checksum(data[32768:65536] + data[:32768] + data[65536:]) != checksum(data), "blocks in another order"
