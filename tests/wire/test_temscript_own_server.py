"""Code that we did not write on either side: temscript's client on the emulator, temscript's server under the drivers.

Its `NullMicroscope` has no STEM, so the little that one needs is added to it here.
"""

from __future__ import annotations

import asyncio
import math
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from temscript import NullMicroscope, RemoteMicroscope
from temscript.server import MicroscopeServer

from cryoctl import registry
from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import ConnectionLost, InstrumentError, NoAnswer
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import permit_for
from cryoctl.testing.device import refused
from cryoctl_drivers.thermo_fisher.blanker import ServerBlanker
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.settings import BeamSettings, ServerSettings
from tests.wire.emulated_tem import BEAM, HAADF, OPTICS, SCAN, Microscope, played


class ScanningNullMicroscope(NullMicroscope):
    """Acquires as long as a scan lasts, tells what was called, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[tuple[str, Any, float]] = []
        self.took: list[str] = []

    def is_stem_available(self) -> bool:
        return True

    def get_stem_detectors(self) -> dict[str, Any]:
        return {"HAADF": {"type": "STEM_DETECTOR", "binnings": [1, 2, 4, 8, 16]}}

    def get_instrument_mode(self) -> str:
        return "STEM"

    def set_stem_acquisition_param(self, param: dict[str, Any], ignore_errors: bool = False) -> None:
        self._stem_acq_param["binning"] = param["binning"]
        super().set_stem_acquisition_param({key: value for key, value in param.items() if key != "binning"})

    def set_beam_blanked(self, mode: bool) -> None:
        super().set_beam_blanked(mode)
        self.acts.append(("blanked", mode, time.monotonic()))

    def acquire(self, *detectors: str) -> dict[str, Any]:
        size = 256 // self._stem_acq_param["binning"]
        assert not self.get_beam_blanked()
        self.acts.append(("acquire", detectors, time.monotonic()))
        time.sleep(size**2 * self._stem_acq_param["dwell_time(s)"])
        picture = np.arange(size * size, dtype=np.int16).reshape(size, size)
        return {name: picture for name in detectors if name == "HAADF"}

    def _set_stage_position(self, pos: Any = None, method: str = "GO", speed: float | None = None) -> None:
        self.acts.append(("go", dict(pos), time.monotonic()))
        super()._set_stage_position(pos, method, speed)


@contextmanager
def served(microscope: NullMicroscope, count: int = 1) -> Iterator[list[int]]:
    """Ports of so many of temscript's servers of one microscope, each a thread."""
    servers = [MicroscopeServer(("127.0.0.1", 0), lambda: microscope) for _ in range(count)]
    threads = [threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True) for server in servers]
    for thread in threads:
        thread.start()
    try:
        yield [server.server_address[1] for server in servers]
    finally:
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()


def driver(kind: str, context: DeviceContext | None = None, **settings: Any) -> Any:
    settings = {"host": "127.0.0.1", **{"beam": BEAM, "haadf": HAADF}.get(kind, {}), **settings}
    return registry.find("cryoctl.devices", f"thermo-fisher-{kind}")(kind, settings, context or DeviceContext(seed=1))


def asked(
    microscope: Microscope, question: Callable[[RemoteMicroscope], Any], server: str = "column"
) -> Awaitable[Any]:
    """Of temscript's own client, in a thread."""
    port = microscope.tem.open()[server]

    def ask() -> Any:
        return question(RemoteMicroscope(("127.0.0.1", port), timeout=5.0))

    return asyncio.get_running_loop().run_in_executor(None, ask)


def test_temscripts_client_finds_a_microscope_in_the_emulator() -> None:
    async def check(microscope: Microscope) -> None:
        def question(tem: RemoteMicroscope) -> None:
            assert tem.get_version() == "2.1.0"
            assert tem.get_family() == "TITAN"
            assert tem.get_voltage() == 200.0
            assert tem.is_stem_available()
            limits = tem.get_stage_limits()
            assert limits["a"] == pytest.approx([-math.radians(75), math.radians(75)])
            tem.set_stage_position(x=1e-6, a=math.radians(2.0))
            assert tem.get_stage_status() == "READY"
            at = tem.get_stage_position()
            assert (at["x"], at["a"]) == pytest.approx((1e-6, math.radians(2.0)))
            with pytest.raises(RuntimeError, match="beyond"):
                tem.set_stage_position(x=1.0)
            with pytest.raises(KeyError):
                tem.get_camera_param("CCD")
            assert list(tem.get_stem_detectors()) == ["HAADF"]
            tem.set_stem_acquisition_param({"image_size": "HALF", "binning": 4, "dwell_time(s)": 1e-5})
            assert tem.get_stem_acquisition_param() == {"image_size": "HALF", "binning": 4, "dwell_time(s)": 1e-5}
            with pytest.raises(RuntimeError):
                tem.set_stem_acquisition_param({"binning": 3})
            dark = tem.acquire("HAADF")["HAADF"]
            tem.set_spot_size_index(6)
            tem.set_beam_blanked(False)
            lit = tem.acquire("HAADF", "unknown")
            tem.set_beam_blanked(True)
            assert tem.get_beam_blanked() is True
            assert lit.keys() == {"HAADF"}
            assert lit["HAADF"].shape == dark.shape == (32, 32)
            assert lit["HAADF"].astype(float).mean() > dark.astype(float).mean() + 10
            assert tem.get_vacuum()["gauges(Pa)"]["IGPco"] > 0
            tem.set_column_valves_open(False)
            assert tem.get_column_valves_open() is False

        await asked(microscope, question)
        log = microscope.tem.world.column.blanking()
        assert log[:, 1].tolist() == [1.0, 0.0]
        assert log[1, 0] - log[0, 0] > 32**2 * 1e-5

    played(check)


