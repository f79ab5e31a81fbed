"""Data on stdout, messages on stderr; never a crash because of an encoding or a reader that went away."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any, TextIO


def prepare_streams() -> None:
    """Characters that the console can't show become `?` instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="replace")


unwritten: list[str] = []
"""Why data could not be written to stdout, once that was so; the command then fails."""


def put(text: str) -> None:
    """One line of data to stdout."""
    _write(sys.stdout, text + "\n", unwritten)


def flush() -> None:
    """What a buffer may still hold goes to stdout."""
    _write(sys.stdout, "", unwritten)


def say(text: str) -> None:
    """One line for the person to stderr."""
    _write(sys.stderr, text + "\n")


def put_json(answer: Mapping[str, Any]) -> None:
    """The one JSON object of `--json`; NaN and infinity become null, everything is ASCII."""
    put(json.dumps(json_ready(answer), ensure_ascii=True, allow_nan=False))


def json_ready(value: Any) -> Any:
    """Plain JSON values of mappings, sequences, numpy scalars and arrays, paths, enums and dataclasses."""
    if value is None or isinstance(value, bool | int | str):
        return value.value if isinstance(value, Enum) else value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, Enum):
        return json_ready(value.value)
    if isinstance(value, Mapping):
        return {str(key): json_ready(one) for key, one in value.items()}  # type: ignore[misc]
    listed: Any = getattr(value, "tolist", None)
    if callable(listed):
        return json_ready(listed())
    if is_dataclass(value) and not isinstance(value, type):
        return json_ready(asdict(value))
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list | tuple | set | frozenset):
        return [json_ready(one) for one in value]  # type: ignore[misc]
    return str(value)


def _write(stream: TextIO | None, text: str, failures: list[str] | None = None) -> None:
    if stream is None:  # closed from the start
        if failures is not None and text:
            failures.append("it is closed")
        return
    try:
        stream.write(text)
        stream.flush()
    except (ValueError, OSError) as error:
        if failures is not None:
            failures.append(getattr(error, "strerror", None) or str(error))
        _silence(stream)


def _silence(stream: TextIO) -> None:
    """The reader is gone: what follows, the interpreter's own flush included, goes nowhere."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass


def is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False
