"""`export`: a run in other people's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json
from cryoctl.errors import BadInput, FileProblem

app = typer.Typer(rich_markup_mode=None)


@app.command("export")
def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file.")],
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help="hspy, tilt-stack, mrc, nexus, csv or bluesky.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="PATH", help="Folder, or a file for hspy, nexus, bluesky; default: beside RUN."),
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Write a run in another format; each line printed is a file that was written.

    hspy: EDX for HyperSpy. tilt-stack: images and net counts sorted by angle, for ETSpy. mrc: stacks and volumes with
    .mdoc and .rawtlt. nexus: a copy, also of a killed run. csv: exposures, events, monitors, counts.
    bluesky: documents of event-model, one a line.
    """
    from cryoctl import registry
    from cryoctl.runfile.reader import open_run

    del quiet
    known = registry.names("cryoctl.exporters")
    if to not in known:
        from cryoctl.recipe.wording import nearest

        raise BadInput(f"--to: found {to[:40]!r}, {nearest(to, known)}")
    exporter: Any = registry.find("cryoctl.exporters", to)
    with open_run(run) as opened:
        try:
            written: tuple[Path, ...] = exporter(opened, out)
        except OSError as problem:
            place = out or run.parent
            raise FileProblem(f"--out {place}: can't be written ({problem.strerror}); choose another") from problem
    if json:
        put_json({"exit_code": 0, "format": to, "written": list(written)})
        return
    for path in written:
        put(str(path))
