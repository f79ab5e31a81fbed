"""Gathers what a case left: its files, and the truth straight from the world file."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import yaml

from cryoctl.clock.virtual import run_virtual
from cryoctl.errors import CryoctlError
from cryoctl.interfaces.truth import MapGrid, TruthSource
from cryoctl.launch.prepare import furnish, prepare
from cryoctl.launch.request import RunRequest
from cryoctl.runfile.check import check_run
from cryoctl.runfile.reader import Run, open_run
from cryoctl.testing.campaign.judge import Acknowledged, Opened

Map = npt.NDArray[np.float64]
Bound = tuple[Map, float]
_CHUNK = 1 << 20
_ON, _OFF = "bias output on", "bias output off: "
_ASKED = ("rest", "limits are set", "complete", "it was on before the run", "the end of the run")
"""Reasons for which an output goes off as it should."""
_ANYWHERE = MapGrid(shape=(601, 1001), pixel_size_m=20e-9, origin_x_m=-10e-6, origin_y_m=-6e-6)
"""Where no run file says which grid it counts on."""


def acknowledged(events: Path) -> tuple[Acknowledged, ...]:
    """Frames that the event lines told; the last line may be torn."""
    found: list[Acknowledged] = []
    for line in events.read_text(encoding="utf-8").splitlines() if events.exists() else ():
        try:
            told = json.loads(line)
        except ValueError:
            continue
        if told.get("event") == "frame":
            found.append(Acknowledged(frame=told["frame"], exposure=told["exposure"], sha256=told["sha256"]))
    return tuple(found)


def world_truth(request: RunRequest, world: Path, grid: MapGrid) -> Mapping[str, Any]:
    """Paths below /simulation, as the world file itself tells them; the run's own file is not looked at.

    A copy is asked: a world that is opened goes on, and blanks what was left open.
    """
    with tempfile.TemporaryDirectory(prefix="cryoctl-world-") as folder:
        copy = Path(folder) / world.name
        copy_sparse(world, copy)
        furnished = furnish(prepare(request), copy, shared={"resumed_s": 0.0, "attended": False})
        source = furnished.devices.truth
        assert source is not None

        async def tell(source: TruthSource) -> Mapping[str, Any]:
            return source.truth(grid, None)

        return run_virtual(tell(source))


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file and leave holes where it has nothing but zeros."""
    with source.open("rb") as read, target.open("wb") as written:
        while chunk := read.read(_CHUNK):
            if chunk.count(0) == len(chunk):
                written.seek(len(chunk), os.SEEK_CUR)
            else:
                written.write(chunk)
        written.truncate()


def of_world(request: RunRequest, world: Path, run_file: Path | None) -> dict[str, Any]:
    """The fields of `Evidence` that the world tells, dose on the ledger's grid where there is a file that has one.

    How the run ended is what the world told its file at that moment, where the file has it.
    """
    bounds: tuple[Bound, ...] = ()
    grid = _ANYWHERE
    at_the_end: dict[str, Any] = {}
    if run_file is not None:
        try:
            with open_run(run_file) as run:
                grid, bounds = run.dose.grid, bounds_of(run)
                if "simulation/final" in run:
                    at_the_end = {"final": run.truth.final.to_dict(), "beam_open": _left_open(run.truth.blank.open)}
        except (CryoctlError, OSError, AttributeError, KeyError):
            bounds = ()
    if not world.exists():
        return {"exposed": False}
    told = world_truth(request, world, grid)
    true = np.asarray(told["dose_map_e_per_a2"], dtype=np.float64)
    found: dict[str, Any] = {
        "exposed": bool(len(told["scan_frames/exposure"])),
        "true_peak_e_per_a2": float(true.max(initial=0.0)),
        "beam_open": _left_open(told["blank/open"]),
        "final": {path.removeprefix("final/"): value for path, value in told.items() if path.startswith("final/")},
        "opened": opened(told),
        "biased_untouched_v": biased_untouched_v(told),
        "bias_came_on": came_on(told["bias/output_on"]),
    }
    if bounds:
        found["ledger_above_truth_e_per_a2"] = least_above(bounds, true)
    return found | at_the_end


def _left_open(log: npt.NDArray[np.bool_]) -> bool:
    return bool(len(log)) and bool(log[-1])


def opened(told: Mapping[str, Any]) -> tuple[Opened, ...]:
    """An exposure each time its first scan frame was begun."""
    columns = [told[f"scan_frames/{name}"] for name in ("exposure", "index", "kind", "tilt_deg", "x_m", "y_m")]
    return tuple(
        Opened(exposure=int(exposure), kind=str(kind), tilt_deg=float(tilt_deg), x_m=float(x_m), y_m=float(y_m))
        for exposure, index, kind, tilt_deg, x_m, y_m in zip(*columns, strict=True)
        if int(index) == 0
    )


