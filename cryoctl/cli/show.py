"""`show`: a run's summary and picture, or a folder's runs, a line each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cryoctl.cli import options, wording
from cryoctl.cli.output import put, put_json, say
from cryoctl.errors import BadInput, CryoctlError, FileProblem

app = typer.Typer(rich_markup_mode=None)


@app.command("show")
def show(
    where: Annotated[Path, typer.Argument(metavar="RUN|DIR", help="Run file, or a folder of runs.")],
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw the run: maps, volumes, dose, spectrum.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Reconstruction to draw; default: the last made, else live.")
    ] = "",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """What a run was and found; also of one that goes on or was killed. Of a folder, one line a run."""
    if name and plot is None:
        raise BadInput("--name: it says which reconstruction is drawn; give --plot as well, or leave it out")
    if where.is_dir() and where.suffix != ".parts":
        if plot is not None:
            raise BadInput(f"--plot: {where} is a folder; name one run to draw it")
        _folder(where, json, quiet)
        return
    summary = summary_of(where)
    if plot is not None:
        _draw(where, plot, name)
    if json:
        put_json(summary | ({"plot": plot} if plot is not None else {}))
        return
    from cryoctl.cli import summary_text

    put(f"{'run':<10}{where}")
    summary_text.show(summary)
    if plot is not None and not quiet:
        say(f"drawn: {plot}")


def summary_of(run_file: Path) -> dict[str, Any]:
    """The JSON of contract.md for `show`, from the file (or the journal of a run that goes on or was killed)."""
    from cryoctl.runfile.summary import summary_of as read

    return dict(read(run_file))


def _draw(run_file: Path, plot: Path, name: str) -> None:
    if plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise BadInput(f"--plot {plot}: found {plot.suffix or 'no ending'}, allowed are .png, .pdf and .svg")
    if not plot.absolute().parent.is_dir():
        raise FileProblem(f"--plot {plot}: its folder does not exist; make it or choose another")
    from cryoctl.viewer.run_page import draw_run

    try:
        draw_run(run_file, plot, name)
    except OSError as problem:
        raise FileProblem(f"--plot {plot}: can't be written ({problem.strerror or problem})") from problem


def _folder(folder: Path, json: bool, quiet: bool) -> None:
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.nxs")):
        try:
            found.append(summary_of(path) | {"run_file": str(path)})
        except CryoctlError as problem:
            found.append({"run_file": str(path), "status": "unreadable", "message": problem.message})
    if json:
        put_json({"exit_code": 0, "runs": found})
        return
    if not found and not quiet:
        say(f"{folder}: no run here")
    width = max((len(Path(one["run_file"]).name) for one in found), default=0)
    for one in found:
        put(line_of(one, width))


def line_of(summary: Mapping[str, Any], width: int = 0) -> str:
    """`name  status (reason)  41 frames  dose 41,000 of 50,000 e-/A^2  1 h 05 min`"""
    name = Path(str(summary["run_file"])).name
    status, reason = str(summary.get("status")), summary.get("end_reason")
    text = status if not reason or reason == status else f"{status} ({reason})"
    if status == "unreadable":
        return f"{name:<{width}}  {text}: {summary['message']}"
    dose: Mapping[str, Any] = summary.get("dose") or {}
    peak = dose.get("peak")
    parts = [f"{name:<{width}}", f"{text:<22}", f"{wording.many(int(summary.get('frames') or 0), 'frame'):>11}"]
    if isinstance(peak, int | float):
        parts.append(f"dose {wording.dose(float(peak))} of {wording.dose(_limit(dose))}")
    if isinstance(summary.get("duration_s"), int | float):
        parts.append(wording.duration(float(summary["duration_s"])))
    return "  ".join(parts)


def _limit(dose: Mapping[str, Any]) -> float:
    limit = dose.get("limit")
    return float(limit) if isinstance(limit, int | float) else float("inf")
