"""What `check` asks of the values in a run file: rows and frames, pictures, EDX, sums of the ledger, limit, truth."""

from __future__ import annotations

import hashlib

import numpy as np
import numpy.typing as npt

from cryoctl.dose.ledger import dilate
from cryoctl.runfile.reader import Run

_RELATIVE = 1e-9
"""Rounding of sums of doses."""


class Wrong(Exception):
    """What a check found; the message is its detail."""


def ledger_minus_truth(run: Run) -> dict[str, float]:
    """Dilated ledger minus true dose (e-/A^2), least and most, and the ratio of the sums, ledger undilated."""
    ledger, true = run.dose.map, np.asarray(run.truth.dose_map_e_per_a2, dtype=np.float64)
    difference = _at_worst(run) - true
    total = float(true.sum())
    return {
        "min": float(difference.min()),
        "max": float(difference.max()),
        "sum_ratio": float(ledger.sum()) / total if total > 0 else float("nan"),
    }


def check_rows(run: Run) -> str:
    """Each frame of /image has one row of the exposure table, and that row names it."""
    exposures = run.exposures
    kinds, frames = list(exposures.kind), np.asarray(exposures.frame)
    recorded = sorted(int(frame) for kind, frame in zip(kinds, frames, strict=True) if kind == "record" and frame >= 0)
    n_frames = len(run.image) if "image" in run else 0
    if recorded != list(range(n_frames)):
        raise Wrong(f"{n_frames} frames, but the exposure table names {len(recorded)} of them")
    numbers = np.asarray(exposures.exposure)
    for frame, exposure in enumerate(run.image.exposure if n_frames else []):
        row = np.flatnonzero(numbers == exposure)
        if row.size != 1 or int(frames[row[0]]) != frame:
            raise Wrong(f"frame {frame} says exposure {exposure}, the exposure table says otherwise")
    if "edx" in run and len(run.edx.counts) != n_frames:
        raise Wrong(f"{n_frames} pictures but {len(run.edx.counts)} EDX frames")
    return f"{n_frames} frames of {len(kinds)} exposures"


def check_pictures(run: Run) -> str:
    """Scan frames against the SHA-256 that was taken of them when they were recorded."""
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
                raise Wrong(f"/{stream}/scans: frame {frame} does not match its checksum")
            number += 1
    return f"{number} pictures match their checksums"


def check_edx(run: Run) -> str:
    """Events, spectra and spectrum image hold the same counts."""
    edx = run.edx
    spectra = np.asarray(edx.spectra)
    n_channels = spectra.shape[1]
    total = 0
    for frame in range(len(spectra)):
        scans = edx.scan_events(frame)
        counts = [len(pixel) for pixel, _ in scans]
        if counts != [int(count) for count in edx.counts[frame][: len(scans)]]:
            raise Wrong(f"/edx/events: frame {frame} is not whole")
        channel = np.concatenate([channel for _, channel in scans]) if scans else np.zeros(0, np.uint16)
        if not np.array_equal(np.bincount(channel[channel < n_channels], minlength=n_channels), spectra[frame]):
            raise Wrong(f"/edx/events: the spectrum of frame {frame} differs from /edx/spectra")
        if "data" in edx:
            dense = edx["data"]["data"]
            height = dense.shape[1]
            step = dense.chunks[1] if dense.chunks else dense.shape[1]
            parts = [dense[frame, row : row + step].sum(axis=(0, 1), dtype=np.int64) for row in range(0, height, step)]
            found = np.sum(parts, axis=0)
            if not np.array_equal(found, spectra[frame]):
                raise Wrong(f"/edx/data: the spectrum image of frame {frame} differs from its events")
        total += len(channel)
    return f"{total} events"


def check_sums(run: Run) -> str:
    """The map is what earlier runs left and what each kind added."""
    total = run.dose.prior.copy()
    kinds = run.dose.by_kind
    for kind in kinds:
        total += np.asarray(kinds[kind])
    same(total, run.dose.map, "map")
    return f"peak {float(run.dose.map.max(initial=0.0)):.5g} e-/A^2"


