"""`check`: does a run file agree with its journal, its checksums, its ledger, its limit, and (simulated) the truth?"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.dose.ledger import dilate
from cryoctl.errors import CryoctlError
from cryoctl.runfile.exposure_table import table
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import JournalText, load_journal
from cryoctl.runfile.parts import PartsReader
from cryoctl.runfile.reader import Run, open_run

_RELATIVE = 1e-9
"""Rounding of sums of doses."""


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


class _Wrong(Exception):
    """What a check found; the message is its detail."""


def check_run(path: str | Path) -> CheckReport:
    """Check everything that can be checked; a run without its `.parts` is checked by its file alone.

    Raises:
        FileProblem: the file can't be opened as a run at all.
    """
    checks: list[Check] = []

    def check(name: str, look: Callable[[], str]) -> None:
        try:
            checks.append(Check(name=name, ok=True, detail=look()))
        except (_Wrong, CryoctlError) as error:
            checks.append(Check(name=name, ok=False, detail=str(error)))
        except (OSError, ValueError, KeyError, AttributeError, IndexError) as error:
            checks.append(Check(name=name, ok=False, detail=f"damaged: {type(error).__name__}: {error}"))

    with open_run(path) as run:
        journal = _Journal(run)
        check("journal chain", journal.chain)
        fold = journal.fold
        if fold is not None:
            found = fold
            check("frames against the journal", lambda: _parts(run, found))
            check("exposure table against the journal", lambda: _table(run, found))
            check("ledger against the journal", lambda: _ledger(run, found))
        check("every frame has its row", lambda: _rows(run))
        if "image" in run:
            check("pictures", lambda: _pictures(run))
        if "edx" in run:
            check("EDX counts", lambda: _edx(run))
        check("ledger sums", lambda: _sums(run))
        check("dose limit", lambda: _limit(run))
        truth: dict[str, float] | None = None
        if "simulation/dose_map_e_per_a2" in run:
            truth = ledger_minus_truth(run)
            compared = truth
            check("ledger against truth", lambda: _truth(run, compared))
        frames = len(run.image) if "image" in run else 0
    return CheckReport(ok=all(one.ok for one in checks), checks=tuple(checks), frames=frames, ledger_minus_truth=truth)


def ledger_minus_truth(run: Run) -> dict[str, float]:
    """Dilated ledger minus true dose (e-/A^2), least and most, and the ratio of the sums, ledger undilated."""
    ledger, true = run.dose.map, np.asarray(run.truth.dose_map_e_per_a2, dtype=np.float64)
    difference = dilate(ledger, run.dose.grid.pixel_size_m, 3 * float(run.dose.position_sigma_m)) - true
    total = float(true.sum())
    return {
        "min": float(difference.min()),
        "max": float(difference.max()),
        "sum_ratio": float(ledger.sum()) / total if total > 0 else float("nan"),
    }


class _Journal:
    """The journal beside a run, `fold` None where it is missing or broken."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.fold: RunFold | None = None
        self._text: JournalText | None = None
        self._error: CryoctlError | None = None
        if run.parts.journal.exists():
            try:
                self._text = load_journal(run.parts.journal)
                self.fold = RunFold.of(self._text.records)
            except CryoctlError as error:
                self._error = error

    def chain(self) -> str:
        if self._error is not None:
            raise self._error
        if self._text is None:
            return f"{self._run.parts.folder.name} is not beside the file: only the file itself was checked"
        if self._run.packed:
            if self._text.head_sha != self._run.journal_head:
                raise _Wrong("the journal does not end with the record that the run file was packed from")
            if self._text.torn_bytes:
                raise _Wrong(f"{self._text.torn_bytes} bytes stand behind the last record of a run that ended")
        return f"{len(self._text.records)} records, each fits the one before"


def _parts(run: Run, fold: RunFold) -> str:
    if not run.parts.frames.is_dir() or not any(run.parts.frames.iterdir()):
        return "the segments were removed: the pictures in the file are checked against the checksums kept with them"
    reader = PartsReader(run.parts, fold)
    number = 0
    try:
        for stream in fold.frames:
            for record in fold.frame_records(stream):
                reader.read_frame(record)
                counts = [len(pixel) for pixel, _ in reader.read_events(record)]
                if record.get("edx") and counts != record["edx"]["counts"]:
                    raise _Wrong(f"{stream} frame {record['index']}: EDX counts differ from the journal's")
                number += 1
    finally:
        reader.close()
    return f"{number} frames match their checksums"


def _table(run: Run, fold: RunFold) -> str:
    stored = run.exposures
    for name, values in table(fold.rows()).items():
        found = stored[name]
        if isinstance(values, list):
            same = list(found) == values
        else:
            same = np.shape(found) == values.shape and np.array_equal(found, values, equal_nan=values.dtype.kind == "f")
        if not same:
            raise _Wrong(f"column {name} of the exposure table differs from the journal")
    return f"{len(fold.exposures)} exposures"


def _ledger(run: Run, fold: RunFold) -> str:
    kinds = run.dose.by_kind
    folded = fold.dose_by_kind()
    if sorted(folded) != kinds.keys():
        raise _Wrong(f"the ledger holds maps of {', '.join(kinds)}, the journal of {', '.join(sorted(folded))}")
    for kind, dose in folded.items():
        _same(dose, np.asarray(kinds[kind]), f"map of {kind}")
    return "the maps equal the sums of the journal's deposits"


