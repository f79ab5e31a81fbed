"""One connection to a FIB-SEM: a thread of its own, one call after another, each within its limit."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

from cryoctl.errors import ConnectionLost, CryoctlError, DeviceError, NoAnswer
from cryoctl.interfaces.device import Identity
from cryoctl_drivers.by_command.own_thread import NotInTime, OwnThread
from cryoctl_drivers.fibsem.library import Library, told
from cryoctl_drivers.fibsem.settings import DEMO, MicroscopeSettings

T = TypeVar("T")
_CONNECT_S = 60.0
"""The first connection imports fibsem and the maker's package."""
_AGAIN_S = 4.0
"""More for a call that has to connect anew before it: one that was given up keeps its connection."""


class MicroscopeConnection:
    """Construction opens nothing.

    Args:
        owner: name of the device, with which every message begins.
    """

    def __init__(self, owner: str, settings: MicroscopeSettings, library: Library) -> None:
        self._owner = owner
        self._settings = settings
        self.library = library
        self._thread = OwnThread(f"fibsem {owner}", self._let_go)
        self._microscope: Any = None
        self._let_go_times = 0
        self._opened = False

    @property
    def deadline_s(self) -> float:
        return self._settings.deadline_s

    async def open(self) -> Identity:
        """Connect, where it is not, and ask who answers.

        Raises:
            InstrumentError: the package, the maker's own one or the configuration is not there.
            ConnectionLost, NoAnswer: nobody answers.
        """
        self._opened = True
        try:
            return await self.call("tell its name", self._who, _CONNECT_S)
        except CryoctlError:
            self._opened = False
            raise

    async def call(self, what: str, act: Callable[[Any], T], limit_s: float | None = None) -> T:
        """Let `act` use the microscope.

        Raises:
            NoAnswer: not within the limit; what was asked may still be done.
            ConnectionLost: not connected, or the microscope's PC is gone.
            DeviceError: the microscope does not do it.
        """
        if not self._opened:
            raise ConnectionLost(f"{self._owner}: not connected; call connect first")
        limit_s = (limit_s or self.deadline_s) + (0.0 if self._microscope is not None else _AGAIN_S)
        try:
            return await self._thread.call(lambda: self._ask(what, act), limit_s)
        except NotInTime:
            raise NoAnswer(
                f"{self._owner}: {self._where} did not answer within {limit_s:g} s ({what}); see if it hangs"
            ) from None

    async def close(self) -> None:
        """After the call under way; may be called twice."""
        if self._opened and self._microscope is not None and self._settings.manufacturer != DEMO:
            with suppress(DeviceError):
                await self.call("disconnect", lambda microscope: microscope.disconnect())
        self._opened = False
        await self._thread.close()

    def _let_go(self) -> None:
        """A connection whose call is still under way is used no longer."""
        self._microscope = None
        self._let_go_times += 1

    # What follows runs in the thread

    def _who(self, microscope: Any) -> Identity:
        info = microscope.system.info
        return Identity(
            maker=self._settings.manufacturer,
            model=str(info.model),
            serial=str(info.serial_number),
            firmware=f"{info.software_version}, fibsem {self.library.version}",
        )

    def _ask(self, what: str, act: Callable[[Any], T]) -> T:
        try:
            before, microscope = self._let_go_times, self._microscope
            if microscope is None:
                microscope = self._connected(what)
                if before == self._let_go_times:
                    self._microscope = microscope
            return act(microscope)
        except CryoctlError:
            raise
        except OSError as error:
            self._microscope = None
            raise self._lost(what, error) from error
        except Exception as error:  # the maker's packages have error types of their own
            raise DeviceError(f"{self._owner}: the microscope does not do {what} ({told(error)})"[:300]) from error

    def _connected(self, what: str) -> Any:
        try:
            return self.library.microscope(self._owner, self._settings)
        except CryoctlError:
            raise
        except Exception as error:
            raise self._lost(what, error) from error

    def _lost(self, what: str, error: Exception) -> ConnectionLost:
        return ConnectionLost(
            f"{self._owner}: {self._where} is not reached or broke off ({what}: {told(error)}); see its server"[:300]
        )

    @property
    def _where(self) -> str:
        return f"{self._settings.host[:80] or 'localhost'}:{self._settings.port}"
