"""The interlocks that a run met, folded from its events: each once, with what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

UNKNOWN = "unknown: the run was interrupted"


def interlocks_met(events: Iterable[tuple[float, str, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """As the summary has them.

    Args:
        events: time (s), name and data of each interlock event, in their order.
    """
    found: list[dict[str, Any]] = []
    for time_s, name, data in events:
        outcome = data.get("outcome")
        begun = next((one for one in reversed(found) if one["name"] == name and one["outcome"] == UNKNOWN), None)
        if outcome and begun is not None:
            begun["outcome"] = outcome
            continue
        found.append({"time_s": time_s, "name": name, "policy": data.get("policy"), "outcome": outcome or UNKNOWN})
    return found
