"""Results of a series under a needle: particles, current, half cycles, controls, from what the journal holds.

What the pictures said while the run went on is taken from the journal; a picture that was not analysed then is now.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.current_verdict import Biased, Watched, current_verdict
from cryoctl.analysis.half_cycles import half_cycle_table, half_cycles
from cryoctl.analysis.needle_view import Side
from cryoctl.analysis.particle_growth import growth
from cryoctl.analysis.particle_live import follow_live, is_open, kept, unpacked, widened_px
from cryoctl.analysis.particle_series import Course, courses, is_sequence
from cryoctl.analysis.particle_table import name_of, of_particles, particle_table
from cryoctl.engine.compute import as_plain
from cryoctl.runfile.exposure_table import number
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.journal import Record
from cryoctl.runfile.parts import PartsReader
from cryoctl.runfile.registered import registered_sum
from cryoctl.runfile.source_samples import SourceTrace
from cryoctl.steps.codec import unplain

Float = npt.NDArray[np.float64]
Results = dict[str, dict[str, Any]]

FOLLOW = "analysis.particle_live:follow_live"
_SWITCHED_ON = "output on"


@dataclass(frozen=True, slots=True, eq=False)
class _Seen:
    """What each record frame said, in their order, with its time (s), the dose so far and its own (e-/A^2)."""

    told: list[Mapping[str, Any]]
    time_s: Float
    dose_e_per_a2: Float
    spent_e_per_a2: Float
    onset_s: float
    """NaN where no bias came on."""
    touched: int


def particle_results(reader: PartsReader, side: Side) -> tuple[Results, npt.NDArray[np.int32] | None]:
    """Results by name, and labels [frame, y, x]; nothing where no frame shows a whole particle, no labels where the
    frames differ in shape."""
    fold = reader.fold
    records = fold.frame_records("image")
    if not records:
        return {}, None
    seen = _seen(reader, records, side)
    states = [kept(one)[0] for one in seen.told]
    onset_s = seen.onset_s if math.isfinite(seen.onset_s) else float(seen.time_s[0])
    found = courses(states, seen.time_s.tolist(), onset_s) if is_sequence(states) else []
    results: Results = {}
    touched = seen.touched if math.isfinite(seen.onset_s) else 0
    target = next((one for one in found if one.number == seen.touched), None)
    if found:
        results["particles"] = particle_table(
            found,
            time_s=seen.time_s,
            frame=[int(record["index"]) for record in records],
            dose_e_per_a2=seen.dose_e_per_a2,
            pixel_size_m=_pixel_m(fold, records[0]),
            touched=touched,
        )
        results |= _controls(seen, target)
    trace = _since(fold.sampled.trace(), seen.onset_s)
    if trace is not None and found and len(halves := half_cycles(trace.time_s, trace.voltage_v)) > 1:
        results["half_cycles"] = {
            "name": [name_of(one.number) for one in found],
            **half_cycle_table(found, halves, seen.time_s),
        }
    watched = None if target is None else _watched(seen, target)
    results["current"] = dataclasses.asdict(current_verdict(None if trace is None else _biased(fold, trace), watched))
    return results, _labels(reader, records, seen, found)


def _seen(reader: PartsReader, records: list[Record], side: Side) -> _Seen:
    fold = reader.fold
    live = _told_live(fold)
    told: list[Mapping[str, Any]] = []
    for k, record in enumerate(records):
        known = live.get(int(record["index"]))
        if known is None:
            before = told[-1]["state"] if told else None
            earlier = _picture(reader, records[k - 1]) if told else None
            known = as_plain(follow_live(_picture(reader, record), earlier, before=before, side=side))
        told.append(known)
    rows = [fold.exposures[int(record["exposure"])].row for record in records]
    onsets = [float(row["time_s"]) for row in fold.events if row["message"] == _SWITCHED_ON]
    return _Seen(
        told,
        np.array([number(row.get("time_s")) for row in rows]),
        np.array([number(row.get("cumulative_dose_e_per_a2")) for row in rows]),
        np.array([number(row.get("dose_e_per_a2")) for row in rows]),
        onsets[0] if onsets else math.nan,
        int(told[-1]["state"]["touched"]),
    )


def _told_live(fold: RunFold) -> dict[int, Mapping[str, Any]]:
    """By record frame, what was computed of it while the run went on."""
    found: dict[int, Mapping[str, Any]] = {}
    for one in fold.steps.values():
        if one.step.get("is") == "Compute" and one.step.get("function") == FOLLOW and one.outcome == "done":
            assert one.result is not None
            found[int(one.step["frames"][0]["index"])] = unplain(one.result["values"])
    return found


def _picture(reader: PartsReader, record: Record) -> npt.NDArray[np.float32]:
    return registered_sum(reader.read_frame(record), record["shifts_px"]).astype(np.float32)


def _pixel_m(fold: RunFold, record: Record) -> float:
    return number(fold.exposures[int(record["exposure"])].row.get("pixel_size_m"))


def _labels(
    reader: PartsReader, records: list[Record], seen: _Seen, found: list[Course]
) -> npt.NDArray[np.int32] | None:
    shapes = {reader.frame_shape(record)[1:] for record in records}
    if len(shapes) > 1:
        return None
    shape = shapes.pop()
    return np.stack([of_particles(unpacked(str(one["labels"]), shape), found) for one in seen.told])


def _controls(seen: _Seen, target: Course | None) -> Results:
    """The particle in contact before the bias came on, and the doses with and without it."""
    if target is None:
        return {}
    onset_s = seen.onset_s if math.isfinite(seen.onset_s) else math.inf
    before = np.flatnonzero((seen.time_s <= onset_s) & np.isfinite(target.area_px2))
    if before.size < 2:
        return {}
    times, areas, sigmas = (one[before] for one in (seen.time_s, target.area_px2, target.sigma_px2))
    found = growth(times, areas, sigmas, float(times[0]), target.edge_px)
    if found is None:
        return {}
    biased = seen.time_s > onset_s
    return {
        "unbiased_in_contact": {
            "name": name_of(target.number),
            "frames": int(before.size),
            "expansion": found.expansion,
            "expansion_low": found.expansion_low,
            "expansion_high": found.expansion_high,
            "dose_e_per_a2": float(seen.spent_e_per_a2[~biased].sum()),
            "biased_dose_e_per_a2": float(seen.spent_e_per_a2[biased].sum()),
        }
    }


def _watched(seen: _Seen, target: Course) -> Watched:
    onset_s = seen.onset_s if math.isfinite(seen.onset_s) else math.inf
    wider = widened_px([number(one["gap_px"]) for one in seen.told], seen.time_s, onset_s)
    found = target.growth
    return Watched(
        time_s=seen.time_s,
        ratio=target.area_px2 / (found.area0 if found is not None else math.nan),
        expansion_low=found.expansion_low if found is not None else math.nan,
        expansion_high=found.expansion_high if found is not None else math.nan,
        gap_open=is_open(wider),
    )


def _since(trace: SourceTrace | None, onset_s: float) -> SourceTrace | None:
    """Without what was sampled before the bias came on, while the contact was probed."""
    if trace is None:
        return None
    biased = np.isin(trace.period, np.unique(trace.period[trace.time_s >= onset_s]))
    return trace.where(biased) if biased.any() else None


def _biased(fold: RunFold, trace: SourceTrace) -> Biased:
    rows = fold.rows()
    starts = np.array([number(row.get("time_s")) for row in rows])
    ends = starts + np.nan_to_num(np.array([number(row.get("duration_s")) for row in rows]))
    order = np.argsort(starts)
    at = np.searchsorted(starts[order], trace.time_s, side="right") - 1
    beam_on = (at >= 0) & (trace.time_s <= ends[order][np.maximum(at, 0)])
    devices: Mapping[str, Any] = fold.head.get("devices") or {}
    source: Mapping[str, Any] = (devices.get(fold.sampled.name) or {}).get("capabilities") or {}
    limits = [one.result for one in fold.steps.values() if one.step.get("is") == "SetBiasLimits" and one.result]
    return Biased(
        time_s=trace.time_s,
        voltage_v=trace.voltage_v,
        current_a=trace.current_a,
        in_compliance=trace.in_compliance,
        beam_on=beam_on,
        offset_bound_a=number(source.get("offset_a", 0.0)),
        compliance_a=number(limits[-1].get("compliance_a")) if limits else math.nan,
    )
