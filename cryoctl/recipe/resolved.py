"""The recipe as it was run, defaults and `--set` included, in canonical YAML for the run file."""

from __future__ import annotations

from typing import cast

from pydantic import BaseModel

from cryoctl.recipe.canonical import to_yaml
from cryoctl.recipe.loading import SCHEMA_VERSION, RawRecipe
from cryoctl.recipe.strict_yaml import Plain


def resolved_yaml(raw: RawRecipe, parameters: BaseModel, simulation: BaseModel | None = None) -> str:
    """Reading this text again gives the same protocol, parameters and simulation; `instrument.x` is not in it."""
    data: dict[str, Plain] = {"schema_version": SCHEMA_VERSION, "protocol": raw.protocol}
    if raw.instrument is not None:
        data["instrument"] = raw.instrument
    data.update(cast("dict[str, Plain]", parameters.model_dump(mode="json")))
    simulated = raw.simulation if simulation is None else cast("dict[str, Plain]", simulation.model_dump(mode="json"))
    if simulated:
        data["simulation"] = simulated
    return to_yaml(data)
