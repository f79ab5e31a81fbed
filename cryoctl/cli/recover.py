"""`recover`: a readable file of a run that broke off."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cryoctl.cli import options, wording
from cryoctl.cli.output import put, put_json, say

app = typer.Typer(rich_markup_mode=None)
_MOST_TOLD = 12


@app.command("recover")
def recover(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file, or its .parts folder.")],
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="The new file; default: RUN_recovered.nxs beside it.")
    ] = None,
    world: Annotated[
        Path | None, typer.Option("--world", metavar="FILE", help="World file of a simulated run, if it was moved.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Make a whole file of what is left of a run that was killed, cut or met a full disk; the last line is its path.

    The run and its .parts folder are only read.
    """
    from cryoctl.launch.recover import recover as carry_out

    made = carry_out(run, out, world, _silent if quiet or json else say)
    if json:
        put_json({**made.report(), "exit_code": 0})
        return
    if not quiet:
        losses = made.losses
        for sentence in (*losses.sentences[:_MOST_TOLD], *made.shortfalls):
            say(sentence)
        if len(losses.sentences) > _MOST_TOLD:
            say(f"and {len(losses.sentences) - _MOST_TOLD} more, in /entry/recovered/lost")
        put(f"{wording.many(made.frames_kept, 'frame')} kept, {losses.frames} lost, {losses.bytes} bytes lost")
    put(str(made.out))


def _silent(text: str) -> None: ...
