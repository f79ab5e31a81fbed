from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cryoctl.errors import FileProblem, RunFileError
from cryoctl.runfile.event_store import EventStore, decode_events, encode_events
from cryoctl.runfile.frame_store import FrameStore
from cryoctl.runfile.lock import RunLock, is_locked, owner_pid


@pytest.fixture(params=["posix", "portable"])
def platform(request, monkeypatch):
    if request.param == "portable":
        for name in ("pwrite", "pread", "fdatasync", "posix_fallocate"):
            monkeypatch.delattr(os, name, raising=False)
    return request.param


@pytest.mark.parametrize("durability", ["process", "power"])
def test_frames_come_back_across_segments_streams_and_shapes(tmp_path, platform, durability):
    rng = np.random.default_rng(3)
    store = FrameStore(tmp_path / "frames", durability, slots=3)
    kept = []
    for number in range(20):
        shape = ((2, 5, 7), (1, 5, 7), (2, 8, 4))[number % 3]
        stream = ("image", "focus")[number % 2]
        frames = rng.integers(0, 65536, shape, dtype=np.uint16)
        kept.append((frames, store.append(stream, frames)))
    assert len({(place.segment, place.slot) for _, place in kept}) == 20
    for frames, place in kept:
        np.testing.assert_array_equal(store.read(place.segment, place.slot, place.sha256), frames)
    store.close()
    for path in (tmp_path / "frames").iterdir():
        with h5py.File(path) as file:
            assert file["frames"].dtype == np.uint16
            assert file["frames"].id.get_create_plist().get_layout() == h5py.h5d.CONTIGUOUS
    with h5py.File(tmp_path / "frames" / kept[0][1].segment) as file:
        np.testing.assert_array_equal(file["frames"][kept[0][1].slot], kept[0][0])


def test_a_resumed_store_writes_behind_what_the_journal_knows(tmp_path):
    store = FrameStore(tmp_path, slots=4)
    frame = np.arange(24, dtype=np.uint16).reshape(2, 3, 4)
    places = [store.append("image", frame + k) for k in range(3)]
    store.close()
    again = FrameStore(tmp_path, slots=4)
    known = [{"stream": "image", "segment": place.segment, "slot": place.slot} for place in places[:2]]
    again.continue_after(known)
    assert again.append("image", frame + 9)[:2] == places[2][:2]
    assert (again.read(*places[1]) == frame + 1).all()
    fresh = FrameStore(tmp_path, slots=4)
    assert fresh.append("image", frame).segment == "image_1.h5"


def test_damage_and_loss_are_told(tmp_path):
    store = FrameStore(tmp_path, slots=2)
    place = store.append("image", np.ones((1, 4, 4), np.uint16))
    store.close()
    path = tmp_path / place.segment
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    data[data.index(b"\x01\x00" * 16)] ^= 1
    path.write_bytes(data)
    store = FrameStore(tmp_path)
    with pytest.raises(RunFileError, match="checksum"):
        store.read(*place)
    with pytest.raises(RunFileError, match="lost"):
        store.read(place.segment, 7)
    with pytest.raises(RunFileError, match="missing"):
        store.read("image_9.h5", 0)
    with pytest.raises(ValueError):
        store.append("image", np.ones((4, 4), np.uint16))


def test_acknowledged_frames_survive_a_kill(tmp_path):
    script = textwrap.dedent("""
        import sys, numpy as np
        from pathlib import Path
        from cryoctl.runfile.frame_store import FrameStore
        store = FrameStore(Path(sys.argv[1]), slots=8)
        for k in range(10**6):
            place = store.append("image", np.full((2, 32, 32), k % 65536, np.uint16))
            print(k, place.segment, place.slot, place.sha256, flush=True)
    """)
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(60)]
    process.kill()
    lines += process.stdout.readlines()
    process.wait()
    store = FrameStore(tmp_path)
    whole = [line.split() for line in lines if line.endswith("\n")]
    for k, segment, slot, sha256 in whole:
        assert (store.read(segment, int(slot), sha256) == int(k) % 65536).all()
    assert len(whole) >= 60


