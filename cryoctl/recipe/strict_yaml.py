"""Strict, safe YAML: one document, plain data, no tags, anchors or aliases, no duplicate keys, bounded in size.

Values are built from parser events, so nothing is ever constructed by name and nothing recurses. Scalars follow
YAML 1.2. Everything wrong is one sentence with file and line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import yaml

from cryoctl.errors import BadInput, RecipeError
from cryoctl.recipe.scalars import NotANumber, bare_word
from cryoctl.recipe.wording import Path, dotted, nearest, sentence, shown
from cryoctl.units import quoted

Plain: TypeAlias = "bool | int | float | str | list[Plain] | dict[str, Plain] | None"

LARGEST_BYTES = 2_000_000
DEEPEST = 24
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Document:
    """`lines` gives the line (from 1) of each value by its path."""

    data: Plain
    origin: str
    lines: Mapping[Path, int]

    def place(self, path: Path) -> str:
        """`my.yaml:12` of a value, or of the nearest thing around it that has a line."""
        for end in range(len(path), 0, -1):
            line = self.lines.get(path[:end])
            if line is not None:
                return f"{self.origin}:{line}"
        return self.origin


@dataclass
class _Open:
    """A mapping or list whose end has not come yet."""

    value: dict[str, Plain] | list[Plain]
    path: Path
    key: str | None = None
    first_seen: dict[str, int] = field(default_factory=dict[str, int])


class _Reader:
    def __init__(self, origin: str, kind: type[BadInput], *, has_lines: bool) -> None:
        self.origin = origin
        self.kind = kind
        self.has_lines = has_lines
        self.lines: dict[Path, int] = {}
        self.stack: list[_Open] = []
        self.documents = 0
        self.top: Plain = None

    def fail(self, line: int | None, text: str) -> BadInput:
        place = f"{self.origin}:{line}" if line is not None and self.has_lines else self.origin
        return sentence(f"{place}: {text}", self.kind)

    def take(self, event: yaml.Event) -> None:
        mark = event.start_mark
        line: int = mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self.documents += 1
            if self.documents > 1:
                raise self.fail(line, "a second document starts here ('---'): one file holds one document, split it")
            if event.tags:
                raise self.fail(line, "found a %TAG directive: tags are not allowed, remove it")
        elif isinstance(event, yaml.AliasEvent):
            raise self.fail(line, f"found the alias {quoted('*' + str(event.anchor))}: write the value out instead")
        elif isinstance(event, yaml.NodeEvent):
            self._node(event, line)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            self.stack.pop()

    def _node(self, event: Any, line: int) -> None:
        if event.anchor is not None:
            raise self.fail(line, f"found the anchor {quoted('&' + event.anchor)}: anchors are not allowed, remove it")
        if event.tag is not None:
            raise self.fail(
                line, f"found the tag {quoted(str(event.tag))}: tags are not allowed, write the plain value"
            )
        inside = self.stack[-1] if self.stack else None
        if inside is not None and isinstance(inside.value, dict) and inside.key is None:
            inside.key = self._key(event, inside, line)
            return
        value: Plain
        if isinstance(event, yaml.MappingStartEvent):
            value = {}
        elif isinstance(event, yaml.SequenceStartEvent):
            value = []
        else:
            value = self._scalar(event, inside, line)
        path = self._place(value, inside)
        self.lines[path] = line
        if isinstance(value, dict | list):
            if len(self.stack) >= DEEPEST:
                raise self.fail(line, f"nested deeper than {DEEPEST} levels: a recipe needs far fewer, flatten it")
            self.stack.append(_Open(value, path))

    def _place(self, value: Plain, inside: _Open | None) -> Path:
        if inside is None:
            self.top = value
            return ()
        if isinstance(inside.value, list):
            inside.value.append(value)
            return (*inside.path, len(inside.value) - 1)
        key = inside.key or ""
        inside.value[key] = value
        inside.key = None
        return (*inside.path, key)

    def _key(self, event: Any, inside: _Open, line: int) -> str:
        if not isinstance(event, yaml.ScalarEvent):
            raise self.fail(line, "a list or mapping stands where a key is wanted: write `name: value`")
        key: str = event.value
        if not key.strip():
            raise self.fail(line, "found an empty key: write `name: value`")
        first = inside.first_seen.setdefault(key, line)
        if first != line or key in inside.value:
            path = dotted((*inside.path, key))
            raise self.fail(line, f"{path} is given twice, first in line {first}: keep one of them")
        return key

    def _scalar(self, event: Any, inside: _Open | None, line: int) -> Plain:
        text: str = event.value
        if event.style not in (None, ""):
            return text
        try:
            return bare_word(text)
        except NotANumber as problem:
            path: Path = ()
            if inside is not None:
                here = len(inside.value) if isinstance(inside.value, list) else (inside.key or "")
                path = (*inside.path, here)
            name = dotted(path) + " is " if path else "found "
            raise self.fail(line, f"{name}{problem}: write a finite number") from None


def decode(source: str | bytes, origin: str, kind: type[BadInput] = RecipeError) -> str:
    """UTF-8 text, a byte order mark removed; refuses what is larger than `LARGEST_BYTES` or not UTF-8."""
    if len(source) > LARGEST_BYTES:
        raise sentence(f"{origin} is larger than {LARGEST_BYTES // 1_000_000} MB: is this the right file", kind)
    if isinstance(source, str):
        return source.removeprefix("\ufeff")
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        line = source[: problem.start].count(b"\n") + 1
        raise sentence(f"{origin}:{line}: the file is not UTF-8 text: save it as UTF-8", kind) from None


def read_document(
    source: str | bytes,
    origin: str = "recipe",
    kind: type[BadInput] = RecipeError,
    top: Literal["mapping", "list", "any"] = "mapping",
) -> Document:
    """Parse one YAML document; every problem raises `kind` with one sentence that names file and line.

    With `top="any"` it is a value of the command line, which has no lines.
    """
    text = decode(source, origin, kind)
    reader = _Reader(origin, kind, has_lines=top != "any")
    try:
        for event in _events(text):
            reader.take(event)
    except yaml.YAMLError as problem:
        raise _syntax(problem, text, reader) from None
    except (UnicodeError, ValueError, OverflowError):
        raise reader.fail(None, "holds characters that text can't hold: save it as UTF-8") from None
    data = reader.top
    if data is None and top != "any":
        raise reader.fail(
            None,
            "is empty: the first line must be `schema_version: 1`"
            if top == "mapping"
            else "is empty: a list (lines that start with `- `) is wanted",
        )
    if top == "mapping" and not isinstance(data, dict):
        raise reader.fail(None, f"found {shown(data)} at the top: lines of `name: value` are wanted")
    if top == "list" and not isinstance(data, list):
        raise reader.fail(None, f"found {shown(data)} at the top: a list (lines that start with `- `) is wanted")
    return Document(data, origin, reader.lines)


def _events(text: str) -> Iterator[yaml.Event]:
    yield from yaml.parse(text, Loader=_LOADER)


def _syntax(problem: yaml.YAMLError, text: str, reader: _Reader) -> BadInput:
    mark = getattr(problem, "problem_mark", None) or getattr(problem, "context_mark", None)
    what = getattr(problem, "problem", None) or getattr(problem, "reason", None) or "not YAML"
    if mark is None:
        position = getattr(problem, "position", None)
        line = text[:position].count("\n") + 1 if isinstance(position, int) else None
        return reader.fail(line, f"is not YAML ({quoted(str(what), 100)[1:-1]}): remove that character")
    rows = text.splitlines()
    row = rows[mark.line] if mark.line < len(rows) else ""
    if row[: len(row) - len(row.lstrip())].count("\t"):
        return reader.fail(mark.line + 1, "a tab indents this line: indent by spaces")
    return reader.fail(
        mark.line + 1, f"is not YAML ({quoted(str(what), 100)[1:-1]}): check indentation, colons, quotes and brackets"
    )


def unknown_key(name: str, allowed: list[str], what: str = "key") -> str:
    """`'x' is not a key; did you mean 'y'`."""
    return f"{quoted(name)} is not a {what}: {nearest(name, allowed)}"
