"""/image (NXtomo), /search, /focus, /track: the pictures of a stream, registered sums and raw scan frames.

`data/data` [frame, y, x] is the sum of an exposure's scan frames, `scans` [frame, scan, y, x] what the detector gave.
Where the pictures of a stream differ in shape they fill the first `shape` [frame, (y, x)] pixels, the rest is 0; so
do exposures with fewer than the most scan frames (`scan_count`).

`data` is an NXdata group, but beside record frames that of the other streams is an NXcollection: HyperSpy loads each
NXdata group as a signal, and nobody who opens a tilt series wants its focus pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.h5 import H5Group
from cryoctl.runfile.journal import Record
from cryoctl.runfile.parts import PartsReader
from cryoctl.runfile.registered import registered_sum


def write_pictures(root: H5Group, stream: str, reader: PartsReader) -> None:
    """One stream with at least one picture."""
    fold = reader.fold
    records = fold.frame_records(stream)
    rows, row_of = fold.rows(), fold.row_of_exposure()
    of_frame = [rows[row_of[int(record["exposure"])]] for record in records]
    shapes = [tuple(int(size) for size in row.get("shape") or (0, 0)) for row in of_frame]
    if stream == "image" or any(0 in shape for shape in shapes):
        shapes = [_shape_of(reader, record) for record in records]
    height, width = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    n_frames, n_scans = len(records), max(int(record["scans"]) for record in records)

    entry = root.group(stream, "NXentry")
    shown = stream == "image" or "image" not in fold.frames
    data = entry.group("data", "NXdata" if shown else "NXcollection")
    _write_vectors(entry, records, of_frame, n_scans)
    entry.write("shape", np.array(shapes, dtype=np.int32).reshape(n_frames, 2))
    sums = data.create(
        "data",
        (n_frames, height, width),
        "u4",
        chunks=(1, height, width),
        interpretation="image",
        long_name="sum of registered scan frames",
    )
    raw = entry.create("scans", (n_frames, n_scans, height, width), "u2", chunks=(1, 1, height, width))
    pixel_sizes = {number(row.get("pixel_size_m")) for row in of_frame}
    pixel_size_m = pixel_sizes.pop() if len(pixel_sizes) == 1 else float("nan")
    entry.write("pixel_size_m", pixel_size_m, units="m")
    _write_axes(entry, data, (n_frames, height, width), pixel_size_m)
    if stream == "image":
        _write_tomo(entry, reader.fold.head, n_frames, pixel_size_m)
    for frame, record in enumerate(records):
        scans = reader.read_frame(record)
        part = (slice(scans.shape[1]), slice(scans.shape[2]))
        sums[(frame, *part)] = registered_sum(scans, record["shifts_px"])
        raw[(frame, slice(len(scans)), *part)] = scans


def _shape_of(reader: PartsReader, record: Record) -> tuple[int, int]:
    shape = reader.frame_shape(record)
    return (shape[1], shape[2])


def _write_vectors(entry: H5Group, records: Sequence[Record], rows: Sequence[Mapping[str, Any]], n_scans: int) -> None:
    """What belongs to a frame, directly in the entry."""
    entry.write("time_s", np.array([number(row.get("time_s")) for row in rows]), units="s")
    entry.write("tilt_deg", np.array([number(row.get("tilt_deg")) for row in rows]), units="deg")
    entry.write("dose_e_per_a2", np.array([number(row.get("dose_e_per_a2")) for row in rows]), units="1/angstrom^2")
    entry.write("exposure", np.array([record["exposure"] for record in records], dtype=np.int32))
    entry.write("target", [str(row.get("target") or "") for row in rows])
    entry.write("sha256", [str(record["sha256"]) for record in records])
    entry.write("scan_count", np.array([record["scans"] for record in records], dtype=np.int32))
    shifts = np.full((len(records), n_scans, 2), np.nan)
    for frame, record in enumerate(records):
        for scan, (dy, dx) in enumerate(record["shifts_px"][:n_scans]):
            shifts[frame, scan] = number(dy), number(dx)
    entry.write("shifts_px", shifts, units="px", order="dy, dx of a scan frame against the first")


def _write_axes(entry: H5Group, data: H5Group, shape: tuple[int, int, int], pixel_size_m: float) -> None:
    data.set_attrs(signal="data", axes=["frame", "y", "x"], interpretation="image", tilt_deg_indices=0)
    data.set_attrs(frame_indices=0, y_indices=1, x_indices=2)
    data.write("frame", np.arange(shape[0], dtype=np.int32))
    step_nm = pixel_size_m * 1e9 if np.isfinite(pixel_size_m) else 1.0
    for name, size in (("y", shape[1]), ("x", shape[2])):
        data.write(name, np.arange(size) * step_nm, units="nm" if np.isfinite(pixel_size_m) else "px")
    for name in ("tilt_deg", "time_s", "exposure"):
        data.link(name, f"{entry.path}/{name}")
    entry.set_attrs(default="data")


def _write_tomo(entry: H5Group, head: Mapping[str, Any], n_frames: int, pixel_size_m: float) -> None:
    entry.write("definition", "NXtomo")
    entry.write("title", str(head.get("title") or head.get("run") or "run"))
    entry.write("tilt_axis_deg", number((head.get("image") or {}).get("tilt_axis_deg", 0.0)), units="deg")
    key = np.zeros(n_frames, dtype=np.int32)
    instrument = entry.group("instrument", "NXinstrument")
    detector = instrument.group("detector", "NXdetector")
    detector.link("data", f"{entry.path}/data/data")
    detector.write("image_key", key)
    detector.write("x_pixel_size", pixel_size_m, units="m")
    detector.write("y_pixel_size", pixel_size_m, units="m")
    sample = entry.group("sample", "NXsample")
    sample.write("name", str(head.get("specimen") or "unnamed"))
    sample.link("rotation_angle", f"{entry.path}/tilt_deg")
    data = entry.group("data")
    data.link("rotation_angle", f"{entry.path}/tilt_deg")
    data.link("image_key", f"{entry.path}/instrument/detector/image_key")
    data.set_attrs(rotation_angle_indices=0, image_key_indices=0)
    for place in ("instrument/detector/data", "instrument/detector/image_key", "sample/rotation_angle"):
        entry.dataset(place).set_attrs(target=f"{entry.path}/{place}")  # tells nexusformat which of the names is a link
