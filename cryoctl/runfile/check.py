"""`check`: is a run what was recorded? Checksums of everything in its file, its journal, its parts, its values."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cryoctl.errors import CryoctlError, FileProblem
from cryoctl.runfile.check_values import (
    Wrong,
    check_edx,
    check_limit,
    check_pictures,
    check_rows,
    check_sums,
    check_truth,
    ledger_minus_truth,
    same,
)
from cryoctl.runfile.cut_file import declared_size
from cryoctl.runfile.exposure_table import table
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.frame_store import segment_place
from cryoctl.runfile.h5 import open_h5
from cryoctl.runfile.integrity import IntegrityTable, differences, read_table
from cryoctl.runfile.journal import JournalText, load_journal
from cryoctl.runfile.lock import is_locked
from cryoctl.runfile.parts import PartsReader, RunParts
from cryoctl.runfile.reader import Run, open_run
from cryoctl.runfile.seals import changed_parts, checksums_of

_MOST_NAMED = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    name: str
    ok: bool
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckReport:
    """`ledger_minus_truth` holds min, max and sum_ratio on simulated runs, the ledger dilated for min and max."""

    ok: bool
    checks: tuple[Check, ...]
    frames: int
    ledger_minus_truth: dict[str, float] | None

    def to_json(self) -> dict[str, Any]:
        """As contract.md has it."""
        return {
            "ok": self.ok,
            "checks": [{"name": one.name, "ok": one.ok, "detail": one.detail} for one in self.checks],
            "frames": self.frames,
            "ledger_minus_truth": self.ledger_minus_truth,
        }


class _Checks:
    """What was looked at so far. Whatever changed bytes make of a look, the answer is a failed check."""

    def __init__(self) -> None:
        self.done: list[Check] = []

    def look(self, name: str, look: Callable[[], str]) -> bool:
        try:
            detail, ok = look(), True
        except (Wrong, CryoctlError) as error:
            detail, ok = str(error), False
        except Exception as error:
            detail, ok = f"damaged: {type(error).__name__}: {' '.join(str(error).split())[:200]}", False
        self.done.append(Check(name=name, ok=ok, detail=detail))
        return ok

    def report(self, frames: int = 0, truth: dict[str, float] | None = None) -> CheckReport:
        return CheckReport(
            ok=all(one.ok for one in self.done), checks=tuple(self.done), frames=frames, ledger_minus_truth=truth
        )


class _OfWhatIsThere(_Checks):
    """A file was cut and its rest copied: checksums tell whether that is as it was copied, not that all is there."""

    def __init__(self, checks: _Checks) -> None:
        self.done = checks.done

    def look(self, name: str, look: Callable[[], str]) -> bool:
        if not super().look(name, look):
            self.done[-1] = Check(name=name, ok=True, detail=f"not all is there: {self.done[-1].detail}")
        return True


def check_run(path: str | Path) -> CheckReport:
    """Check everything that can be checked.

    A run without its `.parts` is checked by its file alone; of one that goes on or was killed journal, frames and
    ledger are checked.

    Raises:
        FileProblem: there is no such run, or the file is something else.
    """
    path = Path(path)
    if not path.name:
        raise FileProblem(f"{path} is no file: name a run file (*.nxs)")
    if path.suffix == ".parts":
        path = path.with_suffix(".nxs")
    parts = RunParts.beside(path)
    checks = _Checks()
    found: dict[str, float] = {}
    run: Run | None = None
    try:
        run = open_run(path)
    except CryoctlError as error:
        if isinstance(error, FileProblem) and not _was_a_run(path, parts):
            raise
        problem = error
        checks.look("run file", lambda: _unreadable(path, problem))
    except Exception as error:
        failure = error
        checks.look("run file", lambda: _unreadable(path, failure))
    with run or contextlib.nullcontext():
        packed = run.packed if run is not None else path.is_file()
        if run is not None:
            opened = run
            checks.look("run", lambda: _what_it_is(opened))
        kept = _table_of(path) if packed else None
        if packed and (run is not None or kept is not None):
            checks.look("contents", lambda: _contents(path, kept))
        journal = _Journal(parts, int(run.entry.journal_records) if run is not None and not packed else None)
        checks.look("journal chain", lambda: journal.chain(kept, run))
        if journal.fold is not None:
            fold = journal.fold
            checks.look("frames against the journal", lambda: _frames(parts, fold))
            checks.look("parts", lambda: _parts(parts, fold, kept if packed else None))
        if run is None:
            return checks.report()
        frames = _values(checks, run, journal.fold, found)
    return checks.report(frames, found or None)


def _values(checks: _Checks, run: Run, fold: RunFold | None, found: dict[str, float]) -> int:
    """The checks of values; the number of frames. Of a salvaged file only what is there can be asked."""
    if "entry/recovered/source" in run and run.entry.recovered.source == "salvaged":
        checks = _OfWhatIsThere(checks)
    if fold is not None:
        folded = fold
        checks.look("exposure table against the journal", lambda: _table(run, folded))
        checks.look("ledger against the journal", lambda: _ledger(run, folded))
    checks.look("every frame has its row", lambda: check_rows(run))
    if "image" in run:
        checks.look("pictures", lambda: check_pictures(run))
    if "edx" in run:
        checks.look("EDX counts", lambda: check_edx(run))
    checks.look("ledger sums", lambda: check_sums(run))
    checks.look("dose limit", lambda: check_limit(run))
    if "simulation/dose_map_e_per_a2" in run:

        def against_truth() -> str:
            found.update(ledger_minus_truth(run))
            return check_truth(run, found)

        checks.look("ledger against truth", against_truth)
    try:
        return len(run.image) if "image" in run else 0
    except Exception:  # damaged: told by the checks
        return 0


def _was_a_run(path: Path, parts: RunParts) -> bool:
    """Whether a file that can't be opened is a run that was damaged; else it is something else."""
    if path.is_dir() or not path.exists():
        return False
    return parts.journal.exists() or _table_of(path) is not None or _is_cut(path)


