"""The contract suites on the devices of an instrument file: what `cryoctl devices --check` runs.

What acts on a device (see `acts`) is done only where a person, or `--yes`, agreed to it.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import BadInput, CryoctlError
from cryoctl.instrument import Instrument, load_instrument
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.connecting import attach_emulators, close_all
from cryoctl.launch.device_building import build_devices
from cryoctl.launch.facts import optics_of
from cryoctl.recipe.wording import nearest

T = TypeVar("T")
PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
_CONTRACTS: Mapping[str, tuple[str, str]] = {
    "stage": ("stage", "StageContract"),
    "beam": ("beam", "BeamContract"),
    "image_detector": ("image_detector", "ImageDetectorContract"),
    "edx": ("edx", "EdxContract"),
    "holder": ("holder", "HolderContract"),
    "bias": ("bias", "BiasContract"),
    "needle": ("needle", "NeedleContract"),
    "light": ("light", "LightContract"),
    "vacuum": ("vacuum", "VacuumContract"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """One check of one device: passed, failed or skipped, and why."""

    device: str
    check: str
    outcome: str
    detail: str = ""


Agreed = Callable[[str, str, str], bool]
"""Given a device, a check and what it does: whether it may."""


def check_devices(
    source: Path | str, only: tuple[str, ...], agreed: Agreed, told: Callable[[Checked], None]
) -> list[Checked]:
    """Connect to each device and hold it against the contract of its kind.

    Args:
        only: names of devices; none means all.

    Raises:
        BadInput: the instrument file is wrong, or has no such device.
        DeviceError: a device does not answer; nothing was checked.
    """
    instrument = load_instrument(source)
    names = tuple(instrument.file.devices)
    for name in only:
        if name not in names:
            raise BadInput(f"devices: {name[:40]!r} is not in {instrument.origin}: {nearest(name, names)}")
    wanted = [name for name in names if not only or name in only]
    _play(instrument, _answers(instrument, wanted))
    global _underway
    _underway = {f"Test_{name}": _suite(instrument, name) for name in wanted}
    watcher = _Watcher(agreed, told)
    for name in [name for name in sys.modules if name.endswith("connected_cases")]:
        del sys.modules[name]  # it holds the suites of the devices that were checked before
    here = Path(__file__).with_name("connected_cases.py")
    quiet = ["-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "-s", "--import-mode=importlib"]
    pytest.main([str(here), *quiet, "-c", os.devnull, "--rootdir", str(here.parent)], plugins=[watcher])
    _underway = {}
    return watcher.found


_underway: dict[str, type[Any]] = {}


def underway() -> Mapping[str, type[Any]]:
    """The suites of the `check_devices` that is going on, for pytest to collect."""
    return _underway


async def _answers(instrument: Instrument, names: list[str]) -> None:
    devices = build_devices(instrument, DeviceContext(seed=0), (), "devices --check")
    attach_emulators(devices)
    try:
        for device in devices:
            if device.name in names:
                await device.connect()
    finally:
        await close_all(devices)


def _play(instrument: Instrument, act: Coroutine[Any, Any, T]) -> T:
    return run_virtual(act) if instrument.file.clock == "virtual" else asyncio.run(act)


def _suite(instrument: Instrument, name: str) -> type[Any]:
    """The contract of its kind, building this device anew for each check."""
    module, contract = _CONTRACTS[instrument.file.devices[name].kind]
    base: Any = getattr(import_module(f"cryoctl.testing.{module}"), contract)

    presets = list(optics_of(instrument).values())

    class Connected(base):
        devices: DeviceSet

        def build(self) -> Any:
            context = DeviceContext(seed=0)
            self.devices = build_devices(instrument, context, (), "devices --check")
            attach_emulators(self.devices)
            return next(device for device in self.devices if device.name == name)

        def build_beam(self) -> Any:
            return self.devices.beam

        def optics(self) -> Optics:
            return presets[0] if presets else super().optics()

        def other_optics(self) -> Optics | None:
            return presets[1] if len(presets) > 1 else None if presets else super().other_optics()

        def scan(self) -> Scan:
            scan: Scan = super().scan()
            sides = self.devices.beam.capabilities.square_px
            return replace(scan, shape=(min(sides), min(sides))) if sides else scan

        def run(self, check: Coroutine[Any, Any, T]) -> T:
            async def whole() -> T:
                try:
                    return await check
                finally:
                    await close_all(self.devices)

            return _play(instrument, whole())

    return Connected


class _Watcher:
    """Asks before what acts, and tells what came of each check."""

    def __init__(self, agreed: Agreed, told: Callable[[Checked], None]) -> None:
        self.found: list[Checked] = []
        self._agreed = agreed
        self._told = told

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        does = getattr(getattr(item, "function", None), "acts", "")
        if does and not self._agreed(*_who(item.nodeid), does):
            pytest.skip(f"not agreed to: {does}")

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        device, check = _who(report.nodeid)
        outcome = SKIPPED if report.skipped else PASSED if report.passed else FAILED
        one = Checked(device=device, check=check, outcome=outcome, detail=_why(report))
        self.found.append(one)
        self._told(one)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
        report = yield
        if call.excinfo is not None:
            error = call.excinfo.value
            text = error.message if isinstance(error, CryoctlError) else " ".join(str(error).split())
            report.said = text or type(error).__name__
        return report


def _who(node: str) -> tuple[str, str]:
    _, suite, *check = node.split("::")
    return suite.removeprefix("Test_"), "::".join(check).removeprefix("test_").replace("_", " ")


def _why(report: Any) -> str:
    return str(getattr(report, "said", "")).removeprefix("Skipped: ")[:300]
