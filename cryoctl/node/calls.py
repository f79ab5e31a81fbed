"""Verbs of devices as they are called from afar: found, their values checked, allowed, carried out, answered."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cryoctl.errors import Refused
from cryoctl.interfaces.beam import CurrentReading, Scan
from cryoctl.interfaces.device import Device
from cryoctl.interfaces.device_set import DeviceSet
from cryoctl.node.codec import Malformed, Raw, decode, encode
from cryoctl.node.exposing import Exposing
from cryoctl.node.lease import Lease, LeaseRefused
from cryoctl.node.permits import PermitBook
from cryoctl.node.roles import Person
from cryoctl.node.verbs import VERBS, Needs, Verb

FrameDone = Callable[[int], Awaitable[tuple[float, float]]]
NoRoom = Callable[[int], str]
PIXEL_BYTES = 2
"""Of an image detector; events of an EDX detector are few."""


def named_devices(devices: DeviceSet) -> dict[str, tuple[str, Device]]:
    """Kind and device by name; only kinds that have an interface."""
    found: dict[str, tuple[str, Device]] = {}
    for kind in VERBS:
        if kind == "image_detector":
            found |= {name: (kind, one) for name, one in devices.image_detectors.items()}
        elif (one := getattr(devices, kind)) is not None:
            found[one.name] = (kind, one)
    return found


@dataclass(frozen=True, slots=True)
class Call:
    """A verb of a device with checked values."""

    kind: str
    device: Device
    verb: Verb
    values: Mapping[str, Any]

    @property
    def changes(self) -> bool:
        return self.verb.needs is not Needs.READ


class DeviceCalls:
    """Of one set of devices.

    Args:
        no_beam, alarm: see `NodeDesk` and `Exposing`.
    """

    def __init__(
        self, devices: DeviceSet, lease: Lease, no_beam: Callable[[], str], alarm: Callable[[str], None]
    ) -> None:
        self._named = named_devices(devices)
        self._beam = devices.beam
        self._lease = lease
        self._no_beam = no_beam
        self._book = PermitBook(devices.beam.name)
        self._armed: dict[str, Scan] = {}
        self.exposing = Exposing(devices.beam, alarm)
        self.controlling: set[asyncio.Task[Any]] = set()
        """Calls under way that only the holder of the lease could begin; an exposure ends by itself and is none."""

    def prepared(self, do: str, given: Mapping[str, Any], arrays: Sequence[Raw]) -> Call:
        """
        Raises:
            Malformed: no such device or verb, or values that it does not take; no device was asked.
        """
        name, _, verb_name = do.partition(".")
        kind, device = self._named.get(name, ("", None))
        verb = VERBS[kind].get(verb_name) if kind else None
        if device is None or verb is None:
            raise Malformed(f"{do[:60]!r}: there is no such verb")
        for key in given:
            if key not in verb.parameters:
                raise Malformed(f"{do}: it takes no {str(key)[:40]!r}")
        missing = verb.required - given.keys()
        if missing:
            raise Malformed(f"{do}: it needs {', '.join(sorted(missing))}")
        values = {key: decode(verb.parameters[key], one, arrays, f"{do}.{key}") for key, one in given.items()}
        return Call(kind, device, verb, values)

    def check(self, call: Call, person: Person, peer: bytes) -> int:
        """The number of the lease under which it is called, 0 where it needs none.

        Raises:
            LeaseRefused: whoever calls does not control.
        """
        if call.verb.needs is not Needs.CONTROL:
            return 0
        held = self._lease.held
        if held is not None and held.peer == peer:
            return held.number
        if call.verb.name == "make_safe" and held is None and person.role.may_control:
            return 0
        name = f"{call.device.name}.{call.verb.name}"
        if not person.role.may_control:
            raise LeaseRefused(
                f"{name}: {person.name} is a {person.role}, who may look and stop; an operator may control"
            )
        who = f"{held.person.name} ({held.where}) controls" if held is not None else "nobody controls"
        raise LeaseRefused(f"{name}: it needs the lease, and {who} this instrument; take the lease first")

    async def carry_out(
        self, call: Call, lease: int, frame_done: FrameDone | None, no_room: NoRoom | None = None
    ) -> tuple[Any, list[Raw]]:
        """What the verb gave, as JSON values, and the bytes of its arrays.

        Args:
            no_room: why frames of so many bytes can't be kept for who calls, empty where they can.

        Raises:
            Refused: a permit that does not cover the exposure, or no beam is allowed now.
            DeviceError: as the device says.
        """
        task = asyncio.current_task()
        name = call.verb.name
        exposes = call.kind == "beam" and name == "expose"
        if task is not None and call.verb.needs is Needs.CONTROL and not exposes:
            self.controlling.add(task)
            task.add_done_callback(self.controlling.discard)
        if exposes:
            given = await self._expose(call, lease, frame_done, no_room)
        else:
            given = await getattr(call.device, name)(**call.values)
            if call.kind == "beam":
                self._learn(name, given)
            elif name == "arm":
                self._armed[call.device.name] = call.values["scan"]
        arrays: list[Raw] = []
        return encode(given, arrays), arrays

    async def _expose(self, call: Call, lease: int, frame_done: FrameDone | None, no_room: NoRoom | None) -> Any:
        held = self._lease.held
        why = "its lease was lost meanwhile" if held is None or held.number != lease else self._no_beam()
        if why:
            raise Refused(f"{self._beam.name}: {why}; the beam stayed blanked")
        scan = call.values["scan"]
        if no_room is not None:
            rows, columns = scan.shape
            why = no_room(rows * columns * PIXEL_BYTES * sum(armed == scan for armed in self._armed.values()))
            if why:
                raise Refused(f"{self._beam.name}: {why}; the beam stayed blanked")
        permit = self._book.admit(lease, call.values["permit"], scan, self._beam.capabilities)
        return await self.exposing.expose(permit, scan, frame_done)

    def _learn(self, name: str, given: Any) -> None:
        if name == "shift_image":
            self._book.shift_m = given
        elif name == "apply":
            self._book.current_a = None
        elif name == "measure_current" and isinstance(given, CurrentReading):
            self._book.current_a = given.current_a
