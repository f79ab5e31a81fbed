"""The script engine of an emulated 2600: a real Lua (`lupa`), which knows of its host what it is given and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from cryoctl.errors import InstrumentError

SYNTAX, RUNTIME = -285, -286


class LuaError(Exception):
    """`code` is the instrument's."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True, slots=True)
class Wait:
    """What a script waits for: a time (s), or a trigger for so long."""

    trigger: bool
    seconds: float


class Lua:
    """
    Args:
        host: what the prelude calls, by its names.

    Raises:
        InstrumentError: `lupa` is not installed.
    """

    def __init__(self, owner: str, host: Mapping[str, Any]) -> None:
        try:
            from lupa.lua52 import LuaRuntime
        except ImportError:
            raise InstrumentError(
                f"{owner}: an emulated 2600 runs its scripts by lupa, which is not installed; install cryoctl[tsp]"
            ) from None
        runtime = LuaRuntime(
            unpack_returned_tuples=True, register_eval=False, register_builtins=False, attribute_filter=_nothing
        )
        prelude = runtime.compile((files(__package__) / "prelude.lua").read_text(encoding="ascii"))
        self._compile, self._define, self._create, self._resume = prelude(runtime.table_from(dict(host)))

    def thread(self, text: str) -> Any:
        """Of a line.

        Raises:
            LuaError: its syntax is wrong.
        """
        return self._create(self._checked(self._compile(text)))

    def define(self, name: str, text: str) -> None:
        """A script, which becomes a global of this name.

        Raises:
            LuaError: its syntax is wrong.
        """
        self._checked(self._define(name, text))

    def go_on(self, thread: Any, value: Any = None) -> Wait | None:
        """Until it waits for something, None where it is over.

        Raises:
            LuaError: it ends by an error.
        """
        well, over, what, seconds = self._resume(thread, value)
        if not well:
            raise LuaError(RUNTIME, str(what))
        return None if over else Wait(trigger=what == "trigger", seconds=float(seconds))

    def _checked(self, compiled: Any) -> Any:
        """A function, or nil and what is wrong with it."""
        chunk, wrong = compiled if isinstance(compiled, tuple) else (compiled, "")
        if chunk is None:
            raise LuaError(SYNTAX, str(wrong))
        return chunk


def _nothing(obj: object, name: str, setting: bool) -> str:
    raise AttributeError(name)
