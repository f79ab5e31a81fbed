"""`safe`: an instrument brought into its safe state now, whoever left it as it is."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cryoctl.clock.virtual import run_virtual
from cryoctl.engine.patience import within
from cryoctl.engine.safe_state import ACTION_LIMIT_S, SafeAction, dangers, reach_safe_state, unconfirmed
from cryoctl.errors import BadInput, FileProblem, SafeStateUnconfirmed
from cryoctl.instrument import Instrument, load_instrument
from cryoctl.interfaces.bias import BiasReading
from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device import Device
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.launch.connecting import attach_emulators, close_all
from cryoctl.launch.control_client import ask
from cryoctl.launch.device_building import build_devices
from cryoctl.launch.instrument_lock import InstrumentInUse, InstrumentLock
from cryoctl.launch.person import person
from cryoctl.node.address import is_address
from cryoctl.node.asking import ask_node

RUN_ENDS_WITHIN_S = 120.0
"""A run that was told to abort has let go of the instrument by then."""
LOOK_S = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeSafe:
    """`ended_run` is the run that had the instrument and was aborted first."""

    instrument: str
    actions: tuple[SafeAction, ...]
    ended_run: Path | None
    ended_lease: str = ""
    """Who controlled the node and does no more."""

    @property
    def exit_code(self) -> int:
        """0: all confirmed; 5: safe, but something did not answer; 6: not safe."""
        if dangers(self.actions):
            return 6
        return 5 if unconfirmed(self.actions) else 0


def make_safe(source: Path | str, world: Path | None = None, patience_s: float = RUN_ENDS_WITHIN_S) -> MadeSafe:
    """Abort the run that has the instrument, if one has, then reach the safe state.

    Args:
        source: instrument file, bundled name, or the address of a node.
        world: file of the simulators' truth, for a simulated instrument that is to be found as it was left.

    Raises:
        BadInput: there is no such instrument or world; nothing was done.
        SafeStateUnconfirmed: a run has the instrument and does not end.
    """
    if is_address(source):
        return _by_node(str(source))
    instrument = load_instrument(source)
    virtual = instrument.file.clock == "virtual"
    if world is not None and not virtual:
        raise BadInput(f"--world: {instrument.file.name} is a real instrument; leave it out")
    if world is not None and not world.is_file():
        raise FileProblem(f"world file {world}: there is none; give the --world of the run")
    context = DeviceContext(seed=0, world_file=world)
    context.shared.update(resumed_s=0.0, attended=False)  # no run begins in this world, and nobody opens its valves
    devices = build_devices(instrument, context, (), "safe")
    if devices.truth is not None:
        devices.truth.check()
    lock = lock_of(instrument, world)
    if lock is not None and (node := _node_of(lock)):
        return _by_node(node)
    with ExitStack() as held:
        ended = None
        if lock is not None:
            ended = _take(lock, patience_s)
            held.callback(lock.release)
        played: Coroutine[Any, Any, tuple[SafeAction, ...]] = _secured_and_closed(devices)
        actions = run_virtual(played) if virtual else asyncio.run(played)
    return MadeSafe(instrument=instrument.file.name, actions=actions, ended_run=ended)


def _by_node(address: str) -> MadeSafe:
    """The node brings its safe state itself; whoever controls it loses the lease."""
    told = ask_node(address, "node.safe", person(), patience_s=RUN_ENDS_WITHIN_S)
    ended = cast("dict[str, str]", told.get("ended") or {})
    return MadeSafe(
        instrument=str(told["greeting"].get("instrument", address)),
        actions=tuple(SafeAction(one["name"], one["confirmed"] is True, one["detail"]) for one in told["actions"]),
        ended_run=None,
        ended_lease=f"{ended['name']} ({ended['where']})" if ended else "",
    )


def _node_of(lock: InstrumentLock) -> str:
    """Address of the node that has the instrument, empty where none has."""
    return lock.in_use().node if lock.taken else ""


def lock_of(instrument: Instrument, world: Path | None) -> InstrumentLock | None:
    """None where there is nothing that another process could have as well."""
    if instrument.file.clock != "virtual":
        return InstrumentLock.of_instrument(instrument.file.name)
    return None if world is None else InstrumentLock.of_world(world)


def _take(lock: InstrumentLock, patience_s: float) -> Path | None:
    """Own the instrument; the run that was told to end for it, None where nobody had it."""
    deadline_s = time.monotonic() + patience_s
    told: Path | None = None
    while True:
        try:
            lock.acquire()
        except InstrumentInUse as in_use:
            if in_use.run_file is not None and in_use.run_file != told:
                with contextlib.suppress(BadInput):  # it may only just begin to listen: it is asked again
                    ask(in_use.run_file, "abort", source="safe")
                    told = in_use.run_file
            if time.monotonic() >= deadline_s:
                who = f"process {in_use.pid}" if in_use.pid else "another process"
                raise SafeStateUnconfirmed(
                    f"SAFE STATE NOT CONFIRMED: {who} has the instrument and does not end within {patience_s:g} s; "
                    "end it by force, say `cryoctl safe` again, and go to the microscope"
                ) from in_use
            time.sleep(LOOK_S)
        else:
            return told


async def _secured_and_closed(devices: DeviceSet) -> tuple[SafeAction, ...]:
    attach_emulators(devices)
    try:
        return await secured(devices)
    finally:
        await close_all(devices)


async def secured(devices: DeviceSet) -> tuple[SafeAction, ...]:
    """Connect what answers, and bring all of it into the safe state; the devices stay connected."""
    wanted = [devices.beam, devices.stage, devices.bias, devices.needle, devices.holder, devices.light]
    present: list[Device] = [device for device in wanted if device is not None]
    silent = [problem for problem in await asyncio.gather(*map(_connected, present)) if problem is not None]
    last_bias: BiasReading | None = None
    if devices.bias is not None:
        with contextlib.suppress(Exception):
            last_bias = await within(devices.bias.read(), ACTION_LIMIT_S)
    return (*silent, *await reach_safe_state(devices, alarm=False, last_bias=last_bias))


async def _connected(device: Device) -> SafeAction | None:
    """None where it answers; the others are made safe all the same."""

    async def connect() -> None:
        await device.connect()

    try:
        await within(connect(), ACTION_LIMIT_S)
    except Exception as error:
        return SafeAction(f"connect {device.name}", False, " ".join(str(error).split()) or type(error).__name__)
    return None
