"""Three slices through each live volume, in a small file that whoever looks on can read while the run goes on.

The child of the live reconstruction writes it, never the run: whole or not at all, and so seldom that it takes at most
a fiftieth of the child's time. The volumes themselves stay with the child; they come into the run file at the end.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.reconstruction.series import Stack

Slice = npt.NDArray[np.float32]

EVERY_S = 2.0
"""Not written more often."""
_SHARE = 50.0
"""Nor more often than every this many times what a write took."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class VolumeSlices:
    """Of one volume [z, y, x], through (z, y, x) `at`: `xy` [y, x], `xz` [z, x], `zy` [z, y]."""

    xy: Slice
    xz: Slice
    zy: Slice
    at: tuple[int, int, int]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class LiveSlices:
    """Of all volumes of a series, by element, after so many tilts."""

    target: str
    tilts: int
    volumes: Mapping[str, VolumeSlices]


def body_centre(volume: npt.NDArray[Any]) -> tuple[int, int, int]:
    """Centre of gravity (z, y, x) of what is brighter than half of the brightest (its 99.9th percentile); the middle of
    an empty volume."""
    strong = volume > 0.5 * np.percentile(volume, 99.9)
    if not strong.any():
        z, y, x = (size // 2 for size in volume.shape)
        return z, y, x
    z, y, x = (round(float(where.mean())) for where in np.nonzero(strong))
    return z, y, x


def sliced(volumes: Mapping[str, npt.NDArray[Any]], target: str, tilts: int) -> LiveSlices:
    """All volumes [z, y, x] are cut at the same place: the centre of the body that the first of them shows."""
    at = next((body_centre(np.asarray(volume)) for volume in volumes.values()), (0, 0, 0))
    z, y, x = at
    return LiveSlices(
        target=target,
        tilts=tilts,
        volumes={
            name: VolumeSlices(
                xy=np.array(volume[z], np.float32),
                xz=np.array(volume[:, y], np.float32),
                zy=np.array(volume[:, :, x], np.float32),
                at=at,
            )
            for name, volume in volumes.items()
        },
    )


def write_slices(path: Path, slices: LiveSlices) -> None:
    """Whole or not at all. Raises OSError where the disk is full; what was there stays."""
    told = {
        "target": slices.target,
        "tilts": slices.tilts,
        "at": {name: one.at for name, one in slices.volumes.items()},
    }
    arrays: dict[str, npt.NDArray[Any]] = {"told": np.frombuffer(json.dumps(told).encode(), np.uint8)}
    for number, one in enumerate(slices.volumes.values()):
        arrays |= {f"{number}_xy": one.xy, f"{number}_xz": one.xz, f"{number}_zy": one.zy}
    fresh = path.with_suffix(".new")
    try:
        with fresh.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        os.replace(fresh, path)
    except OSError:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def read_slices(path: Path) -> LiveSlices | None:
    """None where there are none, or none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as found:
            told: dict[str, Any] = json.loads(found["told"].tobytes())
            volumes = {
                name: VolumeSlices(
                    xy=found[f"{number}_xy"],
                    xz=found[f"{number}_xz"],
                    zy=found[f"{number}_zy"],
                    at=(int(at[0]), int(at[1]), int(at[2])),
                )
                for number, (name, at) in enumerate(told["at"].items())
            }
        return LiveSlices(target=str(told["target"]), tilts=int(told["tilts"]), volumes=volumes)
    except (OSError, ValueError, KeyError, IndexError, TypeError, zipfile.BadZipFile):
        return None


class SliceWriter:
    """Says when it is time and writes; a full disk is no reason to lose the reconstruction."""

    def __init__(self, path: Path, target: str) -> None:
        self._path = path
        self._target = target
        self._next_s = 0.0
        self._tilts = 0
        self._pending = False

    def tilt_taken(self) -> None:
        """The volumes have changed."""
        self._tilts += 1
        self._pending = True

    @property
    def wait_s(self) -> float | None:
        """How long until a write is due; None where nothing waits to be written."""
        return max(0.0, self._next_s - time.monotonic()) if self._pending else None

    def write_if_due(self, volumes: Mapping[str, Stack]) -> None:
        if self.wait_s != 0.0:
            return
        began_s = time.monotonic()
        with contextlib.suppress(OSError):
            write_slices(self._path, sliced(volumes, self._target, self._tilts))
        done_s = time.monotonic()
        self._next_s = done_s + max(EVERY_S, _SHARE * (done_s - began_s))
        self._pending = False
