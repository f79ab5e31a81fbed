"""Devices on a node, each with the verbs of its interface: what a runner drives instead of the device itself.

The classes are made from the table of verbs, so that they have what the interfaces have and nothing else.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, cast

from cryoctl.clock import now_s
from cryoctl.errors import ConnectionLost, CryoctlError, DeviceError
from cryoctl.interfaces.beam import CurrentReading, ExposureReport, Scan, ScanFrameDone
from cryoctl.interfaces.device import Device, Identity
from cryoctl.interfaces.holder import TemperatureReading
from cryoctl.interfaces.permit import Permit
from cryoctl.node.client import NodeClient, not_connected
from cryoctl.node.codec import Raw, decode, encode
from cryoctl.node.link import Reply, Session
from cryoctl.node.verbs import FACTS, VERBS, Needs, Verb

STOP_LIMIT_S = 5.0
"""An exposure whose caller was cancelled has ended by then, or the node has made it safe."""
_NODE_TIMES: Mapping[type[Any], tuple[str, ...]] = {
    ExposureReport: ("started_s", "ended_s"),
    CurrentReading: ("time_s",),
    TemperatureReading: ("time_s",),
}
"""Times of the node's loop, told as times of this one; a source's time stamps are of its own clock and stay."""


class RemoteDevice:
    """What all of them share. Args: `facts` as the node states them, decoded."""

    kind = ""

    def __init__(self, name: str, client: NodeClient, facts: Mapping[str, Any]) -> None:
        self._name = name
        self._client = client
        self._facts = facts
        self._open = False

    @property
    def name(self) -> str:
        return self._name

    async def connect(self) -> Identity:
        """Connects to the node, takes the lease, and has the node connect the device anew."""
        try:
            await self._client.open(self._name)
        except ConnectionLost as error:
            raise ConnectionLost(f"{self._name}: {error}") from error
        self._open = True
        return await self.call(VERBS[self.kind]["connect"], {})

    async def close(self) -> None:
        if self._open:
            self._open = False
            await self._client.close(self._name)

    async def call(self, verb: Verb, values: Mapping[str, Any], *, frames: bool = False) -> Any:
        """Have the node call a verb.

        Raises:
            ConnectionLost: no connection, or it ended before the answer came.
            CryoctlError: as the device says.
        """
        if not self._open:
            raise not_connected(self._name, self._client.address)
        arrays: list[Raw] = []
        given = {name: encode(value, arrays) for name, value in values.items()}
        do = f"{self._name}.{verb.name}"
        try:
            session = await self._client.stopping() if self._by_the_other(verb) else self._client.main
            self._check_lease(verb)
            reply = await session.call(do, given, arrays, frames=frames)
            if session is self._client.main:
                reply = await self._client.frames.whole(reply)
        except DeviceError as error:
            self._check_lease(verb)  # it may have been lost on the way
            if not isinstance(error, ConnectionLost):
                raise
            text = str(error)
            raise error if text.startswith(f"{self._name}:") else ConnectionLost(f"{self._name}: {text}") from error
        return self._told(verb, reply, session)

    def _by_the_other(self, verb: Verb) -> bool:
        """Over the connection for stopping. Once the main one is lost, also what a safe state asks for besides: who
        answers there then is the node's watchdog."""
        safe = verb.needs is Needs.READ or verb.name == "make_safe"
        return verb.urgent or (safe and not self._client.main.is_open)

    def _check_lease(self, verb: Verb) -> None:
        """As a link that is lost: once it is connected anew, the lease may be had again."""
        if self._client.lost_lease and verb.needs is Needs.CONTROL and verb.name != "make_safe":
            raise ConnectionLost(
                f"{self._name}: the node {self._client.address} took the lease away ({self._client.lost_lease})"
            )

    def _told(self, verb: Verb, reply: Reply, session: Session) -> Any:
        try:
            value = decode(verb.gives, reply.value, reply.arrays, f"{self._name}.{verb.name}")
        except CryoctlError as error:
            raise DeviceError(f"{self._name}: what the node answers can't be understood ({error})") from error
        times = _NODE_TIMES.get(cast("type[Any]", type(value)), ())
        if not times:
            return value
        return replace(value, **{name: getattr(value, name) - session.offset_s for name in times})


