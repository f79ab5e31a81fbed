"""Levels that an emulated source plays, as segments of the world's source."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_SAME = 1e-6


def pack(segments: list[dict[str, Any]]) -> None:
    """Stairs of equal steps as one segment each, in place: a world's record has not room for each of many levels."""
    packed: list[dict[str, Any]] = []
    for one in segments:
        last = packed[-1] if packed else None
        if last is not None and _continues(last, one):
            count = last.get("steps", 1)
            last |= {"end": one["end"], "steps": count + 1, "duration_s": last["duration_s"] * (count + 1) / count}
        else:
            packed.append(dict(one))
    segments[:] = packed


def _continues(last: Mapping[str, Any], one: Mapping[str, Any]) -> bool:
    count = last.get("steps", 1)
    if last["until_v"] is not None or one["until_v"] is not None or one["control"] != last["control"]:
        return False
    if abs(last["duration_s"] / count - one["duration_s"]) > _SAME * one["duration_s"]:
        return False
    step = one["start"] - last["end"]
    if count == 1:
        return True
    before = (last["end"] - last["start"]) / (count - 1)
    return abs(step - before) <= _SAME * max(abs(step), abs(before), 1e-12)


def merged(segments: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours of one level as one."""
    found: list[dict[str, Any]] = []
    for one in segments:
        if found and found[-1]["start"] == one["start"]:
            found[-1]["duration_s"] += one["duration_s"]
        else:
            found.append(dict(one))
    return found
