"""Memory-mapped store of a world's truth: a header, named arrays, and one record of plain numbers.

Layout of the file: 16 bytes magic, 8 bytes header length, JSON header (what the world is made of, where each array
lies), two slots of the record (sequence number, length, CRC-32, JSON), then the arrays, each on a page of its own.
Stores go into the page cache and so survive the death of the process, not of the computer. The record is written
to the older slot: of two slots one is always whole. Untouched array pages are holes and take no disk.
"""

from __future__ import annotations

import json
import math
import mmap
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.errors import FileProblem

MAGIC = b"CRYOCTL-WORLD-3\n"
_PAGE = 4096
_SLOT_BYTES = 256 * 1024
_SLOT_HEAD = struct.Struct("<QQI")
ArraySpec = tuple[tuple[int, ...], str]


class WorldFile:
    """Arrays and the record of one world; in memory where there is no path.

    Attributes:
        header: what the world was created with, never changed.
        arrays: name to array; writing into one is writing to the file.
        record: plain JSON values; `commit` stores it.
    """

    def __init__(
        self,
        header: Mapping[str, Any],
        arrays: dict[str, npt.NDArray[Any]],
        record: dict[str, Any],
        slots: npt.NDArray[np.uint8] | None = None,
        sequence: int = 0,
    ) -> None:
        self.header = dict(header)
        self.arrays = arrays
        self.record = record
        self._slots = slots
        self._sequence = sequence

    @classmethod
    def in_memory(cls, header: Mapping[str, Any], specs: Mapping[str, ArraySpec]) -> WorldFile:
        return cls(header, {name: _zeros(shape, np.dtype(dtype)) for name, (shape, dtype) in specs.items()}, {})

    @classmethod
    def create(cls, path: Path, header: Mapping[str, Any], specs: Mapping[str, ArraySpec]) -> WorldFile:
        """Make the file beside its place and rename it there, so that one with this name is always whole.

        Raises:
            FileProblem: the folder is missing or cannot be written.
        """
        places: dict[str, dict[str, Any]] = {}
        offset = 0
        for name, (shape, dtype) in specs.items():
            places[name] = {"offset": offset, "shape": list(shape), "dtype": dtype}
            size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
            offset += -(-size // _PAGE) * _PAGE
        text = json.dumps({"header": dict(header), "arrays": places}, sort_keys=True).encode()
        start = _slots_at(len(text)) + 2 * _SLOT_BYTES
        beside = path.with_name(path.name + ".making")
        try:
            with beside.open("wb") as file:
                file.write(MAGIC + struct.pack("<Q", len(text)) + text)
                file.truncate(start + max(offset, _PAGE))
            os.replace(beside, path)
        except OSError as error:
            raise FileProblem(
                f"world file {path}: cannot be written ({error.strerror}); choose another place"
            ) from error
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> WorldFile:
        """Go on in the world of an earlier run.

        Raises:
            FileProblem: the file is absent, truncated, or something else.
        """
        try:
            with path.open("rb") as file:
                head = file.read(len(MAGIC) + 8)
                if len(head) < len(MAGIC) + 8 or not head.startswith(MAGIC):
                    raise FileProblem(f"world file {path}: this is no world file of format 3; give another --world")
                (length,) = struct.unpack("<Q", head[len(MAGIC) :])
                if length > path.stat().st_size:
                    raise FileProblem(f"world file {path}: cut off within its head; give another --world")
                described = json.loads(file.read(length))
                places: dict[str, Any] = described["arrays"]
                header: dict[str, Any] = described["header"]
            bytes_ = np.memmap(path, dtype=np.uint8, mode="r+")
        except OSError as error:
            raise FileProblem(f"world file {path}: cannot be read ({error.strerror}); give another --world") from error
        except (ValueError, KeyError, TypeError) as error:
            raise FileProblem(f"world file {path}: its head is damaged; give another --world") from error
        first = _slots_at(length)
        start = first + 2 * _SLOT_BYTES
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name, place in places.items():
            dtype = np.dtype(place["dtype"])
            size = int(np.prod(place["shape"], dtype=np.int64)) * dtype.itemsize
            begin = start + place["offset"]
            if begin + size > bytes_.size:
                raise FileProblem(f"world file {path}: cut off after {bytes_.size} bytes; give another --world")
            arrays[name] = np.asarray(bytes_[begin : begin + size]).view(dtype).reshape(place["shape"])
        if start > bytes_.size:
            raise FileProblem(f"world file {path}: cut off after {bytes_.size} bytes; give another --world")
        slots = np.asarray(bytes_[first:start])
        sequence, record = _newest(slots)
        return cls(header, arrays, record, slots, sequence)

    def refresh(self) -> None:
        """Take over what another process has stored since, into the same record."""
        if self._slots is None:
            return
        sequence, record = _newest(self._slots)
        if sequence > self._sequence:
            self._sequence = sequence
            _take_over(self.record, record)

    def commit(self) -> None:
        """Store the record; a kill in the midst of it leaves the previous one."""
        if self._slots is None:
            return
        payload = json.dumps(self.record, separators=(",", ":")).encode()
        if len(payload) + _SLOT_HEAD.size > _SLOT_BYTES:
            raise FileProblem(f"world file: its record grew to {len(payload)} bytes, allowed are {_SLOT_BYTES}")
        self._sequence += 1
        begin = (self._sequence % 2) * _SLOT_BYTES
        body = begin + _SLOT_HEAD.size
        self._slots[body : body + len(payload)] = np.frombuffer(payload, dtype=np.uint8)
        head = _SLOT_HEAD.pack(self._sequence, len(payload), zlib.crc32(payload))
        self._slots[begin:body] = np.frombuffer(head, dtype=np.uint8)


def _zeros(shape: tuple[int, ...], dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    """Zeros on pages of their own, so that only those that are written to take memory, as in a file."""
    size = math.prod(shape)
    if not size:
        return np.zeros(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, size * dtype.itemsize), dtype, size).reshape(shape)


def _slots_at(header_bytes: int) -> int:
    return -(-(len(MAGIC) + 8 + header_bytes) // _PAGE) * _PAGE


def _take_over(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Parts of a record are held by those whose state they are: they stay the same objects."""
    for name in old.keys() - new.keys():
        del old[name]
    for name, value in new.items():
        there = old.get(name)
        if isinstance(there, dict) and isinstance(value, dict):
            _take_over(cast("dict[str, Any]", there), cast("dict[str, Any]", value))
        else:
            old[name] = value


def _newest(slots: npt.NDArray[np.uint8]) -> tuple[int, dict[str, Any]]:
    found: tuple[int, dict[str, Any]] = (0, {})
    for begin in (0, _SLOT_BYTES):
        body = begin + _SLOT_HEAD.size
        sequence, length, crc = _SLOT_HEAD.unpack(slots[begin:body].tobytes())
        payload = slots[body : body + min(length, _SLOT_BYTES)].tobytes()
        if sequence > found[0] and zlib.crc32(payload) == crc:
            found = (sequence, json.loads(payload))
    return found
