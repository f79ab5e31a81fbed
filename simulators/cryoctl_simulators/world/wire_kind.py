"""The nanowire as a kind of specimen: its fields looked at before a world is made of it, and how it is made."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from cryoctl.errors import RecipeError
from cryoctl.units import quoted
from cryoctl_simulators.optics.contamination import ContaminationParameters
from cryoctl_simulators.parameters import Parameters
from cryoctl_simulators.specimens.phases import ELEMENTS
from cryoctl_simulators.world.pieces import Wire
from cryoctl_simulators.world.sample import Sample, specimen_fields
from cryoctl_simulators.world.specimen import Place
from cryoctl_simulators.world.world_file import ArraySpec

_HERE = "simulation.specimen"
_DOSES = "critical_dose_e_per_a2."
_CONTAMINATION = "contamination."


class _Drawing(Parameters):
    """How finely the wire is drawn, and whether it lies on a film."""

    voxel_size_m: float = Field(default=10e-9, ge=2e-9, le=1e-7)
    oversampling: int = Field(default=1, ge=1, le=4)
    film: bool = True


class WireKind:
    """`nanowire`; its fields are those of nanowire.yaml, critical doses and contamination."""

    def specs(self, shape: tuple[int, int]) -> dict[str, ArraySpec]:
        return {}

    def check(self, fields: Mapping[str, Any]) -> None:
        fields = _own(fields)
        _check(_Drawing, {name: fields[name] for name in _Drawing.model_fields if name in fields}, "")
        _check(ContaminationParameters, _below(fields, _CONTAMINATION), _CONTAMINATION)
        for element, value in _below(fields, _DOSES).items():
            place = f"{_HERE}.{_DOSES}{element[:20]}"
            if element not in ELEMENTS:
                raise RecipeError(f"{place}: the specimen has no such element: there are {', '.join(ELEMENTS)}")
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
                raise RecipeError(f"{place}: found {quoted(str(value))[1:-1]}, allowed is a finite number above 0")
        Wire.check(specimen_fields(fields))

    def resolved(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        own = {name: fields[name] for name in _Drawing.model_fields if name in fields}
        contamination = ContaminationParameters.model_validate(_below(fields, _CONTAMINATION)).model_dump()
        return {
            **_Drawing.model_validate(own).model_dump(),
            **{f"{_CONTAMINATION}{name}": value for name, value in contamination.items()},
            **Wire.resolved(specimen_fields(_own(fields))),
        }

    def make(self, place: Place) -> Sample:
        return Sample(_own(place.fields), place.seed, place.arrays, place.grid, place.record, place.tail)


def _own(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name != "kind"}


def _below(fields: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    return {name.removeprefix(prefix): value for name, value in fields.items() if name.startswith(prefix)}


def _check(model: type[Parameters], values: Mapping[str, Any], prefix: str) -> None:
    try:
        model.model_validate(dict(values), strict=True)
    except ValidationError as problem:
        first = problem.errors()[0]
        name = ".".join(str(part) for part in first["loc"])
        place = f"{_HERE}.{prefix}{name[:40]}"
        if first["type"] == "extra_forbidden":
            near = difflib.get_close_matches(name, model.model_fields, n=1)
            hint = f"did you mean {near[0]}" if near else f"there are {', '.join(model.model_fields)}"
            raise RecipeError(f"{place}: there is no such parameter: {hint}") from None
        found = quoted(str(first["input"]))[1:-1]
        raise RecipeError(f"{place}: found {found}, {first['msg'].lower()}: correct it") from None
