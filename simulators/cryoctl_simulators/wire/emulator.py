"""What all emulated instruments share: plugged in, commands taken off the line, replies put on it, faults."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, ClassVar, Generic, Literal, TypeVar

from cryoctl.interfaces.context import DeviceContext
from cryoctl.interfaces.device_settings import Settings, SettingsFactory
from cryoctl_simulators.wire.line import Line
from cryoctl_simulators.wire.line_faults import LineFaults, ScheduledLineFaults
from cryoctl_simulators.wire.sockets import PtySocket, Socket, TcpSocket
from cryoctl_simulators.world import World
from cryoctl_simulators.world.noise import generator

S = TypeVar("S", bound=Settings)
Wire = Literal["tcp", "pty"]
_LONGEST_COMMAND = 65536


class Emulator(Generic[S]):
    """Made, it is bound to its port and answers nothing; `attach`, in the running loop, opens the world and answers.

    An instrument defines `answer`, and `greet` where it speaks first.
    """

    kind: ClassVar[str]
    wired: ClassVar[bool] = True
    has_own_clock: ClassVar[bool] = False
    command_ends: ClassVar[bytes] = b"\n"
    reply_end: ClassVar[bytes] = b"\r\n"

    def __init__(self, name: str, settings: S, world: World, wire: Wire) -> None:
        self.name = name
        self.settings = settings
        self.world = world
        self._wire = wire
        self._socket: Socket | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._owed: set[asyncio.Task[None]] = set()
        self.line_faults: LineFaults = ScheduledLineFaults(self.fault, generator(world.seed, name, "line"))
        world.add(name, self.kind, settings, self)

    def answer(self, command: str, session: dict[str, Any]) -> str | Coroutine[Any, Any, str] | None:
        """The reply to one command, None where it has none, a coroutine where it comes only when something is over."""
        raise NotImplementedError

    def greet(self, session: dict[str, Any]) -> str | None:
        """What it says when somebody connects; `session` is kept for that connection."""
        del session
        return None

    # Being plugged in

    def open(self) -> Mapping[str, Any]:
        """Bind the port; what the driver's settings have to be to reach it."""
        if self._socket is None:
            self._socket = TcpSocket() if self._wire == "tcp" else PtySocket()
        return {"port": self._socket.url}

    def attach(self) -> None:
        loop = asyncio.get_running_loop()
        if self._loop is loop and self._socket is not None:
            return
        self._loop = loop
        self.world.open()
        self.open()
        assert self._socket is not None
        self._socket.attach(self._opened, self._received)

    def close(self) -> None:
        for task in tuple(self._owed):
            task.cancel()
        plugged, self._socket = self._socket, None
        if plugged is not None:
            plugged.close()

    def reset(self) -> None:
        """The link breaks; it can be made again."""
        assert self._socket is not None
        self._socket.reset()

    def fault(self, name: str) -> Mapping[str, float] | bool:
        """As of a simulated device: parameters of an active fault (True where it has none), else False."""
        found = self.world.faults.take(self.name, name)
        return False if found is None else found or True

    # The line

    def _opened(self, line: Line) -> None:
        if self.world.faults.find(self.name, "lost-link") is not None:
            line.end()
            return
        greeting = self.greet(line.session)
        if greeting is not None:
            line.send(greeting.encode("latin-1"))

    def _received(self, line: Line) -> None:
        while True:
            found = min((at for end in self.command_ends if (at := line.received.find(end)) >= 0), default=-1)
            if found < 0:
                line.received = line.received[-_LONGEST_COMMAND:]
                return
            command, line.received = line.received[:found], line.received[found + 1 :]
            self._command(line, command.decode("latin-1").strip("\r\n\0"))

    def _command(self, line: Line, command: str) -> None:
        if not command.strip():
            return
        lost = self.fault("lost-link")
        if lost is not False:
            if isinstance(lost, Mapping) and lost.get("forgets"):
                self.forget_settings()
            self.reset()
            return
        if self.fault("no-answer"):
            return
        reply = self.answer(command, line.session)
        if isinstance(reply, Coroutine):
            later = asyncio.get_running_loop().create_task(self._say_later(line, reply))
            self._owed.add(later)
            later.add_done_callback(self._owed.discard)
        elif reply is not None:
            self._say(line, reply.encode("latin-1") + self.reply_end)

    async def _say_later(self, line: Line, reply: Coroutine[Any, Any, str]) -> None:
        self._say(line, (await reply).encode("latin-1") + self.reply_end)

    def _say(self, line: Line, reply: bytes) -> None:
        way = self.line_faults.bend(reply)
        loop = asyncio.get_running_loop()
        if way.reset:
            self.reset()
        elif way.late_s:
            # In virtual time whoever waits holds time: the reply is then later than any deadline.
            loop.call_later(way.late_s, lambda: [line.send(piece) for piece in way.pieces])
        elif way.pieces:
            first, *rest = way.pieces
            line.send(first)
            for piece in rest:
                loop.call_soon(line.send, piece)

    def forget_settings(self) -> None:
        """It was restarted: as it is when it is switched on."""


def _nothing_else(driver: Mapping[str, Any]) -> Mapping[str, Any]:
    del driver
    return {}


class EmulatorFactory(SettingsFactory[S]):
    """What an entry point of the group `cryoctl.emulators` names.

    Args:
        otherwise: of a driver's settings, what the emulated instrument calls otherwise; None where it says nothing.
    """

    def __init__(
        self,
        kind: str,
        model: type[S],
        emulator: type[Any],
        otherwise: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _nothing_else,
    ) -> None:
        def make(name: str, settings: S, context: DeviceContext) -> Any:
            return emulator(name, settings, World.of(context), getattr(settings, "wire", "tcp"))

        super().__init__(kind, model, make)
        self._otherwise = otherwise

    def settings_for(self, driver: Mapping[str, Any]) -> dict[str, Any]:
        """What both call the same is taken over as it is."""
        same = {key: driver[key] for key in sorted(self.settings_model.model_fields.keys() & driver.keys())}
        return {key: value for key, value in {**same, **self._otherwise(driver)}.items() if value is not None}
