"""The checksums of a finished run file: a table of SHA-256 over everything that it holds, kept in it.

One line an object, `SHA-256  PATH`, in /entry/integrity/sha256. A dataset's checksum goes over type, shape, attributes
and its bytes as they lie in the file (compressed where they are; texts by their values), a group's over its attributes
and the names of its members. Objects that hang on the time of day stand apart in `wall_sha256`, so that equal runs have
equal tables; `wall_journal` holds the first 8 bytes of the hash of every journal record. The attribute `seal` of the
group is the SHA-256 of all three; it is kept beside the file as well (`runfile.seals`).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.runfile.h5 import H5Dataset, H5Group, address_of, change_h5, open_h5, stored_attributes
from cryoctl.runfile.raw_io import open_file, read_at

PLACE = "entry/integrity"
_MEMBERS = ("sha256", "wall_sha256", "wall_journal")
_PIECE_BYTES = 16 << 20
Marks = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class IntegrityTable:
    """`sha256` by path ("/" is the root); `marks` [record] of the journal that the file was packed from."""

    sha256: Mapping[str, str]
    marks: Marks
    seal: str
    broken: tuple[str, ...] = ()
    """What of the table itself is not as it was written."""


def digests(path: Path, wanted: Callable[[str], bool] = lambda place: True) -> dict[str, str]:
    """SHA-256 of every object of a file that is `wanted`, by path; the table itself is left out.

    Of what can't be read the text says why instead. Every byte is read once.
    """
    found: dict[str, str] = {}
    seen: dict[int, str] = {}
    entered: set[int] = set()
    fd = open_file(path)

    def look(node: H5Group | H5Dataset, place: str) -> None:
        if place == f"/{PLACE}":
            return
        address = address_of(node)
        if wanted(place):
            if address not in seen:
                seen[address] = digest_of(node, fd)
            found[place] = seen[address]
        if isinstance(node, H5Dataset) or address in entered:
            return
        entered.add(address)
        for name in node:
            below = f"{place.rstrip('/')}/{name}"
            try:
                look(node.member(name), below)
            except Exception as error:  # whatever HDF5 makes of bytes that were changed
                found[below] = f"can't be read ({type(error).__name__})"

    try:
        with open_h5(path) as root:
            look(root, "/")
    finally:
        os.close(fd)
    return found


def add_table(path: Path, record_shas: Sequence[str]) -> str:
    """Give a packed file its table; returns the seal."""
    marks = np.array([int(sha[:16], 16) for sha in record_shas], dtype=np.uint64)
    return _write(path, digests(path), marks)


def extend_table(path: Path, changed: Iterable[str]) -> str:
    """After something was added: anew for the paths of `changed`, what lies below and the groups above them.

    All others keep the checksum that they had: a change that nobody asked for is still found.
    """
    with open_h5(path) as root:
        table = read_table(root)
    if table is None:
        return ""
    tops = tuple("/" + one.strip("/") for one in changed)

    def touched(place: str) -> bool:
        return any(place == top or place.startswith(f"{top}/") or top.startswith(f"{place}/") for top in tops)

    anew = digests(path, lambda place: touched(place) or place not in table.sha256)
    kept = {place: sha for place, sha in table.sha256.items() if not touched(place)}
    return _write(path, kept | anew, table.marks)


def read_table(root: H5Group) -> IntegrityTable | None:
    """None where a file has none.

    Raises:
        ValueError: it is damaged; the message names the member.
    """
    if PLACE not in root or not list(root.group(PLACE)):
        return None
    group = root.group(PLACE)
    sha256: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name in _MEMBERS:
        try:
            values[name] = group.value(name)
        except Exception as error:  # whatever HDF5 makes of changed bytes
            raise ValueError(f"/{PLACE}/{name} can't be read ({type(error).__name__})") from error
    broken = [
        f"/{PLACE}/{name} was changed"
        for name in _MEMBERS
        if group.dataset(name).attr("sha256") != _sha_of(values[name])
    ]
    seal = str(group.attr("seal", ""))
    if not broken and seal != _seal(values):
        broken.append(f"/{PLACE} has another seal than its members")
    for name in _MEMBERS[:2]:
        for line in str(values[name]).splitlines():
            sha, _, place = line.partition("  ")
            sha256[place] = sha
    return IntegrityTable(sha256=sha256, marks=values["wall_journal"], seal=seal, broken=tuple(broken))


def differences(path: Path, table: IntegrityTable) -> list[str]:
    """A sentence for each object that is not as it was packed; every byte of the file is read once."""
    now = digests(path)
    found: list[str] = []
    for place in sorted({*table.sha256, *now}):
        if place not in now:
            found.append(f"{place} is missing")
        elif place not in table.sha256:
            found.append(f"{place} was added")
        elif now[place] != table.sha256[place]:
            found.append(f"{place} {now[place] if ' ' in now[place] else 'was changed'}")
    return found


def on_the_clock(place: str) -> bool:
    """Whether an object may differ between equal runs (contract.md); /entry has the journal's hash as an attribute."""
    names = place.split("/")
    named = any(name in ("start_time", "end_time", "utc", "software") or name.startswith("wall_") for name in names)
    return named or place == "/entry"


def _write(path: Path, sha256: Mapping[str, str], marks: Marks) -> str:
    plain, wall = _texts(sha256)
    values: dict[str, str | Marks] = {"sha256": plain, "wall_sha256": wall, "wall_journal": marks}
    seal = _seal(values)
    with change_h5(path) as root:
        group = root.group(PLACE, "NXcollection", seal=seal)
        for name, value in values.items():
            if name in group:
                group.delete(name)
            group.write(name, value, sha256=_sha_of(value))
    return seal


def _sha_of(value: str | Marks) -> str:
    data = value.encode() if isinstance(value, str) else np.asarray(value, dtype="<u8").tobytes()
    return hashlib.sha256(data).hexdigest()


def _seal(values: Mapping[str, str | Marks]) -> str:
    return _sha_of("".join(_sha_of(values[name]) for name in _MEMBERS))


def _texts(sha256: Mapping[str, str]) -> tuple[str, str]:
    lines: tuple[list[str], list[str]] = ([], [])
    for place in sorted(sha256):
        lines[on_the_clock(place)].append(f"{sha256[place]}  {place}\n")
    return "".join(lines[0]), "".join(lines[1])


def digest_of(node: H5Group | H5Dataset, fd: int) -> str:
    """SHA-256 of one object, its stored bytes read from the open file `fd`."""
    whole = hashlib.sha256()
    for name, kind, value in stored_attributes(node):
        whole.update(f"@{name} {kind} {len(value)}\n".encode() + value)
    if isinstance(node, H5Group):
        members = "\n".join(name for name in node if f"{node.path}/{name}".strip("/") != PLACE)
        whole.update(members.encode())
        return whole.hexdigest()
    stored = node.stored()
    whole.update(f"{stored.kind}\n".encode() + stored.values)
    for piece in stored.pieces:
        whole.update(f"{piece.first} {piece.mask} {piece.bytes}\n".encode())
        for begin in range(0, piece.bytes, _PIECE_BYTES):
            whole.update(read_at(fd, min(_PIECE_BYTES, piece.bytes - begin), piece.offset + begin))
    return whole.hexdigest()


def is_whole(path: Path) -> bool:
    """Whether a file has its table and everything in it is as it was packed."""
    try:
        with open_h5(path) as root:
            table = read_table(root)
        return table is not None and not table.broken and not differences(path, table)
    except Exception:  # whatever HDF5 makes of a file that was cut
        return False