def check_limit(run: Run) -> str:
    """No pixel of the dilated map above the limit, but where a beam could not be confirmed stopped."""
    limit = float(run.dose.limit_e_per_a2)
    peak = float(_at_worst(run).max(initial=0.0))
    if peak <= limit * (1 + _RELATIVE):
        return f"peak {peak:.5g} of {limit:.5g} e-/A^2"
    gated = peak
    if "unconfirmed_e_per_a2" in run.dose:
        gated = float(_at_worst(run, np.asarray(run.dose.unconfirmed_e_per_a2)).max(initial=0.0))
    if gated > limit * (1 + _RELATIVE):
        raise Wrong(f"peak {gated:.5g} e-/A^2 is above the limit of {limit:.5g} e-/A^2")
    return (
        f"peak {gated:.5g} of {limit:.5g} e-/A^2 as the gate allowed; {peak:.5g} with what is charged because a beam "
        "could not be confirmed stopped"
    )


def check_truth(run: Run, compared: dict[str, float]) -> str:
    """True dose within the limit, unless nothing could stop the beam (exit 6); nowhere above a whole dilated ledger."""
    true = np.asarray(run.truth.dose_map_e_per_a2, dtype=np.float64)
    peak, limit = float(true.max(initial=0.0)), float(run.dose.limit_e_per_a2)
    if peak > limit * (1 + _RELATIVE) and not _ended_unconfirmed(run):
        raise Wrong(f"the true dose reached {peak:.5g} e-/A^2, above the limit of {limit:.5g} e-/A^2")
    if "entry/recovered/ledger_whole" in run and not run.entry.recovered.ledger_whole:
        return "not compared: the journal was cut, the ledger lacks the dose of pictures whose records are lost"
    if compared["min"] < -_RELATIVE * max(peak, 1.0):
        raise Wrong(f"the dilated ledger lies {-compared['min']:.4g} e-/A^2 below the truth somewhere")
    return f"nowhere below; sums agree to {compared['sum_ratio']:.4f}"


def _ended_unconfirmed(run: Run) -> bool:
    """Whether a session ended with its safe state not confirmed: then nothing could stop the beam."""
    ends = zip(run.entry.events.event, run.entry.events.name, strict=True)
    return any(event == "end" and name == "safe-state-unconfirmed" for event, name in ends)


def same(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64], what: str) -> None:
    """Raises `Wrong` where two maps differ by more than rounding."""
    if one.shape != other.shape:
        raise Wrong(f"{what} has another size than its grid")
    off = float(np.abs(one - other).max(initial=0.0))
    if not off <= _RELATIVE * max(1.0, float(np.abs(one).max(initial=0.0))):
        raise Wrong(f"{what} of the ledger differs from its parts by {off:.4g} e-/A^2")


def _at_worst(run: Run, without: npt.NDArray[np.float64] | float = 0.0) -> npt.NDArray[np.float64]:
    """The ledger with places at their worst: dilated, or with each exposure wherever it may lie by itself.

    Args:
        without: [y, x], taken off before.
    """
    if "scattered_e_per_a2" not in run.dose:
        return _dilated(run, run.dose.map - without)
    pixel_size_m, reach_m = run.dose.grid.pixel_size_m, 3 * float(run.dose.prior_sigma_m)
    prior = dilate(run.dose.prior, pixel_size_m, min(reach_m, max(run.dose.prior.shape) * pixel_size_m))
    return np.asarray(run.dose.scattered_e_per_a2) + prior - without


def _dilated(run: Run, ledger: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """By three of the largest position sigma, at most by the whole map: the numbers may have been changed."""
    pixel_size_m = run.dose.grid.pixel_size_m
    return dilate(ledger, pixel_size_m, min(3 * float(run.dose.position_sigma_m), max(ledger.shape) * pixel_size_m))
