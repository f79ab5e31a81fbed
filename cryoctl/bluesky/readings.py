"""Readings and data keys as bluesky has them; units in cryoctl's own names stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryoctl.clock.wall import utc_now

Reading = dict[str, dict[str, Any]]
"""By data key: value and timestamp."""
DataKeys = dict[str, dict[str, Any]]


def readings(values: Mapping[str, Any]) -> Reading:
    """As read now."""
    timestamp = utc_now().timestamp()
    return {name: {"value": value, "timestamp": timestamp} for name, value in values.items()}


def number_key(source: str, units: str, limits: tuple[float, float] | None = None) -> dict[str, Any]:
    """Of a float; `limits` are what it may be set to."""
    key: dict[str, Any] = {"source": source, "dtype": "number", "dtype_numpy": "<f8", "shape": [], "units": units}
    if limits is not None:
        key["limits"] = {"control": {"low": limits[0], "high": limits[1]}}
    return key


def integer_key(source: str) -> dict[str, Any]:
    return {"source": source, "dtype": "integer", "dtype_numpy": "<i8", "shape": []}


def text_key(source: str) -> dict[str, Any]:
    return {"source": source, "dtype": "string", "shape": []}


def flag_key(source: str) -> dict[str, Any]:
    return {"source": source, "dtype": "boolean", "shape": []}
