"""Lispix: a table of words in a `.rpl` says how the numbers lie in the `.raw` beside it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cryoctl_drivers.spectrum_folder.cube import Cube, Incomplete, Unfit, counts_of

_KINDS = {"unsigned": "u", "signed": "i", "float": "f"}
_ORDERS = {"little-endian": "<", "big-endian": ">", "dont-care": "="}
_MOST_BYTES = 2**36


def read_ripple(path: Path) -> Cube:
    """
    Raises:
        Incomplete: a word is missing, or bytes in the `.raw`.
        Unfit: not a spectrum image.
        OSError: a file can't be read.
    """
    words = _words(path.read_text(encoding="latin-1"))
    width, height, depth = (_whole(words, key) for key in ("width", "height", "depth"))
    offset, length = _whole(words, "offset", 0), _whole(words, "data-length")
    kind, order = _KINDS.get(_word(words, "data-type")), _ORDERS.get(words.get("byte-order", "dont-care"))
    by = _word(words, "record-by")
    if kind is None or order is None or length not in (1, 2, 4, 8) or (kind == "f" and length < 4):
        raise Unfit("a data type that Lispix does not have")
    if by not in ("vector", "image"):
        raise Unfit(f"record-by {by[:20]}, not vector or image")
    wanted = offset + width * height * depth * length
    if min(width, height, depth) < 1 or wanted > _MOST_BYTES:
        raise Unfit(f"{height} x {width} pixels with {depth} channels")
    raw = _raw_beside(path)
    if raw.stat().st_size != wanted:
        raise Incomplete(f"{raw.name} has {raw.stat().st_size} bytes of {wanted}")
    numbers = np.fromfile(raw, np.dtype(f"{order}{kind}{length}"), width * height * depth, offset=offset)
    if by == "vector":
        data = numbers.reshape(height, width, depth)
    else:
        data = np.moveaxis(numbers.reshape(depth, height, width), 0, 2)
    unit = _ev_per(words.get("depth-units", ""))
    scale_ev = _number(words, "depth-scale") * unit
    return Cube(
        counts_of(data),
        energy_offset_ev=_number(words, "depth-origin") * unit,
        # rosettasciio rounds the scale to a whole number of its own unit for this word: 0 where that is keV.
        energy_scale_ev=_number(words, "ev-per-chan") if math.isnan(scale_ev) else scale_ev,
        live_time_s=_number(words, "live-time"),
    )


def _words(text: str) -> dict[str, str]:
    words: dict[str, str] = {}
    for line in text.splitlines():
        parts = line.partition(";")[0].split(None, 1)
        if len(parts) == 2:
            words[parts[0].lower()] = parts[1].strip()
    return {key: value.lower() if key != "title" else value for key, value in words.items()}


def _word(words: Mapping[str, str], key: str) -> str:
    if key not in words:
        raise Incomplete(f"no {key} in it yet")
    return words[key]


def _whole(words: Mapping[str, str], key: str, default: int | None = None) -> int:
    if key not in words and default is not None:
        return default
    try:
        return int(_word(words, key))
    except ValueError:
        raise Unfit(f"{words[key][:20]!r} for {key}") from None


def _number(words: Mapping[str, str], key: str) -> float:
    """NaN where it is not told; HyperSpy's words go beyond those of Lispix."""
    try:
        return float(words.get(key, "nan"))
    except ValueError:
        return math.nan


def _ev_per(unit: str) -> float:
    return {"ev": 1.0, "kev": 1e3}.get(unit, math.nan)


def _raw_beside(path: Path) -> Path:
    for suffix in (".raw", ".RAW"):
        raw = path.with_suffix(suffix)
        if raw.exists():
            return raw
    raise Incomplete(f"no {path.stem}.raw beside it")
