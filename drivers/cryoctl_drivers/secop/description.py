"""What a node's description says of a parameter, held against what it is to be used for."""

from __future__ import annotations

import math
import sys
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from cryoctl.errors import InstrumentError
from cryoctl.units import quoted

KELVIN = {"K": 1.0}
KELVIN_PER_MINUTE = {"K/min": 1.0, "K/s": 60.0}
FILLING = {"%": 0.01, "": 1.0}
PASCAL = {"Pa": 1.0, "hPa": 100.0, "mbar": 100.0, "kPa": 1e3, "bar": 1e5, "Torr": 133.322368}


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A number behind the wire; `factor` makes our unit of what is sent."""

    accessible: str
    factor: float
    whole: bool
    """Sent as a whole number."""
    low: float
    high: float
    resolution: float
    status: str | None
    """Accessible of its module's status, None where it has none."""

    def number(self, sent: Any) -> float:
        """NaN where it is no finite number."""
        return _finite(sent) * self.factor

    def to_send(self, number: float) -> float | int:
        return round(number / self.factor) if self.whole else number / self.factor

    def is_near(self, number: float, wanted: float) -> bool:
        return abs(number - wanted) <= max(1e-3, self.resolution, 1.2e-7 * abs(wanted))


def parameter(
    device: str,
    node: Mapping[str, Any],
    setting: str,
    accessible: str,
    units: Mapping[str, float],
    default: str = "value",
    *,
    settable: bool = False,
) -> Parameter:
    """
    Args:
        setting: which of the device's settings names it.
        accessible: MODULE, or MODULE:PARAMETER where it is not the `default` one.
        units: those that it may have, and what one of them is in ours.

    Raises:
        InstrumentError: it is not there or does not fit, in one sentence.
    """
    module, _, name = accessible.partition(":")
    name = name or default
    of = f"{device}: settings.{setting} names {module}:{name}, "
    accessibles = _accessibles(node, module)
    if accessibles is None:
        there = f"node {quoted(str(node.get('equipment_id', '?')), 40)} has {_listed(node['modules'])}"
        raise InstrumentError(f"{device}: settings.{setting} names the module {quoted(module)}, {there}")
    if not isinstance(accessibles.get(name), dict):
        raise InstrumentError(f"{of}and the module has no such parameter; it has {_listed(accessibles)}")
    described: dict[str, Any] = accessibles[name]
    info = described.get("datainfo")
    kind = info.get("type") if isinstance(info, dict) else None
    if kind not in ("double", "int", "scaled") or not isinstance(info, dict):
        raise InstrumentError(f"{of}which is a {kind or 'thing without datainfo'}; needed is a number")
    unit = str(info.get("unit") or "")
    if unit not in units:
        allowed = " or ".join(one or "none" for one in units)
        raise InstrumentError(f"{of}whose unit is {quoted(unit)}; allowed is {allowed}")
    if settable and described.get("readonly") is not False:
        raise InstrumentError(f"{of}which is read only; name a module that can be set")

    def told(key: str, default: float) -> float:
        if key not in info:
            return default
        found = _finite(info[key])
        if math.isnan(found):
            raise InstrumentError(f"{of}whose {key} is {quoted(str(info[key])[:40])}, no number; see what it describes")
        return found

    step = told("scale", 1.0) if kind == "scaled" else 1.0
    if not step > 0:
        raise InstrumentError(f"{of}whose scale is {step:g}; it has to be above 0")
    factor = units[unit] * step
    return Parameter(
        accessible=f"{module}:{name}",
        factor=factor,
        whole=kind != "double",
        low=factor * told("min", -math.inf),
        high=factor * told("max", math.inf),
        resolution=factor / 2 if kind != "double" else units[unit] * told("absolute_resolution", 0.0),
        status=f"{module}:status" if "status" in accessibles else None,
    )


def _finite(sent: Any) -> float:
    """JSON has whole numbers of any length, and 1e999."""
    if isinstance(sent, bool) or not isinstance(sent, int | float) or not abs(sent) <= sys.float_info.max:
        return math.nan
    return float(sent)


def has(node: Mapping[str, Any], accessible: str) -> bool:
    module, _, name = accessible.partition(":")
    return name in (_accessibles(node, module) or {})


def _accessibles(node: Mapping[str, Any], module: str) -> dict[str, Any] | None:
    described = node["modules"].get(module)
    there = described.get("accessibles") if isinstance(described, dict) else None
    return there if isinstance(there, dict) else None


def _listed(names: Collection[str]) -> str:
    return (", ".join(names) or "none")[:110]
