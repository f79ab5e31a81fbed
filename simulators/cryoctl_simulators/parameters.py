"""Simulator parameters: packaged YAML files that a user can copy and edit, checked by pydantic models.

A parameter file stands beside the code that reads it. `load_parameters` takes the packaged file, or one of the
user's own in its place, and merges a nested dict of overrides over it before it is checked, so that an unknown
key is refused wherever it comes from.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cryoctl.errors import BadInput, FileProblem
from cryoctl.units import quoted


class _Yaml(yaml.SafeLoader):
    """Numbers also as in YAML 1.2: `2.5e13` needs no sign in its exponent."""


_EXPONENT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)[eE][-+]?[0-9]+")
_Yaml.add_implicit_resolver("tag:yaml.org,2002:float", _EXPONENT, list("-+.0123456789"))


class Parameters(BaseModel):
    """Base of every parameter model: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=Parameters)


def merged(base: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """A new nested dict: `overrides` over `base`; dicts merge, everything else (lists too) is replaced."""
    result = dict(base)
    for key, value in overrides.items():
        below = result.get(key)
        if isinstance(value, Mapping) and isinstance(below, Mapping):
            result[key] = merged(below, value)
        else:
            result[key] = value
    return result


def load_parameters(
    model: type[P],
    package: str,
    name: str,
    overrides: Mapping[str, Any] | None = None,
    file: Path | None = None,
    given_as: str = "",
) -> P:
    """Read `name`.yaml of `package` (or `file` in its place) into `model`, with `overrides` merged over it.

    `given_as` is where a person wrote the overrides, such as `simulation.specimen`.

    Raises FileProblem where the file can't be read as a YAML mapping, BadInput where a value is not allowed.
    """
    label = f"{name}.yaml" if file is None else str(file)
    try:
        source = resources.files(package).joinpath(f"{name}.yaml") if file is None else file
        raw = yaml.load(source.read_text(encoding="utf-8"), Loader=_Yaml)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise FileProblem(f"{label}: not readable as YAML ({type(problem).__name__}); mend the file") from problem
    if not isinstance(raw, dict):
        raise FileProblem(f"{label}: found {type(raw).__name__}, a mapping is allowed; mend the file")
    values = merged(raw, overrides or {})
    try:
        return model.model_validate_json(json.dumps(values), strict=True)
    except ValidationError as problem:
        first = problem.errors()[0]
        loc = first["loc"]
        where = ".".join(str(part) for part in loc)
        place = f"{given_as}.{where}" if given_as and _lookup(raw, loc) != _lookup(values, loc) else f"{label}: {where}"
        if first["type"] == "extra_forbidden":
            known = list(_lookup(raw, loc[:-1]) or ())
            near = difflib.get_close_matches(str(loc[-1]), known, n=1)
            hint = f"did you mean {quoted(near[0])}" if near else f"there are {', '.join(known)}"[:150]
            raise BadInput(f"{place[:80]}: there is no such parameter: {hint}") from problem
        found = quoted(str(first["input"]))
        raise BadInput(f"{place[:80]}: found {found}, {first['msg'].lower()}: correct it") from problem


def _lookup(data: Any, path: tuple[int | str, ...]) -> Any:
    """What lies at a path of nested data, None where nothing does."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data
