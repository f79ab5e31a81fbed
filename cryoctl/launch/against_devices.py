"""What a recipe and its instrument file ask for, held against what the devices allow."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from cryoctl.analysis.lines import check_elements
from cryoctl.errors import BadInput, InstrumentError, RecipeError
from cryoctl.instrument import Instrument
from cryoctl.interfaces.beam import Optics
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.protocol import InstrumentFacts
from cryoctl.units import quoted


def check_presets(instrument: Instrument, facts: InstrumentFacts, devices: DeviceSet) -> None:
    """Refuse optics that the column would refuse once it is asked for them."""
    voltages = devices.beam.capabilities.voltages_v
    low, high = facts.current_range_a
    for name, preset in facts.optics.items():
        if preset.voltage_v not in voltages:
            allowed = ", ".join(f"{value / 1e3:g}" for value in voltages)
            raise InstrumentError(
                f"optics.{name}.voltage_v: found {preset.voltage_v / 1e3:g} kV, the column is aligned for "
                f"{allowed} kV: choose one of them"
            )
        turned_deg = instrument.file.optics[name].scan_rotation_deg
        if turned_deg != 0.0:
            raise InstrumentError(
                f"optics.{name}.scan_rotation_deg: found {turned_deg:g} deg, dose is counted along the tilt axis only: "
                "set 0 and tell where the axis lies in a calibration of kind tilt_axis"
            )
        if not low <= preset.beam_current_a <= high:
            raise InstrumentError(
                f"optics.{name}.beam_current_a: found {preset.beam_current_a:.3g} A, allowed are {low:.3g} to "
                f"{high:.3g} A: change beam_current_a of the preset"
            )


def record_optics(parameters: Any, facts: InstrumentFacts) -> Optics | None:
    """The preset that the recipe records with; the first one where it names none, None where there is none."""
    named = facts.optics.get(str(getattr(getattr(parameters, "optics", None), "record", "")))
    return named or next(iter(facts.optics.values()), None)


def record_voltage_v(parameters: Any, facts: InstrumentFacts) -> float:
    """Of `record_optics`; NaN where there is none, as in recordings that tell nothing of the column."""
    optics = record_optics(parameters, facts)
    return math.nan if optics is None else optics.voltage_v


def check_wanted_elements(parameters: Any, facts: InstrumentFacts) -> None:
    """Raises `RecipeError` for an element without a line that this beam and this detector can give."""
    elements = getattr(getattr(parameters, "edx", None), "elements", None)
    optics = record_optics(parameters, facts)
    if elements is not None:
        try:
            check_elements(elements, 200e3 if optics is None else optics.voltage_v, facts.edx_max_energy_ev or None)
        except BadInput as error:
            raise RecipeError(error.message) from error


def check_detectors(parameters: Any, devices: DeviceSet) -> None:
    pictures = tuple(devices.image_detectors)
    kinds = {"image": pictures, "pictures": pictures, "edx": () if devices.edx is None else (devices.edx.name,)}
    for group, there in kinds.items():
        wanted = getattr(getattr(parameters, group, None), "detector", None)
        if wanted is not None and wanted not in there and (group, wanted) != ("edx", "edx"):
            known = ", ".join(there) or "none"
            raise RecipeError(
                f"{group}.detector: found {quoted(wanted)}, the instrument file has {known}: name one of them"
            )
    shape = getattr(getattr(parameters, "image", None), "shape", None)
    most = None if devices.edx is None else devices.edx.capabilities.max_pixels
    if shape is None or most is None or getattr(parameters, "edx", None) is None:
        return
    if math.prod(shape) > most:
        raise RecipeError(
            f"image.shape: found {shape[0]} x {shape[1]} pixels, the EDX detector follows scans of at most {most}: "
            "scan fewer, or wire it as its how-to says"
        )


def check_shapes(parameters: Any, sides_px: tuple[int, ...]) -> None:
    """Refuse pictures that the scan generator would refuse once it is asked for them."""
    if not sides_px:
        return
    for path, value in _leaves(parameters.model_dump()):
        if path.endswith("shape") and value is not None and (value[0] != value[1] or value[0] not in sides_px):
            allowed = ", ".join(map(str, sorted(sides_px)))
            raise RecipeError(
                f"{path}: found {list(value)}, this scan generator makes squares of {allowed} pixels a side: choose one"
            )


def _leaves(data: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """Every field that is no mapping, with its path."""
    found: list[tuple[str, Any]] = []
    for name, value in data.items():
        found += _leaves(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(f"{prefix}{name}", value)]
    return found
