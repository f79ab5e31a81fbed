"""Journal, frames and EDX events of a run, begun or gone on with."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np

from cryoctl.clock.wall import utc_now
from cryoctl.dose.ledger import DoseLedger
from cryoctl.errors import FileProblem
from cryoctl.interfaces.medium import Medium
from cryoctl.launch.counting import ledger_again, make_ledger
from cryoctl.launch.head import journal_head
from cryoctl.launch.paths import RunPaths
from cryoctl.launch.prepare import Furnished
from cryoctl.launch.summary import predicted
from cryoctl.launch.undertaking import Undertaking
from cryoctl.runfile.event_store import EventStore
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.frame_store import FrameStore
from cryoctl.runfile.journal import Journal
from cryoctl.runfile.parts import RunParts
from cryoctl.runfile.reserve import Reserve
from cryoctl.runfile.writer import write_skeleton


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Open; `time_s` is the run's own time at which this session begins."""

    journal: Journal
    frames: FrameStore
    events: EventStore
    ledger: DoseLedger
    head: Mapping[str, Any]
    session: Mapping[str, Any]
    reserve: Reserve
    time_s: float = 0.0

    def sync(self) -> None:
        """Everything kept so far survives what the stores promise."""
        for store in (self.frames, self.events, self.journal):
            store.sync()


def begin(undertaking: Undertaking, paths: RunPaths, furnished: Furnished, closing: ExitStack) -> Stores:
    """Of a new run: the journal's head is on disk and the run file can be opened when this returns."""
    parts, durable, earlier = paths.parts, furnished.devices.durable, undertaking.earlier
    medium = furnished.context.medium
    ledger = make_ledger(furnished.protocol, earlier)
    head = journal_head(undertaking.prepared, furnished, paths, ledger, earlier)
    head["predicted"] = predicted(undertaking.outlook)
    if earlier.maps:
        np.save(parts.prior_dose, ledger.prior)
    reserve = _reserve(parts, medium, closing)
    journal = Journal.create(parts.journal, durable, medium)
    closing.callback(journal.close)
    frames, events = _open(parts, durable, None, closing, medium)
    journal.append("head", head, t=0.0, sync=True)
    write_skeleton(paths.run_file, head)
    session = {"start_s": 0.0, "reason": "start", "utc": _utc()}
    return Stores(
        journal=journal, frames=frames, events=events, ledger=ledger, head=head, session=session, reserve=reserve
    )


def go_on(undertaking: Undertaking, paths: RunPaths, furnished: Furnished, closing: ExitStack) -> Stores:
    """Of an interrupted run, behind what its journal knows.

    Raises:
        FileProblem: another process went on with it meanwhile.
        RunFileError: journal and segments contradict themselves.
    """
    past = undertaking.past
    assert past is not None
    parts, durable, fold, medium = paths.parts, furnished.devices.durable, past.fold, furnished.context.medium
    reserve = _reserve(parts, medium, closing)
    journal, records = Journal.reopen(parts.journal, durable, medium)
    closing.callback(journal.close)
    if len(records) != fold.n_records:
        raise FileProblem(f"{paths.run_file.name}: another process went on with this run meanwhile; look at it again")
    frames, events = _open(parts, durable, fold, closing, medium)
    if not paths.run_file.exists():
        write_skeleton(paths.run_file, fold.head)
    return Stores(
        journal=journal,
        frames=frames,
        events=events,
        ledger=ledger_again(fold, past.prior),
        head=fold.head,
        session={"start_s": past.time_s, "reason": past.reason, "utc": _utc(), "gap_s": past.gap_s},
        reserve=reserve,
        time_s=past.time_s,
    )


def _reserve(parts: RunParts, medium: Medium, closing: ExitStack) -> Reserve:
    reserve = Reserve(parts.reserve, medium)
    closing.callback(reserve.release)
    return reserve


def _open(
    parts: RunParts, durable: str, fold: RunFold | None, closing: ExitStack, medium: Medium
) -> tuple[FrameStore, EventStore]:
    records = [record for frames in fold.frames.values() for record in frames.values()] if fold is not None else []
    ends = [int(edx["offset"]) + int(edx["bytes"]) for record in records if (edx := record.get("edx"))]
    frames = FrameStore(parts.frames, durable, medium=medium)
    closing.callback(frames.close)
    frames.continue_after(records)
    events = EventStore(parts.edx_events, durable, end=max(ends, default=0), medium=medium)
    closing.callback(events.close)
    return frames, events


def _utc() -> str:
    return utc_now().isoformat(timespec="milliseconds")
