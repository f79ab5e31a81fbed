"""NeXus: the signal of the default NXdata; in other HDF5 files the dataset that the settings name."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl_drivers.spectrum_folder.cube import Cube, Incomplete, Unfit, counts_of

_EV = {"ev": 1.0, "kev": 1e3}


def read_nexus(path: Path, dataset: str = "", live_time: str = "") -> Cube:
    """
    Args:
        dataset: path of the counts within the file; empty: as NeXus says.
        live_time: path of the live time (s); empty: not told.

    Raises:
        Incomplete: it can't be opened, since somebody writes it or it is cut short.
        Unfit: not a spectrum image.
    """
    import h5py

    try:
        with h5py.File(path, "r") as file:
            signal = _at(file, dataset) if dataset else _default_signal(file)
            offset_ev, scale_ev = _energies(signal)
            live_s = float(np.asarray(_at(file, live_time)[()]).sum()) if live_time else math.nan
            data = signal[()]
    except OSError as problem:
        raise Incomplete(f"it can't be opened as HDF5 ({str(problem)[:60]})") from problem
    if data.ndim == 4 and data.shape[0] == 1:
        data = data[0]
    return Cube(counts_of(data), energy_offset_ev=offset_ev, energy_scale_ev=scale_ev, live_time_s=live_s)


def _at(file: Any, path: str) -> Any:
    if path not in file:
        raise Unfit(f"no {path[:60]} in it")
    found = file[path]
    if not hasattr(found, "shape"):
        raise Unfit(f"{path[:60]} in it is no dataset")
    return found


def _default_signal(file: Any) -> Any:
    here = file
    for _ in range(8):
        signal = _text(here.attrs.get("signal", ""))
        if signal:
            return _at(here, signal)
        following = _text(here.attrs.get("default", ""))
        if not following or following not in here:
            break
        here = here[following]
    raise Unfit("no default NXdata in it; name the dataset in settings.dataset")


def _energies(signal: Any) -> tuple[float, float]:
    """Offset and width of a channel (eV) by the last axis of the NXdata; NaN where there is none."""
    axes = signal.parent.attrs.get("axes", ())
    axes = [axes] if isinstance(axes, str | bytes) else list(axes)
    name = _text(axes[-1]) if axes else "."
    if name in (".", "") or name not in signal.parent:
        return math.nan, math.nan
    axis = signal.parent[name]
    values = np.asarray(axis[()], dtype=float)
    unit = _EV.get(_text(axis.attrs.get("units", "eV")).lower(), math.nan)
    if values.ndim != 1 or len(values) < 2:
        return math.nan, math.nan
    return float(values[0]) * unit, float(values[-1] - values[0]) / (len(values) - 1) * unit


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
