"""The end of a run in a dozen lines, from the same dictionary that `--json` prints."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Mapping
from typing import Any, cast

from cryoctl.cli import cell_rows, wording
from cryoctl.cli.output import is_terminal, put

Row = tuple[str, str]

MOST_VALUES = 4
_FIRST = ("ratio", "found", "verdict", "dead_fraction", "fraction")
_SILENT = (
    "_sigma",
    "_low",
    "_high",
    "centre_y_m",
    "centre_z_m",
    "axis_y_m",
    "axis_z_m",
    "segments",
    "dimensions",
    "threshold",
)
_SCALED = {
    "_e_per_a2_s": (" e-/A^2/s", 1.0),
    "_e_per_a2": (" e-/A^2", 1.0),
    "_rate_a2": (" A^2/e-", 1.0),
    "_m_per_s": (" nm/s", 1e9),
    "_per_s": (" /s", 1.0),
    "_per_m2": ("/m2", 1.0),
    "_m3": (" um3", 1e18),
    "_m": (" nm", 1e9),
    "_s": (" s", 1.0),
    "_a": (" pA", 1e12),
    "_v": (" V", 1.0),
    "_c": (" pC", 1e12),
    "_w": (" pW", 1e12),
    "_ohm": (" GOhm", 1e-9),
}
"""Unit and factor by how a name ends; the first that fits counts."""
_OWN_ROWS = {"jv": cell_rows.curves, "facets": cell_rows.facets, "cause": cell_rows.cause}


def show(summary: Mapping[str, Any]) -> None:
    """Print the summary to stdout: a table on a terminal, aligned plain text elsewhere."""
    rows = list(rows_of(summary))
    if is_terminal(sys.stdout):
        _show_table(rows)
        return
    width = max((len(name) for name, _ in rows), default=0)
    for name, text in rows:
        put(f"{name:<{width}}  {text}")


def rows_of(summary: Mapping[str, Any]) -> Iterator[Row]:
    """Name and text of each line; what a summary does not have is left out."""
    yield from _ending(summary)
    yield from _amounts(summary)
    yield from _dose(summary.get("dose") or {})
    counts: Mapping[str, float] = summary.get("counts") or {}
    if counts:
        yield "net counts", ", ".join(f"{element} {wording.number(float(n))}" for element, n in counts.items())
    for target in summary.get("targets") or ():
        reason = f" ({target['reason']})" if target.get("reason") else ""
        yield f"target {target.get('name')}", f"{target.get('outcome')}{reason}"
    for met in summary.get("interlocks") or ():
        yield f"interlock {met.get('name')}", f"at {wording.duration(float(met['time_s']))}: {met.get('outcome')}"
    for said in summary.get("operator") or ():
        how, _, words = str(said["message"]).removeprefix("operator ").partition(": ")
        yield "operator", f"at {wording.duration(float(said['time_s']))}: {words} {how}"
    yield from _results(summary.get("results") or {})
    for warning in summary.get("warnings") or ():
        yield "warning", " ".join(str(warning).split())
    if summary.get("finish_time"):
        yield "started now, ends", str(summary["finish_time"]).replace("T", " ")


def _ending(summary: Mapping[str, Any]) -> Iterator[Row]:
    status, reason = summary.get("status"), summary.get("end_reason")
    if status:
        yield "status", f"{status} ({reason})" if reason and reason != status else str(status)
    if summary.get("message"):
        yield "message", " ".join(str(summary["message"]).split())


def _amounts(summary: Mapping[str, Any]) -> Iterator[Row]:
    lasted, wall_s = _real(summary.get("duration_s")), _real(summary.get("wall_s"))
    if lasted is not None:
        took = [wording.duration(lasted)]
        predicted = _real((summary.get("predicted") or {}).get("duration_s"))
        took += [f"predicted {wording.duration(predicted)}"] if predicted is not None else []
        took += [f"computed in {wording.duration(wall_s)}"] if wall_s is not None else []
        yield "duration", ", ".join(took)
    if summary.get("frames") is not None:
        skipped, size = summary.get("frames_skipped") or 0, _real(summary.get("bytes"))
        text = wording.many(int(summary["frames"]), "frame")
        text += f", {skipped} skipped" if skipped else ""
        text += f", {wording.size(size)}" if size is not None else ""
        yield "data", text
    free, nitrogen = _real(summary.get("disk_free_bytes")), _real(summary.get("nitrogen_left_s"))
    if free is not None:
        yield "disk free", wording.size(free)
    if nitrogen is not None:
        yield "nitrogen", f"{wording.duration(max(0.0, nitrogen))} left at the end"
    if summary.get("seed") is not None:
        yield "seed", str(summary["seed"])


def _dose(dose: Mapping[str, Any]) -> Iterator[Row]:
    if not dose:
        return
    peak, limit = _real(dose.get("peak")), _real(dose.get("limit"))
    text = wording.dose(peak) if peak is not None else "unknown (no current or dwell in the data)"
    if limit:
        text += f" of {wording.dose(limit)}"
        text += f" ({100 * peak / limit:.0f} %)" if peak is not None else ""
    yield "dose peak", text
    peaks = {kind: _peak(value) for kind, value in (dose.get("by_kind") or {}).items()}
    spent = [f"{kind} {wording.number(value)}" for kind, value in peaks.items() if value > 0]
    if spent:
        yield "dose by kind", ", ".join(spent) + " e-/A^2"


def _peak(value: Any) -> float:
    return _real(cast("Mapping[str, Any]", value).get("peak") if isinstance(value, Mapping) else value) or 0.0


def _results(results: Mapping[str, Any]) -> Iterator[Row]:
    """A row a result: its numbers with their uncertainties, lengths in nm; profiles and traces stand in the file."""
    for name, values in results.items():
        if not isinstance(values, Mapping):
            continue
        told = cast("Mapping[str, Any]", values)
        if name.startswith("calibration_"):
            yield name.replace("_", " "), _calibration(told)
            continue
        if name in ("particles", "half_cycles", "current"):
            yield from {"particles": _particles, "half_cycles": _half_cycles, "current": _current}[name](told, results)
            continue
        if name in _OWN_ROWS:
            yield from _OWN_ROWS[name](told)
            continue
        keys = sorted((key for key in told if not key.endswith(_SILENT)), key=lambda key: key not in _FIRST)
        texts = [_quantity(key, told) for key in keys]
        shown = [text for text in texts if text][:MOST_VALUES]
        if shown:
            yield name.replace("_", " "), ", ".join(shown)


def _particles(told: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[Row]:
    """Those in contact and biased a row each, the controls in one."""
    del results
    ratios = [_bounded(told, "expansion", k) for k in range(len(told.get("name") or ()))]
    for k, name in enumerate(told.get("name") or ()):
        if not told["control"][k]:
            text = f"A/A0 {ratios[k]}" if ratios[k] else "not measured"
            rate, coating = _bounded(told, "rate_per_s", k), str(told["coating"][k])
            broken = f" after {_bounded(told, 'broken_s', k)} s" if coating == "broken" else ""
            yield f"particle {name}", f"{text}{f', rate {rate} /s' if rate else ''}, coating {coating}{broken}"
    controls = [
        f"{name} {ratios[k]}" for k, name in enumerate(told.get("name") or ()) if told["control"][k] and ratios[k]
    ]
    if controls:
        yield "control particles", "A/A0 " + ", ".join(controls)


def _half_cycles(told: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[Row]:
    """Of the particle in contact."""
    control = (results.get("particles") or {}).get("control") or ()
    for k, is_control in enumerate(control):
        for h, voltage in enumerate(() if is_control else told.get("voltage_v") or ()):
            row = {key: value[k] for key, value in told.items() if key.startswith(("change", "rate_per_s"))}
            rate = _bounded(row, "rate_per_s", h)
            text = f"at {wording.number(voltage)} V A/A0 changed by {_bounded(row, 'change', h)}"
            yield f"half cycle {h + 1}", f"{text}{f', rate {rate} /s' if rate else ''}"


def _current(told: Mapping[str, Any], results: Mapping[str, Any]) -> Iterator[Row]:
    del results
    yield "current", f"{told.get('verdict')}: {told.get('message')}"


def _bounded(told: Mapping[str, Any], key: str, k: int) -> str:
    """`1.51 (1.48 to 1.54)`, empty where it is not known."""
    found = [_real(told[f"{key}{end}"][k]) for end in ("", "_low", "_high")]
    value, low, high = (None if one is None else wording.number(float(f"{one:.4g}")) for one in found)
    return "" if value is None else f"{value} ({low} to {high})"


def _calibration(values: Mapping[str, Any]) -> str:
    """`251 nm +- 9.08 nm`, the bound at two sigma."""
    from cryoctl.units import format_quantity

    unit = str(values.get("unit") or "1")
    given = values.get("value")
    numbers = cast("list[float]", given) if isinstance(given, list | tuple) else [_real(given) or 0.0]
    told = ", ".join(format_quantity(float(f"{float(one):.4g}"), unit) for one in numbers)
    bound = _real(values.get("uncertainty"))
    return told if bound is None else f"{told} +- {format_quantity(float(f'{bound:.3g}'), unit)}"


def _quantity(key: str, values: Mapping[str, Any]) -> str:
    """`along beam 239 nm +- 5`; empty for what is no single value."""
    unit, factor = ("", 1.0)
    label = key
    for suffix, (unit_, factor_) in _SCALED.items():
        if key.endswith(suffix):
            label, unit, factor = key.removesuffix(suffix), unit_, factor_
            break
    label = label.replace("_", " ")
    value = values[key]
    number = _real(value)
    if key == "found" and number is not None:
        return f"found {'yes' if number else 'no'}"
    if number is None:
        return f"{label} {_value(value)}" if isinstance(value, bool | str) and value != "" else ""
    text = f"{label} {wording.number(number * factor)}{unit}"
    sigma, low, high = (_real(values.get(f"{key}_{bound}")) for bound in ("sigma", "low", "high"))
    if sigma is not None:
        return f"{text} +- {wording.number(float(f'{sigma * factor:.2g}'))}"
    if low is not None and high is not None:
        return f"{text} ({wording.number(low * factor)} to {wording.number(high * factor)})"
    return text


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if isinstance(value, int | float):
        return wording.number(float(value))
    if isinstance(value, list | tuple) and 0 < len(cast("list[Any]", value)) <= 8:
        return ", ".join(_value(one) for one in cast("list[Any]", value))
    return ""


def _real(value: Any) -> float | None:
    """A finite number, or None for anything else."""
    known = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return float(value) if known else None


def _show_table(rows: list[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column()
    colours = {"completed": "green", "limited": "yellow", "aborted": "yellow", "faulted": "bold red"}
    for name, text in rows:
        style = colours.get(text.split(" ")[0], "") if name == "status" else ("yellow" if name == "warning" else "")
        table.add_row(name, Text(text, style=style))
    Console(highlight=False).print(table)
