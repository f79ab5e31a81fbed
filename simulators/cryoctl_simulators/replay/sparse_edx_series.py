"""Layout "cryoctl sparse EDX tilt series": HDF5 of maps that some other software recorded, one group a tilt.

    tilt_deg [n]               tilts in degrees, in the order of acquisition
    energy_offset_kev, energy_scale_kev    energy of the start of channel c is offset + scale * c
    pixel_size_nm              side of a pixel
    tilt_SNN/                  for each tilt, S its sign and NN its whole degrees: tilt_-40, tilt_+00, tilt_+05
        haadf [y, x]           uint16
        entries_per_pixel [y * x]      number of entries of each pixel, y * columns + x
        channel, counts        the entries, pixel after pixel: a channel and how often it was counted there
        attributes             real_time_s, optional live_time_s; total_counts, which the counts must sum to
    attributes of the file     title; optional voltage_v, else a number before "kV" in `source`

There is no beam current, no dwell time and there are no scan frames: a map counts as one scan frame, its real time as
the duration of the exposure, doses are unknown. The number of channels is the next power of two above the largest
channel. A channel entry with a count of 3 becomes 3 events.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryoctl.errors import FileProblem
from cryoctl.interfaces.edx import EdxEvents
from cryoctl.interfaces.recording import RecordedSeries, Recording
from cryoctl.runfile.h5 import H5Group, open_h5
from cryoctl_simulators.replay.series_playback import RecordedTilt, SeriesPlayback

_NEEDED = ("tilt_deg", "energy_offset_kev", "energy_scale_kev", "pixel_size_nm")
_OF_A_TILT = ("haadf", "entries_per_pixel", "channel", "counts")
_LARGEST_CHANNELS = 1 << 16


class SparseEdxLayout:
    """An entry point of the group `cryoctl.recordings`."""

    title = "cryoctl sparse EDX tilt series"

    def recognises(self, path: Path) -> bool:
        try:
            with open_h5(path) as root:
                return "tilt_deg" in root and ("energy_scale_kev" in root or any(map(_is_tilt, root)))
        except FileProblem:
            return False

    def open(self, path: Path) -> Recording:
        """
        Raises:
            FileProblem: something is missing, or does not fit what else is in the file.
        """
        with open_h5(path) as root:
            try:
                return _read(path, root)
            except (OSError, KeyError, ValueError, TypeError) as error:
                raise FileProblem(
                    f"{path.name}: can't be read as a {self.title} ({str(error)[:80]}); give a whole file"
                ) from error


@dataclass(frozen=True, slots=True)
class _Energies:
    offset_ev: float
    scale_ev: float


def _is_tilt(name: str) -> bool:
    return re.fullmatch(r"tilt_[+-]\d+", name) is not None


def _read(path: Path, root: H5Group) -> SeriesPlayback:
    for name in _NEEDED:
        if name not in root:
            raise FileProblem(f"{path.name}: {name} is missing; a {SparseEdxLayout.title} holds {', '.join(_NEEDED)}")
    angles = np.atleast_1d(np.asarray(root.value("tilt_deg"), dtype=np.float64))
    energies = _Energies(1e3 * float(root.value("energy_offset_kev")), 1e3 * float(root.value("energy_scale_kev")))
    pixel_m = 1e-9 * float(root.value("pixel_size_nm"))
    if angles.ndim != 1 or len(angles) < 2 or not np.isfinite(angles).all() or np.abs(angles).max() > 90:
        raise FileProblem(f"{path.name}: tilt_deg holds no series; at least two angles within +-90 deg are wanted")
    if not (np.isfinite(energies.offset_ev) and energies.scale_ev > 0 and pixel_m > 0):
        raise FileProblem(f"{path.name}: energy_scale_kev and pixel_size_nm must be finite numbers above 0")
    tilts = [_read_tilt(path, root, float(angle)) for angle in angles]
    shapes = {tilt.image.shape for tilt in tilts}
    if len(shapes) > 1:
        raise FileProblem(f"{path.name}: its tilts differ in shape; a series of one shape is needed")
    rows, columns = shapes.pop()
    largest = max((int(tilt.events.channel.max(initial=0)) for tilt in tilts), default=0)
    n_channels = 1 << max(largest, 1).bit_length()
    if n_channels > _LARGEST_CHANNELS:
        raise FileProblem(f"{path.name}: channel {largest} is beyond the {_LARGEST_CHANNELS} that are read")
    title = str(root.attr("title", "") or path.stem)
    series = RecordedSeries(
        title=title,
        specimen=re.sub(r"[^A-Za-z0-9_.+-]", "-", path.stem).lstrip("_.+-")[:40] or "recorded",
        tilts_deg=tuple(float(angle) for angle in angles),
        shape=(int(rows), int(columns)),
        pixel_size_m=pixel_m,
        scans=1,
        voltage_v=_voltage_v(root),
    )
    return SeriesPlayback(
        SparseEdxLayout.title,
        series,
        tuple(tilts),
        n_channels=n_channels,
        energy_offset_ev=energies.offset_ev,
        energy_scale_ev=energies.scale_ev,
    )


def _read_tilt(path: Path, root: H5Group, angle_deg: float) -> RecordedTilt:
    name = f"tilt_{round(angle_deg):+03d}"
    if not root.is_group(name):
        raise FileProblem(f"{path.name}: tilt_deg lists {angle_deg:g} deg but there is no group {name}")
    group = root.group(name)
    for part in _OF_A_TILT:
        if part not in group:
            raise FileProblem(f"{path.name}: {name}/{part} is missing; a tilt holds {', '.join(_OF_A_TILT)}")
    image = np.asarray(group.value("haadf"))
    entries = np.asarray(group.value("entries_per_pixel"), dtype=np.int64)
    channel, counts = np.asarray(group.value("channel")), np.asarray(group.value("counts"))
    if image.ndim != 2 or image.dtype.kind not in "ui" or image.min() < 0 or image.max() > 65535:
        raise FileProblem(f"{path.name}: {name}/haadf must be a picture [y, x] of numbers from 0 to 65535")
    if entries.shape != (image.size,) or entries.min() < 0 or not len(channel) == len(counts) == entries.sum():
        raise FileProblem(
            f"{path.name}: {name} has {len(channel)} channels and {len(counts)} counts, {int(entries.sum())} entries "
            f"of {entries.size} pixels; the file is cut short or damaged"
        )
    total, told = int(counts.sum(dtype=np.int64)), group.attr("total_counts")
    if told is not None and int(told) != total:
        raise FileProblem(
            f"{path.name}: {name} holds {total} counts, its total_counts says {told}; the file is damaged"
        )
    real_s = float(group.attr("real_time_s", float("nan")))
    pixel = np.repeat(np.repeat(np.arange(image.size, dtype=np.uint32), entries), counts)
    events = EdxEvents(
        pixel=pixel,
        channel=np.repeat(channel.astype(np.uint16), counts),
        live_time_s=float(group.attr("live_time_s", float("nan"))),
        real_time_s=real_s,
        input_rate_per_s=float("nan"),
    )
    return RecordedTilt(tilt_deg=angle_deg, image=_as_u2(image), events=events, real_time_s=real_s)


def _as_u2(image: npt.NDArray[np.integer]) -> npt.NDArray[np.uint16]:
    return np.ascontiguousarray(image, dtype=np.uint16)


def _voltage_v(root: H5Group) -> float:
    told = root.attr("voltage_v")
    if told is not None:
        return float(told)
    found = re.search(r"(\d+(?:\.\d+)?)\s*kV", str(root.attr("source", "")))
    return 1e3 * float(found[1]) if found else float("nan")


LAYOUT = SparseEdxLayout()
