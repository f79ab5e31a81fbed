"""Spectrum images from a watched folder: the contract on an emulated vendor, and files that are not the awaited one."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import DeviceError, InstrumentError
from cryoctl.interfaces.beam import Beam, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.testing.beam import permit_for
from cryoctl.testing.device import refused
from cryoctl.testing.edx import EdxContract
from cryoctl.testing.image_detector import BeamOn
from cryoctl_drivers.spectrum_folder.detector import FACTORY
from cryoctl_simulators.devices import beam
from cryoctl_simulators.settings import EdxSettings
from cryoctl_simulators.wire.spectrum_vendor import write_nexus, write_ripple_words
from tests.wire.emulated import EmulatedInstrument, plugged_in

SCAN = Scan(shape=(4, 5), pixel_size_m=20e-9, dwell_s=0.05)
EDX = EdxSettings(n_channels=64)
FOLDER: dict[str, Any] = {"n_channels": 64, "wait_s": 5.0}


class FromAFolder(EmulatedInstrument, EdxContract):
    driver, model = "spectrum-folder", "spectrum-vendor"
    settings = {"n_channels": 1024}  # noqa: RUF012

    def build_beam(self) -> Beam:
        return beam.FACTORY("beam", {}, self.emulator.world.context)


class TestRipple(FromAFolder):
    pass


class TestNexus(FromAFolder):
    settings = {"n_channels": 1024, "live_time": "/entry/live_time"}  # noqa: RUF012
    emulated = {"format": "nexus"}  # noqa: RUF012


@pytest.mark.parametrize("format_", ["ripple", "nexus"])
def test_events_are_those_that_the_vendor_counted(format_: str):
    async def play() -> None:
        emulated = {"format": format_, "n_channels": 64, "energy_scale_ev": 80.0, "piece_s": 1.0}
        settings = {"n_channels": 64, "energy_scale_ev": 80.0, "live_time": "/entry/live_time"}
        detector, vendor = plugged_in("spectrum-folder", "spectrum-vendor", settings, emulated)
        context = vendor.world.context
        await detector.connect()
        await detector.insert()
        scan = Scan(shape=(4, 5), pixel_size_m=20e-9, dwell_s=0.05, scans=2)
        await detector.arm(scan)
        taken: list[EdxEvents] = []
        truth: list[Any] = []
        sample, looked = vendor.world.sample, []
        x_rays = sample.x_rays
        sample.x_rays = lambda *given: looked.append(x_rays(*given)) or looked[-1]

        async def done(index: int) -> tuple[float, float]:
            taken.append(await detector.read_scan(index))
            truth.append(looked[-1])
            return (0.0, 0.0)

        async with BeamOn(beam.FACTORY("beam", {}, context), scan) as column:
            await column.expose(permit_for(column, scan, 1.0), scan, done)
        for events, told in zip(taken, truth, strict=True):
            assert np.array_equal(
                counted(events), np.bincount(told.pixel.astype(int) * 64 + told.channel, minlength=1280)
            )
            assert events.live_time_s == pytest.approx(told.live_time_s)
        vendor.close()
        await detector.close()

    run_virtual(play())


def counted(events: EdxEvents) -> Any:
    return np.bincount(events.pixel.astype(int) * 64 + events.channel, minlength=20 * 64)


def cube(seed: int = 1, shape: tuple[int, ...] = (4, 5, 64), dtype: str = "<u2") -> Any:
    return np.random.default_rng(seed).poisson(0.3, shape).astype(dtype)


def write_ripple(path: Path, data: Any, live_time_s: float = 0.9, **words: Any) -> None:
    write_ripple_words(path, data, EDX, live_time_s)
    text = path.read_text()
    for key, value in words.items():
        key = key.replace("_", "-")
        lines = [line for line in text.splitlines() if not line.startswith(key + "\t")]
        text = "\n".join([*lines, *([] if value is None else [f"{key}\t{value}"])]) + "\n"
    path.write_text(text)
    path.with_suffix(".raw").write_bytes(data.tobytes())


def watched(folder: Path, act: Callable[[Any], Awaitable[None]], scan: Scan = SCAN, **settings: Any) -> None:
    """The act on an armed detector, in virtual time."""

    async def whole() -> None:
        detector = FACTORY("edx", {**FOLDER, "folder": str(folder), **settings}, DeviceContext(seed=1))
        await detector.connect()
        await detector.insert()
        await detector.arm(scan)
        await act(detector)
        await detector.close()

    run_virtual(whole())


@pytest.mark.parametrize("dtype", ["<u1", "<u2", ">u2", "<i4", "<f4", ">f8"])
@pytest.mark.parametrize("by", ["vector", "image"])
def test_ripple_in_every_order(tmp_path: Path, dtype: str, by: str):
    async def act(detector: Any) -> None:
        data = cube(dtype=dtype)
        lain = np.ascontiguousarray(data if by == "vector" else np.moveaxis(data, 2, 0))
        kind = {"u": "unsigned", "i": "signed", "f": "float"}[data.dtype.kind]
        order = "dont-care" if data.dtype.itemsize == 1 else "big-endian" if dtype[0] == ">" else "little-endian"
        write_ripple(tmp_path / "a.rpl", data, data_type=kind, byte_order=order, record_by=by)
        (tmp_path / "a.raw").write_bytes(lain.tobytes())
        events = await detector.read_scan(0)
        assert np.array_equal(counted(events), data.ravel().astype(int))
        assert events.live_time_s == 0.9
        assert events.real_time_s == 1.0
        assert np.all(np.diff(events.pixel.astype(int)) >= 0)

    watched(tmp_path, act)


def test_a_file_that_grows_is_read_when_it_is_whole(tmp_path: Path):
    async def act(detector: Any) -> None:
        data = cube()
        loop = asyncio.get_running_loop()
        raw = data.tobytes()

        def append(piece: bytes) -> None:
            with (tmp_path / "a.raw").open("ab") as file:
                file.write(piece)

        write_ripple_words(tmp_path / "a.rpl", data, EDX, 0.9)
        for index, start in enumerate(range(0, len(raw), 512)):
            loop.call_later(0.1 + 0.7 * index, append, raw[start : start + 512])  # slower than it settles
        began_s = now_s()
        assert np.array_equal(counted(await detector.read_scan(0)), data.ravel())
        assert now_s() - began_s >= 0.1 + 0.7 * 4

    watched(tmp_path, act)


def _old(folder: Path) -> None:
    write_ripple(folder / "a.rpl", cube())
    for path in folder.iterdir():
        os.utime(path, (1e9, 1e9))


def _twice(folder: Path) -> None:
    write_ripple(folder / "a.rpl", cube())
    write_ripple(folder / "b.rpl", cube(2))


def _short(folder: Path) -> None:
    write_ripple(folder / "a.rpl", cube())
    (folder / "a.raw").write_bytes(cube().tobytes()[:-1])


@pytest.mark.parametrize(
    ("write", "word"),
    [
        (lambda folder: None, "none came"),
        (_old, "before it was armed"),
        (_twice, "2 new files"),
        (_short, "2559 bytes of 2560"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(shape=(5, 4, 64))), "5 x 4 pixels"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(shape=(4, 5, 128))), "128 channels"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(), ev_per_chan=20), "20 eV"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(), depth_origin=-50), "-50 eV"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(), live_time=None), "live_share"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(), live_time=1.1), "live time"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(), record_by="dont-care"), "record-by"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(), width="five"), "width"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(), depth=None), "no depth"),
        (lambda folder: write_ripple(folder / "a.rpl", -cube(dtype="<i2"), data_type="signed"), "below 0"),
        (lambda folder: write_ripple(folder / "a.rpl", cube(dtype="<f4") / 3, data_type="float"), "not counts"),
    ],
)  # fmt: skip
def test_files_that_are_not_of_this_scan_are_refused(tmp_path: Path, write: Callable[[Path], None], word: str):
    async def act(detector: Any) -> None:
        write(tmp_path)
        began_s = now_s()
        assert word in str(await refused(DeviceError, detector.read_scan(0)))
        assert now_s() - began_s <= 5.0 + 0.2
        await refused(DeviceError, detector.read_scan(0))

    watched(tmp_path, act)


def test_what_was_read_is_never_read_again(tmp_path: Path):
    async def act(detector: Any) -> None:
        write_ripple(tmp_path / "a.rpl", cube())
        await detector.read_scan(0)
        assert "none came" in str(await refused(DeviceError, detector.read_scan(1)))
        await detector.arm(SCAN)
        assert "none came" in str(await refused(DeviceError, detector.read_scan(0)))
        await detector.arm(SCAN)
        write_ripple(tmp_path / "b.rpl", cube())
        assert "was read before" in str(await refused(DeviceError, detector.read_scan(0)))
        await detector.arm(SCAN)
        write_ripple(tmp_path / "a.rpl", cube(3))  # written over
        assert np.array_equal(counted(await detector.read_scan(0)), cube(3).ravel())

    watched(tmp_path, act, scan=Scan(shape=(4, 5), pixel_size_m=20e-9, dwell_s=0.05, scans=2))


def test_what_a_file_does_not_tell_stands_in_the_settings(tmp_path: Path):
    async def act(detector: Any) -> None:
        write_ripple(tmp_path / "a.rpl", cube(), live_time=None, ev_per_chan=None, depth_origin=None)
        assert (await detector.read_scan(0)).live_time_s == pytest.approx(0.8)

    watched(tmp_path, act, live_share=0.8)


def test_hdf5_of_another_layout_and_one_that_is_cut_short(tmp_path: Path):
    async def act(detector: Any) -> None:
        write_nexus(tmp_path / "whole", cube(), EDX, 0.9)
        whole = (tmp_path / "whole").read_bytes()
        (tmp_path / "a.h5").write_bytes(whole[: len(whole) // 2])
        assert "HDF5" in str(await refused(DeviceError, detector.read_scan(0)))
        await detector.arm(SCAN)
        with h5py.File(tmp_path / "b.h5", "w") as file:
            file["map/counts"] = cube()[None]
            file["map/live"] = np.full((4, 5), 0.045)
        events = await detector.read_scan(0)
        assert np.array_equal(counted(events), cube().ravel())
        assert events.live_time_s == pytest.approx(0.9)

    watched(tmp_path, act, pattern="*.h5", dataset="map/counts", live_time="map/live")


@pytest.mark.parametrize(
    ("settings", "word"),
    [({"folder": "nowhere/at/all"}, "no folder"), ({"pattern": "*.bcf"}, "hspy"), ({"folder": ""}, "no folder")],
)
def test_bad_input_is_one_sentence(
    tmp_path: Path, settings: dict[str, Any], word: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "rsciio", None)  # as where the extra is not installed

    async def whole() -> None:
        detector = FACTORY("edx", {"folder": str(tmp_path), **settings}, DeviceContext(seed=1))
        assert word in str(await refused(InstrumentError, detector.connect()))

    run_virtual(whole())


@pytest.mark.peers
@pytest.mark.parametrize("ending", ["rpl", "hspy"])
def test_files_that_hyperspy_writes(tmp_path: Path, ending: str):
    """An independent writer for our Lispix reader, and the way of all formats that rosettasciio reads."""
    exspy = pytest.importorskip("exspy")

    async def act(detector: Any) -> None:
        signal = exspy.signals.EDSTEMSpectrum(cube())
        signal.axes_manager[-1].scale, signal.axes_manager[-1].units = 0.01, "keV"
        signal.set_microscope_parameters(live_time=0.9)
        signal.save(tmp_path / f"a.{ending}")
        events = await detector.read_scan(0)
        assert np.array_equal(counted(events), cube().ravel())
        assert events.live_time_s == pytest.approx(0.9)

    watched(tmp_path, act, pattern=f"*.{ending}")


@pytest.mark.peers
def test_the_emulated_vendors_files_are_read_by_rosettasciio(tmp_path: Path):
    api = pytest.importorskip("rsciio.ripple")
    write_ripple(tmp_path / "a.rpl", cube())
    (signal,) = api.file_reader(str(tmp_path / "a.rpl"))
    assert np.array_equal(signal["data"], cube())
