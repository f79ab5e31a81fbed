"""Bytes to and from a port, by pyserial (serial ports and `socket://`); used by the link's own thread only."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
import weakref
from dataclasses import dataclass
from typing import Any, Protocol

from cryoctl.errors import ConnectionLost, InstrumentError
from cryoctl.units import quoted
from cryoctl_drivers.link.settings import SOCKET, TRANSCRIPT, VISA

_AT_ONCE = 65536
_LOOK_S = 0.01
"""A serial port is looked at so often; what arrives meanwhile wakes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SerialForm:
    """How an instrument's serial port leaves the factory."""

    baud: int = 9600
    data_bits: int = 8
    parity: str = "N"
    stop_bits: float = 1


class Port(Protocol):
    """All of them raise `ConnectionLost`; opened once, closed once or more."""

    def write(self, data: bytes) -> None: ...

    def read(self, within_s: float) -> bytes:
        """What has arrived, at the latest after this time; empty where nothing has."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, eq=False, slots=True)
class _Claim:
    owner: str


_in_use: dict[str, _Claim] = {}
_guard = threading.RLock()
"""A collector may let a port go while this very thread holds it."""


def open_port(url: str, form: SerialForm, owner: str) -> Port:
    """Open it for this owner alone.

    Raises:
        InstrumentError: no such port, a device of this process or another program has it, or an extra is missing.
        ConnectionLost: the host does not answer.
    """
    if not url:
        raise InstrumentError(f"{owner}: settings.port is empty, allowed is a serial port or socket://HOST:PORT")
    claim = _Claim(owner)
    with _guard:
        other = _in_use.get(url)
        if other is not None and other.owner != owner:
            raise InstrumentError(
                f"{owner}: the port {url} belongs to {other.owner}; give each device a port of its own"
            )
        _in_use[url] = claim
    try:
        port = _opened(url, form, owner)
    except BaseException:
        let_go(url)
        raise
    weakref.finalize(port, _left, url, claim)
    return port


def _opened(url: str, form: SerialForm, owner: str) -> Port:
    if url.startswith(TRANSCRIPT):
        from cryoctl_drivers.link.transcript import TranscriptPort

        return TranscriptPort.of_file(url.removeprefix(TRANSCRIPT), owner)
    if url.startswith(VISA):
        from cryoctl_drivers.link.visa_port import VisaPort

        return VisaPort(url.removeprefix(VISA), form, owner)
    return PyserialPort(url, form, owner)


def let_go(url: str) -> None:
    with _guard:
        _in_use.pop(url, None)


def _left(url: str, claim: _Claim) -> None:
    """Nobody has it any more, though it was not closed."""
    with _guard:
        if _in_use.get(url) is claim:
            del _in_use[url]


class PyserialPort:
    def __init__(self, url: str, form: SerialForm, owner: str) -> None:
        import serial

        self._owner = owner
        self._url = url
        self._networked = networked = url.startswith(SOCKET)
        options: dict[str, Any] = {} if networked else {"exclusive": True}
        try:
            self._port: Any = serial.serial_for_url(
                url,
                baudrate=form.baud,
                bytesize=form.data_bits,
                parity=form.parity,
                stopbits=form.stop_bits,
                timeout=_LOOK_S,
                write_timeout=1.0,
                **options,
            )
        except (serial.SerialException, OSError, ValueError) as error:
            raise _not_opened(owner, url, error, networked) from error
        if networked:
            # Else a question right after a command waits for 40 ms until that one is acknowledged.
            self._port._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        import serial

        try:
            self._port.write(data)
        except (serial.SerialException, OSError) as error:
            raise self._lost(error) from error

    def read(self, within_s: float) -> bytes:
        import serial

        try:
            return self._of_socket(within_s) if self._networked else self._of_terminal(within_s)
        except (serial.SerialException, OSError, TypeError) as error:  # pyserial: TypeError on a port closed meanwhile
            raise self._lost(error) from error

    def _of_socket(self, within_s: float) -> bytes:
        self._port.timeout = within_s
        first: bytes = self._port.read(1)
        self._port.timeout = 0
        return first + bytes(self._port.read(_AT_ONCE)) if first else b""

    def _of_terminal(self, within_s: float) -> bytes:
        """Its time-out stays: pyserial sets the whole port anew with each, which a pseudo-terminal refuses where it has
        no parity."""
        deadline_s = time.monotonic() + within_s
        while not (there := int(self._port.in_waiting)):
            if time.monotonic() >= deadline_s:
                return b""
            first: bytes = self._port.read(1)
            if first:
                return first + bytes(self._port.read(self._port.in_waiting))
        return bytes(self._port.read(there))

    def close(self) -> None:
        with contextlib.suppress(Exception):
            if self._networked:  # pyserial sleeps for 0.3 s after it closed a socket
                self._port.is_open = False
                self._port._socket.close()
            else:
                self._port.close()

    def _lost(self, error: Exception) -> ConnectionLost:
        return ConnectionLost(f"{self._owner}: the link over {self._url} is lost ({error}); check cable and instrument")


def _not_opened(owner: str, url: str, error: Exception, networked: bool) -> ConnectionLost | InstrumentError:
    """A host that does not answer may come back; a port that is not there or is another's won't by waiting."""
    text = str(error).lower()
    if networked:
        return ConnectionLost(
            f"{owner}: nobody answers at {url} ({_reason(text)}); check address, cable and that it is switched on"
        )
    if "lock" in text or "busy" in text or "access" in text:
        return InstrumentError(f"{owner}: another program has the port {url}; end it, then start again")
    if "permission" in text:
        return InstrumentError(f"{owner}: no permission for the port {url}; add this user to the port's group")
    if isinstance(error, ValueError):
        return InstrumentError(
            f"{owner}: the port {url} takes no such settings ({str(error)[:80]}); change settings.baud"
        )
    return ConnectionLost(f"{owner}: there is no port {quoted(url)}; the ports here are {_there()}")


def _reason(text: str) -> str:
    known = {"refused": "refused", "timed out": "no answer", "unreachable": "unreachable", "name or": "unknown host"}
    return next((told for part, told in known.items() if part in text), "could not connect")


def _there() -> str:
    from serial.tools.list_ports import comports

    return ", ".join(sorted(port.device for port in comports())[:8]) or "none"
