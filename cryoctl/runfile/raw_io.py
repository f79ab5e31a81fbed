"""Positioned writes and reads, sync and reservation of files, with portable ways where the POSIX calls are missing.

The calls are looked up each time, so that a test can take them away.
"""

from __future__ import annotations

import os
import threading
from pathlib import Path

_POSITION = threading.Lock()
"""Held between seek and read or write where there is no pread and pwrite: the position belongs to the whole process."""

_BINARY = getattr(os, "O_BINARY", 0)


def open_file(path: Path, *, write: bool = False, create: bool = False, append: bool = False) -> int:
    """A raw file descriptor, binary on every platform."""
    flags = _BINARY | (os.O_RDWR if write else os.O_RDONLY)
    flags |= (os.O_CREAT | os.O_EXCL) if create else 0
    flags |= os.O_APPEND if append else 0
    return os.open(path, flags, 0o644)


def write_all(fd: int, data: bytes | memoryview) -> None:
    """Write everything at the descriptor's own position; raises `OSError` (disk full) when that is impossible."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_at(fd: int, data: bytes | memoryview, offset: int) -> None:
    """Write everything at `offset`; raises `OSError` (disk full) when that is impossible."""
    pwrite = getattr(os, "pwrite", None)
    view = memoryview(data)
    if pwrite is None:
        with _POSITION:
            os.lseek(fd, offset, os.SEEK_SET)
            write_all(fd, view)
        return
    while view:
        written = pwrite(fd, view, offset)
        view, offset = view[written:], offset + written


def read_at(fd: int, length: int, offset: int) -> bytes:
    """`length` bytes at `offset`, fewer where the file ends before."""
    pread = getattr(os, "pread", None)
    parts: list[bytes] = []
    with _POSITION:
        while length > 0:
            if pread is None:
                os.lseek(fd, offset, os.SEEK_SET)
                part = os.read(fd, length)
            else:
                part = pread(fd, length, offset)
            if not part:
                break
            parts.append(part)
            length, offset = length - len(part), offset + len(part)
    return b"".join(parts)


def sync_data(fd: int) -> None:
    """Down to the medium."""
    getattr(os, "fdatasync", os.fsync)(fd)


def sync_folder(folder: Path) -> None:
    """Make names in a folder survive a power cut; Windows does so by itself."""
    if os.name != "posix":
        return
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def reserve(fd: int, size: int) -> None:
    """Take the disk space of a file of `size` bytes now where the system can; raises `OSError` if the disk is full."""
    allocate = getattr(os, "posix_fallocate", None)
    if allocate is not None:
        allocate(fd, 0, size)
