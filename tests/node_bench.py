"""A node and its runner in one virtual loop: the same messages as over a network, no socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from cryoctl.engine.safe_state import reach_safe_state
from cryoctl.instrument import Instrument, load_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.device_building import build_devices
from cryoctl.node.audit import Audit
from cryoctl.node.calls import named_devices
from cryoctl.node.client import NodeClient
from cryoctl.node.desk import NodeDesk
from cryoctl.node.direct import DirectLink, DirectSwitch
from cryoctl.node.frames_out import BUDGET
from cryoctl.node.keys import KeyFolder
from cryoctl.node.own_verbs import Served
from cryoctl.node.remote import facts_of, remote_device
from cryoctl.node.roles import Person, Role
from cryoctl.node.router import Router

ANNA = Person("anna", Role.OPERATOR)
BEN = Person("ben", Role.OPERATOR)
VIEWER = Person("vera", Role.VIEWER)
ADMIN = Person("ada", Role.ADMIN)


@cache
def _loaded(instrument: str) -> Instrument:
    return load_instrument(instrument)


class NodeBench:
    """A desk in front of a simulated instrument; `links` are those that were made, in their order."""

    def __init__(
        self, instrument: str = "needle-holder", *, heartbeat_limit_s: float = 60.0, frame_budget: int = BUDGET
    ) -> None:
        found = _loaded(instrument)
        self.devices: DeviceSet = build_devices(found, DeviceContext(seed=11), (), "bench")
        self.audit = Audit(None)
        self.secured: list[str] = []
        self.links: list[DirectLink] = []
        served = Served(instrument=instrument, text=found.yaml(), facts={}, identities={})
        self.no_beam = ""
        self.desk = NodeDesk(
            self.devices,
            served,
            self._secure,
            self.audit,
            heartbeat_limit_s=heartbeat_limit_s,
            no_beam=lambda: self.no_beam,
            frame_budget=frame_budget,
        )
        self.switch = DirectSwitch(self.desk)

    async def _secure(self, why: str) -> Sequence[Mapping[str, Any]]:
        self.secured.append(why)
        return [asdict(one) for one in await reach_safe_state(self.devices, alarm=False)]

    def client(self, person: Person = ANNA, *, control: bool = True, frames: Sequence[str] = ()) -> NodeClient:
        def make() -> DirectLink:
            self.links.append(self.switch.link(person))
            return self.links[-1]

        return NodeClient("direct", make, "bench", control=control, frames=frames)

    def remote(self, name: str, client: NodeClient | None = None) -> Any:
        kind, device = named_devices(self.devices)[name]
        return remote_device(kind, name, client or self.client(), facts_of(kind, device))


def served(check: Callable[[NodeBench, Router], Awaitable[None]], keys: Path | None = None, **settings: Any) -> None:
    """Check a bench over loopback, in real time. Args: `keys` folder of the node's keys, None without."""

    async def whole() -> None:
        bench = NodeBench(**settings)
        for device in bench.devices:
            await device.connect()
        router = Router(bench.desk, "127.0.0.1", 0, None if keys is None else KeyFolder(keys), bench.audit)
        router.start()
        try:
            await check(bench, router)
        finally:
            router.close()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(whole())
