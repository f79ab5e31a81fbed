"""Which names a pydantic model allows at a path, seen through Optional, unions, lists and discriminated unions."""

from __future__ import annotations

import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel

from cryoctl.recipe.wording import Path


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Every model that a value of this annotation can be, not looking inside lists or mappings."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    origin = get_origin(annotation)
    if origin is Annotated:
        return models_in(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return [model for one in get_args(annotation) for model in models_in(one)]
    return []


def elements_of(annotation: Any) -> list[Any]:
    """Annotations of what a list, tuple or mapping in this annotation holds."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return elements_of(get_args(annotation)[0])
    if origin is Union or origin is types.UnionType:
        return [inner for one in get_args(annotation) for inner in elements_of(one)]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return list(get_args(annotation)[1:])
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return [one for one in get_args(annotation) if one is not Ellipsis]
    return []


def fits(model: type[BaseModel], data: Any) -> bool:
    """False where a Literal field of the model (a discriminator) contradicts the data."""
    if not isinstance(data, Mapping):
        return True
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is Literal and name in data and data[name] not in get_args(field.annotation):
            return False
    return True


def allowed_names(model: type[BaseModel], path: Path, data: Any) -> list[str]:
    """Field names of the models that lie at `path`; empty where the path leads to no model."""
    annotations, here = _walked(model, path, data)
    candidates = [m for annotation in annotations for m in models_in(annotation)]
    fitting = [m for m in candidates if fits(m, here)] or candidates
    return list(dict.fromkeys(name for m in fitting for name in m.model_fields))


def takes_list(model: type[BaseModel], path: Path, data: Any) -> bool:
    """Whether the field at `path` takes a list (or tuple), perhaps beside other things."""
    annotations, _ = _walked(model, path, data)
    return any(elements_of(annotation) for annotation in annotations)


def _walked(model: type[BaseModel], path: Path, data: Any) -> tuple[list[Any], Any]:
    """Annotations that the field at `path` can have, and what the data hold there."""
    annotations: list[Any] = [model]
    here: Any = data
    for key in path:
        step: list[Any] = []
        for annotation in annotations:
            if isinstance(key, str):
                fields = [m.model_fields[key] for m in models_in(annotation) if key in m.model_fields and fits(m, here)]
                step += [field.annotation for field in fields]
            step += elements_of(annotation)
        annotations = step
        here = _inner(here, key)
    return annotations, here


def _inner(data: Any, key: str | int) -> Any:
    try:
        return data[key]
    except (KeyError, IndexError, TypeError):
        return None
