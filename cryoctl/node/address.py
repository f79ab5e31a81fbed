"""Addresses of nodes: tcp://HOST:PORT."""

from __future__ import annotations

import re

from cryoctl.errors import BadInput

DEFAULT_PORT = 9747
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_FORM = re.compile(r"tcp://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})")


def is_address(text: object) -> bool:
    """Whether it is meant as one."""
    return isinstance(text, str) and text.startswith("tcp:")


def check_address(text: str) -> str:
    """Raises `BadInput` for anything but tcp://HOST:PORT."""
    found = _FORM.fullmatch(text)
    if found is None or not 0 < int(found[2]) < 65536:
        raise BadInput(f"node: found {text[:60]!r}, an address is tcp://HOST:PORT with a port from 1 to 65535")
    return text


def host_of(address: str) -> str:
    found = _FORM.fullmatch(address)
    return "" if found is None else found[1].strip("[]")


def is_loopback(host: str) -> bool:
    return host in LOOPBACK or host.startswith("127.")
