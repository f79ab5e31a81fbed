"""Amptek driver on its emulator: the contract of an EDX detector, times, refusals, and a bad network."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import CryoctlError, DeviceError, InstrumentError, OutOfRange, ReadBackMismatch
from cryoctl.interfaces.beam import Beam, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.testing.beam import permit_for
from cryoctl.testing.device import refused
from cryoctl.testing.edx import EdxContract
from cryoctl.testing.image_detector import BeamOn
from cryoctl_drivers.amptek.packets import decode
from cryoctl_simulators.devices import beam
from cryoctl_simulators.wire.amptek_dp5 import FACTORY as AMPTEK
from cryoctl_simulators.wire.amptek_packets import BUSY, acknowledged
from cryoctl_simulators.wire.datagram_faults import RandomDatagramFaults
from tests.wire.emulated import EmulatedInstrument, plugged_in

SHARE = 0.3
"""Of all exchanges on the bad network."""
POINT = Scan(shape=(1, 1), pixel_size_m=20e-9, dwell_s=0.1, scans=2)
CLOCKED: dict[str, Any] = {"pixel_buffers": 100, "channels": 512}
WIRED: dict[str, Any] = {"pixel_clock_wired": True, "buffers": 100}


class OnePoint(EmulatedInstrument, EdxContract):
    driver = model = "amptek-dp5"

    def build_beam(self) -> Beam:
        return beam.FACTORY("beam", {}, self.emulator.world.context)


class TestAmptek(OnePoint):
    pass


class TestAmptekWithGate(OnePoint):
    settings = {"gate": "HI"}  # noqa: RUF012
    emulated = {"gate_wired": True}  # noqa: RUF012


class TestAmptekWithPixelClock(OnePoint):
    settings, emulated = CLOCKED, WIRED

    def scan(self) -> Scan:
        return Scan(shape=(6, 8), pixel_size_m=20e-9, dwell_s=1e-2, scans=2)


async def taken(detector: Any, emulator: Any, scan: Scan = POINT) -> list[EdxEvents]:
    """What the detector gives of an exposure on the wire."""
    events: list[EdxEvents] = []
    await detector.insert()
    await detector.arm(scan)
    async with BeamOn(beam.FACTORY("beam", {}, emulator.world.context), scan) as column:

        async def done(index: int) -> tuple[float, float]:
            events.append(await detector.read_scan(index))
            return (0.0, 0.0)

        await column.expose(permit_for(column, scan, 1.0), scan, done)
    return events


def played(
    act: Callable[[Any, Any], Awaitable[None]],
    settings: dict[str, Any] | None = None,
    emulated: dict[str, Any] | None = None,
) -> None:
    async def whole() -> None:
        detector, emulator = plugged_in("amptek-dp5", "amptek-dp5", settings, emulated)
        try:
            await act(detector, emulator)
        finally:
            await detector.close()
            emulator.close()

    run_virtual(whole())


@pytest.mark.parametrize("scan", [POINT, Scan(shape=(4, 5), pixel_size_m=20e-9, dwell_s=1e-2, scans=2)])
def test_events_are_those_that_the_unit_counted(scan: Scan):
    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        first, second = await taken(detector, emulator, scan)
        counter = emulator.counter
        if scan.shape == (1, 1):
            whole = np.bincount(np.concatenate([first.channel, second.channel]), minlength=512)
            assert np.array_equal(whole, counter.spectrum)
            assert len(first.pixel) + len(second.pixel) == counter.condition.slow
        else:
            stored = np.array([counter.stored[index][0] for index in range(20)])
            assert np.array_equal(
                np.bincount(second.pixel.astype(int) * 512 + second.channel, minlength=20 * 512), stored.ravel()
            )
        assert first.real_time_s == pytest.approx(scan.dwell_s * scan.shape[0] * scan.shape[1])
        assert first.live_time_s <= first.real_time_s
        assert not np.array_equal(first.channel, second.channel)

    played(act, CLOCKED, WIRED)


def test_a_gate_that_is_not_wired_as_told_is_noticed():
    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        assert "gate" in str(await refused(DeviceError, taken(detector, emulator)))

    played(act, {"gate": "LO"}, {"gate_wired": False})


@pytest.mark.parametrize(
    ("emulated", "word"), [({"pixel_clock_wired": False}, "0 pulses"), ({**WIRED, "buffers": 20}, "20 spectra")]
)
def test_a_pixel_clock_that_is_not_as_told_is_noticed(emulated: dict[str, Any], word: str):
    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        scan = Scan(shape=(5, 5), pixel_size_m=20e-9, dwell_s=1e-2)
        assert word in str(await refused(DeviceError, taken(detector, emulator, scan)))

    played(act, CLOCKED, emulated)


def test_scans_that_the_unit_has_no_way_to_take_are_refused():
    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        await detector.insert()
        error = await refused(OutOfRange, detector.arm(Scan(shape=(12, 16), pixel_size_m=1e-8, dwell_s=1e-2)))
        assert "12 x 16" in str(error)
        await refused(OutOfRange, detector.arm(Scan(shape=(1, 1), pixel_size_m=1e-8, dwell_s=1e-3)))

    played(act)


def test_a_restart_between_two_scan_frames_is_noticed_and_mended_by_the_next_arming():
    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        kept = emulator.record_scan

        def restarts(frame: Any) -> None:
            kept(frame)
            if frame.index == 1:
                emulator.start()
                emulator.counter.clear()

        emulator.record_scan = restarts
        await refused(DeviceError, taken(detector, emulator))
        emulator.record_scan = kept
        assert emulator.configuration["PRER"] == "10.00"  # as it was switched on
        assert len(await taken(detector, emulator)) == 2
        assert emulator.configuration["PRER"] == "OFF"

    played(act)


def test_counts_of_a_unit_that_was_restarted_before_the_beam_came_are_not_taken():
    """It boots counting, with another gain."""

    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        await detector.insert()
        scan = replace(POINT, scans=1)
        await detector.arm(scan)
        emulator.start()
        emulator.counter.clear()
        emulator.counter.enable()
        async with BeamOn(beam.FACTORY("beam", {}, emulator.world.context), scan) as column:

            async def done(index: int) -> tuple[float, float]:
                assert "GAIN" in str(await refused(DeviceError, detector.read_scan(index)))
                return (0.0, 0.0)

            await column.expose(permit_for(column, scan, 1.0), scan, done)
        assert emulator.counter.spectrum.any()

    played(act, {"configuration": {"GAIN": "45"}})


def test_a_warm_detector_is_not_armed():
    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        await detector.insert()
        emulator.counter.condition.detector_dk = 2931
        assert "293.1 K" in str(await refused(DeviceError, detector.arm(POINT)))

    played(act)


@pytest.mark.parametrize(
    ("settings", "emulated", "kind", "word"),
    [
        ({"serial": "999"}, {}, InstrumentError, "10237"),
        ({"configuration": {"ABCD": "1"}}, {}, DeviceError, "ABCD"),
        ({"configuration": {"GAIN": "much"}}, {}, DeviceError, "GAIN=much"),
    ],
)
def test_bad_input_is_one_sentence(settings: Any, emulated: Any, kind: type[CryoctlError], word: str):
    async def act(detector: Any, emulator: Any) -> None:
        assert word in str(await refused(kind, detector.connect()))

    played(act, settings, emulated)


def test_a_value_that_the_unit_rounds_is_told():
    async def act(detector: Any, emulator: Any) -> None:
        await detector.connect()
        assert emulator.configuration["GAIN"] == "45.000"
        emulator.configuration["GAIN"] = "44.000"
        emulator._configure = lambda text: b"\xf5\xfa\xff\x00\x00\x00\xfd\x12"
        assert "44.000" in str(await refused(ReadBackMismatch, detector.connect()))

    played(act, {"configuration": {"GAIN": "45"}})


@pytest.mark.parametrize("times", [2, 10**6])
def test_a_unit_that_another_interface_uses_is_awaited_for_a_while(times: int):
    async def act(detector: Any, emulator: Any) -> None:
        answer, asked = emulator.answer, []

        def busy(request: bytes) -> bytes:
            asked.append(request)
            return acknowledged(BUSY) if len(asked) <= times else answer(request)

        emulator.answer = busy
        if times == 2:
            await detector.connect()
        else:
            assert "in use by another interface" in str(await refused(DeviceError, detector.connect()))
            assert len(asked) == 4

    played(act)


def test_a_px5_has_its_gate_elsewhere():
    async def act(detector: Any, emulator: Any) -> None:
        assert (await detector.connect()).model == "PX5"
        assert len(await taken(detector, emulator)) == 2

    played(act, {}, {"model": "PX5"})


def test_nobody_there():
    async def act(detector: Any, emulator: Any) -> None:
        emulator.close()
        error = await refused(DeviceError, detector.connect())
        assert "127.0.0.1" in str(error)

    played(act)


@pytest.mark.parametrize(
    ("name", "request_", "answer"),
    [
        ("4.1.19 Autoset Input Offset", "F5 FA F0 05 00 00 FD 1C", "F5 FA FF 00 00 00 FD 12"),
        ("4.1.8 Request Netfinder Packet, unknown here", "F5 FA 03 07 00 00 FE 07", "F5 FA FF 02 00 00 FD 10"),
    ],
)
def test_bytes_of_the_published_manual(name: str, request_: str, answer: str):
    """Requests as printed in the DP5 Programmer's Guide, Rev A4; the acknowledgements follow from its rule."""
    emulator = AMPTEK("edx", {}, DeviceContext(seed=1))
    assert emulator.answer(bytes.fromhex(request_)) == bytes.fromhex(answer), name
    sent = decode(bytes.fromhex(request_))
    assert sent.encode() == bytes.fromhex(request_)
    assert decode(bytes.fromhex(answer)).identity[0] == 0xFF