def test_temscripts_client_blanks_while_another_one_acquires() -> None:
    async def check(microscope: Microscope) -> None:
        def acquire(tem: RemoteMicroscope) -> np.ndarray[Any, Any]:
            tem.set_stem_acquisition_param({"image_size": "FULL", "binning": 16, "dwell_time(s)": 0.05})
            tem.set_beam_blanked(False)
            return tem.acquire("HAADF")["HAADF"]

        acquiring = asyncio.ensure_future(asked(microscope, acquire))
        await asyncio.sleep(6.4)
        await asked(microscope, lambda tem: tem.set_beam_blanked(True), "blanker")
        assert not acquiring.done()
        picture = (await acquiring).astype(float)
        log = microscope.tem.world.column.blanking()
        assert 6.0 < log[1, 0] - log[0, 0] < 6.5
        assert picture[:7].mean() > picture[9:].mean() + 10

    played(check)


def test_drivers_on_temscripts_own_server() -> None:
    microscope = ScanningNullMicroscope()
    context = DeviceContext(seed=1)

    async def check(ports: list[int]) -> None:
        beam = driver("beam", context, port=ports[0], blanker_port=ports[1], optics_s=0.0)
        haadf = driver("haadf", context, port=ports[0])
        for device in (beam, haadf):
            found = await device.connect()
            assert (found.model, found.firmware) == ("NULL", "temscript 2.1.0")
        assert 0 < beam.capabilities.blanker_latency_s < 0.1
        applied = await beam.apply(OPTICS)
        assert (applied.spot, microscope.get_spot_size_index()) == (6, 6)
        assert await beam.shift_image(2e-7, -1e-7) == (2e-7, -1e-7)
        assert microscope.get_beam_shift() == (2e-7, -1e-7)
        await haadf.insert()
        await haadf.arm(SCAN)
        microscope.acts.clear()
        report = await beam.expose(permit_for(beam, SCAN, 1.0, x_m=2e-7, y_m=-1e-7), SCAN)
        assert (report.ended, report.scans_done) == ("complete", 3)
        assert [act[:2] for act in microscope.acts] == 3 * [
            ("blanked", False),
            ("acquire", ("HAADF",)),
            ("blanked", True),
        ]
        opened, shut = microscope.acts[::3], microscope.acts[2::3]
        assert sum(last[2] - first[2] for first, last in zip(opened, shut, strict=True)) <= report.beam_on_s
        assert microscope.get_stem_magnification() == pytest.approx(0.1 / (16 * 10e-9))
        assert (await haadf.read_scan(0)).tolist() == np.arange(256).reshape(16, 16).tolist()
        microscope.set_column_valves_open(True)
        assert await beam.valves_open()
        await beam.close_valves()
        assert not microscope.get_column_valves_open()
        for device in (beam, haadf):
            await device.close()

    with served(microscope, 2) as ports:
        asyncio.run(check(ports))


