"""One client of a temscript server: a thread of its own, one call after another, each within its limit.

A call whose asker was cancelled is still carried to its end, and the next one waits for it. Nothing is asked twice.
The client's JSON transport is used, never its pickles.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

from cryoctl.errors import ConnectionLost, CryoctlError, DeviceError, InstrumentError, NoAnswer
from cryoctl_drivers.by_command.own_thread import NotInTime, OwnThread
from cryoctl_drivers.thermo_fisher.settings import ServerSettings

_SLACK_S = 1.0
"""The socket gives up so much later than the call."""
_UNSENT_IS_DROPPED = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)


class _Question:
    """One call on its way to the server, which may be revoked from another thread."""

    def __init__(self) -> None:
        self._client: Any = None
        self._is_revoked = False

    def is_asked_by(self, client: Any) -> None:
        self._client = client
        client._conn._create_connection = self._dial
        self._see_whether_wanted()

    def revoke(self) -> None:
        """What has not left this computer does not leave it any more."""
        self._is_revoked = True
        line = getattr(getattr(self._client, "_conn", None), "sock", None)
        if line is not None:
            with contextlib.suppress(OSError):
                line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _UNSENT_IS_DROPPED)
                line.shutdown(socket.SHUT_RD)  # wakes the thread, which closes it

    def _dial(self, *how: Any, **further: Any) -> socket.socket:
        """Each question is a connection of its own; over one that comes about too late nothing is sent."""
        dialled = socket.create_connection(*how, **further)
        try:
            self._see_whether_wanted()
        except ConnectionAbortedError:
            dialled.close()
            raise
        return dialled

    def _see_whether_wanted(self) -> None:
        if self._is_revoked:
            raise ConnectionAbortedError("nobody waits for it any more")


class ScriptingConnection:
    """Construction opens nothing.

    Args:
        owner: name of the device, with which every message begins.
    """

    def __init__(self, owner: str, settings: ServerSettings, port: int | None = None) -> None:
        self._owner = owner
        self._host = settings.host
        self._port = settings.port if port is None else port
        self._deadline_s = settings.deadline_s
        self._thread = OwnThread(f"temscript {owner}", lambda: None)
        self._of_thread = threading.local()
        """`client`: one whose thread still waits for its socket's time-out is used by no other."""
        self._timeout_s = self._deadline_s
        self._opened = False

    @property
    def deadline_s(self) -> float:
        return self._deadline_s

    async def open(self) -> str:
        """See that a temscript server answers; its version.

        Raises:
            InstrumentError: no such extra or host, or something else answers.
            ConnectionLost, NoAnswer: nobody answers.
        """
        if not self._host:
            raise InstrumentError(f"{self._owner}: settings.host is empty, allowed is the microscope's PC")
        self._opened = True
        try:
            return str(await self._in_turn(self._greet, "get_version", self._deadline_s))
        except CryoctlError:
            self._opened = False
            raise

    async def call(self, verb: str, *arguments: Any, limit_s: float | None = None, revocable: bool = False) -> Any:
        """A method of temscript's microscope.

        Args:
            revocable: not answered in time, it is taken back if it is still on its way; never for what closes a beam.

        Raises:
            NoAnswer: none within the limit; what was asked may still be done.
            ConnectionLost: not connected, or the server is gone.
            DeviceError: the microscope does not do it.
        """
        if not self._opened:
            raise ConnectionLost(f"{self._owner}: not connected; call connect first")
        question = _Question()
        limit_s = self._deadline_s if limit_s is None else limit_s
        try:
            return await self._in_turn(lambda: self._ask(verb, arguments, question), verb, limit_s)
        except NoAnswer:
            if revocable:
                question.revoke()
            raise

    async def be_patient(self, limit_s: float) -> None:
        """Calls of up to so long will come: the client is made anew for them now, not when the beam is open."""
        if limit_s > self._timeout_s:
            await self._thread.close()  # after the call under way
            self._timeout_s = limit_s
            await self.call("get_version")

    async def close(self) -> None:
        """After the call under way; may be called twice."""
        self._opened = False
        await self._thread.close()
        self._timeout_s = self._deadline_s

    async def _in_turn(self, act: Callable[[], Any], verb: str, limit_s: float) -> Any:
        try:
            return await self._thread.call(act, limit_s)
        except NotInTime:
            raise self._silent(verb, limit_s) from None

    # What follows runs in the thread

    def _greet(self) -> Any:
        try:
            return self._ask("get_version", (), _Question())
        except (ConnectionLost, NoAnswer, InstrumentError):
            raise
        except CryoctlError as error:
            raise self._another(str(error)) from error

    def _ask(self, verb: str, arguments: tuple[Any, ...], question: _Question) -> Any:
        try:
            client = getattr(self._of_thread, "client", None)
            if client is None:
                client = self._of_thread.client = self._connected()
            question.is_asked_by(client)
            return getattr(client, verb)(*arguments)
        except CryoctlError:
            raise
        except (RuntimeError, KeyError) as error:  # the server's own answer; the client can go on
            raise DeviceError(f"{self._owner}: the microscope does not do {verb} ({_told(error)})"[:300]) from error
        except Exception as error:
            self._of_thread.client = None
            if isinstance(error, TimeoutError):
                raise self._silent(verb, self._timeout_s) from error
            what = _told(error)
            raise ConnectionLost(f"{self._owner}: {self._where} broke off {verb} ({what}); see its server") from error

    def _connected(self) -> Any:
        try:
            from temscript.remote_microscope import RemoteMicroscope
        except ImportError as error:
            raise InstrumentError(
                f"{self._owner}: this driver needs the package temscript; install the extra: pip install "
                "'cryoctl[temscript]'"
            ) from error
        try:
            return RemoteMicroscope((self._host, self._port), timeout=self._timeout_s + _SLACK_S)
        except socket.gaierror as error:
            raise InstrumentError(
                f"{self._owner}: settings.host: there is no computer {self._host[:80]!r} ({_told(error)}); give the "
                "microscope PC's name or address"
            ) from error
        except TimeoutError as error:
            raise self._silent("get_version", self._timeout_s) from error
        except OSError as error:
            raise ConnectionLost(
                f"{self._owner}: {self._where} is not reached ({_told(error)}); start temscript-server there"
            ) from error
        except (HTTPException, RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise self._another(_told(error)) from error

    @property
    def _where(self) -> str:
        return f"{self._host[:80]}:{self._port}"

    def _silent(self, verb: str, limit_s: float) -> NoAnswer:
        return NoAnswer(f"{self._owner}: {self._where} did not answer {verb} within {limit_s:g} s; see if it hangs")

    def _another(self, why: str) -> InstrumentError:
        return InstrumentError(
            f"{self._owner}: at {self._where} something answers that is no temscript server of version 2 "
            f"({why[:100]}); change settings.port"
        )


def _told(error: BaseException) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
