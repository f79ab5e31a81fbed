"""A DP5 by its verbs; each that sets something reads back what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cryoctl.errors import NoAnswer, ReadBackMismatch
from cryoctl_drivers.amptek import packets
from cryoctl_drivers.amptek.link import UdpLink
from cryoctl_drivers.amptek.packets import Identity, Malformed, Packet
from cryoctl_drivers.amptek.status import STATUS_BYTES, Status, read_status

FULL_CHANNEL = 2**24 - 1
_TRIES = 3
_NUMBERS_AGREE_REL = 1e-3
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A spectrum and the status of the same moment."""

    counts: Counts
    status: Status

    def same_as(self, other: Reading) -> bool:
        """Counts and clocks; the temperatures may have changed."""
        return np.array_equal(self.counts, other.counts) and _clocks(self.status) == _clocks(other.status)


class Unit:
    def __init__(self, owner: str, link: UdpLink, channels: int) -> None:
        self._owner = owner
        self._link = link
        self._channels = channels

    async def status(self) -> Status:
        return read_status_of(self._owner, await self._link.ask(Packet(packets.STATUS), {packets.IS_STATUS}))

    async def disable(self) -> Status:
        return await self._set(packets.DISABLE, lambda status: not status.enabled, "goes on counting")

    async def enable(self) -> Status:
        return await self._set(packets.ENABLE, lambda status: status.enabled, "does not begin to count")

    async def clear(self) -> None:
        """Spectrum, counts and clocks; only while disabled."""

        def cleared(status: Status) -> bool:
            return not (status.enabled or status.fast_count or status.slow_count or status.real_s)

        await self._set(packets.CLEAR, cleared, "does not clear its spectrum")

    async def clear_pulses(self) -> None:
        await self._set(packets.CLEAR_COUNTER, lambda status: status.pulse_count == 0, "does not clear its counter")

    async def restart_buffering(self) -> None:
        """The next pulse of the pixel clock stores the first spectrum."""
        await self._set(
            packets.RESTART_BUFFERING,
            lambda status: status.buffering and status.next_buffer == 0,
            "does not begin to buffer",
        )

    async def cancel_buffering(self) -> None:
        await self._set(packets.CANCEL_BUFFERING, lambda status: not status.buffering, "goes on buffering")

    async def spectrum(self) -> Reading:
        """What was counted up to now; the unit has to be disabled."""
        return await self._twice(Packet(packets.SPECTRUM_AND_STATUS))

    async def buffered(self, index: int) -> Reading:
        return await self._twice(Packet(packets.BUFFER, index.to_bytes(2, "big")))

    async def configure(self, commands: Mapping[str, str]) -> None:
        """
        Raises:
            ReadBackMismatch: a value that the unit does not have afterwards.
        """
        for _ in range(_TRIES):
            differing = await self.differing(commands)
            if not differing:
                return
            for part in _parts([f"{command}={commands[command]};" for command in differing]):
                await self._link.ask(Packet(packets.CONFIGURE, part), packets.IS_DONE)
        differing = await self.differing(commands)
        if differing:
            command, has = next(iter(differing.items()))
            raise ReadBackMismatch(
                f"{self._owner}: {command} was set to {commands[command]} and reads back {has or 'nothing'}; "
                "give a value that the unit has"
            )

    async def differing(self, commands: Mapping[str, str]) -> dict[str, str]:
        """What the unit has otherwise, by command."""
        has: dict[str, str] = {}
        for part in _parts([f"{command}=;" for command in commands]):
            answer = await self._link.ask(Packet(packets.READ_CONFIGURATION, part), {packets.IS_CONFIGURATION})
            for said in answer.data.decode("ascii", "replace").split(";"):
                command, _, value = said.partition("=")
                has[command.strip().upper()] = value.strip()[:20]
        return {
            command: has.get(command, "")
            for command, value in commands.items()
            if not _agree(value, has.get(command, ""))
        }

    async def _set(self, request: Identity, done: Callable[[Status], bool], otherwise: str) -> Status:
        """An acknowledgement may be another one's: what counts is the status."""
        for _ in range(_TRIES):
            await self._link.ask(Packet(request), packets.IS_DONE)
            status = await self.status()
            if done(status):
                return status
        raise ReadBackMismatch(f"{self._owner}: the unit {otherwise} although told {_TRIES} times; restart it")

    async def _twice(self, request: Packet) -> Reading:
        """Datagrams in a wrong order pass the checksum; not twice alike, on counts that no longer change."""
        former = await self._reading(request)
        for _ in range(2 * _TRIES):
            reading = await self._reading(request)
            if reading.same_as(former):
                return reading
            former = reading
        raise NoAnswer(f"{self._owner}: no two readings of one spectrum were alike; look at the network and its load")

    async def _reading(self, request: Packet) -> Reading:
        answer = await self._link.ask(request, {packets.is_spectrum(self._channels)})
        whole = 3 * self._channels
        if len(answer.data) != whole + STATUS_BYTES:
            raise NoAnswer(
                f"{self._owner}: a spectrum of {len(answer.data)} bytes is not one of {self._channels} channels"
            )
        bytes_ = np.frombuffer(answer.data, np.uint8, whole).reshape(-1, 3).astype(np.int64)
        status = read_status_of(self._owner, Packet(packets.IS_STATUS, answer.data[whole:]))
        return Reading(bytes_[:, 0] | bytes_[:, 1] << 8 | bytes_[:, 2] << 16, status)


def read_status_of(owner: str, answer: Packet) -> Status:
    try:
        return read_status(answer.data)
    except Malformed as problem:
        raise NoAnswer(f"{owner}: {problem}; is this a pulse processor with firmware 6?") from None


def _clocks(status: Status) -> tuple[object, ...]:
    return (status.fast_count, status.slow_count, status.accumulation_s, status.real_s, status.enabled)


def _parts(commands: list[str]) -> list[bytes]:
    """Whole commands, as many as a request holds; answers have to fit as well, so half of that."""
    parts = [b""]
    for command in commands:
        text = command.encode("ascii")
        if len(parts[-1]) + len(text) > packets.LONGEST_REQUEST_BYTES // 2:
            parts.append(b"")
        parts[-1] += text
    return parts


def _agree(wanted: str, has: str) -> bool:
    """Numbers come back in the unit's own format, `45` as `45.000`."""
    if wanted.upper() == has.upper():
        return True
    try:
        want, got = float(wanted), float(has)
    except ValueError:
        return False
    return abs(got - want) <= _NUMBERS_AGREE_REL * abs(want)
