"""Simulator parameters: packaged YAML files that a user can copy and edit, checked by pydantic models.

A parameter file stands beside the code that reads it. `load_parameters` takes the packaged file, or one of the
user's own in its place, and merges a nested dict of overrides over it before it is checked, so that an unknown
key is refused wherever it comes from.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from cryoctl.errors import BadInput, FileProblem


class Parameters(BaseModel):
    """Base of every parameter model: frozen, no unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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
) -> P:
    """Read `name`.yaml of `package` (or `file` in its place) into `model`, with `overrides` merged over it.

    Raises FileProblem where the file can't be read as a YAML mapping, BadInput where a value is not allowed.
    """
    label = f"{name}.yaml" if file is None else str(file)
    try:
        source = resources.files(package).joinpath(f"{name}.yaml") if file is None else file
        raw = yaml.safe_load(source.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as problem:
        raise FileProblem(f"{label}: not readable as YAML ({type(problem).__name__}); mend the file") from problem
    if not isinstance(raw, dict):
        raise FileProblem(f"{label}: found {type(raw).__name__}, a mapping is allowed; mend the file")
    try:
        return model.model_validate(merged(raw, overrides or {}))
    except ValidationError as problem:
        first = problem.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"{label}: {where}: {first['msg']}; correct it there or in the override") from problem
