"""Whatever rosettasciio reads: Bruker's .bcf, Velox's .emd, .elid and others."""

from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.errors import InstrumentError
from cryoctl_drivers.spectrum_folder.cube import Cube, Incomplete, Unfit, counts_of

_EV = {"ev": 1.0, "kev": 1e3}


def plugin_for(owner: str, suffix: str) -> Any:
    """The reader of such files.

    Raises:
        InstrumentError: the extra is not installed, or nothing reads such files.
    """
    try:
        plugins = importlib.import_module("rsciio").IO_PLUGINS
    except ImportError:
        raise InstrumentError(
            f"{owner}: {suffix} files are read by rosettasciio, which is not installed; pip install 'cryoctl[hspy]'"
        ) from None
    for plugin in plugins:
        if suffix.lstrip(".").lower() in (extension.lower() for extension in plugin["file_extensions"]):
            return importlib.import_module(plugin["api"])
    raise InstrumentError(f"{owner}: rosettasciio reads no {suffix} files; change settings.pattern")


def read_rosetta(api: Any, path: Path) -> Cube:
    """
    Raises:
        Incomplete: the reader fails, as it does on a file that is not whole.
        Unfit: it holds no spectrum image, or more than one.
    """
    try:
        signals = api.file_reader(str(path))
    except Exception as problem:  # each plugin has its own
        raise Incomplete(f"its reader says {type(problem).__name__}: {str(problem)[:60]}") from problem
    images = [signal for signal in signals if np.ndim(signal["data"]) == 3 and _energy_axis(signal) is not None]
    if len(images) != 1:
        raise Unfit(f"{len(images)} spectrum images")
    (signal,) = images
    energy = _energy_axis(signal)
    assert energy is not None
    at, axis = energy
    unit = _EV.get(str(axis.get("units", "")).lower(), math.nan)
    metadata = signal.get("metadata", {}).get("Acquisition_instrument", {})
    eds = {}
    for instrument in ("TEM", "SEM"):
        eds = metadata.get(instrument, {}).get("Detector", {}).get("EDS", {}) or eds
    return Cube(
        counts_of(np.moveaxis(np.asarray(signal["data"]), at, 2)),
        energy_offset_ev=float(axis.get("offset", math.nan)) * unit,
        energy_scale_ev=float(axis.get("scale", math.nan)) * unit,
        live_time_s=float(eds.get("live_time", math.nan)),
        real_time_s=float(eds.get("real_time", math.nan)),
    )


def _energy_axis(signal: Any) -> tuple[int, Any] | None:
    for at, axis in enumerate(signal.get("axes", ())):
        if str(axis.get("units", "")).lower() in _EV:
            return at, axis
    return None
