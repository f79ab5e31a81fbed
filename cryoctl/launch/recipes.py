"""A request's recipe with the protocol class that plays it: from YAML, or from an operator's Python file.

A Python file holds one protocol class, or one generator function that yields steps. The function's arguments are its
parameters (`--set NAME=VALUE`), with their annotations, defaults, and the units that their names end in. One called
`dose_limit_e_per_a2` is the run's limit.
"""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, ClassVar, cast, get_type_hints

from pydantic import BaseModel, create_model

from cryoctl.errors import BadInput, FileProblem, RecipeError
from cryoctl.protocol import Chart, Protocol, Steps, Transition
from cryoctl.recipe.loading import RawRecipe, load_recipe, parse_recipe
from cryoctl.recipe.wording import sentence
from cryoctl.registry import find
from cryoctl.units import StrictModel, quoted
from cryoctl.units.dimensions import dimension_of
from cryoctl.units.fields import Quantity

_REACH_M = 6e-6
"""A script's exposures lie within this of the specimen's origin; what lies beyond is refused by the gate."""

Script = Callable[..., Generator[Any, Any, Any]]


def read_recipe(recipe: str, overrides: Sequence[str]) -> tuple[RawRecipe, type[Protocol]]:
    """
    Raises:
        RecipeError, FileProblem: one sentence.
    """
    if not recipe.lower().endswith(".py"):
        raw = load_recipe(recipe, overrides)
        return raw, cast("type[Protocol]", find("cryoctl.protocols", raw.protocol))
    path = Path(recipe)
    module, text = _load(path)
    protocol = _protocol_of(module, path)
    raw = parse_recipe(f"schema_version: 1\nprotocol: {protocol.name}\n", path.name, overrides)
    return replace(raw, text=text), protocol


def _load(path: Path) -> tuple[ModuleType, str]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) else "it is not UTF-8"
        raise sentence(f"{quoted(str(path), 120)} can't be read ({reason}): give a Python file", FileProblem) from None
    name = f"cryoctl_script_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise sentence(f"{quoted(str(path), 120)} can't be loaded as Python: give a Python file", FileProblem)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # pydantic looks annotations up there
    try:
        spec.loader.exec_module(module)
    except Exception as problem:
        line = getattr(problem, "lineno", None) or _line_in(problem, path)
        place = f"{path.name}:{line}" if line else path.name
        told = quoted(f"{type(problem).__name__}: {problem}", 140)[1:-1]
        raise sentence(f"{place}: the file can't be loaded ({told}): mend it", RecipeError) from problem
    return module, text


def _line_in(problem: BaseException, path: Path) -> int | None:
    """The last line of the file that the error went through."""
    found, trace = None, problem.__traceback__
    while trace is not None:
        if Path(trace.tb_frame.f_code.co_filename).name == path.name:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


def _protocol_of(module: ModuleType, path: Path) -> type[Protocol]:
    own = [one for one in vars(module).values() if getattr(one, "__module__", None) == module.__name__]
    classes = [one for one in own if inspect.isclass(one) and issubclass(one, Protocol) and "chart" in vars(one)]
    if len(classes) == 1:
        return classes[0]
    scripts = [one for one in own if inspect.isgeneratorfunction(one) and not one.__name__.startswith("_")]
    if not classes and len(scripts) == 1:
        return _as_protocol(cast(Script, scripts[0]), path)
    names = ", ".join(one.__name__ for one in (*classes, *scripts)) or "neither"
    raise sentence(
        f"{path.name}: found {names[:120]}, a recipe in Python holds one Protocol class or one generator function: "
        "begin the names of its helpers with _",
        RecipeError,
    )


def _as_protocol(script: Script, path: Path) -> type[Protocol]:
    parameters = _parameters_of(script, path)

    class ScriptProtocol(Protocol):
        name: ClassVar[str] = path.stem
        summary: ClassVar[str] = (inspect.getdoc(script) or f"Script {path.name}").splitlines()[0]
        Parameters: ClassVar[type[BaseModel]] = parameters
        requires: ClassVar[tuple[str, ...]] = ("stage", "beam")
        chart: ClassVar[Chart] = Chart(
            initial="play",
            states=("play",),
            finals={"completed": "completed"},
            transitions=(Transition(trigger="played", source="play", dest="completed"),),
            labels={"play": path.stem, "completed": "the script came to its end"},
        )

        def play(self) -> Steps:
            given: Mapping[str, Any] = {name: getattr(self.parameters, name) for name in parameters.model_fields}
            yield from script(**given)
            return "played"

        def dose_limit_e_per_a2(self) -> float:
            return float(getattr(self.parameters, "dose_limit_e_per_a2", float("inf")))

        def covered_area_m(self) -> tuple[float, float, float, float]:
            return (-_REACH_M, _REACH_M, -_REACH_M, _REACH_M)

        def describe(self) -> Mapping[str, Any]:
            return {"title": self.summary, "specimen": "", "targets": []}

    return ScriptProtocol


def _parameters_of(script: Script, path: Path) -> type[BaseModel]:
    try:
        hints = get_type_hints(script, include_extras=True)
        fields: dict[str, Any] = {}
        for name, argument in inspect.signature(script).parameters.items():
            if argument.kind in (argument.VAR_POSITIONAL, argument.VAR_KEYWORD):
                continue
            default = ... if argument.default is argument.empty else argument.default
            hint, dimension = hints.get(name, Any), dimension_of(name)
            if hint is float and dimension is not None:
                hint = Annotated[float, Quantity(dimension)]
            fields[name] = (hint, default)
        return create_model("ScriptParameters", __base__=StrictModel, **fields)
    except BadInput:
        raise
    except Exception as problem:
        told = quoted(f"{type(problem).__name__}: {problem}", 140)[1:-1]
        raise sentence(
            f"{path.name}: the arguments of {script.__name__} can't be parameters ({told}): mend their annotations",
            RecipeError,
        ) from problem
