"""What is kept beside a run file so that neither it nor its parts can be changed unnoticed: `.parts/seals.jsonl`.

One line each time the run file is written, before it is renamed into its place: the seal of its table
(`runfile.integrity`) and the checksums of what the journal's own do not cover: of a segment what lies before its
frames and in slots that no record names, of the events what lies between the blocks, other files whole.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from cryoctl.errors import RunFileError
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.frame_store import segment_place
from cryoctl.runfile.parts import RunParts
from cryoctl.runfile.raw_io import open_file, read_at, write_all

_BLOCK_BYTES = 4 << 20
Checksums = dict[str, str]


def add_seal(parts: RunParts, seal: str, fold: RunFold | None = None) -> None:
    """Append a line; without `fold` the parts are as they were when the line before was written."""
    if fold is None:
        before = _lines(parts)
        if not before:
            return
        checksums: Checksums = before[-1]["parts"]
    else:
        checksums = uncovered(parts, fold)
    line = json.dumps({"seal": seal, "parts": checksums}, sort_keys=True) + "\n"
    path = parts.seals
    fd = open_file(path, write=True, append=True, create=not path.exists())
    try:
        os.ftruncate(fd, path.read_bytes().rfind(b"\n") + 1)
        write_all(fd, line.encode())
        os.fsync(fd)
    finally:
        os.close(fd)


def checksums_of(parts: RunParts, seal: str) -> Checksums | None:
    """Of the parts when the file of this seal was written; None where no line tells.

    Raises:
        RunFileError: there are lines, of other files.
    """
    lines = _lines(parts)
    if not lines:
        return None
    for line in reversed(lines):
        if line.get("seal") == seal:
            return cast(Checksums, line["parts"])
    raise RunFileError(
        f"{parts.seals.name} knows no run file with this table of checksums: file or table was changed or exchanged; "
        "use another copy of the run"
    )


def uncovered(parts: RunParts, fold: RunFold) -> Checksums:
    """SHA-256 by place of all in the parts that no record of the journal has a checksum of; zeros are left out."""
    found: Checksums = {}
    slots: dict[str, set[int]] = {}
    blocks: list[tuple[int, int]] = []
    for records in fold.frames.values():
        for record in records.values():
            slots.setdefault(record["segment"], set()).add(int(record["slot"]))
            if record.get("edx"):
                blocks.append((int(record["edx"]["offset"]), int(record["edx"]["bytes"])))
    for path in sorted(parts.frames.glob("*.h5")):
        place = segment_place(path)
        spans = {f"segment {path.name}, header": (0, place.offset)}
        for slot in set(range(place.slots)) - slots.get(path.name, set()):
            spans[f"segment {path.name}, slot {slot}"] = (place.offset + slot * place.slot_bytes, place.slot_bytes)
        spans[f"segment {path.name}, behind its slots"] = (place.end, max(0, place.kept_bytes - place.end))
        found |= _checksums(path, spans)
    if parts.edx_events.exists():
        found |= _checksums(parts.edx_events, _between(blocks, parts.edx_events.stat().st_size))
    if parts.prior_dose.exists():
        found |= _checksums(parts.prior_dose, {parts.prior_dose.name: (0, parts.prior_dose.stat().st_size)})
    return found


def changed_parts(parts: RunParts, fold: RunFold, then: Mapping[str, str]) -> list[str]:
    """Places whose bytes differ from what was sealed."""
    now = uncovered(parts, fold)
    return sorted(place for place in {*now, *then} if now.get(place) != then.get(place))


def _between(blocks: Iterable[tuple[int, int]], size: int) -> dict[str, tuple[int, int]]:
    """What of the events file no record names."""
    spans: dict[str, tuple[int, int]] = {}
    end = 0
    for offset, length in sorted(blocks):
        if offset > end:
            spans[f"EDX events, bytes {end} to {offset}"] = (end, offset - end)
        end = max(end, offset + length)
    if size > end:
        spans[f"EDX events, bytes {end} to {size}"] = (end, size - end)
    return spans


def _checksums(path: Path, spans: Mapping[str, tuple[int, int]]) -> Checksums:
    found: Checksums = {}
    fd = open_file(path)
    try:
        for place, (offset, length) in spans.items():
            whole, empty = hashlib.sha256(), True
            for begin in range(0, length, _BLOCK_BYTES):
                data = read_at(fd, min(_BLOCK_BYTES, length - begin), offset + begin)
                if np.frombuffer(data, dtype=np.uint8).any():
                    empty = False
                    whole.update(b"%d:%d:" % (begin, len(data)) + data)
            if not empty:
                found[place] = whole.hexdigest()
    finally:
        os.close(fd)
    return found


def _lines(parts: RunParts) -> list[dict[str, Any]]:
    """Whole lines; a torn last one was never followed by its file."""
    try:
        data = parts.seals.read_bytes()
    except OSError:
        return []
    found: list[dict[str, Any]] = []
    for number, line in enumerate(data.split(b"\n")[:-1]):
        try:
            one = json.loads(line)
            found.append({"seal": str(one["seal"]), "parts": dict(one["parts"])})
        except (ValueError, KeyError, TypeError) as error:
            raise RunFileError(f"{parts.seals.name}: line {number} is damaged; use another copy of the run") from error
    return found