def _is_cut(path: Path) -> bool:
    declared = declared_size(path)
    return declared is not None and declared > path.stat().st_size


def _unreadable(path: Path, error: Exception) -> str:
    declared = declared_size(path)
    if declared is not None and declared > path.stat().st_size:
        raise Wrong(
            f"{path.name} was cut: it has {path.stat().st_size} of {declared} bytes; `cryoctl recover {path.name}` "
            "makes a file of what is left"
        )
    raise Wrong(f"can't be read: {' '.join(str(error).split())[:200]}")


def _what_it_is(run: Run) -> str:
    if run.packed:
        return f"finished: {run.status}"
    if is_locked(run.parts.lock):
        return "goes on: a process has it"
    return "was never packed: its process was killed; `cryoctl recover` makes a file of it"


def _table_of(path: Path) -> IntegrityTable | Exception | None:
    """None where there is none, the error where it can't be read."""
    try:
        with open_h5(path) as root:
            return read_table(root)
    except FileProblem:
        return None
    except Exception as error:
        return error


def _contents(path: Path, kept: IntegrityTable | Exception | None) -> str:
    if kept is None:
        raise Wrong("/entry/integrity is missing: the file has no table of checksums")
    if isinstance(kept, Exception):
        raise Wrong(f"the table of checksums is damaged: {' '.join(str(kept).split())[:150]}")
    changed = list(kept.broken) or differences(path, kept)
    if changed:
        raise Wrong(_named(changed))
    return f"{len(kept.sha256)} datasets and groups match their checksums"


def _named(found: list[str]) -> str:
    more = f" and {len(found) - _MOST_NAMED} more" if len(found) > _MOST_NAMED else ""
    return ", ".join(found[:_MOST_NAMED]) + more


class _Journal:
    """The journal beside a run, `fold` None where it is missing or broken; of the first `n_records` only."""

    def __init__(self, parts: RunParts, n_records: int | None) -> None:
        self._parts = parts
        self.fold: RunFold | None = None
        self._text: JournalText | None = None
        self._error: Exception | None = None
        if parts.journal.exists():
            try:
                self._text = load_journal(parts.journal)
                if self._text.records:
                    self.fold = RunFold.of(self._text.records[:n_records])
            except Exception as error:  # damaged records fold into anything
                self._error = error

    def chain(self, kept: IntegrityTable | Exception | None, run: Run | None) -> str:
        if self._error is not None:
            raise self._error
        if self._text is None:
            if self._parts.folder.exists():
                raise Wrong(f"{self._parts.journal.name} is missing in {self._parts.folder.name}")
            return f"{self._parts.folder.name} is not beside the file: only the file itself was checked"
        records, torn_bytes = self._text.records, self._text.torn_bytes
        if isinstance(kept, IntegrityTable) and not kept.broken:
            self._against(kept)
        elif run is not None and run.packed and self._text.head_sha != run.journal_head:
            raise Wrong("the journal does not end with the record that the run file was packed from")
        if torn_bytes and run is not None and run.packed:
            raise Wrong(f"{torn_bytes} bytes stand behind record {len(records) - 1}, the last of a run that ended")
        torn = f"; {torn_bytes} bytes of a torn last line are left out" if torn_bytes else ""
        return f"{len(records)} records, each fits the one before{torn}"

    def _against(self, kept: IntegrityTable) -> None:
        """Every record that the file was packed from is still there and the same."""
        assert self._text is not None
        records = self._text.records
        for number, (record, mark) in enumerate(zip(records, kept.marks.tolist(), strict=False)):
            if int(record["sha"][:16], 16) != mark:
                raise Wrong(f"record {number} is not the one that the run file was packed from: it was changed")
        if len(records) < len(kept.marks):
            raise Wrong(
                f"the journal ends after record {len(records) - 1}, the run file was packed from {len(kept.marks)} "
                "records: its tail was cut"
            )


