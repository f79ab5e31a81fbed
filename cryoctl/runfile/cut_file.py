"""An HDF5 file that was cut at its end, read as if it were whole: zeros stand where bytes are missing."""

from __future__ import annotations

import io
import struct
from pathlib import Path

SIGNATURE = b"\x89HDF\r\n\x1a\n"
_SUPERBLOCK_BYTES = 96


def declared_size(path: Path) -> int | None:
    """Bytes that an HDF5 file has by its own superblock; None where it is none."""
    with path.open("rb") as file:
        head = file.read(_SUPERBLOCK_BYTES)
    if len(head) < _SUPERBLOCK_BYTES or not head.startswith(SIGNATURE):
        return None
    place = {0: 40, 1: 44, 2: 28, 3: 28}.get(head[8])
    return None if place is None else int(struct.unpack_from("<Q", head, place)[0])


class CutFile(io.RawIOBase):
    """Read-only and seekable, as long as the superblock says."""

    def __init__(self, path: Path) -> None:
        self.missing_bytes = max(0, (declared_size(path) or 0) - path.stat().st_size)
        self.kept_bytes = path.stat().st_size
        self._file = path.open("rb", buffering=0)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.kept_bytes + self.missing_bytes}[whence]
        self._at = max(0, start + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        wanted = max(0, min(len(buffer), self.kept_bytes + self.missing_bytes - self._at))
        self._file.seek(self._at)
        data = self._file.read(wanted) or b""
        buffer[:wanted] = data + bytes(wanted - len(data))
        self._at += wanted
        return wanted

    def close(self) -> None:
        self._file.close()
        super().close()
