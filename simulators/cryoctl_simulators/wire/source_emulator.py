"""What emulated source-measure units share: the world's source, and a relay in its HI line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from cryoctl_simulators.settings import BiasSettings
from cryoctl_simulators.wire.emulator import Emulator, Wire
from cryoctl_simulators.wire.relay import EmulatedRelay
from cryoctl_simulators.world.source import Source


class EmulatedSourceSettings(BiasSettings):
    wire: Wire = "tcp"
    relay: bool = True
    """A relay in its HI line, on a port of its own: the second way to switch it off."""


S = TypeVar("S", bound=EmulatedSourceSettings)


class SourceEmulator(Emulator[S]):
    kind = "bias"
    has_own_clock = True
    _relay: EmulatedRelay | None = None

    def open(self) -> Mapping[str, Any]:
        told = dict(super().open())
        if self.settings.relay and self._relay is None:
            self._relay = EmulatedRelay(self.settings.wire, self._relay_opens)
        return told if self._relay is None else {**told, "cut_off": self._relay.settings()}

    def attach(self) -> None:
        super().attach()
        if self._relay is not None:
            self._relay.attach()

    def close(self) -> None:
        super().close()
        if self._relay is not None:
            self._relay.close()
            self._relay = None

    def _relay_opens(self, opens: bool) -> bool:
        if opens and self.fault("cut-off-fails"):
            return False
        if opens:
            self._source.switch(False, self.world.time_s)
            self.world.made_safe("source cut off")
            self.world.commit()
        return True

    @property
    def _source(self) -> Source:
        return self.world.source

    @property
    def _on(self) -> bool:
        return bool(self._source.record["output_on"])
