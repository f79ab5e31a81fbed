"""`--set path=value`: the value is YAML 1.2; recipe fields bare, `instrument.x` and `simulation.x` by their prefix."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from cryoctl.errors import BadInput, RecipeError
from cryoctl.recipe.strict_yaml import DEEPEST, Plain, read_document
from cryoctl.recipe.wording import Path, dotted, sentence, shown
from cryoctl.units import quoted

_SEGMENT = re.compile(r"([^.\[\]=\s]+)((?:\[[0-9]{1,9}\])*)", re.ASCII)


@dataclass(frozen=True)
class Override:
    """One `--set`; `path` holds text and, for `[n]`, numbers."""

    path: Path
    value: Plain
    text: str


def parse_override(text: str) -> Override:
    """Read `image.shape[0]=256`; RecipeError where it is not `path=value`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise sentence(f"--set {quoted(text)} has no '=': write --set path=value", RecipeError)
    path: list[str | int] = []
    for segment in name.strip().split("."):
        match = _SEGMENT.fullmatch(segment)
        if match is None:
            raise sentence(f"--set {quoted(name)} is not a path: write it like image.shape[0]=256", RecipeError)
        path.append(match.group(1))
        path += [int(n) for n in re.findall(r"[0-9]+", match.group(2))]
    if len(path) > DEEPEST:
        raise sentence(f"--set {quoted(name)} is deeper than {DEEPEST} levels: no field lies there", RecipeError)
    if not value.strip() or value.lstrip().startswith("#"):
        raise sentence(f"--set {quoted(name)} has no value after '=': write one, or null for none", RecipeError)
    data = read_document(value, f"--set {dotted(tuple(path))}", RecipeError, top="any").data
    return Override(tuple(path), data, text)


def parse_overrides(texts: Iterable[str | Override]) -> tuple[Override, ...]:
    return tuple(one if isinstance(one, Override) else parse_override(one) for one in texts)


def apply_override(data: dict[str, Plain], override: Override, kind: type[BadInput] = RecipeError) -> Path:
    """Put the value into `data` in place, making mappings where there are none; later overrides win.

    Returns the path with list indexes as numbers. Whether the field exists is found by `validate`. A list's element
    is set where the list is; a list that the file does not give has to be set as a whole.
    """
    walked: list[str | int] = []
    here: dict[str, Plain] | list[Plain] = data
    for position, segment in enumerate(override.path):
        last = position == len(override.path) - 1
        key = _index(here, segment, walked, override, kind) if isinstance(here, list) else segment
        if isinstance(here, dict):
            if isinstance(key, int):
                raise _refused(override, f"{dotted(tuple(walked)) or 'the top'} is a mapping, not a list", kind)
            inner = here.get(key)
            if last:
                here[key] = override.value
            elif inner is None:
                if isinstance(override.path[position + 1], int):
                    name = dotted((*walked, key))
                    raise _refused(override, f"the recipe gives no list {name}: set it as a whole", kind)
                inner = here[key] = {}
        else:
            assert isinstance(key, int)
            inner = here[key]
            if last:
                here[key] = override.value
        walked.append(key)
        if last:
            break
        if not isinstance(inner, dict | list):
            raise _refused(override, f"{dotted(tuple(walked))} is {shown(inner)} and has no fields", kind)
        here = inner
    return tuple(walked)


def _index(
    here: list[Plain], segment: str | int, walked: list[str | int], override: Override, kind: type[BadInput]
) -> int:
    name = dotted(tuple(walked))
    if isinstance(segment, str):
        if not re.fullmatch("[0-9]{1,9}", segment, re.ASCII):
            raise _refused(override, f"{name} is a list: write {name}[0] and so on", kind)
        segment = int(segment)
    if segment >= len(here):
        allowed = f"[0] to [{len(here) - 1}]" if here else "none, the list is empty"
        raise _refused(override, f"{name} has no element [{segment}], allowed are {allowed}", kind)
    return segment


def _refused(override: Override, text: str, kind: type[BadInput]) -> BadInput:
    return sentence(f"--set {quoted(override.text)}: {text}", kind)
