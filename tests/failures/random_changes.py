"""Random changes of a finished run, for the tests of `check`: each is made in place and tells what must be named."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cryoctl.runfile.journal import canonical
from cryoctl.runfile.parts import RunParts

Random = np.random.Generator
Change = Callable[[Path, Random], str]


def flip(path: Path, offset: int, rng: Random) -> None:
    """Change one byte, by one bit or altogether."""
    by = int(rng.choice([1, 2, 4, 8, 16, 32, 64, 128, 255]))
    with path.open("r+b") as file:
        file.seek(offset)
        old = file.read(1)
        file.seek(offset)
        file.write(bytes([old[0] ^ by]))


def dataset_bytes(path: Path, rng: Random, place: str = "") -> str:
    """A byte of a dataset as it lies in the file: of a chunk, of contiguous values, of a text or of its reference."""
    with h5py.File(path) as file:
        places: list[str] = []
        file.visititems(
            lambda name, item: places.append(name) if isinstance(item, h5py.Dataset) and item.size else None
        )
        place = place or str(rng.choice(places))
        item: Any = file[place]
        stretches = _stretches(item)
        texts = [] if item.dtype.kind != "O" else [one for one in np.ravel(item[()]).tolist() if one]
    if texts and rng.random() < 0.7:
        text = texts[int(rng.integers(len(texts)))]
        found = [match.start() for match in re.finditer(re.escape(text), path.read_bytes())]
        if len(found) == 1:
            flip(path, found[0] + int(rng.integers(len(text))), rng)
            return f"/{place}"
    offset, size = stretches[int(rng.integers(len(stretches)))]
    flip(path, offset + int(rng.integers(size)), rng)
    return f"/{place}"


def _stretches(item: Any) -> list[tuple[int, int]]:
    if item.chunks is None:
        return [(item.id.get_offset(), item.id.get_storage_size())]
    found: list[tuple[int, int]] = []
    item.id.chunk_iter(lambda one: found.append((one.byte_offset, one.size)))
    return found


def row_removed(path: Path, rng: Random) -> str:
    """One row of a table of /entry, of each of its columns."""
    with h5py.File(path, "r+") as file:
        tables = [name for name in ("exposures", "events", "targets", "sessions") if len(_columns(file, name)[1])]
        name = str(rng.choice(tables))
        columns, rows = _columns(file, name)
        row = int(rng.integers(len(rows)))
        for column in columns:
            _rewrite(file, f"entry/{name}/{column}", np.delete(file[f"entry/{name}/{column}"][()], row, axis=0))
    return f"/entry/{name}"


def _columns(file: Any, name: str) -> tuple[list[str], range]:
    group = file[f"entry/{name}"]
    columns = list(group)
    return columns, range(len(group[columns[0]]))


def _rewrite(file: Any, place: str, values: Any) -> None:
    """As h5py does it, attributes kept."""
    old = file[place]
    kept, kind = dict(old.attrs), old.dtype
    del file[place]
    new = file.create_dataset(place, data=values, dtype=kind)
    new.attrs.update(kept)


def map_scaled(path: Path, rng: Random) -> str:
    """The ledger's map times 0.98, written in place."""
    with h5py.File(path, "r+") as file:
        file["entry/dose/map_e_per_a2"][...] = file["entry/dose/map_e_per_a2"][()] * 0.98
    return "/entry/dose/map_e_per_a2"


def all_maps_scaled(path: Path, rng: Random) -> str:
    """Every map of the ledger alike, and where there is one the truth, so that their sums agree."""
    with h5py.File(path, "r+") as file:
        places = ["entry/dose/map_e_per_a2", *(f"entry/dose/by_kind/{kind}" for kind in file["entry/dose/by_kind"])]
        if "simulation/dose_map_e_per_a2" in file:
            places.append("simulation/dose_map_e_per_a2")
        for place in places:
            _rewrite(file, place, file[place][()] * 0.98)
    return "/entry/dose/map_e_per_a2"


def _lines(path: Path) -> tuple[Path, list[bytes]]:
    journal = RunParts.beside(path).journal
    return journal, journal.read_bytes().split(b"\n")[:-1]


def record_edited(path: Path, rng: Random) -> str:
    """A byte of a record."""
    journal, lines = _lines(path)
    number = int(rng.integers(len(lines)))
    flip(journal, sum(len(line) + 1 for line in lines[:number]) + int(rng.integers(len(lines[number]))), rng)
    return f"record {number} "


def record_edited_and_rehashed(path: Path, rng: Random) -> str:
    """A record's time, and the whole chain behind it made to fit."""
    journal, lines = _lines(path)
    number = int(rng.integers(len(lines)))
    records: list[dict[str, Any]] = [json.loads(line) for line in lines]
    records[number]["t"] += 0.25
    prev = ""
    for record in records:
        del record["sha"]
        record["prev"] = prev
        prev = record["sha"] = hashlib.sha256(canonical(record)).hexdigest()
    journal.write_bytes(b"".join(canonical(record) + b"\n" for record in records))
    return f"record {number} "


def tail_of_lines_cut(path: Path, rng: Random) -> str:
    journal, lines = _lines(path)
    kept = int(rng.integers(len(lines)))
    journal.write_bytes(b"".join(line + b"\n" for line in lines[:kept]))
    return f"record {kept - 1}," if kept else "journal"


def tail_cut_within_a_line(path: Path, rng: Random) -> str:
    journal, lines = _lines(path)
    number = int(rng.integers(1, len(lines)))
    whole = sum(len(line) + 1 for line in lines[:number])
    journal.write_bytes(journal.read_bytes()[: whole + int(rng.integers(1, len(lines[number])))])
    return f"record {number - 1},"


def segment_byte(path: Path, rng: Random) -> str:
    segment = rng.choice(sorted(RunParts.beside(path).frames.glob("*.h5")))
    flip(segment, int(rng.integers(segment.stat().st_size)), rng)
    return f"segment {segment.name}"


def frame_byte(path: Path, rng: Random) -> str:
    """A byte of a picture, with its slot."""
    segment = rng.choice(sorted(RunParts.beside(path).frames.glob("*.h5")))
    with h5py.File(segment) as file:
        frames: Any = file["frames"]
        slot = int(rng.integers(len(frames)))
        start, size = int(frames.id.get_offset()), frames[0].nbytes
    flip(segment, start + slot * size + int(rng.integers(size)), rng)
    return f"segment {segment.name}, slot {slot}"


def event_byte(path: Path, rng: Random) -> str:
    events = RunParts.beside(path).edx_events
    flip(events, int(rng.integers(events.stat().st_size)), rng)
    return "EDX events"


CHANGES: dict[str, tuple[Change, int]] = {
    "a byte of a dataset": (dataset_bytes, 90),
    "a row removed": (row_removed, 15),
    "ledger map times 0.98": (map_scaled, 5),
    "all maps times 0.98": (all_maps_scaled, 5),
    "a record edited": (record_edited, 20),
    "a record edited, chain made to fit": (record_edited_and_rehashed, 15),
    "journal cut by lines": (tail_of_lines_cut, 10),
    "journal cut within a line": (tail_cut_within_a_line, 10),
    "a byte of a segment": (segment_byte, 10),
    "a byte of a frame": (frame_byte, 10),
    "a byte of the EDX events": (event_byte, 10),
}
"""Each kind of change and how many of 200 are of it."""
