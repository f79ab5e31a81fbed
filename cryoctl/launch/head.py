"""The journal's first record: everything that a run is made of."""

from __future__ import annotations

import math
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cryoctl.analysis.lines import line_energy_ev
from cryoctl.clock.wall import utc_now
from cryoctl.dose.ledger import DoseLedger
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.against_devices import record_voltage_v
from cryoctl.launch.paths import RunPaths
from cryoctl.launch.person import host
from cryoctl.launch.prepare import Furnished, Prepared
from cryoctl.launch.prior import EarlierDose
from cryoctl.recipe.canonical import to_yaml
from cryoctl.steps.codec import plain

FORMAT_VERSION = 1
_TOLD = ("cryoctl", "numpy", "scipy", "h5py", "numba", "pydantic", "transitions", "scikit-image", "xraydb")


def journal_head(
    prepared: Prepared, furnished: Furnished, paths: RunPaths, ledger: DoseLedger, earlier: EarlierDose
) -> dict[str, Any]:
    """Plain values, as the run file's readers expect them."""
    described = plain(furnished.protocol.describe())
    edx = None
    if furnished.devices.edx is not None and described.get("edx"):
        detector = furnished.devices.edx.capabilities
        elements = list(described["edx"]["elements"])
        edx = {
            "n_channels": detector.n_channels,
            "energy_offset_ev": detector.energy_offset_ev,
            "energy_scale_ev": detector.energy_scale_ev,
            "solid_angle_sr": detector.solid_angle_sr,
            "elements": elements,
            "lines_ev": {element: line_energy_ev(element) for element in elements},
            "window_ev": described["edx"]["window_ev"],
            "dense": described["edx"]["dense"],
        }
    limit = ledger.limit_e_per_a2
    return {
        "format_version": FORMAT_VERSION,
        "run": paths.run_file.stem,
        "title": described.get("title", furnished.protocol.name),
        "protocol": furnished.protocol.name,
        "recipe": to_yaml(resolved_recipe(prepared)),
        "recipe_source": prepared.raw.text,
        "instrument": prepared.instrument.yaml(),
        "simulation": plain(prepared.raw.simulation),
        "software": software(),
        "seed": prepared.seed,
        "utc": utc_now().isoformat(timespec="seconds"),
        "specimen": described.get("specimen", ""),
        "operator": prepared.request.operator,
        "host": host(),
        "overrides": list(prepared.request.overrides),
        "recipe_path": _place(prepared.request.recipe),
        "instrument_path": _place(str(prepared.instrument_source)),
        "world": None if prepared.request.world is None else str(prepared.request.world.absolute()),
        "dose": {
            "grid": plain(ledger.grid),
            "limit_e_per_a2": limit if math.isfinite(limit) else None,
            "prior": ", ".join(earlier.names) or None,
            "prior_sigma_m": earlier.position_sigma_m,
            "known": furnished.devices.dose_known,
        },
        "areas": described.get("areas", {}),
        "targets": described.get("targets", []),
        "planned": described.get("planned", {}),
        "planned_peak_e_per_a2": described.get("planned_peak_e_per_a2"),
        "edx": edx,
        "live": described.get("live"),
        "particles": described.get("particles"),
        **({"scattered": True} if described.get("scattered") else {}),
        "image": {**described.get("image", {}), "tilt_axis_deg": furnished.tilt_axis_deg},
        "voltage_v": record_voltage_v(prepared.parameters, furnished.facts),
        "durable": furnished.devices.durable,
        "simulated": furnished.devices.truth is not None,
        "facts": plain(furnished.facts),
        "devices": devices_told(furnished.devices),
        "replay_of": furnished.replay_of,
    }


def _place(named: str) -> str:
    """Of a file its whole path, so that a resume finds it from anywhere; a bundled name as it is."""
    return str(Path(named).absolute()) if Path(named).is_file() else named


def devices_told(devices: DeviceSet) -> dict[str, Any]:
    """By name: kind and everything that the device says of its limits, so that a replay needs no driver."""
    told: dict[str, Any] = {
        devices.stage.name: {
            "kind": "stage",
            "limits": plain(devices.stage.limits),
            "speed_m_per_s": devices.stage.speed_m_per_s,
            "tilt_speed_deg_per_s": devices.stage.tilt_speed_deg_per_s,
            "settling": plain(devices.stage.settling),
        },
        devices.beam.name: {"kind": "beam", "capabilities": plain(devices.beam.capabilities)},
    }
    for name, detector in devices.image_detectors.items():
        told[name] = {"kind": "image_detector", "capabilities": plain(detector.capabilities)}
    for kind in ("edx", "holder", "bias", "needle", "light"):
        device = getattr(devices, kind)
        if device is not None:
            told[device.name] = {"kind": kind, "capabilities": plain(device.capabilities)}
    return told


def resolved_recipe(prepared: Prepared) -> dict[str, Any]:
    """The recipe with every default spelt out: what a resume compares and what a reader can run again."""
    resolved: dict[str, Any] = {"schema_version": 1, "protocol": prepared.raw.protocol}
    resolved |= prepared.parameters.model_dump(mode="json")
    if prepared.raw.simulation:
        resolved["simulation"] = dict(prepared.raw.simulation)
    return resolved


def software() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": sys.platform}
    for name in _TOLD:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