def test_an_opening_whose_connection_comes_late_does_not_come_after_the_blanking(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As where the first packet of a connection is lost and its computer sends it again a second later."""
    microscope = ScanningNullMicroscope()
    dial, late_s = socket.create_connection, [0.0]

    def dial_late(*how: Any, **further: Any) -> socket.socket:
        time.sleep(late_s.pop() if late_s else 0.0)
        return dial(*how, **further)

    async def check(port: int) -> None:
        settings = BeamSettings.model_validate({**BEAM, "host": "127.0.0.1", "blanker_port": port, "deadline_s": 0.1})
        blanker = ServerBlanker("beam", settings)
        await blanker.open()
        await blanker.try_out()
        permit = permit_for(driver("beam"), SCAN, 1.0)
        monkeypatch.setattr(socket, "create_connection", dial_late)
        late_s.append(0.25)
        with pytest.raises(NoAnswer):
            async with blanker.lifted(permit, 1.0):
                raise AssertionError("it was not opened")
        await asyncio.sleep(0.3)
        assert not late_s
        assert await blanker.is_blanked()
        await blanker.close()

    with served(microscope) as (port,):
        asyncio.run(check(port))
    assert all(blanked for _, blanked, _ in microscope.acts)


def test_an_opening_that_has_not_left_this_computer_is_dropped() -> None:
    def serve(listening: socket.socket, came: list[bytes]) -> None:
        for _ in range(2):
            version, _ = listening.accept()
            version.recv(4096)
            version.sendall(b'HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n"2.1.0"')
            version.close()
        opening, _ = listening.accept()
        try:
            while part := opening.recv(4096):
                came.append(part)
        except ConnectionResetError:
            came.append(b"reset")
        opening.close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        came: list[bytes] = []
        serving = threading.Thread(target=serve, args=(listening, came))
        serving.start()

        async def ask() -> None:
            port = listening.getsockname()[1]
            line = ScriptingConnection("beam", ServerSettings(host="127.0.0.1", port=port))
            await line.open()
            with pytest.raises(NoAnswer):
                await line.call("set_beam_blanked", False, limit_s=0.05, revocable=True)
            await asyncio.to_thread(serving.join, 2.0)
            await line.close()

        asyncio.run(ask())
    assert b"beam_blanked" in came[0]
    assert came[-1] == b"reset"


def test_a_leg_may_take_longer_than_other_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cryoctl_drivers.thermo_fisher.connection._SLACK_S", 0.05)

    class Slow(ScanningNullMicroscope):
        def _set_stage_position(self, pos: Any = None, method: str = "GO", speed: float | None = None) -> None:
            time.sleep(0.3)
            super()._set_stage_position(pos, method, speed)

    async def check(port: int) -> None:
        stage = driver("stage", port=port, deadline_s=0.1, limits_tilt_deg=[-25, 25], limits_z_m=[-2e-4, 2e-4])
        await stage.connect()
        assert (await stage.move(tilt_deg=0.5)).tilt_deg == pytest.approx(0.5)
        await stage.close()

    with served(Slow()) as (port,):
        asyncio.run(check(port))


def test_the_stage_on_temscripts_own_server() -> None:
    microscope = ScanningNullMicroscope()

    async def check(port: int) -> None:
        stage = driver("stage", port=port, limits_tilt_deg=[-25, 25], limits_z_m=[-2e-4, 2e-4])
        await stage.connect()
        reached = await stage.move(tilt_deg=3.0, x_m=1e-6)
        assert (reached.tilt_deg, reached.x_m) == pytest.approx((3.0, 1e-6))
        sent = [act[1] for act in microscope.acts]
        assert sent[-1] == pytest.approx({"a": math.radians(3.0), "x": 1e-6})
        assert [one["a"] for one in sent] == sorted(one["a"] for one in sent)
        assert len(sent) == math.ceil(3.0 / 2.0 / 0.4)
        await stage.close()
        wide = driver("stage", port=port)
        error = await refused(InstrumentError, wide.connect())
        assert "tilt_deg" in str(error)
        await wide.close()

    with served(microscope) as (port,):
        asyncio.run(check(port))


def test_a_microscope_without_stem_is_told() -> None:
    async def check(ports: list[int]) -> None:
        beam = driver("beam", port=ports[0], blanker_port=ports[1])
        assert "STEM" in str(await refused(InstrumentError, beam.connect()))
        await beam.close()
        haadf = driver("haadf", port=ports[0])
        assert "no STEM detector" in str(await refused(InstrumentError, haadf.connect()))
        await haadf.close()

    with served(NullMicroscope(), 2) as ports:
        asyncio.run(check(ports))


def test_who_does_not_answer_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        async with await asyncio.start_server(_other_protocol, "127.0.0.1", 0) as other:
            port = other.sockets[0].getsockname()[1]
            assert "no temscript server" in str(await refused(InstrumentError, driver("stage", port=port).connect()))
        assert "not reached" in str(await refused(ConnectionLost, driver("stage", port=port).connect()))
        wrong = driver("stage", host="no-such-host.invalid")
        assert "no-such-host" in str(await refused((InstrumentError, ConnectionLost), wrong.connect()))
        assert "settings.host" in str(await refused(InstrumentError, driver("stage", host="").connect()))
        monkeypatch.setitem(__import__("sys").modules, "temscript.remote_microscope", None)
        assert "cryoctl[temscript]" in str(await refused(InstrumentError, driver("stage", port=port).connect()))

    asyncio.run(check())


async def _other_protocol(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"220 mail.example ESMTP\r\n")
    writer.close()


def test_settings_that_can_not_be_are_told() -> None:
    with pytest.raises(InstrumentError, match="a second one"):
        driver("beam", port=8081)
    with pytest.raises(InstrumentError, match="idle_probe"):
        driver("beam", idle_probe="parked")
    with pytest.raises(InstrumentError, match="kept_inserted"):
        driver("haadf", kept_inserted=False)


def test_nothing_is_imported_before_connect() -> None:
    async def check() -> None:
        for kind in ("stage", "beam", "haadf", "vacuum"):
            await driver(kind).close()

    run_virtual(check())
