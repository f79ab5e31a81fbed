"""A command group that imports a command's module only when that command is asked for."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from cryoctl.cli.command_table import COMMANDS
from cryoctl.errors import BadInput


class LazyGroup(TyperGroup):
    """Lists what the table names; loads `cryoctl.cli.MODULE` for one command at a time."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        entry = COMMANDS.get(cmd_name)
        if entry is None:
            return None
        app: typer.Typer = import_module(f"cryoctl.cli.{entry.module}").app
        return get_group(app).commands[cmd_name]

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in COMMANDS and not name.startswith("-"):
            near = difflib.get_close_matches(name, COMMANDS, n=1)
            shown = name if len(name) <= 40 else name[:37] + "..."
            hint = f"did you mean {near[0]!r}" if near else "`cryoctl --help` lists the commands"
            raise BadInput(f"{shown!r} is not a command: {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        width = max(map(len, COMMANDS))
        for section in dict.fromkeys(entry.section for entry in COMMANDS.values()):
            rows = [(name.ljust(width), entry.help) for name, entry in COMMANDS.items() if entry.section == section]
            with formatter.section(section):
                formatter.write_dl(rows)
