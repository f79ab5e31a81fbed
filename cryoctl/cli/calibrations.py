"""`calibrations`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say

app = typer.Typer(rich_markup_mode=None)


@app.command("calibrations")
def calibrations(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="File of `cryoctl run calibrate`.")],
    instrument: Annotated[
        str, typer.Option("--instrument", metavar="FILE", help="Print this instrument file with them in it.")
    ] = "",
    expires: Annotated[str, typer.Option("--expires", metavar="DATE", help="Until when they may be relied on.")] = "",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """What `cryoctl run calibrate` measured, as an instrument file has it; nothing is overwritten."""
    from cryoctl import registry
    from cryoctl.launch import calibrating

    found = calibrating.measured(run, expires or None)
    kept: tuple[str, ...] = ()
    told = found
    text = calibrating.block(found)
    if instrument:
        named = instrument in registry.names("cryoctl.instruments")
        text, merged = calibrating.updated(instrument if named else Path(instrument), found)
        told, kept = merged.calibrations, merged.kept
    if json:
        entries = {
            one.kind: {
                "value": list(one.value),
                "uncertainty": one.uncertainty,
                "unit": one.unit,
                "date": one.date,
                "expires": one.expires,
                "method": one.method,
            }
            for one in told
        }
        put_json({"exit_code": 0, "calibrations": entries, "kept": list(kept), "text": text})
        return
    if not quiet:
        for one in kept:
            say(one)
    put(text.rstrip("\n"))
