"""`csv`: exposure table, events, monitors and counts a frame as comma-separated text (UTF-8, point as decimal)."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.runfile.export.series import folder_for, safe_name
from cryoctl.runfile.reader import Run


def export(run: Run, out: Path | None = None) -> tuple[Path, ...]:
    """Write RUN_exposures.csv, RUN_events.csv, RUN_monitor_NAME.csv and, with EDX, RUN_counts.csv."""
    folder, stem = folder_for(run, out), run.path.stem
    exposures = {name: run.exposures[name] for name in run.exposures if name != "shape"}
    written = [_write(folder / f"{stem}_exposures.csv", exposures)]
    written.append(_write(folder / f"{stem}_events.csv", {name: run.events[name] for name in run.events}))
    for name in run.monitors if "monitors" in run.entry else ():
        trace = run.monitors[name]
        path = folder / f"{stem}_monitor_{safe_name(name)}.csv"
        written.append(_write(path, {"time_s": trace.time_s, "value": trace.value}))
    if "edx" in run:
        counts: dict[str, Any] = {"frame": np.arange(len(run.image)), "tilt_deg": run.image.tilt_deg}
        counts |= {f"window_{element}": run.edx.window_counts[element] for element in run.edx.window_counts}
        if "maps" in run.edx:
            maps = run.edx.maps
            for element in maps:
                net = maps[element]
                counts[f"net_{element}"] = [float(np.nansum(net[frame])) for frame in range(len(net))]
        written.append(_write(folder / f"{stem}_counts.csv", counts))
    return tuple(written)


def _write(path: Path, columns: Mapping[str, Any]) -> Path:
    values = [column.tolist() if isinstance(column, np.ndarray) else list(column) for column in columns.values()]
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        rows.writerows(zip(*values, strict=True))
    return path
