"""What may be called: the verbs of the interfaces, what each needs, and the types of what it takes and gives.

Names, parameters and types are read from the interfaces, so that both ends and the interfaces can't differ; what a verb
needs is said here, for each. A verb of an interface that is not said here is an error at import; nothing else can be
called.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, get_type_hints

from cryoctl.interfaces.beam import Beam
from cryoctl.interfaces.bias import BiasSource
from cryoctl.interfaces.edx import EdxDetector
from cryoctl.interfaces.holder import Holder
from cryoctl.interfaces.image_detector import ImageDetector
from cryoctl.interfaces.light import Light
from cryoctl.interfaces.needle import Needle
from cryoctl.interfaces.stage import Stage
from cryoctl.interfaces.vacuum import VacuumGauge

INTERFACES: Mapping[str, type[Any]] = {
    "stage": Stage,
    "beam": Beam,
    "image_detector": ImageDetector,
    "edx": EdxDetector,
    "holder": Holder,
    "bias": BiasSource,
    "needle": Needle,
    "light": Light,
    "vacuum": VacuumGauge,
}


class Needs(StrEnum):
    """READ changes nothing; CONTROL needs the lease; STOP only ever makes things safer, and anyone may do it."""

    READ = "read"
    CONTROL = "control"
    STOP = "stop"


_READ: Mapping[str, str] = {
    "stage": "position is_moving",
    "beam": "optics is_blanked valves_open",
    "image_detector": "is_inserted read_scan",
    "edx": "is_inserted read_scan",
    "holder": "temperature nitrogen pressure",
    "bias": "samples clock_s status read",
    "needle": "state",
    "light": "irradiance",
    "vacuum": "pressure",
}
_STOP: Mapping[str, str] = {
    "stage": "stop",
    "beam": "stop_exposure blank close_valves",
    "image_detector": "",
    "edx": "",
    "holder": "",
    "bias": "cut_off",
    "needle": "stop",
    "light": "",
    "vacuum": "",
}
_CONTROL: Mapping[str, str] = {
    "stage": "move",
    "beam": "apply shift_image focus measure_current expose",
    "image_detector": "insert retract arm",
    "edx": "insert retract arm",
    "holder": "set_temperature",
    "bias": "set_limits set_rest set_voltage set_current output start_waveform sample_every open_circuit_voltage",
    "needle": "step fine high_voltage note_hold",
    "light": "set_irradiance",
    "vacuum": "",
}
_MADE_SAFE_BY_ALL = frozenset({"stage", "beam", "bias", "light"})
"""The others in their order only: a needle is not withdrawn from a source that is on."""
_HERE = frozenset({"close"})
"""The runner closes its end; the device stays with the node."""
CALLBACK = "scan_frame_done"
"""The one parameter that is no value: messages both ways stand for it."""
URGENT = frozenset({"is_blanked", "valves_open", "is_moving"})
"""Read back after stopping: they go where stopping goes."""


@dataclass(frozen=True, slots=True)
class Verb:
    name: str
    needs: Needs
    parameters: Mapping[str, Any]
    """Names to types, the callback left out."""
    required: frozenset[str]
    gives: Any
    signature: inspect.Signature
    """As called, without `self`."""

    @property
    def urgent(self) -> bool:
        """It goes over the connection that nothing else uses."""
        return self.needs is Needs.STOP or self.name in URGENT


def _verb(interface: type[Any], name: str, needs: Needs) -> Verb:
    method = getattr(interface, name)
    hints = get_type_hints(method)
    signature = inspect.signature(method)
    mine = [one for one in signature.parameters.values() if one.name != "self"]
    return Verb(
        name=name,
        needs=needs,
        parameters={one.name: hints[one.name] for one in mine if one.name != CALLBACK},
        required=frozenset(one.name for one in mine if one.default is one.empty),
        gives=hints["return"],
        signature=signature.replace(parameters=mine),
    )


def _verbs_of(kind: str) -> dict[str, Verb]:
    interface = INTERFACES[kind]
    needs = {
        "connect": Needs.CONTROL,
        "make_safe": Needs.STOP if kind in _MADE_SAFE_BY_ALL else Needs.CONTROL,
    }
    for table, one in ((_READ, Needs.READ), (_STOP, Needs.STOP), (_CONTROL, Needs.CONTROL)):
        needs |= dict.fromkeys(table[kind].split(), one)
    there = {
        name
        for name in dir(interface)
        if not name.startswith("_") and inspect.iscoroutinefunction(getattr(interface, name))
    }
    if there - _HERE != needs.keys():
        raise TypeError(f"node: verbs of {kind} said here or there only: {sorted((there - _HERE) ^ needs.keys())}")
    return {name: _verb(interface, name, needs[name]) for name in sorted(needs)}


def _facts_of(kind: str) -> dict[str, Any]:
    """What an interface states without being asked: names of its properties and their types."""
    interface = INTERFACES[kind]
    found: dict[str, Any] = {}
    for name in dir(interface):
        member = inspect.getattr_static(interface, name)
        if isinstance(member, property) and member.fget is not None and name != "name":
            found[name] = get_type_hints(member.fget)["return"]
    return found


VERBS: Mapping[str, Mapping[str, Verb]] = {kind: _verbs_of(kind) for kind in INTERFACES}
"""By kind of device and name."""
FACTS: Mapping[str, Mapping[str, Any]] = {kind: _facts_of(kind) for kind in INTERFACES}
"""Capabilities, limits and the like, by kind of device and name."""
