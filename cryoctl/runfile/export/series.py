"""The frames of each target in the order of their angles: what tomography programs expect."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.runfile.reader import Run


@dataclass(frozen=True, slots=True, eq=False)
class TiltOrder:
    """Frames of one target sorted by tilt; `name` starts the names of its files."""

    name: str
    target: str
    frames: npt.NDArray[np.int64]
    tilts_deg: npt.NDArray[np.float64]

    def stack(self, data: Any) -> npt.NDArray[np.float32]:
        """Rows `frames` of data [frame, y, x]."""
        return np.stack([np.asarray(data[int(frame)], dtype=np.float32) for frame in self.frames])


def tilt_orders(run: Run) -> tuple[TiltOrder, ...]:
    """One a target. Raises `BadInput` where the run recorded nothing."""
    if "image" not in run:
        raise BadInput(f"{run.path.name} holds no record frames: there is nothing to export in this format")
    targets, tilts = list(run.image.target), np.asarray(run.image.tilt_deg, dtype=np.float64)
    names = list(dict.fromkeys(targets))
    orders: list[TiltOrder] = []
    for target in names:
        frames = np.array([frame for frame, name in enumerate(targets) if name == target])
        frames = frames[np.argsort(tilts[frames], kind="stable")]
        stem = run.path.stem if len(names) == 1 else f"{run.path.stem}_{safe_name(target)}"
        orders.append(TiltOrder(stem, target, frames, tilts[frames]))
    return tuple(orders)


def stacks(run: Run) -> dict[str, Any]:
    """Name to data [frame, y, x]: HAADF and, where the run has them, the net counts of each element."""
    found: dict[str, Any] = {"haadf": run.image.data}
    if "edx" in run and "maps" in run.edx:
        maps = run.edx.maps
        found |= {element: maps[element] for element in maps}
    return found


def safe_name(text: str) -> str:
    """Letters, digits and dashes only, for a file name on every system."""
    return "".join(letter if letter.isalnum() and letter.isascii() else "-" for letter in text) or "target"


def folder_for(run: Run, out: Path | None) -> Path:
    """`out`, made where it is missing; beside the run file where it is None. Raises `BadInput` for a file."""
    folder = run.path.parent if out is None else out
    if folder.exists() and not folder.is_dir():
        raise BadInput(f"--out {folder}: is a file; this format writes several, give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_for(run: Run, out: Path | None, name: str) -> Path:
    """`out` where it has the suffix of `name`, else `name` in the folder `out`."""
    if out is not None and out.suffix == Path(name).suffix and not out.is_dir():
        out.parent.mkdir(parents=True, exist_ok=True)
        return out
    return folder_for(run, out) / name
