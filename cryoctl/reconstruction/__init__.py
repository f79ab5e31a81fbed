"""Volumes from tilt series: projector, MLEM, OSEM, SIRT, WBP, stopping rule, detector gain, alignment, live.

Names are loaded when first used, so that importing the package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryoctl.reconstruction.algorithms import Reconstruction, reconstruct
    from cryoctl.reconstruction.methods import ALGORITHMS

__all__ = ["ALGORITHMS", "Reconstruction", "reconstruct"]

_HOME = {"ALGORITHMS": "methods", "Reconstruction": "algorithms", "reconstruct": "algorithms"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
