"""The JSON of `run`, `resume`, `replay` and `show` (contract.md) as far as the run file knows it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from cryoctl.runfile.h5 import H5Dataset
from cryoctl.runfile.interlocks_met import interlocks_met
from cryoctl.runfile.node import Node
from cryoctl.runfile.reader import Run, open_run

_LARGEST_RESULT = 1000
_GONE = "its process is gone; `cryoctl resume` goes on with it, `cryoctl recover` makes a whole file of it, on a copy"


def summary_of(path: str | Path) -> dict[str, Any]:
    """Summary of a finished, running or killed run; plain JSON values, None for what is not known.

    `wall_s` is what only the process knew that made the run. Raises as `open_run`.
    """
    with open_run(path) as run:
        return summarise_run(run)


def summarise_run(run: Run) -> dict[str, Any]:
    """Summary of an open run."""
    entry = run.entry
    exit_code = int(entry.exit_code)
    kinds = list(entry.exposures.kind)
    frames = np.asarray(entry.exposures.frame)
    records = np.array([kind == "record" for kind in kinds], dtype=bool)
    return cast(
        dict[str, Any],
        json_safe(
            {
                "run_file": str(run.path),
                "status": run.status,
                "exit_code": None if exit_code < 0 else exit_code,
                "end_reason": entry.end_reason or None,
                "message": entry.message or ("" if run.packed or run.is_live else _GONE),
                "seed": entry.seed,
                "duration_s": entry.duration_s,
                "wall_s": None,
                "frames": len(run.image) if "image" in run else 0,
                "frames_skipped": int((records & (frames[: len(records)] < 0)).sum()),
                "bytes": run.path.stat().st_size if run.path.exists() else 0,
                "dose": _dose(run),
                "counts": element_counts(run),
                "targets": _rows(entry.targets, ("name", "outcome", "reason")),
                "interlocks": _interlocks(entry.events),
                "operator": _operator(entry.events),
                "results": _small(run.results) if "results" in run else {},
                "predicted": _predicted(entry),
                "journal_head": run.journal_head,
            }
        ),
    )


def element_counts(run: Run) -> dict[str, float]:
    """Net counts of each element over all frames, in the recipe's order; those in its window where the run has no
    maps."""
    if "edx" not in run:
        return {}
    edx = run.edx
    counted: Node = edx.maps if "maps" in edx else edx.window_counts
    return {
        element: float(np.nansum(np.asarray(counted[element], dtype=np.float64)))
        for element in edx.elements
        if element in counted
    }


def json_safe(value: Any) -> Any:
    """Numpy values as plain ones, NaN and infinity as None, for JSON that every reader takes."""
    if isinstance(value, Mapping):
        return {str(key): json_safe(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, (list, tuple)):
        return [json_safe(item) for item in cast(list[Any], value)]
    if isinstance(value, np.ndarray):
        return json_safe(value.tolist())
    if isinstance(value, np.generic):
        return json_safe(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _predicted(entry: Node) -> dict[str, Any]:
    """What the preflight foretold; counts are foretold by a rehearsal only."""
    told: dict[str, Any] = entry.predicted.to_dict() if "predicted" in entry else {}
    return {name: told.get(name) for name in ("duration_s", "peak", "bytes")} | {"counts": {}}


def _dose(run: Run) -> dict[str, Any]:
    dose, entry = run.dose, run.entry
    if "known" in dose and not dose.known:
        return {"limit": dose.limit_e_per_a2, "peak": None, "planned": None, "by_kind": {}}
    kinds: Node = dose.by_kind
    return {
        "limit": dose.limit_e_per_a2,
        "peak": float(dose.map.max(initial=0.0)),
        "planned": entry.planned_peak_e_per_a2 if "planned_peak_e_per_a2" in entry else None,
        "by_kind": {kind: float(np.max(kinds[kind])) for kind in kinds},
    }


def _interlocks(events: Node) -> list[dict[str, Any]]:
    columns = zip(events.time_s, events.event, events.name, events.data, strict=True)
    return interlocks_met((t, name, json.loads(data)) for t, event, name, data in columns if event == "interlock")


def _operator(events: Node) -> list[dict[str, Any]]:
    """Who said what when, and how; the first of it is the beginning itself."""
    columns = zip(events.time_s, events.event, events.name, events.message, events.data, strict=True)
    return [
        {"time_s": time_s, "command": name, "message": message, **json.loads(data)}
        for time_s, event, name, message, data in columns
        if event == "operator"
    ]


def _rows(table: Node, names: tuple[str, ...]) -> list[dict[str, Any]]:
    columns = [list(table[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _small(node: Node) -> dict[str, Any]:
    """Values below a group, large arrays left out."""
    found: dict[str, Any] = {}
    for name in node:
        value = node[name]
        if isinstance(value, Node):
            found[name] = _small(value)
        elif isinstance(value, H5Dataset):
            continue
        elif not isinstance(value, np.ndarray) or value.size <= _LARGEST_RESULT:
            found[name] = value
    return found
