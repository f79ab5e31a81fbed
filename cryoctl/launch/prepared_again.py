"""Recipe and instrument of a run that was begun, from its journal's head: for who goes on with it or recovers it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from cryoctl.instrument import parse_instrument
from cryoctl.launch.prepare import Prepared
from cryoctl.launch.recipes import read_recipe
from cryoctl.launch.request import RunRequest
from cryoctl.protocol import Protocol
from cryoctl.recipe.loading import parse_recipe
from cryoctl.recipe.validation import validate
from cryoctl.registry import find


def prepared_of(head: Mapping[str, Any]) -> Prepared:
    """Recipe and instrument as a journal's head has them.

    Raises:
        BadInput: this version can't read them, or the protocol is not installed.
    """
    name = str(head["run"])
    raw = parse_recipe(str(head["recipe"]), name)
    script = str(head.get("recipe_path") or "")
    if script.lower().endswith(".py"):
        protocol_class = read_recipe(script, ())[1]
    else:
        protocol_class = cast("type[Protocol]", find("cryoctl.protocols", raw.protocol))
    return Prepared(
        request=RunRequest(recipe=name),
        name=name,
        seed=int(head["seed"]),
        raw=raw,
        protocol_class=protocol_class,
        parameters=validate(protocol_class.Parameters, raw),
        instrument=parse_instrument(str(head["instrument"]), name),
        instrument_source=str(head.get("instrument_path") or ""),
        faults=(),
        calibrated_at=datetime.fromisoformat(str(head["utc"])),
    )
