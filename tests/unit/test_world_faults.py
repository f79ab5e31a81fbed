"""Each scheduled fault does what the catalogue says, when it should, and no other time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from cryoctl.clock import now_s
from cryoctl.clock.virtual import run_virtual
from cryoctl.clock.wall import utc_now
from cryoctl.errors import ConnectionLost, DeviceError, DeviceTimeout, InstrumentError, NotReached, ReadBackMismatch
from cryoctl.interfaces.beam import Optics, Scan
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.truth import MapGrid
from cryoctl.testing.beam import permit_for
from cryoctl_simulators.devices import beam, bias, edx, holder, image_detector, stage
from cryoctl_simulators.faults import FAULTS, FaultSchedule

SCAN = Scan(shape=(24, 32), pixel_size_m=20e-9, dwell_s=1e-4, scans=2)
GRID = MapGrid(shape=(151, 201), pixel_size_m=20e-9, origin_x_m=-100 * 20e-9, origin_y_m=-75 * 20e-9)


class Bench:
    def __init__(self, *faults: dict[str, object]) -> None:
        self.context = DeviceContext(seed=9, faults=faults)
        self.stage = stage.FACTORY("stage", {}, self.context)
        self.beam = beam.FACTORY("beam", {}, self.context)
        self.haadf = image_detector.HAADF("haadf", {}, self.context)
        self.edx = edx.FACTORY("edx", {}, self.context)
        self.holder = holder.FACTORY("holder", {}, self.context)
        self.bias = bias.FACTORY("bias", {}, self.context)
        self.exposure = -1

    async def __aenter__(self) -> Bench:
        for device in (self.stage, self.beam, self.haadf, self.edx, self.holder, self.bias):
            await device.connect()
        await self.haadf.insert()
        await self.edx.insert()
        await self.beam.apply(Optics(name="record", voltage_v=200e3, beam_current_a=2e-10))
        return self

    async def __aexit__(self, *failure: object) -> None:
        await self.beam.close()

    async def expose(self, scan: Scan = SCAN):
        self.exposure += 1
        await self.haadf.arm(scan)
        await self.edx.arm(scan)
        return await self.beam.expose(replace(permit_for(self.beam, scan, 1e-9), exposure=self.exposure), scan)

    def truth(self):
        return self.context.shared["world"].truth(GRID, None)


def with_faults(check, *faults: dict[str, object], calm_s: float = 0.0):
    """Run a check on a bench, not before run time `calm_s`."""

    async def whole():
        async with Bench(*faults) as bench:
            await asyncio.sleep(max(0.0, calm_s - now_s()))
            return await check(bench)

    return run_virtual(whole())


def at(device: str, fault: str, when: dict[str, object] | None = None, **more: object) -> dict[str, object]:
    return {"device": device, "fault": fault, "at": when or {"time_s": 0}, **more}


def test_stage_faults():
    async def falls_short(bench: Bench) -> None:
        with pytest.raises(NotReached):
            await bench.stage.move(tilt_deg=20.0)
        assert (await bench.stage.position()).tilt_deg == pytest.approx(18.5)
        await bench.stage.move(tilt_deg=20.0)

    async def stalls(bench: Bench) -> None:
        with pytest.raises(NotReached):
            await bench.stage.move(x_m=4e-6)
        assert 0 < (await bench.stage.position()).x_m < 4e-6
        assert not await bench.stage.is_moving()

    async def touches(bench: Bench) -> None:
        with pytest.raises(DeviceError, match="touch"):
            await bench.stage.move(tilt_deg=20.0)
        assert (await bench.stage.position()).tilt_deg == 0.0

    with_faults(falls_short, at("stage", "not-at-angle", error_deg=1.5))
    with_faults(stalls, at("stage", "stall"))
    with_faults(touches, at("stage", "touch-alarm"))


@pytest.mark.parametrize("name", ["stage", "beam", "haadf", "edx", "holder", "bias"])
def test_a_lost_link_is_lost_for_as_long_as_it_says(name):
    verb = {
        "stage": "position", "beam": "is_blanked", "haadf": "is_inserted", "edx": "is_inserted",
        "holder": "temperature", "bias": "read",
    }[name]  # fmt: skip

    async def check(bench: Bench) -> None:
        ask = getattr(getattr(bench, name), verb)
        await asyncio.sleep(100.0 - now_s() - 1.0)
        await ask()
        await asyncio.sleep(2.0)
        for _ in range(3):
            with pytest.raises(ConnectionLost):
                await ask()
        await asyncio.sleep(5.0)
        await ask()

    with_faults(check, at(name, "lost-link", {"time_s": 100.0}, for_s=5.0))


def test_a_beam_that_lost_its_link_while_scanning_has_blanked_by_itself():
    async def check(bench: Bench) -> None:
        with pytest.raises(ConnectionLost):
            await bench.expose()
        truth = bench.truth()
        assert truth["final/beam_blanked"]
        assert truth["blank/open"][-1] == np.False_

    with_faults(check, at("beam", "lost-link", {"time_s": 8.1}, for_s=60.0))


def test_blank_not_acknowledged_is_blanked_all_the_same():
    async def check(bench: Bench) -> None:
        with pytest.raises(DeviceTimeout):
            await bench.expose()
        assert await bench.beam.is_blanked()
        await bench.expose()

    with_faults(check, at("beam", "blank-not-acknowledged", {"exposure": 0}))


def test_a_stuck_blanker_goes_on_giving_dose_until_the_valves_close():
    async def check(bench: Bench) -> None:
        await bench.expose()
        before = bench.truth()["dose_map_e_per_a2"].max()
        with pytest.raises(ReadBackMismatch):
            await bench.expose()
        assert not await bench.beam.is_blanked()
        stuck_s = now_s()
        with pytest.raises(ReadBackMismatch):
            await bench.beam.make_safe()
        await bench.beam.close_valves()
        assert now_s() - stuck_s <= bench.beam.capabilities.second_stop_s
        assert not await bench.beam.valves_open()
        truth = bench.truth()
        a_frame = before / SCAN.scans
        rate = a_frame / (SCAN.shape[0] * SCAN.shape[1] * SCAN.dwell_s)
        late = truth["dose_map_e_per_a2"].max() - before - a_frame
        assert late == pytest.approx(rate * (now_s() - stuck_s), rel=0.15)
        assert late <= rate * bench.beam.capabilities.second_stop_s * 1.01

    with_faults(check, at("beam", "reads-open", {"exposure": 1}))


def test_faults_of_the_gun():
    async def jumps(bench: Bench) -> float:
        first = (await bench.beam.measure_current()).current_a
        await asyncio.sleep(60.0)
        return (await bench.beam.measure_current()).current_a / first

    async def dark(bench: Bench) -> None:
        await bench.expose()
        frame = await bench.haadf.read_scan(1)
        assert abs(float(frame.mean()) - 400.0) < 2.0
        assert len((await bench.edx.read_scan(1)).pixel) == 0

    async def closed(bench: Bench) -> None:
        await bench.expose()
        assert not await bench.beam.valves_open()
        assert not bench.truth()["dose_map_e_per_a2"].any()

    assert with_faults(jumps, at("beam", "current-jump", {"time_s": 30.0}, rel=0.2)) == pytest.approx(1.2, abs=0.01)
    lasting = at("beam", "current-jump", {"time_s": 30.0}, rel=0.2, for_s=1000.0)
    assert with_faults(jumps, lasting) == pytest.approx(1.2, abs=0.01), "it jumps once"
    drifted = with_faults(jumps, at("beam", "current-drift", {"time_s": 5.0}, rel_per_s=1e-3))
    assert drifted == pytest.approx(1.06, abs=0.02)
    assert with_faults(jumps) == pytest.approx(1.0, abs=0.01)
    with_faults(dark, at("beam", "beam-lost"))
    with_faults(closed, at("beam", "valve-closed"))


def test_faults_of_the_detectors():
    async def missing(bench: Bench) -> None:
        await bench.expose()
        with pytest.raises(DeviceError):
            await bench.haadf.read_scan(0)
        await bench.haadf.read_scan(1)

    async def duplicated(bench: Bench) -> None:
        await bench.expose()
        assert np.array_equal(await bench.haadf.read_scan(0), await bench.haadf.read_scan(1))

    async def silent(bench: Bench) -> None:
        await bench.expose()
        events = await bench.edx.read_scan(0)
        assert len(events.pixel) == 0
        assert events.real_time_s > 0

    async def swamped(bench: Bench) -> tuple[float, int, float]:
        await bench.expose()
        events = await bench.edx.read_scan(0)
        return events.live_time_s / events.real_time_s, len(events.pixel), events.input_rate_per_s

    with_faults(missing, at("haadf", "frame-missing", {"exposure": 0}))
    with_faults(duplicated, at("image_detector", "frame-duplicated", {"exposure": 0}))
    with_faults(silent, at("edx", "drop-out"))
    live, count, rate = with_faults(swamped, at("edx", "saturation", input_rate_per_s=5e6))
    usual_live, usual_count, usual_rate = with_faults(swamped)
    assert live < 0.3 < 0.9 < usual_live
    assert count < 0.5 * usual_count
    assert rate >= 5e6 > usual_rate


def test_faults_of_the_holder():
    async def look(bench: Bench):
        await asyncio.sleep(20.0)
        reading = await bench.holder.temperature()
        drift = bench.context.shared["world"].stage
        now = bench.context.shared["world"].time_s
        moved = np.hypot(*np.subtract(drift.drift_m(now + 10.0), drift.drift_m(now)))
        return reading, await bench.holder.nitrogen(), moved

    reading, level, calm = with_faults(look)
    assert reading.valid
    assert level > 0.99
    assert with_faults(look, at("holder", "temperature-high", temperature_k=150.0))[0].temperature_k > 149.0
    assert not with_faults(look, at("holder", "sensor-invalid", for_s=60.0))[0].valid
    assert with_faults(look, at("holder", "nitrogen-low"))[1] < 0.05
    assert with_faults(look, at("holder", "refill-shakes"))[2] > 10 * calm

    async def vacuum(bench: Bench) -> float:
        return await bench.holder.pressure()

    assert with_faults(vacuum) < 1e-4
    assert with_faults(vacuum, at("holder", "pressure-high", pressure_pa=0.5)) == 0.5


@pytest.mark.parametrize("name", ["stage", "beam", "haadf", "edx", "holder", "bias"])
def test_a_device_that_does_not_answer_hangs_once(name):
    async def check(bench: Bench) -> None:
        device = getattr(bench, name)
        ask = device.temperature if name == "holder" else device.make_safe
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100.0):
                await ask()
        await ask()

    with_faults(check, at(name, "no-answer", {"time_s": 20.0}), calm_s=20.0)


@pytest.mark.parametrize("name", ["stage", "beam", "haadf", "edx", "holder", "bias"])
def test_another_device_may_answer_when_the_link_comes_back(name):
    async def check(bench: Bench) -> None:
        device = getattr(bench, name)
        with pytest.raises(ConnectionLost):
            await device.make_safe()
        await asyncio.sleep(10.0)
        assert (await device.connect()).serial == "9-other"

    with_faults(check, at(name, "lost-link", {"time_s": 20.0}, for_s=5.0, swapped=1), calm_s=20.0)


def test_a_restarted_device_has_forgotten_its_settings():
    async def check(bench: Bench) -> None:
        await bench.beam.shift_image(1e-6, 2e-6)
        await bench.holder.set_temperature(150.0)
        await asyncio.sleep(1.0)
        for ask in (bench.beam.optics, bench.haadf.is_inserted, bench.holder.temperature):
            with pytest.raises(ConnectionLost):
                await ask()
        await asyncio.sleep(600.0)
        with pytest.raises(DeviceError, match="no optics"):
            await bench.beam.optics()
        assert not await bench.haadf.is_inserted()
        assert await bench.edx.is_inserted()
        assert (await bench.holder.temperature()).temperature_k == pytest.approx(95.0, abs=0.5)

    lost = [at(name, "lost-link", {"time_s": 20.5}, for_s=5.0, forgets=1) for name in ("beam", "haadf", "holder")]
    with_faults(check, *lost, calm_s=20.0)


def test_a_late_acknowledgement_or_frame_comes_after_its_time():
    async def check(bench: Bench) -> tuple[float, float]:
        began_s = now_s()
        await bench.expose()
        taken_s = now_s() - began_s
        assert bench.truth()["final/beam_blanked"]
        began_s = now_s()
        await bench.haadf.read_scan(0)
        return taken_s, now_s() - began_s

    first = {"exposure": 0}
    late = (at("beam", "blank-late", first, late_s=7.0), at("haadf", "frame-late", first, late_s=4.0))
    usual_s, _ = with_faults(check)
    late_s, frame_s = with_faults(check, *late)
    assert late_s == pytest.approx(usual_s + 7.0, abs=0.1)
    assert frame_s == pytest.approx(4.0)


def test_where_both_ways_of_stopping_fail_the_beam_irradiates_until_the_device_is_left():
    async def check(bench: Bench) -> None:
        with pytest.raises(ReadBackMismatch):
            await bench.expose()
        before = bench.truth()["dose_map_e_per_a2"].max()
        with pytest.raises(ReadBackMismatch):
            await bench.beam.close_valves()
        assert await bench.beam.valves_open()
        await asyncio.sleep(10.0)
        await bench.beam.close()
        a_frame_s = SCAN.shape[0] * SCAN.shape[1] * SCAN.dwell_s
        assert bench.truth()["dose_map_e_per_a2"].max() > before * (1 + 9.0 / a_frame_s)

    with_faults(check, at("beam", "reads-open"), at("beam", "valve-stuck", for_s=1e6))


@pytest.mark.parametrize(
    ("when", "more", "blanked"),
    [
        ({"exposure": 0}, {"after_s": -1}, True),
        ({"exposure": 0}, {}, False),
        ({"exposure": 0}, {"after_s": 0.03}, False),
        ({"exposure": 0}, {"after_s": 100}, True),
        ({"time_s": 8.1}, {}, False),
        ({"state": "record"}, {}, True),
    ],
)
def test_a_kill_comes_at_its_moment(when, more, blanked, monkeypatch):
    found: list[bool] = []

    async def check(bench: Bench) -> None:
        world = bench.context.shared["world"]
        monkeypatch.setattr("os.kill", lambda process, how: found.append(world.column.record["blanked"]))
        bench.context.shared["on_state"][0]("record", 1)
        await bench.expose()
        await asyncio.sleep(200.0)

    with_faults(check, at("process", "kill", when, **more), calm_s=8.05)
    assert found == [blanked]


def test_the_disk_is_full_or_fails_and_a_kill_comes_before_the_write(tmp_path, monkeypatch):
    killed: list[int] = []
    monkeypatch.setattr("os.kill", lambda process, how: killed.append(len(killed)))

    async def full(bench: Bench) -> None:
        disk = bench.context.medium
        disk.admit(10**9)
        await asyncio.sleep(30.0)
        assert disk.free_bytes(tmp_path) == 100
        disk.admit(60)
        with pytest.raises(OSError, match="space"):
            disk.admit(60)
        disk.freed(50)
        disk.admit(60)
        await asyncio.sleep(60.0)
        assert disk.free_bytes(tmp_path) > 10**6

    async def fails(bench: Bench) -> None:
        with pytest.raises(OSError, match="error"):
            bench.context.medium.admit(1)
        for _ in range(4):
            bench.context.medium.admit(1)

    with_faults(full, at("disk", "full", {"time_s": 20.0}, for_s=60.0, left_bytes=100))
    with_faults(fails, at("disk", "write-error"))
    assert not killed
    with_faults(fails, at("disk", "write-error"), at("process", "kill", after_writes=3))
    assert killed == [0]


def test_followers_the_reconstruction_and_the_clock_meet_their_faults():
    ended: list[str] = []

    async def check(bench: Bench) -> None:
        shared = bench.context.shared
        shared["victims"]["reconstruction"] = lambda: ended.append("reconstruction")
        before = utc_now()
        (follower,) = shared["followers"]
        follower.event(object())
        await asyncio.sleep(40.0)
        with pytest.raises(RuntimeError):
            follower.event(object())
        assert ended == ["reconstruction"]
        assert 3500 < (utc_now() - before).total_seconds() < 3700

    late = {"time_s": 30.0}
    with_faults(
        check, at("process", "viewer-dies", late), at("process", "reconstruction-dies", late), at("clock", "step", late)
    )
    with_faults(check_clock_is_right)


async def check_clock_is_right(bench: Bench) -> None:
    del bench
    assert abs((utc_now() - datetime.now(UTC)).total_seconds()) < 60


def test_a_kill_is_not_rehearsed():
    context = DeviceContext(seed=9, faults=(at("process", "kill"),), hidden_draws=False)
    stage.FACTORY("stage", {}, context)
    with pytest.raises(InstrumentError, match="rehears"):
        context.shared["world"].check()


def test_an_output_that_sticks_is_told_by_make_safe():
    async def check(bench: Bench) -> None:
        await bench.bias.output(True)
        with pytest.raises(ReadBackMismatch):
            await bench.bias.make_safe()
        await bench.bias.make_safe()

    with_faults(check, at("bias", "output-stuck"))


def test_a_state_sets_a_fault_off_at_its_visit():
    async def check(bench: Bench) -> None:
        (enter,) = bench.context.shared["on_state"]
        enter("tilt", 1)
        await bench.stage.move(tilt_deg=1.0)
        enter("record", 1)
        enter("tilt", 2)
        with pytest.raises(NotReached):
            await bench.stage.move(tilt_deg=2.0)
        enter("tilt", 3)
        await bench.stage.move(tilt_deg=3.0)

    with_faults(check, at("stage", "stall", {"state": "tilt", "visit": 2}))


@pytest.mark.parametrize(
    ("entry", "says"),
    [
        ({"fault": "stall", "at": {"time_s": 1}}, "device"),
        (at("stage", "stal"), "stall"),
        (at("stage", "drop-out"), "no fault 'drop-out'"),
        (at("stge", "stall"), "'stge' is not in this instrument"),
        (at("stage", "stall", {"tim_s": 1}), "at"),
        (at("stage", "stall", {"time_s": 1, "exposure": 2}), "exactly one"),
        (at("stage", "stall", {"visit": 2}), "exactly one"),
        (at("stage", "stall", {"time_s": True}), "finite number"),
        (at("stage", "not-at-angle", eror_deg=1), "error_deg"),
        (at("stage", "stall", for_s="long"), "finite number"),
    ],
)
def test_a_fault_that_could_never_act_is_refused(entry, says):
    with pytest.raises(InstrumentError) as caught:
        with_faults(lambda bench: asyncio.sleep(0), entry)
    assert says in str(caught.value)
    assert len(str(caught.value)) <= 300


def test_the_catalogue_names_each_fault_once_and_the_schedule_takes_all():
    pairs = [(kind.device, kind.fault) for kind in FAULTS]
    assert len(set(pairs)) == len(pairs)
    assert all(kind.happens for kind in FAULTS)
    entries = [at(kind.device, kind.fault, {"exposure": 3}, **kind.parameters) for kind in FAULTS]
    schedule = FaultSchedule(entries, lambda: 0.0)
    for kind in {kind.device for kind in FAULTS}:
        schedule.register(kind, kind)
    schedule.check()
    for kind in FAULTS:
        assert schedule.find(kind.device, kind.fault) is None
    schedule.note_exposure(3)
    for kind in FAULTS:
        assert schedule.take(kind.device, kind.fault) == dict(kind.parameters)
        assert schedule.take(kind.device, kind.fault) is None


def test_what_happens_at_a_moment_happens_once_however_long_the_fault_lasts():
    entry = {"device": "beam", "fault": "current-jump", "at": {"time_s": 1.0}, "for_s": 50.0, "rel": 0.1}
    now = [0.0]
    schedule = FaultSchedule([entry], lambda: now[0])
    schedule.register("beam", "beam")
    assert schedule.take("beam", "current-jump") is None
    now[0] = 2.0
    assert schedule.take("beam", "current-jump") == {"rel": 0.1}
    assert schedule.take("beam", "current-jump") is None
