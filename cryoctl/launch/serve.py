"""`serve`: the node on the instrument's PC, with its watchdog, until it is told to end."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cryoctl.engine.patience import within
from cryoctl.engine.safe_state import ACTION_LIMIT_S, SafeAction, dangers, reach_safe_state, unconfirmed
from cryoctl.errors import BadInput
from cryoctl.instrument import Instrument, load_instrument
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.connecting import close_all, connect_all
from cryoctl.launch.device_building import build_devices
from cryoctl.launch.instrument_lock import InstrumentLock
from cryoctl.launch.safe import lock_of
from cryoctl.node.address import DEFAULT_PORT
from cryoctl.node.audit import Audit
from cryoctl.node.calls import named_devices
from cryoctl.node.desk import NodeDesk
from cryoctl.node.keys import ALLOWED, KeyFolder
from cryoctl.node.lease import HEARTBEAT_LIMIT_S
from cryoctl.node.own_verbs import Served
from cryoctl.node.priority import go_first
from cryoctl.node.remote import facts_of
from cryoctl.node.remote_factory import as_remote
from cryoctl.node.router import Router
from cryoctl.node.watchdog import HUNG_S, Watchdog
from cryoctl.node.watched import Watched
from cryoctl.recipe.canonical import to_yaml

PORT_FREE_WITHIN_S = 3.0
"""The watchdog of a node that died leaves its port once it sees that the instrument is taken again."""
LOOK_S = 0.05
ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeRequest:
    """`world` only for a simulated instrument (None: one that is forgotten); `keys` None: none, loopback only."""

    instrument: Path | str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    world: Path | None = None
    keys: Path | None = None
    audit: Path | None = None
    heartbeat_limit_s: float = HEARTBEAT_LIMIT_S


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What is told once the node answers."""

    instrument: str
    address: str
    process_id: int
    watchdog_id: int | None
    watchdog: str
    devices: Mapping[str, str]
    """Who they are, by name."""
    world: Path | None
    key: str
    """The node's public key, empty where there are none."""
    goes_first: bool
    """Whether it has priority over other programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServeEnd:
    instrument: str
    actions: tuple[SafeAction, ...]
    refused: int

    @property
    def exit_code(self) -> int:
        """As `MadeSafe.exit_code`."""
        if dangers(self.actions):
            return 6
        return 5 if unconfirmed(self.actions) else 0


def serve(request: ServeRequest, on_ready: Callable[[Serving], None], stop: threading.Event | None = None) -> ServeEnd:
    """Serve until Ctrl-C, SIGTERM or `stop`; then the safe state is brought.

    Raises:
        BadInput: address, keys or instrument; nothing was connected.
        DeviceError: a device does not answer, or the watchdog does not start.
    """
    with ExitStack() as held:
        node = _Node(request, held)
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            return runner.run(node.serve(on_ready, stop))


class _Node:
    def __init__(self, request: ServeRequest, held: ExitStack) -> None:
        self._request = request
        self._goes_first = False
        self._held = held
        instrument = self._instrument = load_instrument(request.instrument)
        if instrument.file.is_remote:
            raise BadInput(f"{instrument.origin}: its devices are on a node already; serve the file that lies there")
        self._world = self._world_file(instrument)
        context = DeviceContext(seed=0, world_file=self._world)
        self._devices = build_devices(instrument, context, (), "serve")
        if self._devices.truth is not None:
            self._devices.truth.check()
        self._keys = None if request.keys is None else KeyFolder(request.keys)
        self._audit = Audit(request.audit)

    def _world_file(self, instrument: Instrument) -> Path | None:
        """A simulated instrument's truth lies in a file, so that its watchdog acts on the same world."""
        if instrument.file.clock != "virtual":
            if self._request.world is not None:
                raise BadInput(f"--world: {instrument.file.name} is a real instrument; leave it out")
            return None
        if self._request.world is not None:
            return self._request.world
        folder = self._held.enter_context(tempfile.TemporaryDirectory(prefix="cryoctl-", ignore_cleanup_errors=True))
        return Path(folder) / "world"

    async def serve(self, on_ready: Callable[[Serving], None], stop: threading.Event | None) -> ServeEnd:
        request, instrument = self._request, self._instrument
        lock = lock_of(instrument, self._world)
        assert lock is not None
        self._held.enter_context(lock)
        self._watched: Watched | None = None
        identities: dict[str, dict[str, str]] = {}
        served = Served(
            instrument=instrument.file.name,
            text=to_yaml(as_remote(instrument.data)),
            facts={name: facts_of(kind, one) for name, (kind, one) in named_devices(self._devices).items()},
            identities=identities,
        )
        desk = self._desk = NodeDesk(
            self._devices,
            served,
            self._secure,
            self._audit,
            heartbeat_limit_s=request.heartbeat_limit_s,
            no_beam=self._no_beam,
        )
        router = await self._listening(desk)
        self._goes_first = stop is None and go_first()  # else it is a part of somebody's process
        try:
            identities |= {name: asdict(one) for name, one in (await connect_all(self._devices)).items()}
            try:
                watchdog = Watchdog(watchdog_command(), self._told(router))
                watched = self._watched = Watched(watchdog, desk.securing.lose_and_wait, self._audit)
                await watched.start()
                keeping = asyncio.create_task(watched.keep())
                lock.served_at(router.address)
                router.start()
                self._audit.note("node", "node", f"serves {instrument.file.name} at {router.address}")
                on_ready(self._serving(router, watchdog, identities))
                await self._until_told(stop)
                actions = await desk.securing.secured(
                    "the node was told to end"
                )  # which may take long: the beats go on
                keeping.cancel()
            finally:
                if self._watched is not None:
                    self._watched.close()
                await close_all(self._devices)
        finally:
            router.close()
        self._audit.note("node", "node", "ended in good order")
        done = tuple(SafeAction(str(one["name"]), one["confirmed"] is True, str(one["detail"])) for one in actions)
        return ServeEnd(instrument=instrument.file.name, actions=done, refused=self._audit.refused)

    async def _listening(self, desk: NodeDesk) -> Router:
        deadline_s = asyncio.get_running_loop().time() + PORT_FREE_WITHIN_S
        while True:
            try:
                return Router(desk, self._request.host, self._request.port, self._keys, self._audit)
            except BadInput as error:
                taken = "another process listens" in str(error)
                if not taken or asyncio.get_running_loop().time() > deadline_s:
                    raise
            await asyncio.sleep(0.2)

    def _told(self, router: Router) -> bytes:
        """What the watchdog is to know, in a line."""
        request, keys = self._request, self._keys
        told = {
            "text": self._instrument.yaml(),
            "world": None if self._world is None else str(self._world.absolute()),
            "host": request.host,
            "port": router.port,
            "keys": None if keys is None else str(keys.folder.absolute()),
            "audit": None if request.audit is None else str(request.audit.absolute()),
            "hung_s": max(HUNG_S, request.heartbeat_limit_s),
        }
        return json.dumps(told).encode()

    def _serving(self, router: Router, watchdog: Watchdog, identities: Mapping[str, Mapping[str, str]]) -> Serving:
        import os

        return Serving(
            instrument=self._instrument.file.name,
            address=router.address,
            process_id=os.getpid(),
            watchdog_id=watchdog.process_id,
            watchdog=watchdog.report,
            devices={name: _who(one) for name, one in identities.items()},
            world=self._world,
            key="" if self._keys is None else self._keys.own_public,
            goes_first=self._goes_first,
        )

    def _no_beam(self) -> str:
        return "the node has no watchdog yet" if self._watched is None else self._watched.no_beam()

    async def _until_told(self, stop: threading.Event | None) -> None:
        """Until somebody ends the node."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def told(number: int, frame: object) -> None:
            del number, frame
            loop.call_soon_threadsafe(ended.set)

        if threading.current_thread() is threading.main_thread():
            for name in ENDING:
                number = getattr(signal, name, None)
                if number is not None:
                    signal.signal(number, told)
        while not ended.is_set() and not (stop is not None and stop.is_set()):
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await ended.wait()

    async def _secure(self, why: str) -> Sequence[Mapping[str, Any]]:
        del why
        return [asdict(one) for one in await blanked_and_secured(self._devices)]


async def blanked_and_secured(devices: DeviceSet) -> tuple[SafeAction, ...]:
    """The safe state of connected devices; nothing comes before blanking."""
    last_bias = None
    with suppress(Exception):
        await within(_blank(devices), ACTION_LIMIT_S / 4)
    if devices.bias is not None:
        with suppress(Exception):
            last_bias = await within(_reading(devices), ACTION_LIMIT_S / 4)
    return await reach_safe_state(devices, alarm=False, last_bias=last_bias)


async def _blank(devices: DeviceSet) -> None:
    await devices.beam.blank()


async def _reading(devices: DeviceSet) -> Any:
    return None if devices.bias is None else await devices.bias.read()


def watchdog_command() -> list[str]:
    return [sys.executable, "-m", "cryoctl.launch.watching"]


def _who(identity: Mapping[str, str]) -> str:
    return " ".join(part for part in (identity["maker"], identity["model"], identity["serial"]) if part)


def keys_to_use(named: Path | None, folder: Path) -> Path | None:
    """The folder of keys that a node is to use: as named, else the user's own if somebody is allowed there."""
    if named is not None:
        return named
    return folder if (folder / ALLOWED).is_file() else None


__all__ = ["InstrumentLock", "ServeEnd", "ServeRequest", "Serving", "keys_to_use", "serve"]
