"""Numbers as a person at the microscope reads them; ASCII only."""

from __future__ import annotations

import math

_BYTES = ("bytes", "kB", "MB", "GB", "TB")


def duration(seconds: float) -> str:
    """`2 h 05 min`, `3 min 20 s`, `12.5 s`."""
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(count: float) -> str:
    """`12.3 MB` (powers of 1000)."""
    if not math.isfinite(count):
        return "unknown"
    value, unit = float(count), 0
    while value >= 999.5 and unit < len(_BYTES) - 1:
        value /= 1000
        unit += 1
    return f"{value:.0f} {_BYTES[unit]}" if unit == 0 else f"{value:.3g} {_BYTES[unit]}"


def dose(value: float | None) -> str:
    """`44,300 e-/A^2`, `0.52 e-/A^2`; `no limit` for infinity, `unknown` for NaN."""
    if value is None or math.isnan(value):
        return "unknown"
    if math.isinf(value):
        return "no limit"
    return f"{value:,.0f} e-/A^2" if value >= 1000 else f"{value:.3g} e-/A^2"


def number(value: float) -> str:
    """Four significant figures, thousands separated."""
    if not math.isfinite(value):
        return "unknown"
    if value == int(value) and abs(value) < 1e12:
        return f"{int(value):,}"
    return f"{value:,.0f}" if 1e4 <= abs(value) < 1e9 else f"{value:.4g}"


def many(count: int, thing: str) -> str:
    """`1 frame`, `41 frames`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
