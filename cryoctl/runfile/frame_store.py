"""Frames in preallocated segments: HDF5 files that are valid from their first second, written past the library.

A segment `STREAM_K.h5` holds one contiguous dataset `frames` [slots, scans, y, x] of uint16. It is created and closed
by HDF5 once; frames are then written at the dataset's offset. Which slots hold what is the journal's business.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from cryoctl.errors import RunFileError
from cryoctl.interfaces.medium import REAL_DISK, Medium
from cryoctl.runfile.h5 import create_segment, segment_layout
from cryoctl.runfile.raw_io import open_file, read_at, reserve, sync_data, sync_folder, write_at

Frames = npt.NDArray[np.uint16]

_SEGMENT_NAME = re.compile(r"([a-z][a-z0-9_]*)_(\d+)\.h5")


class FramePlace(NamedTuple):
    """Where a frame lies, and the SHA-256 of its raw bytes."""

    segment: str
    slot: int
    sha256: str


class _Segment:
    def __init__(self, path: Path, *, write: bool) -> None:
        try:
            self.shape, self.offset = segment_layout(path)
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise RunFileError(f"segment {path.name} can't be read: its frames are lost") from error
        self.fd = open_file(path, write=write)
        self.next_slot = 0

    @property
    def slot_bytes(self) -> int:
        return 2 * self.shape[1] * self.shape[2] * self.shape[3]

    def place(self, slot: int) -> int:
        return self.offset + slot * self.slot_bytes


class SegmentPlace(NamedTuple):
    """Where a segment has its frames: slots, offset of the first and bytes of each; `kept_bytes` is the file's size."""

    slots: int
    offset: int
    slot_bytes: int
    kept_bytes: int

    @property
    def end(self) -> int:
        return self.offset + self.slots * self.slot_bytes


def segment_place(path: Path) -> SegmentPlace:
    """Raises `RunFileError` where that can't be told any more."""
    segment = _Segment(path, write=False)
    os.close(segment.fd)
    return SegmentPlace(segment.shape[0], segment.offset, segment.slot_bytes, path.stat().st_size)


class FrameReader:
    """Reads frames from the segments in `folder`, also while they are written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._open: dict[str, _Segment] = {}

    def read(self, segment: str, slot: int, sha256: str = "") -> Frames:
        """One frame [scans, y, x].

        Args:
            sha256: checked where it is given.

        Raises:
            RunFileError: the segment or the slot is missing, or the bytes are not those that were written.
        """
        opened = self._segment(segment)
        data = read_at(opened.fd, opened.slot_bytes, opened.place(slot)) if 0 <= slot < opened.shape[0] else b""
        if len(data) < opened.slot_bytes:
            raise RunFileError(f"segment {segment} ends before slot {slot}: that frame is lost")
        if sha256 and hashlib.sha256(data).hexdigest() != sha256:
            raise RunFileError(f"segment {segment}, slot {slot}: the frame does not match its checksum in the journal")
        return np.frombuffer(data, dtype="<u2").astype(np.uint16, copy=False).reshape(opened.shape[1:])

    def shape(self, segment: str) -> tuple[int, int, int]:
        """Scans, rows and columns of a frame of a segment."""
        _, scans, rows, columns = self._segment(segment).shape
        return (scans, rows, columns)

    def close(self) -> None:
        """May be called twice."""
        for segment in self._open.values():
            os.close(segment.fd)
        self._open.clear()

    def _segment(self, name: str) -> _Segment:
        if name not in self._open:
            if _SEGMENT_NAME.fullmatch(name) is None or not (self.folder / name).exists():
                raise RunFileError(f"segment {name} is missing in {self.folder}: its frames are lost")
            self._open[name] = _Segment(self.folder / name, write=False)
        return self._open[name]


class FrameStore(FrameReader):
    """Appends frames; one open segment a (stream, scans, y, x), a new one when it is full.

    Args:
        folder: made if it is missing.
        durability: `process` or `power` (an append is on the medium when it returns).
        slots: frames a segment, fewer where it would pass `max_segment_bytes`.
    """

    def __init__(
        self,
        folder: Path,
        durability: str = "process",
        *,
        slots: int = 64,
        max_segment_bytes: int = 256 << 20,
        medium: Medium = REAL_DISK,
    ) -> None:
        super().__init__(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self._durability = durability
        self._slots = slots
        self._max_segment_bytes = max_segment_bytes
        self._medium = medium
        self._growing: dict[tuple[str, tuple[int, ...]], str] = {}
        self._numbers: dict[str, int] = {}
        for path in folder.glob("*.h5"):
            if match := _SEGMENT_NAME.fullmatch(path.name):
                stream, number = match[1], int(match[2])
                self._numbers[stream] = max(self._numbers.get(stream, 0), number + 1)

    def continue_after(self, frame_records: Iterable[Mapping[str, Any]]) -> None:
        """Go on behind the frames that a journal knows; what was written but not journaled is written over."""
        for record in frame_records:
            segment = self._segment(record["segment"])
            segment.next_slot = max(segment.next_slot, record["slot"] + 1)
            self._growing[record["stream"], segment.shape[1:]] = record["segment"]

    def append(self, stream: str, frames: Frames) -> FramePlace:
        """Keep one frame [scans, y, x]; it is as durable as the store promises when this returns.

        Raises:
            OSError: disk full; no slot was taken.
        """
        if frames.ndim != 3 or frames.dtype != np.uint16:
            raise ValueError(f"frame store: frames are uint16 [scans, y, x], not {frames.dtype} {frames.shape}")
        name = self._growing.get((stream, frames.shape))
        if name is None or self._segment(name).next_slot >= self._segment(name).shape[0]:
            name = self._grow(stream, frames.shape)
        segment = self._segment(name)
        data = np.ascontiguousarray(frames, dtype="<u2").tobytes()
        slot = segment.next_slot
        self._medium.admit(len(data))
        write_at(segment.fd, data, segment.place(slot))
        if self._durability == "power":
            sync_data(segment.fd)
        segment.next_slot = slot + 1
        return FramePlace(segment=name, slot=slot, sha256=hashlib.sha256(data).hexdigest())

    def sync(self) -> None:
        """Everything appended so far survives what the durability promises."""
        if self._durability == "power":
            for segment in self._open.values():
                sync_data(segment.fd)

    def _segment(self, name: str) -> _Segment:
        if name not in self._open and (self.folder / name).exists():
            self._open[name] = _Segment(self.folder / name, write=True)
        return super()._segment(name)

    def _grow(self, stream: str, shape: tuple[int, ...]) -> str:
        number = self._numbers.get(stream, 0)
        name = f"{stream}_{number}.h5"
        if _SEGMENT_NAME.fullmatch(name) is None:
            raise ValueError(f"frame store: {stream!r} is no name of a stream")
        scans, rows, columns = shape
        slots = max(1, min(self._slots, self._max_segment_bytes // max(1, 2 * scans * rows * columns)))
        path = self.folder / name
        try:
            create_segment(path, (slots, scans, rows, columns))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        self._numbers[stream] = number + 1
        segment = self._segment(name)
        if self._durability == "power":
            reserve(segment.fd, segment.place(slots))
            sync_data(segment.fd)
            sync_folder(self.folder)
        self._growing[stream, shape] = name
        return name
