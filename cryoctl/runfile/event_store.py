"""EDX events in blocks of an append-only file: about two bytes an event, decoded without loss.

One block a record frame: header `<4sBBHIII` (magic `CEDX`, version 1, coding 1 = zlib, scan frames n, bytes before and
after coding, CRC-32 of the coded bytes), n counts (uint32), then the coded payload: for all events, in scan frame and
pixel order, the step of the pixel index within its scan frame (uint8; 255 announces a uint32 in the last part), the
low and the high bytes of the channel, and the long steps. Events of one pixel keep their order.
"""

from __future__ import annotations

import hashlib
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cryoctl.errors import RunFileError
from cryoctl.interfaces.medium import REAL_DISK, Medium
from cryoctl.runfile.raw_io import open_file, read_at, sync_data, write_at

Pixels = npt.NDArray[np.uint32]
Channels = npt.NDArray[np.uint16]
ScanEvents = tuple[Pixels, Channels]

_HEADER = struct.Struct("<4sBBHIII")
_MAGIC = b"CEDX"
_LONG_STEP = 255


class EventPlace(NamedTuple):
    """Where a block lies in the file, and the SHA-256 of its bytes."""

    offset: int
    bytes: int
    sha256: str


def encode_events(scans: Sequence[ScanEvents]) -> bytes:
    """A block of the events of several scan frames, each as (pixel, channel); sorted by pixel where they are not."""
    steps: list[Pixels] = []
    channels: list[Channels] = []
    for pixel, channel in scans:
        if pixel.shape != channel.shape or pixel.ndim != 1:
            raise ValueError(f"EDX events: {pixel.shape} pixels do not go with {channel.shape} channels")
        pixel = np.asarray(pixel, dtype=np.int64)
        step = np.diff(pixel, prepend=0)
        if step.size and step.min() < 0:
            order = np.argsort(pixel, kind="stable")
            step, channel = np.diff(pixel[order], prepend=0), channel[order]
        steps.append(step.astype(np.uint32))
        channels.append(np.asarray(channel, dtype=np.uint16))
    step = np.concatenate(steps) if steps else np.zeros(0, np.uint32)
    channel = np.concatenate(channels) if channels else np.zeros(0, np.uint16)
    long = step >= _LONG_STEP
    payload = b"".join(
        (
            np.minimum(step, _LONG_STEP).astype(np.uint8).tobytes(),
            (channel & 0xFF).astype(np.uint8).tobytes(),
            (channel >> 8).astype(np.uint8).tobytes(),
            step[long].astype("<u4").tobytes(),
        )
    )
    coded = zlib.compress(payload, 1)
    header = _HEADER.pack(_MAGIC, 1, 1, len(scans), len(payload), len(coded), zlib.crc32(coded))
    return header + np.array([len(pixel) for pixel, _ in scans], dtype="<u4").tobytes() + coded


def decode_events(block: bytes) -> list[ScanEvents]:
    """The events of each scan frame of a block: (pixel uint32, channel uint16). Raises `RunFileError` if damaged."""
    try:
        magic, version, coding, n_scans, raw_bytes, coded_bytes, crc = _HEADER.unpack_from(block)
        counts = np.frombuffer(block, "<u4", n_scans, _HEADER.size).astype(np.int64)
        coded = block[_HEADER.size + 4 * n_scans :]
        whole = magic == _MAGIC and version == 1 and coding == 1 and len(coded) == coded_bytes
        if not whole or zlib.crc32(coded) != crc:
            raise ValueError("checksum")
        payload = zlib.decompress(coded)
        total = int(counts.sum())
        step = np.frombuffer(payload, np.uint8, total).astype(np.int64)
        channel = np.frombuffer(payload, np.uint8, total, total).astype(np.uint16)
        channel |= np.frombuffer(payload, np.uint8, total, 2 * total).astype(np.uint16) << np.uint16(8)
        step[step == _LONG_STEP] = np.frombuffer(payload, "<u4", -1, 3 * total)
        if len(payload) != raw_bytes:
            raise ValueError("length")
    except (ValueError, struct.error, zlib.error) as error:
        raise RunFileError("EDX events: a block is damaged or torn: the counts of its frame are lost") from error
    scans: list[ScanEvents] = []
    end = 0
    for count in counts:
        start, end = end, end + int(count)
        scans.append((np.cumsum(step[start:end]).astype(np.uint32), channel[start:end]))
    return scans


class EventStore:
    """The file of all blocks of a run; `end` (from the journal) is where a resumed run goes on writing."""

    def __init__(
        self,
        path: Path,
        durability: str = "process",
        *,
        end: int | None = None,
        write: bool = True,
        medium: Medium = REAL_DISK,
    ) -> None:
        self.path = path
        self._medium = medium
        self._durability = durability
        if write and not path.exists():
            self._fd = open_file(path, write=True, create=True)
        else:
            self._fd = open_file(path, write=write)
        size = os.fstat(self._fd).st_size
        if end is not None and end > size:
            os.close(self._fd)
            raise RunFileError(f"{path.name} holds {size} bytes, the journal knows {end}: EDX events are lost")
        self._end = size if end is None else end

    def append(self, scans: Sequence[ScanEvents]) -> EventPlace:
        """Keep the events of one record frame, (pixel, channel) a scan frame; as durable as the store promises.

        Raises:
            OSError: disk full; nothing was kept.
        """
        block = encode_events(scans)
        offset = self._end
        self._medium.admit(len(block))
        write_at(self._fd, block, offset)
        if self._durability == "power":
            sync_data(self._fd)
        self._end = offset + len(block)
        return EventPlace(offset=offset, bytes=len(block), sha256=hashlib.sha256(block).hexdigest())

    def sync(self) -> None:
        """Everything appended so far survives what the durability promises."""
        if self._durability == "power":
            sync_data(self._fd)

    def read(self, offset: int, length: int, sha256: str = "") -> list[ScanEvents]:
        """(pixel, channel) of each scan frame of the block. Raises `RunFileError` if it is missing or damaged."""
        block = read_at(self._fd, length, offset)
        if sha256 and hashlib.sha256(block).hexdigest() != sha256:
            raise RunFileError("EDX events: a block does not match its checksum in the journal")
        return decode_events(block)

    def close(self) -> None:
        """May be called twice."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