def biased_untouched_v(told: Mapping[str, Any]) -> float:
    """Largest voltage (V) of a bias that was switched on while the needle touched nothing; 0 without a needle."""
    if str(told["final/needle_state"]) == "absent":
        return 0.0
    touches = list(zip(told.get("touch/time_s", ()), told.get("touch/touching", ()), strict=True))
    acts = (told[f"bias/{name}"] for name in ("time_s", "voltage_v", "output_on"))
    largest_v, was_on, untouched = 0.0, False, False
    for time_s, voltage_v, on in zip(*acts, strict=True):
        if on and not was_on:
            untouched = not next((bool(one) for since_s, one in reversed(touches) if since_s <= time_s), False)
        if on and untouched:
            largest_v = max(largest_v, abs(float(voltage_v)))
        was_on = bool(on)
    return largest_v


def came_on(output_on: Iterable[object]) -> int:
    """How often the source's output, off before, was on in its log of acts."""
    states = [False, *map(bool, output_on)]
    return sum(later and not before for before, later in pairwise(states))


def back_after(said: Iterable[str]) -> str:
    """Why the output last went off unasked before it was switched on again; empty where that never was."""
    why = ""
    for one in said:
        if one.startswith(_ON) and why:
            return why
        if one.startswith(_OFF) and (reason := one.removeprefix(_OFF)) not in _ASKED:
            why = reason
    return ""


def bounds_of(run: Run) -> tuple[Bound, ...]:
    """Maps of a ledger and how far each may be displaced (px): what they add up to is nowhere below the truth."""
    dose, pixel_m = run.dose, run.dose.grid.pixel_size_m
    if "scattered_e_per_a2" in dose:
        prior_px = 3 * float(dose.prior_sigma_m) / pixel_m
        return ((np.asarray(dose.scattered_e_per_a2), 0.0), (np.asarray(dose.prior), prior_px))
    return ((np.asarray(dose.map), 3 * float(dose.position_sigma_m) / pixel_m),)


def least_above(bounds: Iterable[Bound], true: Map) -> float:
    """Least difference of the ledger's maps, each displaced as far as it may be, and the truth; own code on purpose.

    Only the rows and columns that received anything are looked at.
    """
    rows, columns = np.flatnonzero(true.any(axis=1)), np.flatnonzero(true.any(axis=0))
    if not rows.size:
        return 0.0
    window = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    difference = -true[window]
    for ledger, reach_px in bounds:
        difference += _dilated(ledger, reach_px, *window) if reach_px else ledger[window]
    return float(difference.min())


def _dilated(ledger: Map, reach_px: float, y: slice, x: slice) -> Map:
    """By a disc of this radius, a row of which is a running maximum along x; a window of the map."""
    from scipy.ndimage import maximum_filter1d

    reach = math.ceil(reach_px + 0.71)  # half a pixel's diagonal: what lies within the distance from any part of it
    padded = np.pad(ledger, reach)
    height, width = y.stop - y.start, x.stop - x.start
    dilated = np.zeros((height, width))
    for dy in range(-reach, reach + 1):
        half = int(math.sqrt(max(0.0, (reach_px + 0.71) ** 2 - dy**2)))
        line = padded[reach + y.start + dy : reach + y.stop + dy, x.start : x.stop + 2 * reach]
        widest = maximum_filter1d(line, 2 * half + 1, axis=1, mode="nearest")[:, reach : reach + width]
        np.maximum(dilated, widest, out=dilated)
    return dilated


def of_file(run_file: Path) -> dict[str, Any]:
    """The fields of `Evidence` that the run file tells."""
    try:
        report = check_run(run_file)
        with open_run(run_file) as run:
            found = _read(run)
    except (CryoctlError, OSError, ValueError, KeyError, AttributeError) as problem:
        return {"run_file": str(run_file), "unreadable": f"{type(problem).__name__}: {problem}"}
    failed = tuple(f"{one.name}: {one.detail}" for one in report.checks if not one.ok)
    return {**found, "run_file": str(run_file), "failed_checks": failed}


def _read(run: Run) -> dict[str, Any]:
    in_file = {frame: str(sha256) for frame, sha256 in enumerate(run.image.sha256)} if "image" in run else {}
    recipe: Mapping[str, Any] = yaml.safe_load(str(run.recipe)) or {}
    said = tuple(map(_said, run.events.event, run.events.message))
    return {
        "each_tilt_once": "tilts" in recipe,
        "probe_v": float(recipe.get("probe_v", math.inf)),
        "max_indentation_m": float(recipe.get("needle", {}).get("max_indentation_m", math.inf)),
        "limit_e_per_a2": float(run.dose.limit_e_per_a2),
        "in_file": in_file,
        "drives_current": _drives_current(recipe),
        "bias_paused": f"{_OFF}pause" in said,
        "bias_back_after": back_after(said),
        "bias_told_on": sum(one.startswith(_ON) for one in said),
        "in_table": frozenset(int(number) for number in run.exposures.exposure),
    }


def _drives_current(recipe: Mapping[str, Any]) -> bool:
    """As the needle's and the wired specimen's recipes have it."""
    waveform = recipe.get("bias", {}).get("waveform", {})
    return any(waveform.get(name) is not None for name in ("current_a", "currents_a"))


def _said(event: object, message: object) -> str:
    return f"{event} {message}"
