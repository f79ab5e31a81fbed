"""/entry, the NXem part: what was run, every exposure, the ledger, monitors, events, targets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.runfile.bias_group import write_monitors
from cryoctl.runfile.exposure_table import table
from cryoctl.runfile.fold import RunFold
from cryoctl.runfile.h5 import H5Group
from cryoctl.runfile.tree import put, unit_of

DEFINITION_VERSION = "v2024.02"


def write_head(root: H5Group, head: Mapping[str, Any], status: str) -> H5Group:
    """/entry with what is known before the first exposure."""
    entry = root.group("entry", "NXentry")
    entry.write("definition", "NXem", version=DEFINITION_VERSION)
    for name in ("title", "recipe", "recipe_source", "instrument", "run", "protocol", "specimen", "operator"):
        entry.write(name, str(head.get(name) or ""))
    entry.write("start_time", str(head["utc"]))
    entry.write("status", status)
    entry.write("seed", int(head["seed"]))
    entry.write("format_version", int(head["format_version"]))
    versions = {name.replace("-", "_"): version for name, version in (head.get("software") or {}).items()}
    put(root, "entry/software", versions)  # a dash is no valid name in NeXus
    put(root, "entry/simulation_settings", json.dumps(head.get("simulation") or {}, sort_keys=True))
    put(root, "entry/facts", json.dumps(head.get("facts") or {}, sort_keys=True))
    put(root, "entry/devices", json.dumps(head.get("devices") or {}, sort_keys=True))
    if head.get("replay_of"):
        entry.write("replay_of", str(head["replay_of"]))
    put(root, "entry/planned", head.get("planned") or {})
    put(root, "entry/planned_peak_e_per_a2", head.get("planned_peak_e_per_a2"))
    foretold: Mapping[str, Any] = head.get("predicted") or {}
    put(root, "entry/predicted", {name: value for name, value in foretold.items() if value is not None})
    put(root, "entry/voltage_v", head.get("voltage_v"))
    put(root, "entry/durable", head.get("durable"))
    put(root, "entry/simulated", bool(head.get("simulated", False)))
    edx = head.get("edx") or {}
    sample = entry.group("sample", "NXsample")
    sample.write("name", str(head.get("specimen") or "unnamed"))
    prepared = str(head.get("specimen_prepared") or "")
    known = {} if prepared else {"comment": "not recorded: a placeholder, NXem asks for a date"}
    sample.write("preparation_date", prepared or "1970-01-01T00:00:00+00:00", **known)
    sample.write("atom_types", ", ".join(edx.get("elements", [])) or "unknown")
    sample.write("is_simulation", bool(head.get("simulated", False)))
    entry.link("sampleID", "/entry/sample")  # NXem's literal name, which nexusformat asks for
    for name, area in (head.get("areas") or {}).items():
        put(root, f"entry/areas/{name}", area)
    return entry


def write_entry(
    root: H5Group, fold: RunFold, by_kind: Mapping[str, npt.NDArray[np.float64]], prior: npt.NDArray[np.float64] | None
) -> None:
    """The whole of /entry of a run as folded."""
    head, end = fold.head, fold.end or {}
    entry = write_head(root, head, fold.status)
    entry.write("end_time", _later(str(head["utc"]), fold.time_s))
    entry.write("end_reason", str(end.get("end_reason") or ""))
    entry.write("message", str(end.get("message") or ""))
    entry.write("exit_code", int(end["exit_code"]) if end.get("exit_code") is not None else -1)
    entry.write("duration_s", fold.time_s, units="s")
    entry.write("state", fold.state)
    entry.set_attrs(journal_head=fold.journal_head)  # no dataset: it hangs on the time of day, equal runs are equal
    entry.write("journal_records", fold.n_records)
    sessions = entry.group("sessions", "NXcollection")
    sessions.write("start_s", np.array([one["start_s"] for one in fold.sessions], dtype=np.float64), units="s")
    sessions.write("end_s", np.array([one.get("end_s", np.nan) for one in fold.sessions], dtype=np.float64), units="s")
    sessions.write("reason", [str(one["reason"]) for one in fold.sessions])
    sessions.write("utc", [str(one["utc"]) for one in fold.sessions])
    exposures = entry.group("exposures", "NXcollection")
    for name, values in table(fold.rows()).items():
        unit = unit_of(name)
        exposures.write(name, values, **({"units": unit} if unit else {}))
    exposures.write("exposure", np.array(sorted(fold.exposures), dtype=np.int32))
    _write_steps(entry, fold)
    _write_dose(entry, fold, by_kind, prior)
    write_monitors(entry, fold)
    events = entry.group("events", "NXcollection")
    events.write("time_s", np.array([event["time_s"] for event in fold.events], dtype=np.float64), units="s")
    for name in ("event", "level", "name", "message"):
        events.write(name, [str(event[name]) for event in fold.events])
    events.write("data", [json.dumps(event["data"], sort_keys=True) for event in fold.events])
    targets = entry.group("targets", "NXcollection")
    for name in ("name", "outcome", "reason"):
        targets.write(name, [str(target[name]) for target in fold.targets.values()])


def _write_steps(entry: H5Group, fold: RunFold) -> None:
    """Every decision of the protocol in its order: what it asked for, and what it was told."""
    steps = list(fold.steps.values())
    if not steps:
        return
    group = entry.group("steps", "NXcollection")
    group.write("time_s", np.array([one.began_s for one in steps], dtype=np.float64), units="s")
    group.write("done_s", np.array([one.done_s for one in steps], dtype=np.float64), units="s")
    for name, values in (
        ("step", [str(one.step["is"]) for one in steps]),
        ("outcome", [one.outcome for one in steps]),
        ("fingerprint", [one.fingerprint for one in steps]),
    ):
        group.write(name, values)
    lines = [
        json.dumps({"step": one.step, "result": one.result, "error": one.error}, sort_keys=True, separators=(",", ":"))
        for one in steps
    ]
    text = "".join(f"{line}\n" for line in lines).encode()
    group.write("records", np.frombuffer(text, dtype=np.uint8), encoding="UTF-8, one JSON object a line and step")


def _write_dose(
    entry: H5Group,
    fold: RunFold,
    by_kind: Mapping[str, npt.NDArray[np.float64]],
    prior: npt.NDArray[np.float64] | None,
) -> None:
    grid = fold.grid
    total = np.zeros(grid.shape) if prior is None else prior.copy()
    for kind in sorted(by_kind):
        total += by_kind[kind]
    unit = "1/angstrom^2"
    dose = entry.group("dose", "NXcollection")
    dose.write("map_e_per_a2", total, units=unit)
    kinds = dose.group("by_kind", "NXcollection")
    for kind in sorted(by_kind):
        kinds.write(kind, by_kind[kind], units=unit)
    dose.write("prior_e_per_a2", np.zeros(grid.shape) if prior is None else prior, units=unit)
    dose.write("pixel_size_m", grid.pixel_size_m, units="m")
    dose.write("origin_m", np.array([grid.origin_y_m, grid.origin_x_m]), units="m", order="y, x of pixel (0, 0)")
    dose.write("limit_e_per_a2", fold.limit_e_per_a2, units=unit)
    dose.write("position_sigma_m", fold.position_sigma_m, units="m")
    told = fold.head["dose"]
    dose.write("prior_sigma_m", float(told.get("prior_sigma_m") or 0.0), units="m")
    dose.write("prior_runs", str(told.get("prior") or ""))
    dose.write("known", bool(told.get("known", True)))
    dose.write("uncertainty", charge_uncertainty(fold))
    unconfirmed = fold.unconfirmed_dose()
    if unconfirmed is not None:
        dose.write("unconfirmed_e_per_a2", unconfirmed, units=unit)
    scattered = fold.scattered_dose()
    if scattered is not None:
        dose.write("scattered_e_per_a2", scattered, units=unit)


def charge_uncertainty(fold: RunFold) -> float:
    """By how much charged doses exceed the best estimate, relative, at the largest; NaN where nothing tells.

    The ledger charges the upper current: charge over (current times time with the beam on the field).
    """
    found = [0.0]
    for exposure in fold.exposures.values():
        row = exposure.row
        upper, current = row.get("upper_current_a"), row.get("beam_current_a")
        if isinstance(upper, float) and isinstance(current, float) and current > 0:
            found.append(upper / current - 1.0)
    return max(found) if len(found) > 1 else float("nan")


def _later(start: str, seconds: float) -> str:
    try:
        return (datetime.fromisoformat(start) + timedelta(seconds=seconds)).isoformat()
    except ValueError:
        return ""
