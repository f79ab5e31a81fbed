"""A node over loopback in real time: keys and roles, what a refused one is told, connections that end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import zmq

from cryoctl.errors import BadInput, ConnectionLost, DeviceError
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.node.asking import NodeNotReached, ask_node
from cryoctl.node.client import NodeClient
from cryoctl.node.dealer import DealerLink
from cryoctl.node.heart import Heart
from cryoctl.node.keys import KeyFolder
from cryoctl.node.roles import Role
from cryoctl.node.router import LARGEST_FRAME, Router
from cryoctl.testing.beam import permit_for
from tests.node_bench import NodeBench, served


def connected(router: Router, keys: Path, *, control: bool = True) -> NodeClient:
    folder = KeyFolder(keys)
    return NodeClient(router.address, lambda: DealerLink(router.address, folder), "bench", control=control)


def refused(bench: NodeBench) -> list[str]:
    return [one["message"] for one in bench.audit.latest if one["what"] == "refused"]


def test_a_key_decides_who_may_what_and_a_refused_one_is_told_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, mine = KeyFolder(tmp_path / "node"), KeyFolder(tmp_path / "mine")
    monkeypatch.setenv("CRYOCTL_KEYS", str(mine.folder))
    node.make_own()

    async def check(bench: NodeBench, router: Router) -> None:
        def asked() -> Any:
            return asyncio.to_thread(ask_node, router.address, "node.state", "bench")

        with pytest.raises(NodeNotReached, match="wants keys and its own is not known here, or is no node"):
            await asked()
        mine.know(router.address, "0" * 64)
        with pytest.raises(NodeNotReached, match="has another key than is known here"):
            await asked()
        mine.know(router.address, node.own_public)
        with pytest.raises(NodeNotReached, match="this computer's key is not allowed there"):
            await asked()
        mine.make_own()
        with pytest.raises(NodeNotReached, match="this computer's key is not allowed there"):
            await asked()
        assert refused(bench).count("a key that is not allowed") == 2
        node.allow(mine.own_public, "vera", Role.VIEWER)
        assert (await asked())["greeting"]["role"] == "viewer"
        with pytest.raises(DeviceError, match="vera is a viewer"):
            await connected(router, mine.folder).open("x")
        node.allow(mine.own_public, "vera", Role.OPERATOR)
        client = connected(router, mine.folder)
        stage = bench.remote("stage", client)
        await stage.connect()
        assert (await stage.move(x_m=1e-8)).x_m == pytest.approx(1e-8, abs=5e-8)
        node.revoke("vera")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await stage.position()
        assert "a message of a key that was revoked" in refused(bench)
        client.main.close()
        client.urgent.close()
        client._end_heart()  # pyright: ignore[reportPrivateUsage]

    served(check, node.folder)


def test_a_connection_that_ends_is_noticed_at_once_and_what_is_too_large_ends_its_own(tmp_path: Path) -> None:
    async def check(bench: NodeBench, router: Router) -> None:
        stage = bench.remote("stage", client := connected(router, tmp_path))
        await stage.connect()
        context: zmq.Context[Any] = zmq.Context()
        other: Any = context.socket(zmq.DEALER)
        other.linger = 0
        other.connect(router.address)
        for junk in ([b"J", b"{"], [b"x" * 1_000_001], [b"J", b"x" * (LARGEST_FRAME + 1)]):
            other.send_multipart(junk)
        await asyncio.sleep(0.2)
        assert len(refused(bench)) == 2
        assert not bench.secured
        assert (await stage.position()).tilt_deg == 0.0
        context.destroy(linger=0)
        link: Any = client.main._link  # pyright: ignore[reportPrivateUsage]
        link.close()
        for _ in range(100):
            await asyncio.sleep(0.005)
            if bench.secured:
                break
        assert bench.secured == ["the connection of local (bench) ended"]
        client.main.lose("gone")
        with pytest.raises(ConnectionLost, match=r"stage: node tcp://.* not connected"):
            await stage.move(x_m=0.0)
        await stage.connect()
        assert (await stage.move(x_m=0.0)).tilt_deg == 0.0
        await stage.close()

    served(check)


def test_a_heart_keeps_the_lease_of_a_loop_that_is_busy(tmp_path: Path) -> None:
    async def check(bench: NodeBench, router: Router) -> None:
        keys = KeyFolder(tmp_path)
        client = connected(router, tmp_path)
        client._make_heart = lambda secret, every_s: Heart(  # pyright: ignore[reportPrivateUsage]
            router.address, keys, "bench", secret, every_s
        )
        await client.open("x")
        beating: Any = client._beating  # pyright: ignore[reportPrivateUsage]
        beating.cancel()
        await asyncio.sleep(1.0)
        assert bench.desk.lease.held is not None
        assert not bench.secured
        client._end_heart()  # pyright: ignore[reportPrivateUsage]
        await asyncio.sleep(0.7)
        assert bench.secured == ["no heartbeat of local (bench) for 0.4 s"]
        client.main.close()
        client.urgent.close()

    served(check, heartbeat_limit_s=0.4)


def test_frames_come_whole_over_a_network(tmp_path: Path) -> None:
    async def check(bench: NodeBench, router: Router) -> None:
        client = connected(router, tmp_path)
        beam, haadf = bench.remote("beam", client), bench.remote("haadf", client)
        await beam.connect()
        await haadf.connect()
        for device in (bench.devices.beam, bench.devices.image_detectors["haadf"]):
            quick: Any = device
            at_once = {name: 0.0 for name in ("optics_s", "insert_s") if hasattr(quick.settings, name)}
            quick.settings = quick.settings.model_copy(update=at_once)
        await beam.apply(Optics(name="one", voltage_v=200e3, beam_current_a=1e-10))
        await haadf.insert()
        scan = Scan(shape=(64, 48), pixel_size_m=5e-9, dwell_s=1e-6, scans=2)
        await haadf.arm(scan)
        pictures: list[Any] = []

        async def done(index: int) -> tuple[float, float]:
            pictures.append(await haadf.read_scan(index))
            return (0.0, 0.0)

        report = await beam.expose(permit_for(beam, scan, 1.0), scan, done)
        assert report.scans_done == 2
        for index, picture in enumerate(pictures):
            assert (picture == await bench.devices.image_detectors["haadf"].read_scan(index)).all()
        await beam.close()
        await haadf.close()

    served(check)


def test_other_computers_need_keys_and_a_port_is_taken_once(tmp_path: Path) -> None:
    async def check(bench: NodeBench, router: Router) -> None:
        with pytest.raises(BadInput, match=r"--address 0.0.0.0: open to other computers only with keys"):
            Router(bench.desk, "0.0.0.0", 0, None, bench.audit)
        with pytest.raises(BadInput, match=f"--port {router.port}: another process listens there"):
            Router(bench.desk, "127.0.0.1", router.port, None, bench.audit)
        with pytest.raises(BadInput, match="there is no pair yet"):
            Router(bench.desk, "127.0.0.1", 0, KeyFolder(tmp_path), bench.audit)
        with pytest.raises(BadInput, match="can't be listened on"):
            Router(bench.desk, "192.0.2.1", 0, _with_pair(tmp_path), bench.audit)

    served(check)


def _with_pair(folder: Path) -> KeyFolder:
    keys = KeyFolder(folder / "made")
    keys.make_own()
    return keys
