"""The watchdog's process: ready beforehand, it stops the beam when its node is gone, then brings the safe state.

Afterwards it answers at the node's address for a while, so that a runner that lost its node can read back that the beam
is blanked. It gives no lease. It leaves once the instrument is taken again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from cryoctl.clock import now_s
from cryoctl.clock.wall import local_now
from cryoctl.engine.patience import within
from cryoctl.engine.safe_state import ACTION_LIMIT_S, dangers
from cryoctl.errors import BadInput
from cryoctl.instrument import Instrument, parse_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.connecting import attach_emulators, close_all
from cryoctl.launch.device_building import build_devices
from cryoctl.launch.safe import lock_of, secured
from cryoctl.node.audit import Audit
from cryoctl.node.calls import named_devices
from cryoctl.node.desk import NodeDesk
from cryoctl.node.keys import KeyFolder
from cryoctl.node.own_verbs import Served
from cryoctl.node.priority import go_first
from cryoctl.node.remote import facts_of
from cryoctl.node.remote_factory import as_remote
from cryoctl.node.router import Router
from cryoctl.node.watchdog import BEAT_S, READY, NodeEnded, end_process, first_line
from cryoctl.recipe.canonical import to_yaml
from cryoctl.registry import find

ANSWERS_S = 180.0
"""How long it answers afterwards: longer than a runner tries to reach its node again."""
LOOK_S = 0.2
KEEP_ALIVE_S = 5.0
PORT_FREE_WITHIN_S = 5.0


def main() -> int:
    for name in ("SIGINT", "SIGHUP", "SIGBREAK"):
        number = getattr(signal, name, None)
        if number is not None:
            signal.signal(number, signal.SIG_IGN)  # whoever ends the node ends this by its beats
    go_first()
    line = first_line(sys.stdin.buffer)
    if not line:
        return 0  # the node ended while it started this: nothing has begun
    told: dict[str, Any] = json.loads(line)
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        return runner.run(_Watching(told).watch())


class _Watching:
    def __init__(self, told: Mapping[str, Any]) -> None:
        self._told = told
        self._node = os.getppid()
        self._connected = self._tried = False
        self._world = None if told["world"] is None else Path(str(told["world"]))
        self._instrument: Instrument = parse_instrument(str(told["text"]), "instrument")
        context = DeviceContext(seed=0, world_file=self._world)
        context.shared.update(second=True, attended=False)
        self._devices: DeviceSet = build_devices(self._instrument, context, (), "serve")
        self._audit = Audit(None if told["audit"] is None else Path(str(told["audit"])))

    async def watch(self) -> int:
        attach_emulators(self._devices)
        self._connected = await self._connect_beam()
        keeping = asyncio.create_task(self._keep_alive())
        hung_s = float(self._told["hung_s"]) - BEAT_S  # the last beat may have come just before it hung
        why = await NodeEnded(sys.stdin.buffer, sys.stdout.buffer, hung_s).wait(self._ready)
        keeping.cancel()
        if why == "left":
            await close_all(self._devices)
            return 0
        gone_s = now_s()
        if why == "hangs" and not self._connected:
            end_process(self._node)  # it holds the only link
        with contextlib.suppress(Exception):
            await within(self._blank(), ACTION_LIMIT_S / 4)
        took_s = now_s() - gone_s
        if why == "hangs":
            end_process(self._node)
        self._audit.note("watchdog", "watchdog", f"the node {why}; told to blank, and done after {took_s * 1e3:.0f} ms")
        actions = await secured(self._devices)
        open_ones = [one.name for one in actions if not one.confirmed]
        said = "; NOT confirmed: " + ", ".join(open_ones) if open_ones else ""
        self._audit.note("watchdog", "watchdog", f"safe state, since the node {why}{said}")
        await self._answer(f"the node {why} at {local_now():%H:%M:%S} and its watchdog has brought the safe state")
        await close_all(self._devices)
        return 6 if dangers(actions) else 0

    async def _connect_beam(self) -> bool:
        """A second connection to what stops the beam; where the device allows one only, it is made when the node is
        gone."""
        entry = self._instrument.file.devices[self._devices.beam.name]
        if getattr(find("cryoctl.devices", entry.driver), "one_link", False):
            return False
        try:
            await within(self._connect(), ACTION_LIMIT_S)
            await within(self._read(), ACTION_LIMIT_S)
        except Exception as error:
            if self._connected or not self._tried:
                said = f"no second connection to the beam ({error}); made when needed"
                self._audit.note("watchdog", "watchdog", said)
            self._tried = True
            return False
        self._tried = True
        return True

    async def _connect(self) -> None:
        await self._devices.beam.connect()

    async def _read(self) -> None:
        """So that a connection that is silent for hours is known to live, and all is loaded that blanking needs."""
        await self._devices.beam.valves_open()

    async def _keep_alive(self) -> None:
        while True:
            await asyncio.sleep(KEEP_ALIVE_S)
            try:
                await within(self._read(), ACTION_LIMIT_S)
            except Exception:  # silent for now, or for good
                self._connected = await self._connect_beam()

    async def _blank(self) -> None:
        if not self._connected:
            await self._devices.beam.connect()
        await self._devices.beam.blank()

    def _ready(self) -> None:
        how = "beam connected" if self._connected else "connects when the node is gone: its device has one link"
        sys.stdout.buffer.write(READY + b" " + how.encode() + b"\n")
        sys.stdout.buffer.flush()

    async def _answer(self, why: str) -> None:
        """Stand in for the node, without giving a lease."""
        devices, instrument, told = self._devices, self._instrument, self._told
        served = Served(
            instrument=instrument.file.name,
            text=to_yaml(as_remote(instrument.data)),
            facts={name: facts_of(kind, one) for name, (kind, one) in named_devices(devices).items()},
            identities={},
        )
        desk = NodeDesk(devices, served, self._secure, self._audit, no_beam=lambda: why)
        desk.lease.closed = f"{why}; start `cryoctl serve` again there"
        keys = None if told["keys"] is None else KeyFolder(Path(str(told["keys"])))
        until_s = now_s() + ANSWERS_S
        router: Router | None = None
        lock = lock_of(instrument, self._world)
        while now_s() < until_s:
            if router is None and now_s() < until_s - ANSWERS_S + PORT_FREE_WITHIN_S:
                with contextlib.suppress(BadInput):  # another node may have the port already
                    router = Router(desk, str(told["host"]), int(told["port"]), keys, self._audit)
                    router.start()
            if lock is not None and lock.taken:
                break
            await asyncio.sleep(LOOK_S)
        if router is not None:
            router.close()

    async def _secure(self, why: str) -> Sequence[Mapping[str, Any]]:
        del why
        return [asdict(one) for one in await secured(self._devices)]


if __name__ == "__main__":
    sys.exit(main())
