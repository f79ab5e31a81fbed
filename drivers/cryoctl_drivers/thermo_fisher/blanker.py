"""The way to the blanker: a connection, a thread and a server that nothing else uses."""

from __future__ import annotations

from cryoctl_drivers.by_command.blanker import PROMPT_S, Blanker
from cryoctl_drivers.thermo_fisher.connection import ScriptingConnection
from cryoctl_drivers.thermo_fisher.settings import BeamSettings


class ServerBlanker(Blanker):
    def __init__(self, name: str, settings: BeamSettings) -> None:
        super().__init__(name, settings.blanker_latency_limit_s, "close the column valves")
        prompt = settings.model_copy(update={"deadline_s": min(settings.deadline_s, PROMPT_S)})
        self.server = ScriptingConnection(name, prompt, settings.blanker_port)

    async def open(self) -> None:
        await self.server.open()
        self.is_open = True

    async def command(self, *, blanked: bool, limit_s: float = PROMPT_S) -> None:
        limit_s = min(limit_s, self.server.deadline_s)
        await self.server.call("set_beam_blanked", blanked, limit_s=limit_s, revocable=not blanked)

    async def is_blanked(self) -> bool:
        return bool(await self.server.call("get_beam_blanked"))

    async def close(self) -> None:
        self.is_open = False
        await self.server.close()
