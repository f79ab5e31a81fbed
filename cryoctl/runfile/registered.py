"""Adds up the scan frames of an exposure, each moved back by its whole-pixel shift against the first.

What a shift moves out of the field is kept at its edge: sums over a field stay what was counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.runfile.event_store import ScanEvents

Shifts = Sequence[Sequence[float]]


def whole_shifts(shifts_px: Shifts, n_scans: int) -> list[tuple[int, int]]:
    """Shifts (dy, dx) rounded to pixels; a missing or non-finite one is 0."""
    found: list[tuple[int, int]] = []
    for scan in range(n_scans):
        dy, dx = shifts_px[scan] if scan < len(shifts_px) else (0.0, 0.0)
        finite = np.isfinite(dy) and np.isfinite(dx)
        found.append((round(dy), round(dx)) if finite else (0, 0))
    return found


def registered_sum(scans: npt.NDArray[Any], shifts_px: Shifts) -> npt.NDArray[np.uint32]:
    """Sum [y, x] of scan frames [scan, y, x]; a frame displaced by (dy, dx) is moved by minus that."""
    n_scans, rows, columns = scans.shape
    total = np.zeros((rows, columns), dtype=np.uint32)
    for scan, (dy, dx) in zip(scans, whole_shifts(shifts_px, n_scans), strict=True):
        if dy or dx:
            from_rows = np.clip(np.arange(rows) + dy, 0, rows - 1)
            from_columns = np.clip(np.arange(columns) + dx, 0, columns - 1)
            scan = scan[np.ix_(from_rows, from_columns)]
        total += scan
    return total


def registered_events(events: Sequence[ScanEvents], shifts_px: Shifts, shape: tuple[int, int]) -> ScanEvents:
    """Pixel and channel of all events of an exposure, scan frames registered like `registered_sum`."""
    rows, columns = shape
    pixels: list[npt.NDArray[np.uint32]] = []
    for (pixel, _), (dy, dx) in zip(events, whole_shifts(shifts_px, len(events)), strict=True):
        if dy or dx:
            y = np.clip(pixel.astype(np.int64) // columns - dy, 0, rows - 1)
            x = np.clip(pixel.astype(np.int64) % columns - dx, 0, columns - 1)
            pixel = (y * columns + x).astype(np.uint32)
        pixels.append(pixel)
    channels = [channel for _, channel in events]
    if not pixels:
        return np.zeros(0, np.uint32), np.zeros(0, np.uint16)
    return np.concatenate(pixels), np.concatenate(channels)


def dense_spectra(
    events: ScanEvents, n_pixels: int, n_channels: int, kind: npt.DTypeLike = np.uint16
) -> npt.NDArray[np.unsignedinteger[Any]]:
    """Counts [pixel, channel] of a list of events, as unsigned integers of a kind; pixels and channels beyond the array
    are left out."""
    pixel, channel = events
    kept = (pixel < n_pixels) & (channel < n_channels)
    place = pixel[kept].astype(np.int64) * n_channels + channel[kept]
    spectra = np.zeros(n_pixels * n_channels, dtype=kind)
    where, counts = np.unique(place, return_counts=True)
    spectra[where] = np.minimum(counts, np.iinfo(spectra.dtype).max)
    return spectra.reshape(n_pixels, n_channels)


def channels_in_window(n_channels: int, offset_ev: float, scale_ev: float, line_ev: float, window_ev: float) -> slice:
    """Channels whose start lies within half a window of a line."""
    starts = offset_ev + scale_ev * np.arange(n_channels)
    inside = np.flatnonzero(np.abs(starts - line_ev) <= window_ev / 2 + 1e-6)
    return slice(int(inside[0]), int(inside[-1]) + 1) if inside.size else slice(0, 0)
