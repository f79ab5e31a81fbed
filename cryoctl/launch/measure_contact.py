"""`measure contact`: the pictures of an approach decided on once more, as they were while the needle came on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.contact import BEFORE, Contact, Side, decide
from cryoctl.errors import BadInput
from cryoctl.launch.measure import is_run
from cryoctl.recipe.loading import parse_recipe
from cryoctl.runfile.reader import Run, open_run

_WINDOW = 9
"""Pictures that a decision looks back on, beside the first."""
_LEAST = BEFORE + 2
_SAME = 1e-6


def measure_contact(path: Path) -> dict[str, Any]:
    """Whether contact is seen, and in which picture of the last approach.

    Raises:
        BadInput: no run of a needle, or one that ended before the approach.
    """
    if not is_run(path):
        raise BadInput(f"{path.name}: is no run file; measure contact needs a run of a needle")
    with open_run(path) as run:
        needle = parse_recipe(str(run.entry.recipe), path.name, ()).parameters.get("needle")
        if not isinstance(needle, dict):
            raise BadInput(f"{path.name}: its recipe has no needle; measure contact needs a run of a needle")
        settings = cast("dict[str, Any]", needle)
        frames, rows, size_m = _approach(run)
        pictures = [_picture(run, k) for k in frames]
        times = [float(run.exposures.time_s[row]) for row in rows]
        exposures = [int(run.exposures.exposure[row]) for row in rows]
    side, deepest_m = cast(Side, str(settings.get("side", "right"))), float(settings.get("max_indentation_m", 20e-9))
    told: Contact | None = None
    for last in range(_LEAST, len(pictures) + 1):
        chosen = (pictures[0], *pictures[1:last][-_WINDOW:])
        told = decide(*chosen, pixel_size_m=size_m, side=side, deepest_m=deepest_m)
        if told.found or not told.seen:
            break
    else:
        last = len(pictures)
    assert told is not None
    found = bool(told.found)
    return {
        "contact": {
            "found": found,
            "pictures": len(pictures),
            "picture": last - 1 if found else None,
            "exposure": exposures[last - 1] if found else None,
            "time_s": times[last - 1] if found else float("nan"),
            "gap_m": told.gap_m,
            "gap_m_sigma": told.gap_sigma_m,
            "contrast_change": told.contrast_change,
            "contrast_change_sigma": told.contrast_sigma,
            "pushed_m": told.pushed_m,
            "pushed_m_sigma": told.pushed_sigma_m,
        },
        "shortfalls": {} if found else {"contact": told.message or "no picture shows contact"},
    }


def _picture(run: Run, k: int) -> npt.NDArray[np.float64]:
    rows, columns = (int(size) for size in run.search.shape[k])
    count = int(run.search.scan_count[k])
    return np.asarray(run.search.scans[k, :count, :rows, :columns], dtype=np.float64).sum(axis=0)


def _approach(run: Run) -> tuple[list[int], list[int], float]:
    """Pictures of the search stream at the approach's own magnification, their rows in the table, their pixel size."""
    if "search" not in run:
        raise BadInput(f"{run.path.name}: holds no pictures of an approach; the run ended before it")
    table = run.exposures
    number = {int(exposure): row for row, exposure in enumerate(table.exposure)}
    pictures = [(k, number[int(exposure)]) for k, exposure in enumerate(run.search.exposure)]
    own = [(k, row) for k, row in pictures if str(table.state[row]) == "approach" and str(table.kind[row]) == "view"]
    if not own:
        raise BadInput(f"{run.path.name}: holds no pictures of an approach; the run ended before it")
    size_m = float(table.pixel_size_m[own[-1][1]])
    chosen: list[tuple[int, int]] = []
    for k, row in reversed(own):
        if abs(float(table.pixel_size_m[row]) / size_m - 1) > _SAME:
            break
        chosen.insert(0, (k, row))
    if len(chosen) < _LEAST:
        raise BadInput(f"{run.path.name}: {len(chosen)} pictures of the approach; {_LEAST} are needed to tell contact")
    return [k for k, _ in chosen], [row for _, row in chosen], size_m
