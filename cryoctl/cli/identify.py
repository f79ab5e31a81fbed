"""`identify`."""

from __future__ import annotations

from typing import Annotated

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say

app = typer.Typer(rich_markup_mode=None)


@app.command("identify")
def identify(
    instrument: Annotated[
        str, typer.Argument(metavar="INSTRUMENT", help="Instrument file, bundled name, or tcp://HOST:PORT of a node.")
    ],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Connect the devices, tell who each of them is, and let go; nothing moves, nothing is exposed.

    Of a node it asks for what the node knows: whoever controls is not disturbed. Exit code 5: one does not answer.
    """
    from cryoctl.launch.identify import identify as ask

    found = ask(instrument)
    silent = [one.name for one in found.devices if one.problem]
    message = f"{', '.join(silent)}: no answer" if silent else f"{found.instrument}: all of them answer"
    code = 5 if silent else 0
    if json:
        put_json(
            {
                "exit_code": code,
                "instrument": found.instrument,
                "node": found.node or None,
                "lease": found.lease or None,
                "devices": list(found.devices),
                "message": message,
            }
        )
    else:
        for one in found.devices:
            put(f"{one.name:<12} {one.kind.replace('_', ' '):<15} {one.problem or one.who}")
        if found.lease:
            put(f"{found.lease} controls it")
    if not quiet or code:
        say(f"cryoctl: {message}")
    raise typer.Exit(code)
