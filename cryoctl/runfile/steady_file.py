"""The file that HDF5 writes to. HDF5 does not survive a write that fails, on a full disk above all: closing then fails
object by object, with a report of each on stderr, and may end the process. So the first failure is kept and told when
the file is closed; what HDF5 writes after it goes nowhere.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

from cryoctl.runfile.raw_io import write_all


class SteadyFile(io.RawIOBase):
    """Opened with one of the modes ``xb+``, ``wb+``, ``rb+``; `error` is what failed first."""

    def __init__(self, path: Path, mode: str) -> None:
        self._file = path.open(mode, buffering=0)
        self._end = os.fstat(self._file.fileno()).st_size
        self._at = 0
        self.error: OSError | None = None

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._end}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        self._file.seek(self._at)
        data = self._file.read(len(buffer)) or b""
        buffer[: len(data)] = data
        buffer[len(data) :] = bytes(len(buffer) - len(data))
        self._at += len(buffer)
        return len(buffer)

    def write(self, data: memoryview, /) -> int:  # type: ignore[override]
        if self.error is None:
            try:
                self._file.seek(self._at)
                write_all(self._file.fileno(), data)
            except OSError as error:
                self.error = error
        self._at += len(data)
        self._end = max(self._end, self._at)
        return len(data)

    def truncate(self, size: int | None = None, /) -> int:
        size = self._at if size is None else size
        if self.error is None:
            try:
                os.ftruncate(self._file.fileno(), size)
            except OSError as error:
                self.error = error
        self._end = size
        return size

    def close(self) -> None:
        self._file.close()
        super().close()
