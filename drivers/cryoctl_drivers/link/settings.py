"""Settings that every instrument on a port has; a driver's own settings inherit them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from cryoctl.interfaces.device_settings import Settings
from cryoctl.units import Seconds, quoted

TRANSCRIPT, VISA, SOCKET = "transcript:", "visa:", "socket://"


class LinkSettings(Settings):
    port: str = ""
    """COM3, /dev/ttyUSB0, socket://HOST:PORT, visa:RESOURCE (extra `visa`), or transcript:FILE to replay a recorded
    one. Empty only where an emulator answers."""
    baud: Annotated[int, Field(ge=300, le=4_000_000)] | None = None
    """null: as the instrument leaves its factory."""
    deadline_s: Annotated[Seconds, Field(gt=0, le=10)] = 1.0
    """Within which an answer has to be there."""
    confirm: bool | None = None
    """Whether each number is asked twice and has to be the same: null does so where the wire has no checksum of its own
    (serial ports)."""
    transcript: str | None = None
    """File to which everything sent and received is appended."""

    @field_validator("port")
    @classmethod
    def _is_a_port(cls, port: str) -> str:
        if port.startswith(SOCKET):
            host, _, number = port.removeprefix(SOCKET).rpartition(":")
            if not host or not number.isdecimal() or not 0 < int(number) < 65536:
                raise ValueError(f"found {quoted(port)}, allowed is socket://HOST:PORT with a port of 1 to 65535")
        elif "://" in port:
            raise ValueError(f"found {quoted(port)}, allowed are a serial port, socket://HOST:PORT or visa:RESOURCE")
        return port