@pytest.mark.parametrize("cases", [25, pytest.param(500, marks=pytest.mark.campaign)])
@pytest.mark.parametrize(
    "scan", [POINT, Scan(shape=(2, 3), pixel_size_m=20e-9, dwell_s=1e-2, scans=2)], ids=["point", "clocked"]
)
def test_on_a_bad_network_nothing_wrong_is_believed(scan: Scan, cases: int):
    """Every spectrum that the driver gives is the one that the unit counted, to the event."""

    async def act(detector: Any, emulator: Any) -> None:
        good, succeeded, slowest_s = emulator.faults, 0, 0.0
        bad = RandomDatagramFaults(np.random.default_rng(cases), share=SHARE)
        truth: list[np.ndarray[Any, Any]] = []
        record = emulator.record_scan

        def noted(frame: Any) -> None:
            before = emulator.counter.spectrum.copy()
            record(frame)
            if scan.shape == (1, 1):
                truth.append(emulator.counter.spectrum - before)
            else:
                truth.append(np.array([emulator.counter.stored[k][0] for k in sorted(emulator.counter.stored)]).ravel())

        emulator.record_scan = noted
        loop = asyncio.get_running_loop()
        pixels = scan.shape[0] * scan.shape[1]
        async with BeamOn(beam.FACTORY("beam", {}, emulator.world.context), scan) as column:
            for _ in range(cases):
                truth.clear()
                emulator.faults = bad
                spent_s = 0.0
                try:
                    began_s = loop.time()
                    await detector.connect()
                    await detector.insert()
                    await detector.arm(scan)
                    spent_s = loop.time() - began_s

                    async def done(index: int) -> tuple[float, float]:
                        nonlocal spent_s
                        began_s = loop.time()
                        try:
                            events = await detector.read_scan(index)
                        finally:
                            spent_s = max(spent_s, loop.time() - began_s)
                        place = events.pixel.astype(int) * 512 + events.channel
                        assert np.array_equal(np.bincount(place, minlength=pixels * 512), truth[index])
                        return (0.0, 0.0)

                    await column.expose(permit_for(column, scan, 1.0), scan, done)
                    succeeded += 1
                except DeviceError as error:
                    assert "\n" not in str(error)
                    assert len(str(error)) <= 300
                slowest_s = max(slowest_s, spent_s)
                emulator.faults = good
        print(f"{cases} cases: {succeeded} succeeded, slowest {slowest_s:.2f} s, {dict(bad.happened)}")
        assert succeeded > 0.5 * cases
        assert slowest_s < 40.0, "after which the engine gives a scan frame up"

    played(act, CLOCKED, WIRED)