def _frames(parts: RunParts, fold: RunFold) -> str:
    if not _has_segments(parts):
        return "the segments were removed: the pictures in the file are checked against the checksums kept with them"
    reader = PartsReader(parts, fold)
    number = 0
    try:
        for stream in fold.frames:
            for record in fold.frame_records(stream):
                reader.read_frame(record)
                try:
                    counts = [len(pixel) for pixel, _ in reader.read_events(record)]
                except CryoctlError as error:
                    raise Wrong(f"{stream} frame {record['index']}: {error.message}") from error
                if record.get("edx") and counts != record["edx"]["counts"]:
                    raise Wrong(f"{stream} frame {record['index']}: EDX counts differ from the journal's")
                number += 1
    finally:
        reader.close()
    return f"{number} frames match their checksums"


def _has_segments(parts: RunParts) -> bool:
    return parts.frames.is_dir() and any(parts.frames.iterdir())


def _parts(parts: RunParts, fold: RunFold, kept: IntegrityTable | Exception | None) -> str:
    """What of the parts the journal's checksums do not cover, against what was sealed with the file."""
    if not _has_segments(parts):
        return "the segments were removed"
    for path in sorted(parts.frames.glob("*.h5")):
        place = segment_place(path)
        if place.kept_bytes < place.end:
            slot = max(0, place.kept_bytes - place.offset) // place.slot_bytes
            raise Wrong(f"segment {path.name} was cut: it ends within slot {slot}")
    if not isinstance(kept, IntegrityTable):
        return "segments are whole"
    then = checksums_of(parts, kept.seal)
    if then is None:
        raise Wrong(f"{parts.seals.name} is missing in {parts.folder.name}")
    if changed := changed_parts(parts, fold, then):
        raise Wrong(f"changed since the run file was written: {_named(changed)}")
    return "segments and events are as they were when the run file was written"


def _table(run: Run, fold: RunFold) -> str:
    stored = run.exposures
    for name, values in table(fold.rows()).items():
        found = stored[name]
        if isinstance(values, list):
            equal = list(found) == values
        else:
            equal = np.shape(found) == values.shape and np.array_equal(
                found, values, equal_nan=values.dtype.kind == "f"
            )
        if not equal:
            raise Wrong(f"column {name} of the exposure table (/entry/exposures/{name}) differs from the journal")
    return f"{len(fold.exposures)} exposures"


def _ledger(run: Run, fold: RunFold) -> str:
    kinds = run.dose.by_kind
    folded = fold.dose_by_kind()
    if sorted(folded) != kinds.keys():
        raise Wrong(f"the ledger holds maps of {', '.join(kinds)}, the journal of {', '.join(sorted(folded))}")
    for kind, dose in folded.items():
        same(dose, np.asarray(kinds[kind]), f"map of {kind}")
    unconfirmed = fold.unconfirmed_dose()
    if (unconfirmed is not None) != ("unconfirmed_e_per_a2" in run.dose):
        raise Wrong("/entry/dose/unconfirmed_e_per_a2: it is there or not against what the journal says")
    if unconfirmed is not None:
        same(unconfirmed, np.asarray(run.dose.unconfirmed_e_per_a2), "map of what could not be confirmed")
    scattered = fold.scattered_dose()
    if (scattered is not None) != ("scattered_e_per_a2" in run.dose):
        raise Wrong("/entry/dose/scattered_e_per_a2: it is there or not against what the journal says")
    if scattered is not None:
        same(scattered, np.asarray(run.dose.scattered_e_per_a2), "map of wherever exposures may lie")
    return "the maps equal the sums of the journal's deposits"
