"""Steps that think: analyses of stored frames, and conclusions to keep."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryoctl.steps.base import FrameRef, Step


@dataclass(frozen=True, slots=True, kw_only=True)
class Computed:
    """Plain values by name."""

    values: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute(Step[Computed]):
    """Call ``module:function`` below `cryoctl.` with the frames (2-D float arrays, scan frames summed) and arguments.

    `duration_s` is what it takes in virtual time.
    """

    function: str
    frames: tuple[FrameRef, ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    duration_s: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeTrace(Step[Computed]):
    """The same with what the biasing source sampled between two times of the run (s), the argument `trace`
    (`analysis.bias_trace.BiasTrace`): each row says how far the beam was open meanwhile."""

    function: str
    since_s: float
    until_s: float
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    duration_s: float = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Conclude(Step[None]):
    """Keep numbers as /results/NAME of the run file: numbers, texts or lists of them."""

    name: str
    values: Mapping[str, Any]
