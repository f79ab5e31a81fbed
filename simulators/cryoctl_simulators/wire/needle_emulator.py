"""What emulated needle drives share: a place where the driver remembers what the drive does not, beside its world."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from cryoctl_simulators.settings import NeedleSettings
from cryoctl_simulators.wire.emulator import Emulator

N = TypeVar("N", bound=NeedleSettings)


class NeedleEmulator(Emulator[N]):
    kind = "needle"
    _folder: TemporaryDirectory[str] | None = None

    def open(self) -> Mapping[str, Any]:
        """Steps and hold of this world are no other one's."""
        return {**super().open(), "state_file": str(self._state_file())}

    def _state_file(self) -> Path:
        world_file = self.world.context.world_file
        if world_file is not None:
            return world_file.with_name(f"{world_file.name}.{self.name}.json")
        self._folder = self._folder or TemporaryDirectory(prefix="cryoctl-")
        return Path(self._folder.name) / f"{self.name}.json"

    def close(self) -> None:
        super().close()
        folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()
