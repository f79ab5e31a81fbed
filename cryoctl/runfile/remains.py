"""What remains of a run's parts after a kill, a full disk or a cut: the fold of what is whole, and what was lost."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cryoctl.errors import CryoctlError, FileProblem
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.frame_store import segment_place
from cryoctl.runfile.journal import Record, parse_journal_start
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.runfile.raw_io import open_file, read_at


@dataclass(slots=True)
class Losses:
    """Of one run: record frames, bytes of anything, and a sentence each on what was lost.

    `uncharged` pictures are there, but no record tells their dose: the ledger lacks it.
    """

    frames: int = 0
    bytes: int = 0
    uncharged: int = 0
    sentences: list[str] = field(default_factory=list[str])

    def add(self, sentence: str, bytes: int = 0, frames: int = 0) -> None:
        self.sentences.append(sentence)
        self.bytes += bytes
        self.frames += frames


def what_remains(parts: RunParts) -> tuple[RunFold, Losses]:
    """The fold of everything that is whole; frames that are lost are left out and the others numbered anew.

    A frame whose picture is whole and whose EDX events are lost stays, without events.

    Raises:
        FileProblem: not even the journal's head is left.
    """
    losses = Losses()
    text, broken = parse_journal_start(parts.journal.read_bytes())
    if not text.records or text.records[0]["k"] != "head":
        raise FileProblem(f"{parts.journal} has lost its first record: nothing of this run can be told; use a copy")
    if text.torn_bytes:
        where = f"behind its record {len(text.records) - 1}"
        why = "do not fit the chain" if broken else "are of a torn line"
        losses.add(f"journal: {text.torn_bytes} bytes {where} {why}", text.torn_bytes)
    fold = RunFold.of(text.records)
    reader = PartsReader(parts, fold)
    try:
        for stream in sorted(fold.frames):
            _keep_whole_frames(fold, stream, reader, losses)
    finally:
        reader.close()
    _tell_unrecorded(fold, text.records, parts, losses)
    return fold, losses


def _keep_whole_frames(fold: RunFold, stream: str, reader: PartsReader, losses: Losses) -> None:
    records = fold.frames[stream]
    kept: dict[int, Record] = {}
    for index in sorted(records):
        record = records[index]
        is_record = stream == "image"
        name = f"{stream} frame {index} (exposure {record['exposure']})"
        try:
            reader.read_frame(record)
        except CryoctlError as error:
            losses.add(f"{name}: {error.message}", _bytes_of(fold, record), frames=int(is_record))
            _tell_row(fold, record, -1)
            continue
        try:
            reader.read_events(record)
        except CryoctlError as error:
            losses.add(f"{name}: its picture is whole; {error.message}", int(record["edx"]["bytes"]))
            record = {**record, "edx": None}
        kept[len(kept)] = {**record, "index": len(kept)}
        _tell_row(fold, record, len(kept) - 1 if is_record else -1)
    missing = sorted(set(range(max(records, default=-1) + 1)) - set(records))
    if missing:
        losses.add(f"{stream} frames without a record: {', '.join(map(str, missing))}", frames=len(missing))
    if kept:
        fold.frames[stream] = kept
    else:
        del fold.frames[stream]


def _tell_row(fold: RunFold, record: Mapping[str, Any], frame: int) -> None:
    exposure = fold.exposures.get(int(record["exposure"]))
    if exposure is not None:
        exposure.row["frame"] = frame


def _bytes_of(fold: RunFold, record: Mapping[str, Any]) -> int:
    """Of a frame's picture and events, as far as the exposure's row tells its shape."""
    exposure = fold.exposures.get(int(record["exposure"]))
    rows, columns = (exposure.row.get("shape") if exposure is not None else None) or (0, 0)
    return 2 * int(record["scans"]) * int(rows) * int(columns) + int((record.get("edx") or {}).get("bytes", 0))


def _tell_unrecorded(fold: RunFold, records: Sequence[Record], parts: RunParts, losses: Losses) -> None:
    """Pictures and events that lie whole in the parts but have no record: what they show can't be told any more.

    The picture of the exposure that was under way at a kill may be one of them: nobody was told that it was there, so
    it is no lost frame, and its dose is charged by its intent.
    """
    recorded = [record for record in records if record["k"] == "frame"]
    last = fold.exposures[max(fold.exposures)] if fold.exposures else None
    under_way = "" if last is None or last.done else str(last.row.get("kind"))
    for path in sorted(parts.frames.glob("*.h5")):
        try:
            place = segment_place(path)
        except CryoctlError as error:
            losses.add(error.message)
            continue
        named = {int(record["slot"]) for record in recorded if record["segment"] == path.name}
        fd = open_file(path)
        filled = [
            slot
            for slot in set(range(place.slots)) - named
            if np.frombuffer(read_at(fd, place.slot_bytes, place.offset + slot * place.slot_bytes), np.uint8).any()
        ]
        os.close(fd)
        if filled:
            is_image = path.name.startswith("image_")
            beyond = max(0, len(filled) - (under_way != "" and is_image == (under_way == "record")))
            losses.uncharged += beyond
            lacks = ": the ledger lacks their dose" if beyond else ""
            losses.add(
                f"segment {path.name}: {len(filled)} pictures have no record in the journal{lacks}",
                len(filled) * place.slot_bytes,
                frames=beyond if is_image else 0,
            )
    blocks = [record["edx"] for record in recorded if record.get("edx")]
    end = max((int(block["offset"]) + int(block["bytes"]) for block in blocks), default=0)
    size = parts.edx_events.stat().st_size if parts.edx_events.exists() else 0
    if size > end:
        losses.add(f"EDX events: {size - end} bytes have no record in the journal", size - end)
