"""Who is at the keyboard, for the audit."""

from __future__ import annotations

import getpass
import socket


def user() -> str:
    """Name of the user, empty where the system knows none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return ""


def host() -> str:
    return socket.gethostname()


def person() -> str:
    """``anna@lab-pc``."""
    return f"{user() or 'unknown'}@{host()}"
