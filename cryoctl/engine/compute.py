"""Carries out `Compute` and `ComputeTrace`: analyses below `cryoctl.`, by name, never in the way of the loop."""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.clock.virtual import VirtualTimeLoop
from cryoctl.errors import RunFileError, StepLost
from cryoctl.steps import Compute, Computed, ComputeTrace

Array = npt.NDArray[Any]

_PACKAGES = ("analysis.", "reconstruction.", "correlation.")


def find_function(name: str) -> Callable[..., Any]:
    """``module:function`` below `cryoctl.`; raises `RunFileError` for anything else."""
    module, _, function = name.partition(":")
    if not module.startswith(_PACKAGES):
        raise RunFileError(f"compute: {name!r} is none of {', '.join(_PACKAGES)}")
    found = getattr(importlib.import_module(f"cryoctl.{module}"), function, None)
    if not callable(found):
        raise RunFileError(f"compute: {name!r} does not exist")
    return cast(Callable[..., Any], found)


def as_plain(value: Any) -> Any:
    """A result as plain Python values: data classes and mappings by field, arrays and tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: as_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): as_plain(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, np.ndarray):
        return cast(Array, value).tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        return [as_plain(item) for item in cast(list[Any], value)]
    return value


async def compute(name: str, arrays: tuple[Array, ...], arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Call the function; in real time in a thread, so that blanking is never behind a correlation.

    In virtual time nothing else runs meanwhile, and the call is made directly.
    """
    function = find_function(name)
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualTimeLoop):
        result = function(*arrays, **arguments)
    else:
        result = await loop.run_in_executor(None, lambda: function(*arrays, **arguments))
    values = as_plain(result)
    return cast(dict[str, Any], values) if isinstance(values, dict) else {"value": values}


async def computed(
    step: Compute | ComputeTrace, arrays: tuple[Array, ...], arguments: Mapping[str, Any], of: str
) -> Computed:
    """What the step's function finds.

    Raises:
        RunFileError: there is no such function.
        StepLost: it fails.
    """
    try:
        values = await compute(step.function, arrays, arguments)
    except RunFileError:
        raise
    except Exception as error:
        raise StepLost(f"{step.function}: it could not be told from {of} ({str(error)[:150]})") from error
    await asyncio.sleep(step.duration_s)
    return Computed(values=values)
