"""From a run of `calibrate` to the `calibrations` of an instrument file."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cryoctl.calibration import KINDS, Calibration, moment
from cryoctl.clock.wall import utc_now
from cryoctl.errors import FileProblem, InstrumentError
from cryoctl.instrument import Instrument, load_instrument, parse_instrument
from cryoctl.recipe.wording import sentence
from cryoctl.runfile.reader import open_run
from cryoctl.units import quoted

_RESULT = "calibration_"
_TOP = re.compile(r"^[A-Za-z_]", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged:
    """`kept` are sentences about measured values that were left out because the file's own is known better."""

    calibrations: tuple[Calibration, ...]
    kept: tuple[str, ...]


def measured(run_file: Path, expires: str | None = None) -> tuple[Calibration, ...]:
    """What a run of `calibrate` found, by kind.

    Raises:
        FileProblem: the run measured no calibration.
        CalibrationError: `expires` is no date, or before the measurement.
    """
    found: list[Calibration] = []
    with open_run(run_file) as run:
        results = run.results if "results" in run else {}
        date = str(run.entry.start_time)[:10]
        for kind, (unit, _) in KINDS.items():
            if _RESULT + kind not in results:
                continue
            values: Any = results[_RESULT + kind]
            numbers = tuple(float(one) for one in values.value)
            found.append(
                Calibration(
                    name=kind,
                    kind=kind,
                    value=numbers,
                    uncertainty=float(values.uncertainty),
                    unit=unit,
                    date=date,
                    expires=expires,
                    method=f"cryoctl run calibrate, {run.path.name}",
                )
            )
    if not found:
        raise sentence(f"{run_file.name}: holds no calibration; give a file of `cryoctl run calibrate`", FileProblem)
    return tuple(found)


def merge(found: tuple[Calibration, ...], instrument: Instrument) -> Merged:
    """The file's calibrations with the measured ones in their place; what the file knows better, and still may, stays.

    A measured value that contradicts the file's (beyond both uncertainties) always replaces it.
    """
    now = utc_now()
    own = {one.kind: one for one in instrument.file.calibration_set().by_name.values()}
    kept: list[str] = []
    for one in found:
        before = own.get(one.kind)
        if before is not None:
            in_force = before.expires is None or moment(before.expires, before.name) > now
            apart = max(abs(a - b) for a, b in zip(before.value, one.value, strict=True))
            if in_force and before.uncertainty < one.uncertainty >= apart - before.uncertainty:
                kept.append(f"{before.describe()} is kept: known better, and {one.describe()} agrees")
                continue
            own[one.kind] = replace(one, name=before.name)
        else:
            own[one.kind] = one
    return Merged(calibrations=tuple(own.values()), kept=tuple(kept))


def block(calibrations: tuple[Calibration, ...]) -> str:
    """`calibrations:` as an instrument file has it, one line each."""
    return "".join(["calibrations:\n", *(f"  {one.name}: {_line(one)}\n" for one in calibrations)])


def _line(one: Calibration) -> str:
    numbers = [float(f"{value:.7g}") for value in one.value]
    fields = [] if one.name == one.kind else [f"kind: {one.kind}"]
    fields += [f"value: {json.dumps(numbers[0] if len(numbers) == 1 else numbers)}"]
    fields += [f"uncertainty: {float(f'{one.uncertainty:.3g}')!r}", f"date: {json.dumps(one.date)}"]
    fields += [f"expires: {json.dumps(one.expires)}"] if one.expires is not None else []
    fields += [f"method: {json.dumps(one.method)}"] if one.method else []
    return "{" + ", ".join(fields) + "}"


def updated(source: str | Path, found: tuple[Calibration, ...]) -> tuple[str, Merged]:
    """The text of an instrument file with its `calibrations` replaced, all else as it was written.

    Raises:
        InstrumentError, FileProblem: the file is wrong.
    """
    instrument = load_instrument(source, check_drivers=False)
    merged = merge(found, instrument)
    text = instrument.text.replace("\r\n", "\n").removeprefix("\ufeff")
    start = re.search(r"^calibrations:.*$", text, re.MULTILINE)
    if start is None:
        changed = text.rstrip("\n") + "\n\n" + block(merged.calibrations)
    else:
        after = _TOP.search(text, start.end())
        rest = "" if after is None else "\n" + text[after.start() :]
        changed = text[: start.start()] + block(merged.calibrations) + rest
    again = parse_instrument(changed, instrument.origin, check_drivers=False)
    if set(again.file.calibration_set().by_name) != {one.name for one in merged.calibrations}:
        text_ = f"{quoted(instrument.origin)}: its calibrations can't be replaced in place: write the block in by hand"
        raise sentence(text_, InstrumentError)
    return changed, merged
