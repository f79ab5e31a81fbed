"""What a summary tells of a cell on a chip: its curves before and after, which facets fade first, and the cause."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from cryoctl.cli import wording

Row = tuple[str, str]
_FADING = ("rank", "name", "onset_s", "onset_s_low", "onset_s_high")


def curves(told: Mapping[str, Any]) -> Iterator[Row]:
    """A row each part of the run: means over its sweeps."""
    parts = [str(one) for one in told.get("when") or ()]
    for part in dict.fromkeys(parts):
        means = {
            name: _mean(told.get(name) or (), parts, part) for name in ("voc_v", "jsc_a", "fill_factor", "hysteresis")
        }
        texts = (
            _text("Voc", means["voc_v"], 1.0, " V"),
            _text("Jsc", means["jsc_a"], 1e12, " pA"),
            _text("fill factor", means["fill_factor"], 1.0, ""),
            _text("hysteresis", means["hysteresis"], 100.0, " %"),
        )
        shown = [text for text in texts if text]
        if shown:
            yield f"curves {part}", f"{', '.join(shown)} (mean of {wording.many(parts.count(part), 'sweep')})"


def facets(told: Mapping[str, Any]) -> Iterator[Row]:
    """Those that are biased, in the order in which they fade; a tenth lost is an onset."""
    rows = zip(*(told.get(name) or () for name in _FADING), strict=False)
    ranked = sorted((one for one in rows if one[0]), key=lambda one: one[0])
    if ranked:
        yield "facets fade", ", then ".join(f"{name}{_onset(*onset)}" for _, name, *onset in ranked)


def cause(told: Mapping[str, Any]) -> Iterator[Row]:
    chances = dict(zip(told.get("names") or (), told.get("probability") or (), strict=False))
    others = ", ".join(f"{name} {100 * chance:.1f} %" for name, chance in chances.items())
    yield "cause", f"{told.get('name')} ({others})" if others else str(told.get("name"))


def _onset(onset_s: Any, low_s: Any, high_s: Any) -> str:
    if not _is_known(onset_s):
        return " (onset not seen)"
    bounds = f" ({low_s:.0f} to {high_s:.0f})" if _is_known(low_s) and _is_known(high_s) else ""
    return f" at {onset_s:.0f} s{bounds}"


def _mean(values: Any, parts: list[str], part: str) -> float:
    own = [float(value) for value, when in zip(values, parts, strict=False) if when == part and _is_known(value)]
    return math.fsum(own) / len(own) if own else math.nan


def _text(label: str, value: float, factor: float, unit: str) -> str:
    return f"{label} {wording.number(float(f'{value * factor:.4g}'))}{unit}" if math.isfinite(value) else ""


def _is_known(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
