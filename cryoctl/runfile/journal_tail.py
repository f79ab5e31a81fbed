"""Follows a journal that is being written, from its first record on, without a lock."""

from __future__ import annotations

from pathlib import Path

from cryoctl.errors import RunFileError
from cryoctl.runfile.journal import Record, parse_journal

MOST_BYTES = 8 << 20
"""Read at a time, so that whoever looks on a long run sees its beginning soon."""


class JournalTail:
    """`more` gives what was written since it was last asked; a line is taken once it is whole.

    A resumed run goes on in the same file; its torn last line, which the resume cuts off, was never taken.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._n = 0
        self._prev = ""

    @property
    def n_records(self) -> int:
        return self._n

    def more(self) -> list[Record]:
        """The next records in their order; empty where there are none yet, or no journal.

        Raises:
            RunFileError: what follows does not fit the chain; asked again, it is raised again.
        """
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                data = file.read(MOST_BYTES)
        except FileNotFoundError:
            return []
        except OSError as error:
            raise RunFileError(f"journal {self._path} can't be read ({error.strerror}); look at its disk") from error
        if not data:
            return []
        text = parse_journal(data, self._n, self._prev)
        if text.records:
            self._offset += text.whole_bytes
            self._n += len(text.records)
            self._prev = text.head_sha
        return text.records
