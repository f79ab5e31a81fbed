"""`resume`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryoctl.cli import options
from cryoctl.cli.runs import carry_out, finish, request_of

if TYPE_CHECKING:
    from cryoctl.launch.request import Follower, OnControl, RunRequest, RunResult

app = typer.Typer(rich_markup_mode=None)


@app.command("resume")
def resume(
    run: Annotated[
        Path, typer.Argument(metavar="RUN", help="Run file that was killed, aborted or stopped by a fault.")
    ],
    instrument: options.Instrument = None,
    until: options.Until = "",
    speed: options.Speed = None,
    world: options.World = None,
    events: options.Events = None,
    faults: options.Faults = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Go on with a run in its own file and world; the last line printed is the run file's path.

    What was exposed stays exposed and charged: nothing is taken twice but what was under way when the run died, and
    that only where the recipe says `on_lost: repeat`. Recipe and instrument are those that the run was begun with.
    """
    from cryoctl.launch.resume import resume as go_on

    request = request_of("", instrument, run.parent, None, None, until, speed, "", world, events, faults)

    def launch(asked: RunRequest, followers: Sequence[Follower], control: OnControl | None) -> RunResult:
        return go_on(run, asked, followers, control)

    finish([carry_out(request, quiet, launch)], [], json, quiet)
