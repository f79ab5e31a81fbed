"""/edx: events as recorded, the spectrum image made of them a frame at a time, window counts, times and rates."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.runfile.entry_group import DEFINITION_VERSION
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.h5 import H5Dataset, H5Group
from cryoctl.runfile.journal import Record
from cryoctl.runfile.parts import PartsReader
from cryoctl.runfile.registered import channels_in_window, dense_spectra, registered_events

_CHUNK_BYTES = 8 << 20
_EVENT_CHUNK = 1 << 17


def write_edx(root: H5Group, reader: PartsReader, *, dense: bool) -> None:
    """The EDX of all record frames, frame k is row k of /image; `dense` with the spectrum image."""
    fold = reader.fold
    edx: Mapping[str, Any] = fold.head["edx"]
    records = fold.frame_records("image")
    n_frames = len(records)
    n_channels = int(edx["n_channels"])
    offset_ev, scale_ev = float(edx["energy_offset_ev"]), float(edx["energy_scale_ev"])
    image = root.group("image")
    height, width = image.dataset("data/data").shape[1:]
    shapes = image.value("shape")

    entry = root.group("edx", "NXentry")
    entry.write("definition", "NXem", version=DEFINITION_VERSION)
    entry.write("title", str(fold.head.get("title") or ""))
    for name in ("start_time", "sample", "sampleID"):
        entry.link(name, f"/entry/{name}")
    entry.write("energy_offset_ev", offset_ev, units="eV")
    entry.write("energy_scale_ev", scale_ev, units="eV")
    entry.write("window_ev", float(edx["window_ev"]), units="eV")
    lines: Mapping[str, Any] = edx["lines_ev"]
    entry.set_attrs(elements=", ".join(edx.get("elements") or lines))
    windows = {
        element: channels_in_window(n_channels, offset_ev, scale_ev, float(line_ev), float(edx["window_ev"]))
        for element, line_ev in lines.items()
    }
    for element, line_ev in lines.items():
        inside = windows[element]
        edges_ev = offset_ev + scale_ev * np.array([inside.start, inside.stop])
        entry.group("lines_ev", "NXcollection").write(element, float(line_ev), units="eV")
        entry.group("windows_ev", "NXcollection").write(element, edges_ev, units="eV")
    for name in ("tilt_deg", "time_s", "exposure"):
        entry.link(name, f"/image/{name}")
    _write_scan_values(entry, records)

    events = _EventColumns(entry, records)
    spectra = np.zeros((n_frames, n_channels), dtype=np.uint32)
    most = 0
    for frame, record in enumerate(records):
        scans = reader.read_events(record)
        events.add(frame, scans)
        channel = np.concatenate([channel for _, channel in scans]) if scans else np.zeros(0, np.uint16)
        spectra[frame] = np.bincount(channel[channel < n_channels], minlength=n_channels)
        most = max(most, sum(int(np.bincount(pixel).max(initial=0)) for pixel, _ in scans))
    del events  # closed and so written before the spectrum image
    entry.write("spectra", spectra, axes="frame, energy")
    for element, inside in windows.items():
        counts = spectra[:, inside].sum(axis=1).astype(np.int64)
        entry.group("window_counts", "NXcollection").write(element, counts)
    rows = fold.rows()
    row_of = fold.row_of_exposure()
    _write_hyperspy_metadata(entry, fold.head, records, [rows[row_of[int(one["exposure"])]] for one in records])
    if dense:
        entry.set_attrs(default="data")
        kind = _kind_for(most)
        rows = max(1, min(height, _CHUNK_BYTES // max(1, kind.itemsize * width * n_channels)))
        data = entry.group("data", "NXdata")
        chunks = (1, rows, width, n_channels)
        cube = data.create(
            "data", (n_frames, height, width, n_channels), kind, chunks=chunks, shuffle=False, interpretation="spectrum"
        )
        cube.set_attrs(chunks=np.array(chunks))  # HyperSpy's lazy blocks; others would inflate each chunk many times
        _write_axes(entry, data, cube.shape, number(image.value("pixel_size_m")), offset_ev, scale_ev)
        with ThreadPoolExecutor(2) as pool:
            for frame, record in enumerate(records):
                shape = (int(shapes[frame][0]), int(shapes[frame][1]))
                pixel, channel = registered_events(reader.read_events(record), record["shifts_px"], shape)
                if shape != (height, width):
                    pixel = pixel // np.uint32(shape[1]) * np.uint32(width) + pixel % np.uint32(shape[1])
                _write_dense(pool, cube, frame, pixel, channel)


class _EventColumns:
    """The columns of /edx/events, filled a frame at a time."""

    def __init__(self, entry: H5Group, records: Sequence[Record]) -> None:
        total = sum(sum(record["edx"]["counts"]) for record in records if record.get("edx"))
        group = entry.group("events", "NXcollection")
        kinds = {"tilt_index": "u4", "scan_frame": "u2", "pixel": "u4", "channel": "u2"}
        chunk = (min(max(total, 1), _EVENT_CHUNK),)
        self._columns = {name: group.create(name, (total,), kind, chunks=chunk) for name, kind in kinds.items()}
        group.set_attrs(order="by tilt_index, then scan_frame, then pixel; pixel is y * columns + x")
        self._filled = 0

    def add(self, frame: int, scans: Sequence[tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint16]]]) -> None:
        counts = [len(pixel) for pixel, _ in scans]
        total = sum(counts)
        if not total:
            return
        part = slice(self._filled, self._filled + total)
        self._columns["tilt_index"][part] = np.full(total, frame, dtype=np.uint32)
        self._columns["scan_frame"][part] = np.repeat(np.arange(len(counts), dtype=np.uint16), counts)
        self._columns["pixel"][part] = np.concatenate([pixel for pixel, _ in scans])
        self._columns["channel"][part] = np.concatenate([channel for _, channel in scans])
        self._filled += total


def _kind_for(most: int) -> np.dtype[Any]:
    """Of the spectrum image: the smallest unsigned integer that surely holds what a pixel counted in all channels."""
    return np.dtype("<u1" if most < 1 << 8 else "<u2" if most < 1 << 16 else "<u4")


def _write_dense(
    pool: ThreadPoolExecutor,
    dense: H5Dataset,
    frame: int,
    pixel: npt.NDArray[np.uint32],
    channel: npt.NDArray[np.uint16],
) -> None:
    """One frame, compressed by chunks of rows in two threads: zlib lets go of the interpreter.

    Level 1 and not run lengths, which take half the space and three times as long to read.
    """
    _, height, width, n_channels = dense.shape
    rows = dense.chunks[1] if dense.chunks else height
    order = np.argsort(pixel, kind="stable")
    pixel, channel = pixel[order], channel[order]

    def compressed(first_row: int) -> bytes:
        low, high = np.searchsorted(pixel, [first_row * width, (first_row + rows) * width])
        inside = pixel[low:high] - np.uint32(first_row * width)
        spectra = dense_spectra((inside, channel[low:high]), rows * width, n_channels, dense.dtype)
        return zlib.compress(spectra.data, 1)

    firsts = range(0, height, rows)
    for first_row, data in zip(firsts, pool.map(compressed, firsts), strict=True):
        dense.write_deflated((frame, first_row, 0, 0), data)


def _write_scan_values(entry: H5Group, records: Sequence[Record]) -> None:
    """Per frame and scan frame; NaN (0 counts) where there was none."""
    n_scans = max(int(record["scans"]) for record in records)
    for name, unit in (("live_time_s", "s"), ("real_time_s", "s"), ("input_rate_per_s", "1/s")):
        values = np.full((len(records), n_scans), np.nan)
        for frame, record in enumerate(records):
            if record.get("edx"):
                found = [number(value) for value in record["edx"][name]]
                values[frame, : len(found)] = found
        entry.write(name, values, units=unit)
    counts = np.zeros((len(records), n_scans), dtype=np.int64)
    for frame, record in enumerate(records):
        if record.get("edx"):
            counts[frame, : len(record["edx"]["counts"])] = record["edx"]["counts"]
    entry.write("counts", counts)
    entry.link("shifts_px", "/image/shifts_px")


def _write_axes(
    entry: H5Group, data: H5Group, shape: tuple[int, ...], pixel_size_m: float, offset_ev: float, scale_ev: float
) -> None:
    data.set_attrs(signal="data", axes=["frame", "y", "x", "energy"], interpretation="spectrum", tilt_deg_indices=0)
    data.set_attrs(frame_indices=0, y_indices=1, x_indices=2, energy_indices=3)
    data.write("frame", np.arange(shape[0], dtype=np.int32))
    known = np.isfinite(pixel_size_m)
    for name, size in (("y", shape[1]), ("x", shape[2])):
        data.write(name, np.arange(size) * (pixel_size_m * 1e9 if known else 1.0), units="nm" if known else "px")
    data.write("energy", (offset_ev + scale_ev * np.arange(shape[3])) / 1e3, units="keV", long_name="channel start")
    data.link("tilt_deg", f"{entry.path}/tilt_deg")


def _write_hyperspy_metadata(
    entry: H5Group, head: Mapping[str, Any], records: Sequence[Record], rows: Sequence[Mapping[str, Any]]
) -> None:
    """What makes HyperSpy load an EDSTEMSpectrum (its own layout, see `file_writer` of the root); `rows` of exposures.

    Times and current are means over the tilts, in HyperSpy's units; classes would end up in its metadata.
    """
    metadata = entry.group("auxiliary", "NXcollection").group("hyperspy_metadata", "NXcollection")
    metadata.group("Signal").write("signal_type", "EDS_TEM")
    metadata.group("General").write("title", str(head.get("title") or ""))
    metadata.group("Tomography").write("tilts", np.array([number(row.get("tilt_deg")) for row in rows]))
    tem = metadata.group("Acquisition_instrument/TEM")
    eds = tem.group("Detector/EDS")
    eds.write("energy_resolution_MnKa", 130.0)
    told = {
        (tem, "beam_energy"): number(head.get("voltage_v")) / 1e3,
        (tem, "beam_current"): _mean([number(row.get("beam_current_a")) for row in rows]) * 1e9,
    }
    for name in ("live_time", "real_time"):
        times = [record["edx"][f"{name}_s"] for record in records if record.get("edx")]
        told[eds, name] = _mean([sum(number(value) for value in one) for one in times])
    for (group, name), value in told.items():
        if np.isfinite(value):
            group.write(name, float(value))


def _mean(values: Sequence[float]) -> float:
    """NaN of nothing."""
    return float(np.mean(values)) if values else float("nan")
