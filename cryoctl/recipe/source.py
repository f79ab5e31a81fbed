"""Where a YAML file comes from: a path, or the name of a bundled one found by its entry point."""

from __future__ import annotations

import os
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal, cast

from cryoctl import registry
from cryoctl.errors import BadInput, FileProblem
from cryoctl.recipe.strict_yaml import LARGEST_BYTES
from cryoctl.recipe.wording import nearest, sentence
from cryoctl.units import quoted

Source = str | os.PathLike[str] | Traversable
BundledGroup = Literal["cryoctl.recipes", "cryoctl.instruments"]


def read_source(source: Source, group: BundledGroup) -> tuple[bytes, str]:
    """The bytes and the name for messages; FileProblem or the group's error where there is nothing to read."""
    if not isinstance(source, str | os.PathLike):
        return _bytes(source), source.name
    text = os.fspath(source)
    if not text or "\0" in text:
        raise sentence(f"{quoted(text)} is not the name of a file: give a path or a bundled name", FileProblem)
    if isinstance(source, os.PathLike) or _looks_like_path(text):
        path = Path(text)
        return _bytes(path), path.name or text
    return _bytes(bundled(group, text)), f"{text}.yaml"


def bundled(group: BundledGroup, name: str) -> Traversable:
    """The file behind a bundled name."""
    found = registry.find(group, name)
    if not hasattr(found, "read_bytes"):
        raise sentence(f"the entry point {quoted(name)} of {group} is not a file: it must name a Path", BadInput)
    return cast("Traversable", found)


def _looks_like_path(text: str) -> bool:
    if text.lower().endswith((".yaml", ".yml")) or "/" in text or os.sep in text:
        return True
    try:
        return Path(text).is_file()
    except OSError:
        return False


def _bytes(path: Path | Traversable) -> bytes:
    name = quoted(str(path), 120)
    try:
        if path.is_dir():
            raise sentence(f"{name} is a folder: give a YAML file", FileProblem)
        if isinstance(path, Path):
            if path.exists() and not path.is_file():
                raise sentence(f"{name} is not a regular file: give a YAML file", FileProblem)
            with path.open("rb") as stream:
                return stream.read(LARGEST_BYTES + 1)
        return path.read_bytes()
    except FileNotFoundError:
        raise sentence(f"{name} does not exist: {_neighbours(path)}", FileProblem) from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or type(problem).__name__
        raise sentence(f"{name} can't be read ({reason}): check its name and permissions", FileProblem) from None


def _neighbours(path: Path | Traversable) -> str:
    near: list[str] = []
    if isinstance(path, Path):
        try:
            near = [p.name for p in path.parent.iterdir() if p.suffix.lower() in (".yaml", ".yml")]
        except OSError:
            near = []
    return nearest(path.name, near) if near else "check the path, or give a bundled name (`cryoctl recipes`)"
