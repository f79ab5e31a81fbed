"""The journal: one canonical JSON object a line, each carrying the hash of the one before. The one truth of a run.

Every record has `n` (0, 1, 2, ...), `t` (run time in s), `k` (its kind), `prev` (`sha` of the record before, empty for
the first) and `sha` (SHA-256 of the record without `sha`). A last line without its line feed is a write that a crash
tore: it is cut off. Anything else that does not fit is damage or tampering and raises `RunFileError`.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryoctl.errors import FileProblem, RunFileError
from cryoctl.interfaces.medium import REAL_DISK, Medium
from cryoctl.runfile.raw_io import open_file, sync_data, sync_folder, write_all
from cryoctl.steps.codec import plain

FORMAT_VERSION = 1

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
_OWN_KEYS = frozenset(("n", "t", "k", "prev", "sha"))

Record = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalText:
    """What a journal file holds: its records, the bytes they take, and the bytes of a torn last line."""

    records: list[Record]
    whole_bytes: int
    torn_bytes: int

    @property
    def head_sha(self) -> str:
        return self.records[-1]["sha"] if self.records else ""


def canonical(record: Mapping[str, Any]) -> bytes:
    """A record as it stands in the file, without the line feed."""
    return _ENCODER.encode(record).encode()


def parse_journal(data: bytes, first: int = 0, prev: str = "") -> JournalText:
    """Check every link of the chain.

    Args:
        first, prev: of a journal's later part, the number of its first record and the `sha` of the one before.

    Raises:
        RunFileError: names the number of the first record that does not fit.
    """
    whole = data.rfind(b"\n") + 1
    records: list[Record] = []
    for number, line in enumerate(data[:whole].split(b"\n")[:-1], first):
        try:
            record = cast(Record, json.loads(line))
            sha = record.pop("sha")
            bare = canonical(record)
            fits = record["n"] == number and record["prev"] == prev and hashlib.sha256(bare).hexdigest() == sha
            record["sha"] = sha
            fits = fits and canonical(record) == line
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            fits = False
            record, sha = {}, ""
        if not fits:
            raise RunFileError(
                f"journal: record {number} does not match its checksum or its place in the chain: the file was changed "
                "or damaged; use another copy of the run"
            )
        records.append(record)
        prev = sha
    return JournalText(records=records, whole_bytes=whole, torn_bytes=len(data) - whole)


def parse_journal_start(data: bytes) -> tuple[JournalText, str]:
    """Everything before the first broken record, and the message of the break (empty if there is none)."""
    try:
        return parse_journal(data), ""
    except RunFileError as error:
        message = str(error)
    lines = data.split(b"\n")
    low, high = 0, len(lines)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            parse_journal(b"\n".join(lines[:middle]) + b"\n")
            low = middle
        except RunFileError:
            high = middle
    start = b"\n".join(lines[:low]) + b"\n" if low else b""
    text = parse_journal(start)
    return JournalText(records=text.records, whole_bytes=len(start), torn_bytes=len(data) - len(start)), message


def load_journal(path: Path) -> JournalText:
    """Read and check a journal file, also one that is being written.

    Raises:
        FileProblem: it can't be read.
        RunFileError: it contradicts itself.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FileProblem(f"journal {path} can't be read ({error.strerror}): name a run of cryoctl") from error
    return parse_journal(data)


def read_journal(path: Path) -> list[Record]:
    """The records of a journal, a torn last line left out. Raises as `load_journal`."""
    return load_journal(path).records


class Journal:
    """An open journal; `create` a new one or `reopen` one. Appends from any thread.

    `durability` says what an append survives: `process` (written to the operating system) or `power` (a synced
    record has reached the disk).
    """

    def __init__(self, path: Path, fd: int, text: JournalText, durability: str, medium: Medium = REAL_DISK) -> None:
        if durability not in ("process", "power"):
            raise ValueError(f"durability: {durability!r} is neither 'process' nor 'power'")
        self.path = path
        self._fd = fd
        self._durability = durability
        self._medium = medium
        self._n = len(text.records)
        self._prev = text.head_sha
        self._size = text.whole_bytes
        self._lock = threading.Lock()

    @classmethod
    def create(cls, path: Path, durability: str = "process", medium: Medium = REAL_DISK) -> Journal:
        """Raises `FileExistsError` where there is one already."""
        fd = open_file(path, write=True, create=True, append=True)
        if durability == "power":
            sync_folder(path.parent)
        return cls(path, fd, JournalText(records=[], whole_bytes=0, torn_bytes=0), durability, medium)

    @classmethod
    def reopen(
        cls, path: Path, durability: str = "process", medium: Medium = REAL_DISK
    ) -> tuple[Journal, list[Record]]:
        """Go on with a journal, its torn last line cut off; returns its records as well. Raises as `load_journal`."""
        text = load_journal(path)
        fd = open_file(path, write=True, append=True)
        if text.torn_bytes:
            os.ftruncate(fd, text.whole_bytes)
        return cls(path, fd, text, durability, medium), text.records

    @property
    def head_sha(self) -> str:
        """`sha` of the last record: it stands for the whole journal."""
        return self._prev

    @property
    def size_bytes(self) -> int:
        return self._size

    def append(self, kind: str, fields: Mapping[str, Any], *, t: float, sync: bool = False) -> Record:
        """Write one record; it has reached the operating system when this returns, with `sync` what the run promises.

        Args:
            fields: plain Python values (see `cryoctl.steps.codec.plain`); none named n, t, k, prev or sha.

        Returns:
            The record with its own keys.

        Raises:
            OSError: disk full; the journal is as it was before.
        """
        record: Record = plain(fields)
        if not _OWN_KEYS.isdisjoint(record):
            raise ValueError(f"journal: the fields of a {kind} record use the journal's own names n, t, k, prev, sha")
        with self._lock:
            record.update(n=self._n, t=float(t), k=kind, prev=self._prev)
            record["sha"] = hashlib.sha256(canonical(record)).hexdigest()
            line = canonical(record) + b"\n"
            self._medium.admit(len(line))
            try:
                write_all(self._fd, line)
            except OSError:
                os.ftruncate(self._fd, self._size)
                raise
            self._n, self._prev, self._size = self._n + 1, record["sha"], self._size + len(line)
        if sync:
            self.sync()
        return record

    def sync(self) -> None:
        """Everything appended so far survives what the durability promises."""
        if self._durability == "power":
            sync_data(self._fd)

    def close(self) -> None:
        """May be called twice."""
        if self._fd >= 0:
            self.sync()
            os.close(self._fd)
            self._fd = -1