class RemoteBeam(RemoteDevice):
    """Messages both ways stand for the callback of `expose`."""

    kind = "beam"
    _exposing: asyncio.Task[Any] | None = None

    async def expose(self, permit: Permit, scan: Scan, scan_frame_done: ScanFrameDone | None = None) -> ExposureReport:
        """See `Beam.expose`. The permit's time is told as a duration: the node has a clock of its own."""
        if not self._open:
            raise not_connected(self._name, self._client.address)
        if self._exposing is not None and not self._exposing.done():
            raise DeviceError(f"{self._name}: an exposure is under way; one at a time")
        failed: list[BaseException] = []
        answering: set[asyncio.Task[None]] = set()
        session = self._client.main

        async def answer(number: int, index: int) -> None:
            given: dict[str, Any] = {"of": number, "index": index}
            try:
                x_m, y_m = (0.0, 0.0) if scan_frame_done is None else await scan_frame_done(index)
                given["by"] = [float(x_m), float(y_m)]
            except BaseException as error:
                failed.append(error)
                given["failed"] = f"{type(error).__name__}: {error}"[:100]
            session.tell("node.corrected", given)

        def told(number: int, index: int) -> None:
            task = asyncio.create_task(answer(number, index))
            answering.add(task)
            task.add_done_callback(answering.discard)

        session.frame_done = told
        left_s = permit.expires_s - now_s() if math.isfinite(permit.expires_s) else permit.expires_s
        values = {"permit": replace(permit, expires_s=left_s), "scan": scan}
        verb = VERBS["beam"]["expose"]
        task = self._exposing = asyncio.create_task(self.call(verb, values, frames=scan_frame_done is not None))
        try:
            return await self._to_its_end(task)
        except CryoctlError as error:
            if failed:
                raise failed[0] from error
            raise
        finally:
            for late in answering:
                late.cancel()

    async def close(self) -> None:
        """Closed, it ends an exposure of its own."""
        task = self._exposing
        if self._open and task is not None and not task.done():
            await self._stop_for(task)
        await super().close()

    async def _to_its_end(self, task: asyncio.Task[Any]) -> Any:
        """However often it is cancelled meanwhile, the beam is asked to stop, and its end awaited."""
        stopping: asyncio.Task[None] | None = None
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:
                if stopping is None:
                    stopping = asyncio.create_task(self._stop_for(task))
                elif stopping.done() and not task.done():
                    break
        if stopping is None:
            return task.result()
        if task.done() and not task.cancelled():
            task.exception()
        raise asyncio.CancelledError

    async def _stop_for(self, task: asyncio.Task[Any]) -> None:
        try:
            async with asyncio.timeout(STOP_LIMIT_S):
                await self.call(VERBS["beam"]["stop_exposure"], {})
                await asyncio.wait((task,))
        except (CryoctlError, TimeoutError):
            task.cancel()


def _method(verb: Verb) -> Callable[..., Any]:
    async def act(self: RemoteDevice, *arguments: Any, **named: Any) -> Any:
        return await self.call(verb, verb.signature.bind(*arguments, **named).arguments)

    act.__name__ = verb.name
    return act


def _fact(name: str) -> property:
    def read(self: RemoteDevice) -> Any:
        return self._facts[name]  # pyright: ignore[reportPrivateUsage]

    return property(read)


def _class_of(kind: str) -> type[RemoteDevice]:
    base = RemoteBeam if kind == "beam" else RemoteDevice
    own = {"connect", "expose"} if kind == "beam" else {"connect"}
    members: dict[str, Any] = {name: _method(verb) for name, verb in VERBS[kind].items() if name not in own}
    members |= {name: _fact(name) for name in FACTS[kind]}
    made = type(f"Remote{kind.title().replace('_', '')}", (base,), members | {"kind": kind})
    return cast("type[RemoteDevice]", made)


_CLASSES: Mapping[str, type[RemoteDevice]] = {kind: _class_of(kind) for kind in VERBS}


def remote_device(kind: str, name: str, client: NodeClient, facts: Mapping[str, Any]) -> Device:
    """A device of a node.

    Args:
        facts: what the node states of it, as JSON values.

    Raises:
        Malformed: they are not those of its kind.
    """
    told = {one: decode(hint, facts.get(one), (), f"{name}.{one}") for one, hint in FACTS[kind].items()}
    return cast(Device, _CLASSES[kind](name, client, told))


def facts_of(kind: str, device: Any) -> dict[str, Any]:
    """What a device states, as JSON values."""
    return {one: encode(getattr(device, one), []) for one in FACTS[kind]}
