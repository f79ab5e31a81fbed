"""The truth of a simulated run whose process is gone, told by a copy of its world: the world itself is not touched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryoctl.errors import FileProblem
from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl.launch.own_loop import in_own_loop
from cryoctl.launch.prepare import furnish
from cryoctl.launch.prepared_again import prepared_of

_BLOCK_BYTES = 1 << 20


class WorldCopy:
    """A `TruthSource` made of a run's head and its world file; `time_s` is the run time at which it ended."""

    def __init__(self, head: Mapping[str, Any], world: Path, time_s: float) -> None:
        self._head = head
        self._world = world
        self._time_s = time_s

    def check(self) -> None:
        """Raises `FileProblem` where the world file is gone."""
        if not self._world.is_file():
            raise FileProblem(f"{self._world} is gone: what was true can't be told; give --world FILE")

    def truth(self, dose_grid: MapGrid, volume_grid: VolumeGrid | None) -> Mapping[str, Any]:
        self.check()
        with tempfile.TemporaryDirectory(prefix="cryoctl-", ignore_cleanup_errors=True) as folder:
            copy = Path(folder) / self._world.name
            copy_with_holes(self._world, copy)
            left_alone = {"resumed_s": self._time_s, "attended": False}
            furnished = furnish(prepared_of(self._head), copy, shared=left_alone)
            world = furnished.devices.truth
            if world is None:
                return {}

            async def told() -> dict[str, Any]:
                return dict(world.truth(dose_grid, volume_grid))

            return in_own_loop(told, virtual=True, speed=None)


def copy_with_holes(source: Path, target: Path) -> None:
    """Copy a file; blocks of zeros take no disk."""
    with source.open("rb") as old, target.open("wb") as new:
        while block := old.read(_BLOCK_BYTES):
            if not block.strip(b"\0"):
                new.seek(len(block), os.SEEK_CUR)
            else:
                new.write(block)
        new.truncate(source.stat().st_size)