events_of_a_scan = st.integers(0, 40).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.uint32, n, elements=st.one_of(st.integers(0, 300), st.integers(0, 2**31))),
        hnp.arrays(np.uint16, n),
    )
)


@settings(deadline=None)
@given(st.lists(events_of_a_scan, max_size=4), st.booleans())
def test_events_come_back_in_pixel_order(scans, in_order):
    if in_order:
        scans = [(np.sort(pixel), channel) for pixel, channel in scans]
    found = decode_events(encode_events(scans))
    assert len(found) == len(scans)
    for (pixel, channel), (pixel_back, channel_back) in zip(scans, found, strict=True):
        order = np.argsort(pixel, kind="stable")
        np.testing.assert_array_equal(pixel_back, pixel[order])
        np.testing.assert_array_equal(channel_back, channel[order])


@settings(deadline=None)
@given(st.data())
def test_a_damaged_block_is_told(data):
    block = bytearray(encode_events([(np.arange(50, dtype=np.uint32), np.arange(50, dtype=np.uint16))]))
    if data.draw(st.booleans()):
        block = block[: data.draw(st.integers(0, len(block) - 1))]
    else:
        block[data.draw(st.integers(24, len(block) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(RunFileError):
        decode_events(bytes(block))


def test_event_store_appends_reads_and_resumes(tmp_path, platform):
    path = tmp_path / "edx_events.bin"
    store = EventStore(path)
    one = [(np.array([1, 5, 5], np.uint32), np.array([7, 8, 1023], np.uint16))]
    first, second = store.append(one), store.append(one * 2)
    store.close()
    again = EventStore(path, end=first.offset + first.bytes)
    third = again.append(one * 3)
    assert third.offset == second.offset
    assert len(again.read(*third)) == 3
    with pytest.raises(RunFileError, match="checksum"):
        again.read(third.offset, third.bytes, first.sha256)
    with pytest.raises(RunFileError, match="lost"):
        EventStore(path, end=10**6)


def test_300k_events_are_kept_fast(tmp_path):
    rng = np.random.default_rng(0)
    scans = [
        (np.sort(rng.integers(0, 12288, 75_000)).astype(np.uint32), rng.integers(0, 1024, 75_000).astype(np.uint16))
        for _ in range(4)
    ]
    store = EventStore(tmp_path / "e")
    taken = []
    for _ in range(5):
        began = time.process_time()
        place = store.append(scans)
        taken.append(time.process_time() - began)
    assert min(taken) < 0.1  # 0.03 s on an idle core
    assert place.bytes < 3 * 300_000


def test_the_lock_excludes_tells_its_owner_and_dies_with_it(tmp_path):
    path = tmp_path / "run.parts" / "lock"
    path.parent.mkdir()
    script = "import sys, pathlib; from cryoctl.runfile.lock import RunLock\n"
    script += "RunLock(pathlib.Path(sys.argv[1])).acquire(); print('held', flush=True); sys.stdin.read()"
    other = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
    )
    assert other.stdout is not None
    assert other.stdout.readline() == "held\n"
    assert is_locked(path)
    assert owner_pid(path) == other.pid
    with pytest.raises(FileProblem, match=str(other.pid)):
        RunLock(path).acquire()
    other.kill()
    other.wait()
    assert not is_locked(path)
    with RunLock(path):
        assert is_locked(path)
    assert not is_locked(path)


def test_those_who_look_at_a_lock_are_not_taken_for_its_owner(tmp_path):
    path = tmp_path / "lock"
    path.touch()

    def look(_):
        return sum(is_locked(path) for _ in range(300))

    with ThreadPoolExecutor(4) as lookers:
        assert sum(lookers.map(look, range(4))) == 0
        with RunLock(path):
            assert sum(lookers.map(look, range(4))) == 1200
