"""FIB-SEM drivers on fibsem's class for Thermo Fisher, with a stand-in for AutoScript below it: the contracts, and that
blanking does not wait for a picture or a move."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any, TypeVar

import pytest

from cryoctl.clock import let_time_pass, now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import ConnectionLost
from cryoctl.interfaces.beam import Beam, Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.testing.beam import BeamContract, permit_for
from cryoctl.testing.device import begun, refused
from cryoctl.testing.image_detector import ImageDetectorContract
from cryoctl.testing.stage import StageContract
from cryoctl.testing.vacuum import VacuumContract
from tests.wire.demo_fib_sem import OPTICS, SCAN, driver
from tests.wire.stand_in_autoscript import Installation, install

pytestmark = pytest.mark.peers
T = TypeVar("T")
SEM = {"manufacturer": "ThermoFisher", "host": "sem-pc"}


class OnAnInstallation:
    kind = ""

    @pytest.fixture(autouse=True)
    def patched(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.patch = monkeypatch

    def build(self) -> Any:
        loop = asyncio.get_running_loop()

        async def nap(seconds: float) -> None:
            with let_time_pass():
                await asyncio.sleep(seconds)

        self.bench = Installation(lambda s: asyncio.run_coroutine_threadsafe(nap(s), loop).result())
        install(self.bench, self.patch)
        self.context = DeviceContext(seed=0)
        return driver(self.kind, self.context, **SEM)

    def run(self, check: Coroutine[Any, Any, T]) -> T:
        return run_virtual(check)

    def optics(self) -> Optics:
        return OPTICS

    def scan(self) -> Scan:
        return SCAN


class TestStage(OnAnInstallation, StageContract):
    kind = "stage"


class TestBeam(OnAnInstallation, BeamContract):
    kind = "beam"

    def test_to_blank_waits_for_no_picture_and_no_move(self) -> None:
        async def check(beam: Beam) -> None:
            stage = driver("stage", self.context, **SEM)
            await stage.connect()
            assert self.bench.clients == 3  # column, blanker, stage
            scan = replace(SCAN, dwell_s=0.02)
            moving = asyncio.create_task(stage.move(x_m=1e-3))
            exposing = await begun(beam.expose(permit_for(beam, scan, 1.0), scan), 1.0)
            assert self.bench.events[-1] in (("grab", "electrons"), ("move", ""))
            asked_s = now_s()
            await beam.blank()
            assert now_s() - asked_s < 0.02
            assert self.bench.beams.electron_beam.blanked
            assert (await exposing).ended == "stopped"
            await moving
            await stage.close()

        self.checked(check)


class TestDetector(OnAnInstallation, ImageDetectorContract):
    kind = "detector"

    def build_beam(self) -> Beam:
        return driver("beam", self.context, **SEM)


def test_a_computer_without_a_server_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """AutoScript's own error types are not known here."""

    async def check() -> None:
        bench = Installation(lambda s: None)
        install(bench, monkeypatch)

        def tell(what: str, of: str) -> None:
            raise RuntimeError(f"no connection to {of}")

        bench.tell = tell  # type: ignore[method-assign]
        gauge = driver("vacuum", DeviceContext(seed=0), **SEM)
        error = await refused(ConnectionLost, gauge.connect())
        assert "sem-pc:7520" in str(error)
        await gauge.close()

    run_virtual(check())


class TestGauge(OnAnInstallation, VacuumContract):
    kind = "vacuum"
