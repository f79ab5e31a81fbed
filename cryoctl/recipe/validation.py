"""Plain data against a pydantic model: the model, or one sentence about the first problem.

Data are validated as JSON in pydantic's strict mode: nothing is coerced but lists to tuples, text to dates and enums,
and quantities by their own types.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ValidationError

from cryoctl.errors import BadInput, RecipeError
from cryoctl.recipe.loading import RESERVED, RawRecipe
from cryoctl.recipe.model_fields import allowed_names, takes_list
from cryoctl.recipe.problem_text import describe
from cryoctl.recipe.wording import LONGEST, Path, dotted, nearest, sentence

Model = TypeVar("Model", bound=BaseModel)

_MISMATCHES = frozenset(
    {
        "bool_type", "dict_type", "float_type", "int_type", "list_type", "model_type", "model_attributes_type",
        "none_required", "quantity_type", "string_type", "tuple_type",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Problem:
    """One thing wrong: `path` in the data, `branch` the alternative of a union that complains."""

    path: Path
    branch: tuple[Path, str] | None
    error: Mapping[str, Any]

    @property
    def kind(self) -> str:
        return str(self.error["type"])


def validate(model: type[Model], raw: RawRecipe, section: Literal["parameters", "simulation"] = "parameters") -> Model:
    """The recipe's parameters (or its simulation section) as `model`; RecipeError with one sentence."""
    if section == "simulation":
        return validate_data(model, raw.simulation, raw.place, RecipeError, prefix=("simulation",))
    return validate_data(model, raw.parameters, raw.place, RecipeError, also=RESERVED)


def validate_data(
    model: type[Model],
    data: Mapping[str, Any],
    place: Callable[[Path], str],
    kind: type[BadInput],
    prefix: Path = (),
    also: Sequence[str] = (),
) -> Model:
    """`data` as `model`; raises `kind`. `place` names file and line of a path, `also` are names known besides."""
    try:
        return model.model_validate_json(json.dumps(data), strict=True)
    except ValidationError as failure:
        problems = _sorted([_problem(error, data) for error in failure.errors(include_url=False)])
        first = problems[0]
        path = (*prefix, *first.path)
        if first.kind == "extra_forbidden":
            names = allowed_names(model, first.path[:-1], data) + (list(also) if len(first.path) == 1 else [])
            inside = dotted(path[:-1])
            hint = nearest(str(first.path[-1]), names)
            near = "did you mean '"
            if inside and len(inside) < 60 and hint.startswith(near):
                hint = f"{near}{inside}.{hint.removeprefix(near)}"
            text = f"is not a field: {hint}"
            if str(first.path[-1])[:1].isdigit() and first.error.get("input") is None:
                text = "is not a field: a comma ends a value here, write a decimal point"
        else:
            text = describe(first.error, first.path, is_list=takes_list(model, first.path, data))
        tag = (str(first.error["ctx"]["discriminator"]).strip("'"),) if first.kind == "union_tag_invalid" else ()
        where = f"{dotted(path)} ({place((*path, *tag))})" if path else place(path)
        count = len(problems) - 1
        more = f" (and {count} more problem{'s' if count > 1 else ''})" if count else ""
        raise sentence(f"{where}: {text[: LONGEST - 20 - len(where) - len(more)]}{more}", kind) from None


def _problem(error: Mapping[str, Any], data: Any) -> Problem:
    """Take the tags that pydantic mixes into a location (union branches) out of it by walking along the data."""
    loc: tuple[str | int, ...] = tuple(error["loc"])
    path: list[str | int] = []
    branch: tuple[Path, str] | None = None
    here: Any = data
    for position, part in enumerate(loc):
        last = position == len(loc) - 1
        if _leads_on(part, here, loc, position, branch is None):
            here = here[part]
        elif not (last and error["type"] in ("missing", "union_tag_not_found")):
            branch = branch or (tuple(path), str(part))
            continue
        path.append(part)
    return Problem(tuple(path), branch, error)


def _leads_on(part: str | int, here: Any, loc: tuple[str | int, ...], position: int, tag_may_come: bool) -> bool:
    if isinstance(here, Mapping):
        return part in here and not (tag_may_come and _is_tag(part, here, loc, position))
    return isinstance(here, list) and isinstance(part, int) and part < len(here)


def _is_tag(part: str | int, here: Mapping[Any, Any], loc: tuple[str | int, ...], position: int) -> bool:
    """A discriminator's tag that also happens to be a key: the next part of the location lies in `here` as well."""
    following = loc[position + 1] if position + 1 < len(loc) else None
    inner = here[part]
    return isinstance(following, str) and following in here and not isinstance(inner, Mapping | list)


def _sorted(problems: list[Problem]) -> list[Problem]:
    """Unknown keys first (a misspelled name explains a missing one); of a union only its likeliest branch."""
    by_union: dict[Path, dict[str, list[Problem]]] = {}
    for problem in problems:
        if problem.branch is not None:
            by_union.setdefault(problem.branch[0], {}).setdefault(problem.branch[1], []).append(problem)
    kept: list[Problem] = []
    for problem in problems:
        if problem.branch is not None:
            branches = by_union[problem.branch[0]]
            if problem.branch[1] != min(branches, key=lambda name: _unlikely(branches[name], problem.branch)):
                continue
        kept.append(problem)
    return sorted(kept, key=lambda one: one.kind != "extra_forbidden")


def _unlikely(problems: list[Problem], branch: tuple[Path, str] | None) -> tuple[int, int]:
    depth = len(branch[0]) if branch is not None else 0
    mismatch = any(p.kind in _MISMATCHES and len(p.path) == depth for p in problems)
    return (int(mismatch), len(problems))
