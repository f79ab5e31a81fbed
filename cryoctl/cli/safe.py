"""`safe`."""

from __future__ import annotations

from typing import Annotated

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say

app = typer.Typer(rich_markup_mode=None)


@app.command("safe")
def safe(
    instrument: Annotated[
        str, typer.Argument(metavar="[INSTRUMENT]", help="Instrument file, bundled name or node; default: simulated.")
    ] = "simulated",
    world: options.World = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Bring an instrument into its safe state now: blanked, at rest, cold; each action is read back.

    A run that has the instrument is aborted first. Exit code 0: all is confirmed; 5: safe, but something does not
    answer; 6: not confirmed, go to the microscope.
    """
    from cryoctl.launch.safe import make_safe

    made = make_safe(instrument, world)
    message = {
        0: f"{made.instrument}: safe, all of it confirmed",
        5: f"{made.instrument}: safe, but not all of it could be confirmed; look at what is named",
        6: f"{made.instrument}: SAFE STATE NOT CONFIRMED; go to the microscope",
    }[made.exit_code]
    if json:
        put_json(
            {
                "exit_code": made.exit_code,
                "status": "safe" if made.exit_code < 6 else "faulted",
                "instrument": made.instrument,
                "ended_run": made.ended_run,
                "ended_lease": made.ended_lease or None,
                "actions": list(made.actions),
                "message": message,
            }
        )
    else:
        for one in made.actions:
            word = "confirmed" if one.confirmed else "NOT CONFIRMED"
            put(f"{word:<15}{one.name}" + (f": {one.detail}" if one.detail else ""))
    if made.ended_run is not None and not quiet:
        say(f"run {made.ended_run.stem} had the instrument and was aborted")
    if made.ended_lease and not quiet:
        say(f"{made.ended_lease} controlled the instrument and does no more")
    if not quiet or made.exit_code:
        say(f"cryoctl: {message}")
    raise typer.Exit(made.exit_code)
