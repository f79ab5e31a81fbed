"""What the emulated SECoP node says of itself."""

from __future__ import annotations

from typing import Any

from cryoctl_simulators.settings import HolderSettings

EQUIPMENT = "cryoctl_emulated_cryostat"
_CODES = {"DISABLED": 0, "IDLE": 100, "WARN": 200, "BUSY": 300, "RAMPING": 370, "STABILIZING": 380, "ERROR": 400}


def described(settings: HolderSettings) -> dict[str, Any]:
    """The structure report."""
    low_k, high_k = settings.temperature_range_k
    kelvin = {"type": "double", "unit": "K", "min": low_k, "max": high_k}
    temperature = {
        **_readable({"type": "double", "unit": "K", "min": 0.0}),
        "target": _parameter("where it is driven to", kelvin, readonly=False),
        "setpoint": _parameter("where a ramp is", {"type": "double", "unit": "K"}),
        "ramp": _parameter(
            "rate of the set point", {"type": "double", "unit": "K/min", "min": 0.0, "max": 100.0}, readonly=False
        ),
        "stop": {"description": "stays where it is", "datainfo": {"type": "command"}},
    }
    return {
        "equipment_id": EQUIPMENT,
        "description": "An emulated cryostat",
        "firmware": "cryoctl",
        "modules": {
            "T": _module("temperature of the specimen", "Drivable", temperature, meaning=["temperature", 30]),
            "N2": _module("filling of the dewar", "Readable", _readable({"type": "double", "unit": "%"})),
            "P": _module("pressure at the specimen", "Readable", _readable({"type": "double", "unit": "mbar"})),
        },
    }


def _module(text: str, kind: str, accessibles: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"description": text, "interface_classes": [kind], "features": [], "accessibles": accessibles, **more}


def _readable(datainfo: dict[str, Any]) -> dict[str, Any]:
    status = {"type": "tuple", "members": [{"type": "enum", "members": _CODES}, {"type": "string"}]}
    return {"value": _parameter("what is read", datainfo), "status": _parameter("how it is", status)}


def _parameter(text: str, datainfo: dict[str, Any], *, readonly: bool = True) -> dict[str, Any]:
    return {"description": text, "datainfo": datainfo, "readonly": readonly}
