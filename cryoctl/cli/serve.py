"""`serve`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say

if TYPE_CHECKING:
    from cryoctl.launch.serve import Serving

app = typer.Typer(rich_markup_mode=None)


@app.command("serve")
def serve(
    instrument: Annotated[str, typer.Argument(metavar="INSTRUMENT", help="Instrument file or bundled name.")],
    port: Annotated[int, typer.Option("--port", metavar="N", help="0: any that is free.", min=0, max=65535)] = 9747,
    address: Annotated[
        str, typer.Option("--address", metavar="HOST", help="Of this computer; another than loopback needs keys.")
    ] = "127.0.0.1",
    world: options.World = None,
    keys: Annotated[
        Path | None, typer.Option("--keys", metavar="DIR", help="Keys of the node and of whom it allows.")
    ] = None,
    audit: Annotated[
        Path | None, typer.Option("--audit", metavar="FILE", help="Line by line, what was refused and what was done.")
    ] = None,
    heartbeat_limit: Annotated[
        float,
        typer.Option("--heartbeat-limit", metavar="S", help="So long without a sign of its runner.", min=0.1, max=60.0),
    ] = 1.0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Own an instrument's devices, so that a runner on another PC drives them: run RECIPE --instrument tcp://HOST:PORT.

    One runner at a time has the lease. When it or the network dies, the node brings the safe state; when the node dies,
    its watchdog does. Ctrl-C ends it, safe. Exit code 6: that is not confirmed, go to the microscope.
    """
    from cryoctl.launch.serve import ServeRequest, keys_to_use
    from cryoctl.launch.serve import serve as play
    from cryoctl.node.keys import key_folder

    def ready(now: Serving) -> None:
        if json:
            put_json({"status": "serving", **_told(now)})
            return
        put(now.address)
        if not quiet:
            say(f"{now.instrument} is served at {now.address}; Ctrl-C ends it, safe")
            for name, who in now.devices.items():
                say(f"  {name:<12} {who}")
            say(f"watchdog: process {now.watchdog_id}, {now.watchdog.removeprefix('ready ')}")
            if not now.goes_first:
                say(
                    "priority: ordinary; on a busy computer blanking may be late by 0.2 s after a kill; let whoever "
                    "runs this have a nice of -10, as the how-to on running on an instrument's PC says"
                )
            if now.key:
                say(f"public key of this node: {now.key}")

    end = play(
        ServeRequest(
            instrument=instrument,
            host=address,
            port=port,
            world=world,
            keys=keys_to_use(keys, key_folder()),
            audit=audit,
            heartbeat_limit_s=heartbeat_limit,
        ),
        ready,
    )
    said = {
        0: f"{end.instrument}: ended, safe, all of it confirmed",
        5: f"{end.instrument}: ended, safe, but not all of it could be confirmed",
        6: f"{end.instrument}: SAFE STATE NOT CONFIRMED; go to the microscope",
    }[end.exit_code]
    if not quiet or end.exit_code:
        say(f"cryoctl: {said}")
    raise typer.Exit(end.exit_code)


def _told(now: Serving) -> dict[str, object]:
    return {
        "instrument": now.instrument,
        "address": now.address,
        "process": now.process_id,
        "watchdog": now.watchdog_id,
        "devices": now.devices,
        "world": now.world,
        "key": now.key or None,
        "goes_first": now.goes_first,
    }
