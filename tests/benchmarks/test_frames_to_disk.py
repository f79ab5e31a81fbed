"""The frame store beside a plain file and plain HDF5, on the same disk in the same run.

Run: `pytest -m benchmark -s tests/benchmarks/test_frames_to_disk.py`. Ratios are what to look at. Nothing is asserted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from cryoctl.runfile.frame_store import FrameStore

FRAMES = 100
FRAME = np.random.default_rng(0).integers(0, 4096, (1, 2048, 2048), dtype=np.uint16)


def plain_file(folder: Path) -> None:
    with (folder / "plain.raw").open("wb", buffering=0) as file:
        for _ in range(FRAMES):
            file.write(FRAME.data)
        os.fsync(file.fileno())


def own_store(folder: Path, durability: str) -> None:
    store = FrameStore(folder / durability, durability)
    for _ in range(FRAMES):
        store.append("image", FRAME)
    store.close()


def chunked_hdf5(folder: Path) -> None:
    """What most programs do: resizable, a chunk a frame, flushed so that a frame is with the system."""
    with h5py.File(folder / "chunked.h5", "w") as file:
        data = file.create_dataset(
            "frames", (0, *FRAME.shape[1:]), np.uint16, maxshape=(None, *FRAME.shape[1:]), chunks=FRAME.shape
        )
        for k in range(FRAMES):
            data.resize(k + 1, axis=0)
            data[k] = FRAME[0]
            file.flush()


@pytest.mark.benchmark
def test_frames_to_disk(tmp_path: Path) -> None:
    peers: dict[str, Callable[[], None]] = {
        "plain file": lambda: plain_file(tmp_path),
        "frame store, survives the process": lambda: own_store(tmp_path, "process"),
        "frame store, survives a power cut": lambda: own_store(tmp_path, "power"),
        "chunked HDF5, flushed a frame": lambda: chunked_hdf5(tmp_path),
    }
    limit = 0.0
    for name, write in peers.items():
        began = time.perf_counter()
        write()
        rate = FRAMES * FRAME.nbytes / (time.perf_counter() - began) / 1e6
        limit = limit or rate
        print(f"\n{name}: {rate:.0f} MB/s, {rate / limit:.2f} of the plain file", end="")
