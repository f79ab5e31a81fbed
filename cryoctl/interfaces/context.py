"""What a device factory is given besides its own settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from cryoctl.interfaces.device import Device
from cryoctl.interfaces.medium import REAL_DISK, Medium


@dataclass(slots=True, kw_only=True)
class DeviceContext:
    """Shared by all devices of one instrument.

    `simulation` are the recipe's `simulation.` fields (simulators only), `faults` the entries of a --faults file,
    `hidden_draws` is False in a rehearsal: the world is then built without calibration errors that nobody could know.
    `shared` lets simulators find their one world. `medium` is where the run will be kept; simulators put their own.
    """

    seed: int
    world_file: Path | None = None
    simulation: Mapping[str, Any] = field(default_factory=dict[str, Any])
    faults: tuple[Mapping[str, Any], ...] = ()
    hidden_draws: bool = True
    shared: dict[str, Any] = field(default_factory=dict[str, Any])
    medium: Medium = REAL_DISK


class DeviceFactory(Protocol):
    """What an entry point of the group `cryoctl.devices` names.

    `check` looks at the settings before anything is built and raises `InstrumentError`. A factory may also have
    `settings_model`, a pydantic model: settings are then held against it first, so that they take quantities with
    units, are never coerced, and a wrong one is told with its line and the nearest name.
    """

    kind: str

    def check(self, settings: Mapping[str, Any]) -> None: ...

    def __call__(self, name: str, settings: Mapping[str, Any], context: DeviceContext) -> Device: ...
