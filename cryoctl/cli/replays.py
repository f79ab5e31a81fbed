"""`replay`."""

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


@app.command("replay")
def replay(
    data: Annotated[Path, typer.Argument(metavar="DATA", help="Run file, or recorded data of a known layout.")],
    recipe: Annotated[str, typer.Option("--recipe", metavar="RECIPE", help="YAML file, bundled name or Python file.")],
    out: options.Out = Path(),
    seed: options.Seed = None,
    set_: options.Set = None,
    until: options.Until = "",
    speed: options.Speed = None,
    events: options.Events = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Play a recipe's protocol on recorded data; the last line printed is the run file's path.

    A run file answers with its own frames: frames, decisions and results equal the original's. Other data decide
    tilts, order, shape, pixel size and scans, and give element maps and aligned volumes.
    """
    from cryoctl.launch.replay import replay as play

    request = request_of(recipe, None, out, seed, set_, until, speed, "", None, events, None)

    def launch(asked: RunRequest, followers: Sequence[Follower], control: OnControl | None) -> RunResult:
        return play(asked, data, followers, control)

    finish([carry_out(request, quiet, launch)], [], json, quiet)
