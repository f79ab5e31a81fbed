"""`keys`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say
from cryoctl.errors import BadInput

app = typer.Typer(rich_markup_mode=None)


class What(StrEnum):
    NEW = "new"
    ALLOW = "allow"
    LIST = "list"
    REVOKE = "revoke"
    KNOW = "know"


class RoleName(StrEnum):
    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


_TAKES = {
    What.NEW: (),
    What.ALLOW: ("KEY", "NAME"),
    What.LIST: (),
    What.REVOKE: ("NAME",),
    What.KNOW: ("tcp://HOST:PORT", "KEY"),
}


@app.command("keys")
def keys(
    what: Annotated[What, typer.Argument(metavar="new|allow|list|revoke|know", show_default=False)],
    words: Annotated[list[str] | None, typer.Argument(metavar="[...]", show_default=False)] = None,
    role: Annotated[RoleName, typer.Option("--role", help="Of `allow`.")] = RoleName.OPERATOR,
    folder: Annotated[
        Path | None, typer.Option("--keys", metavar="DIR", help="Folder of the keys; default: your own.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Who may speak to a node, and which nodes this computer knows.

    \b
    new                    make this computer's pair and show its public key
    allow KEY NAME         on the node's PC: this key may look (viewer), control (operator), take over (admin)
    list                   own public key, who is allowed here, nodes known
    revoke NAME            from the next message on
    know tcp://HOST:PORT KEY   on the runner's PC: that node's public key
    """
    from cryoctl.node.address import check_address
    from cryoctl.node.keys import KeyFolder, key_folder
    from cryoctl.node.roles import Role

    given, wanted = words or [], _TAKES[what]
    if len(given) != len(wanted):
        raise BadInput(f"keys {what}: found {len(given)} words, it takes {' '.join(wanted) or 'none'}")
    ours = KeyFolder(key_folder(folder))
    said = ""
    match what:
        case What.NEW:
            ours.make_own()
            said = f"made a pair in {ours.folder}; the secret key never leaves this computer"
        case What.ALLOW:
            ours.allow(given[0], given[1], Role(role.value))
            said = f"{given[1]} is allowed as {role}"
        case What.REVOKE:
            ours.revoke(given[0])
            said = f"{given[0]} is refused from now on"
        case What.KNOW:
            ours.know(check_address(given[0]), given[1])
            said = f"{given[0]} is known"
        case What.LIST:
            pass
    people = [{"name": one.name, "role": one.role.value, "key": one.key} for one in ours.allowed().values()]
    if json:
        answer = {"exit_code": 0, "folder": ours.folder, "public": ours.own_public or None}
        put_json({**answer, "allowed": people, "known": ours.known()})
    elif what is What.NEW:
        put(ours.own_public)
    elif what is What.LIST:
        put(f"own      {ours.own_public or 'none yet; `cryoctl keys new` makes a pair'}")
        for one in people:
            put(f"allowed  {one['key']}  {one['role']:<8}  {one['name']}")
        for address, key in ours.known().items():
            put(f"known    {key}  {address}")
    if said and not quiet:
        say(said)
