"""Blanking of both columns, by a connection that nothing else uses."""

from __future__ import annotations

import threading
from typing import Any

from cryoctl.errors import DeviceError
from cryoctl_drivers.by_command.blanker import PROMPT_S, Blanker
from cryoctl_drivers.fibsem.connection import MicroscopeConnection
from cryoctl_drivers.fibsem.library import Library
from cryoctl_drivers.fibsem.settings import ElectronBeamSettings


class ColumnsBlanker(Blanker):
    """Opens the electron column only, and reads blanked where both columns are."""

    def __init__(self, name: str, settings: ElectronBeamSettings, library: Library) -> None:
        super().__init__(name, settings.blanker_latency_limit_s, "switch the beams off")
        self._library = library
        self._ion_column = settings.ion_column
        prompt = settings.model_copy(update={"deadline_s": min(settings.deadline_s, PROMPT_S)})
        self.connection = MicroscopeConnection(name, prompt, library)

    async def open(self) -> None:
        await self.connection.open()
        self.is_open = True

    async def command(self, *, blanked: bool, limit_s: float = PROMPT_S) -> None:
        limit_s = min(limit_s, self.connection.deadline_s)
        await (self._blank_all(limit_s) if blanked else self._open_electrons(limit_s))

    async def _blank_all(self, limit_s: float) -> None:
        def act(microscope: Any) -> None:
            for column in self.columns():
                microscope.set("blanked", True, column)

        await self.connection.call("blank", act, limit_s)

    async def _open_electrons(self, limit_s: float) -> None:
        """One that is so late that it was given up blanks again as soon as it is done: the blanking that followed went
        another way and may have come first."""
        given_up = threading.Event()

        def act(microscope: Any) -> None:
            microscope.set("blanked", False, self._library.electrons)
            if given_up.is_set():
                microscope.set("blanked", True, self._library.electrons)

        try:
            await self.connection.call("unblank", act, limit_s)
        except BaseException:
            given_up.set()
            raise

    async def is_blanked(self) -> bool:
        read = await self.connection.call("read its blankers", self._read)
        unknown = [one for one in read if not isinstance(one, bool)]
        if unknown:  # fibsem answers what it has no call for with None
            raise DeviceError(f"{self._name}: a blanker reads {unknown[0]!r}, neither blanked nor open; not to be used")
        return all(read)

    async def close(self) -> None:
        self.is_open = False
        await self.connection.close()

    def columns(self) -> list[Any]:
        return [self._library.electrons, self._library.ions][: 2 if self._ion_column else 1]

    def _read(self, microscope: Any) -> list[Any]:
        return [microscope.get("blanked", column) for column in self.columns()]