def _rows(run: Run) -> str:
    exposures = run.exposures
    kinds, frames = list(exposures.kind), np.asarray(exposures.frame)
    recorded = sorted(int(frame) for kind, frame in zip(kinds, frames, strict=True) if kind == "record" and frame >= 0)
    n_frames = len(run.image) if "image" in run else 0
    if recorded != list(range(n_frames)):
        raise _Wrong(f"{n_frames} frames, but the exposure table names {len(recorded)} of them")
    numbers = np.asarray(exposures.exposure)
    for frame, exposure in enumerate(run.image.exposure if n_frames else []):
        row = np.flatnonzero(numbers == exposure)
        if row.size != 1 or int(frames[row[0]]) != frame:
            raise _Wrong(f"frame {frame} says exposure {exposure}, the exposure table says otherwise")
    if "edx" in run and len(run.edx.counts) != n_frames:
        raise _Wrong(f"{n_frames} pictures but {len(run.edx.counts)} EDX frames")
    return f"{n_frames} frames of {len(kinds)} exposures"


def _pictures(run: Run) -> str:
    number = 0
    for stream in ("image", "search", "focus", "track"):
        if stream not in run:
            continue
        pictures = getattr(run, stream)
        scans, counts, shapes = pictures.scans, pictures.scan_count, pictures.shape
        for frame, sha256 in enumerate(pictures.sha256):
            rows, columns = shapes[frame]
            raw = np.ascontiguousarray(scans[frame][: counts[frame], :rows, :columns], dtype="<u2")
            if hashlib.sha256(raw.tobytes()).hexdigest() != sha256:
                raise _Wrong(f"/{stream}/scans: frame {frame} does not match its checksum")
            number += 1
    return f"{number} pictures match their checksums"


def _edx(run: Run) -> str:
    edx = run.edx
    spectra = np.asarray(edx.spectra)
    n_channels = spectra.shape[1]
    total = 0
    for frame in range(len(spectra)):
        scans = edx.scan_events(frame)
        counts = [len(pixel) for pixel, _ in scans]
        if counts != [int(count) for count in edx.counts[frame][: len(scans)]]:
            raise _Wrong(f"/edx/events: frame {frame} is not whole")
        channel = np.concatenate([channel for _, channel in scans]) if scans else np.zeros(0, np.uint16)
        if not np.array_equal(np.bincount(channel[channel < n_channels], minlength=n_channels), spectra[frame]):
            raise _Wrong(f"/edx/events: the spectrum of frame {frame} differs from /edx/spectra")
        if "data" in edx:
            dense = edx["data"]["data"]
            height = dense.shape[1]
            step = dense.chunks[1] if dense.chunks else dense.shape[1]
            parts = [dense[frame, row : row + step].sum(axis=(0, 1), dtype=np.int64) for row in range(0, height, step)]
            found = np.sum(parts, axis=0)
            if not np.array_equal(found, spectra[frame]):
                raise _Wrong(f"/edx/data: the spectrum image of frame {frame} differs from its events")
        total += len(channel)
    return f"{total} events"


def _sums(run: Run) -> str:
    total = run.dose.prior.copy()
    kinds = run.dose.by_kind
    for kind in kinds:
        total += np.asarray(kinds[kind])
    _same(total, run.dose.map, "map")
    return f"peak {float(run.dose.map.max(initial=0.0)):.5g} e-/A^2"


def _limit(run: Run) -> str:
    limit = float(run.dose.limit_e_per_a2)
    sigma_m = float(run.dose.position_sigma_m)
    peak = float(dilate(run.dose.map, run.dose.grid.pixel_size_m, 3 * sigma_m).max(initial=0.0))
    if peak > limit * (1 + _RELATIVE):
        raise _Wrong(f"peak {peak:.5g} e-/A^2 is above the limit of {limit:.5g} e-/A^2")
    return f"peak {peak:.5g} of {limit:.5g} e-/A^2"


def _truth(run: Run, compared: dict[str, float]) -> str:
    true = np.asarray(run.truth.dose_map_e_per_a2, dtype=np.float64)
    peak, limit = float(true.max(initial=0.0)), float(run.dose.limit_e_per_a2)
    if peak > limit * (1 + _RELATIVE):
        raise _Wrong(f"the true dose reached {peak:.5g} e-/A^2, above the limit of {limit:.5g} e-/A^2")
    if compared["min"] < -_RELATIVE * max(peak, 1.0):
        raise _Wrong(f"the dilated ledger lies {-compared['min']:.4g} e-/A^2 below the truth somewhere")
    return f"nowhere below; sums agree to {compared['sum_ratio']:.4f}"


def _same(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], what: str) -> None:
    if one.shape != other.shape:
        raise _Wrong(f"{what} has another size than its grid")
    off = float(np.abs(one - other).max(initial=0.0))
    if not off <= _RELATIVE * max(1.0, float(np.abs(one).max(initial=0.0))):
        raise _Wrong(f"{what} of the ledger differs from its parts by {off:.4g} e-/A^2")
