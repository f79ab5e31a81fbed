"""The truth of a simulated run whose process is gone, told by a copy of its world: the world itself is not touched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, cast

from cryoctl.errors import FileProblem
from cryoctl.instrument import parse_instrument
from cryoctl.interfaces.truth import MapGrid, VolumeGrid
from cryoctl.launch.own_loop import in_own_loop
from cryoctl.launch.prepare import Prepared, furnish
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.request import RunRequest
from cryoctl.protocol import Protocol
from cryoctl.recipe.loading import parse_recipe
from cryoctl.recipe.validation import validate
from cryoctl.registry import find

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


def prepared_of(head: Mapping[str, Any]) -> Prepared:
    """Recipe and instrument as a journal's head has them.

    Raises:
        BadInput: this version can't read them, or the protocol is not installed.
    """
    name = str(head["run"])
    raw = parse_recipe(str(head["recipe"]), name)
    script = str(head.get("recipe_path") or "")
    if script.lower().endswith(".py"):
        protocol_class = read_recipe(script, ())[1]
    else:
        protocol_class = cast("type[Protocol]", find("cryoctl.protocols", raw.protocol))
    return Prepared(
        request=RunRequest(recipe=name),
        name=name,
        seed=int(head["seed"]),
        raw=raw,
        protocol_class=protocol_class,
        parameters=validate(protocol_class.Parameters, raw),
        instrument=parse_instrument(str(head["instrument"]), name),
        instrument_source=str(head.get("instrument_path") or ""),
        faults=(),
        calibrated_at=datetime.fromisoformat(str(head["utc"])),
    )


def copy_with_holes(source: Path, target: Path) -> None:
    """Copy a file; blocks of zeros take no disk."""
    with source.open("rb") as old, target.open("wb") as new:
        while block := old.read(_BLOCK_BYTES):
            if not block.strip(b"\0"):
                new.seek(len(block), os.SEEK_CUR)
            else:
                new.write(block)
        new.truncate(source.stat().st_size)
