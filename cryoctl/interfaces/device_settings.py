"""Settings of a device as they stand in an instrument file, and the factory that checks them before it builds."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Generic, TypeVar

from pydantic import AfterValidator, Field, ValidationError

from cryoctl.errors import InstrumentError
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Device
from cryoctl.units import StrictModel


def _in_order(interval: tuple[float, float]) -> tuple[float, float]:
    low, high = interval
    if low >= high:
        raise ValueError(f"found {low:g} to {high:g}: the lower end stands first, below the upper one: exchange them")
    return interval


Above0 = Field(gt=0)
From0 = Field(ge=0)
InOrder = AfterValidator(_in_order)


class Settings(StrictModel):
    """Numbers in the unit of the field's name, or quantities with a unit.

    Attributes:
        leads_elsewhere: fields that name something of the laboratory, which a rehearsal leaves out; a driver that has
            others adds them.
    """

    leads_elsewhere: ClassVar[frozenset[str]] = frozenset(
        {
            "blanker_port",
            "cut_off",
            "folder",
            "host",
            "password_variable",
            "port",
            "state_file",
            "transcript",
            "udp_port",
        }
    )


S = TypeVar("S", bound=Settings)


class SettingsFactory(Generic[S]):
    """The entry point of a device: checks settings first, builds later; nothing is opened.

    Args:
        make: given the device's name, its checked settings and what all devices of the instrument share.
        emulated_by: model of the emulator that a driver is rehearsed on; empty: that of the driver's own name.
    """

    def __init__(
        self, kind: str, model: type[S], make: Callable[[str, S, DeviceContext], Device], emulated_by: str = ""
    ) -> None:
        self.kind = kind
        self.settings_model = model
        self.emulated_by = emulated_by
        self._make = make

    def check(self, settings: Mapping[str, Any]) -> None:
        """
        Raises:
            InstrumentError: a setting that there is not, or a value out of its range.
        """
        read_settings(self.settings_model, self.kind, settings)

    def __call__(self, name: str, settings: Mapping[str, Any], context: DeviceContext) -> Device:
        return self._make(name, read_settings(self.settings_model, name, settings), context)


def read_settings(model: type[S], device: str, settings: Mapping[str, Any]) -> S:
    """Validate a device's settings; those of an instrument file were held against the model before, with their lines.

    Raises:
        InstrumentError: one sentence that names the device and field, and the nearest name of an unknown one.
    """
    try:
        return model.model_validate_json(json.dumps(dict(settings)), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(field, model.model_fields, n=1, cutoff=0.3)
            hint = f"nearest is {near[0]}" if near else "known are " + ", ".join(model.model_fields)
            raise InstrumentError(f"devices.{device}.settings.{field}: there is no such setting; {hint}") from None
        found = repr(first["input"])[:60]
        raise InstrumentError(f"devices.{device}.settings.{field}: found {found}; {first['msg']}") from None
