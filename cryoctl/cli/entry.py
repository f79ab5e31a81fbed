"""What the installed command calls first: Ctrl-C is told, not traced, while the command line itself still loads."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from cryoctl.cli.main import main as command_line
    except KeyboardInterrupt:
        sys.exit(3)
    command_line()
