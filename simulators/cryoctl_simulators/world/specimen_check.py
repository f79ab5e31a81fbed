"""The recipe's specimen and `simulation.specimen` fields, looked at before a world is made of them."""

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
from cryoctl_simulators.world.sample import specimen_fields

_HERE = "simulation.specimen"
_DOSES = "critical_dose_e_per_a2."
_CONTAMINATION = "contamination."


class _Drawing(Parameters):
    """How finely the wire is drawn, and whether it lies on a film."""

    voxel_size_m: float = Field(default=10e-9, ge=2e-9, le=1e-7)
    oversampling: int = Field(default=1, ge=1, le=4)
    film: bool = True


def check_specimen(fields: Mapping[str, Any]) -> None:
    """
    Raises:
        RecipeError: a parameter of the specimen that there is not, or a value that can't be.
    """
    _check(_Drawing, {name: fields[name] for name in _Drawing.model_fields if name in fields}, "")
    _check(ContaminationParameters, _below(fields, _CONTAMINATION), _CONTAMINATION)
    for element, value in _below(fields, _DOSES).items():
        place = f"{_HERE}.{_DOSES}{element[:20]}"
        if element not in ELEMENTS:
            raise RecipeError(f"{place}: the specimen has no such element: there are {', '.join(ELEMENTS)}")
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise RecipeError(f"{place}: found {quoted(str(value))[1:-1]}, allowed is a finite number above 0")
    Wire.check(specimen_fields(fields))


def differing(there: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """Name of the first field of `wanted` that a specimen of the fields `there` has otherwise; empty where none is."""
    has = _resolved(there)
    return next((name for name, value in _resolved(wanted).items() if name in wanted and has.get(name) != value), "")


def _resolved(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Every field with the value that it has, whether it was given or not."""
    own = {name: fields[name] for name in _Drawing.model_fields if name in fields}
    contamination = ContaminationParameters.model_validate(_below(fields, _CONTAMINATION)).model_dump()
    return {
        **fields,
        **_Drawing.model_validate(own).model_dump(),
        **{f"{_CONTAMINATION}{name}": value for name, value in contamination.items()},
        **Wire.resolved(specimen_fields(fields)),
    }


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
