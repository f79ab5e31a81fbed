"""Dose-gated, rehearsable, crash-surviving experiments on cryo electron microscopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cryoctl.launch.calls import rehearse, resume, run
    from cryoctl.runfile.reader import open_run

__all__ = ["open_run", "rehearse", "resume", "run"]

_WHERE = {
    "open_run": "cryoctl.runfile.reader",
    "rehearse": "cryoctl.launch.calls",
    "resume": "cryoctl.launch.calls",
    "run": "cryoctl.launch.calls",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for: importing cryoctl alone loads nothing heavy."""
    if name not in _WHERE:
        raise AttributeError(f"module 'cryoctl' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_WHERE[name]), name)
