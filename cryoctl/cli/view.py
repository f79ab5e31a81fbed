"""`view`: a window on a run, as it goes on or afterwards."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say
from cryoctl.errors import BadInput, FileProblem

if TYPE_CHECKING:
    from cryoctl.viewer.model.known import Known
    from cryoctl.viewer.model.operator import Answer

app = typer.Typer(rich_markup_mode=None)

EXTRA = "view: the window needs the extra `viewer`; install it: python -m pip install 'cryoctl[viewer]'"


class Theme(StrEnum):
    AUTO = "auto"
    LIGHT = "light"
    DARK = "dark"


@app.command("view")
def view(
    where: Annotated[
        Path, typer.Argument(metavar="[RUN|FOLDER]", help="Run file, or a folder: then its newest run, and the next.")
    ] = Path(),
    theme: Annotated[Theme, typer.Option("--theme", metavar="auto|light|dark", help="Default: as the desktop.")] = (
        Theme.AUTO
    ),
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="Draw what the window would show, and end.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """A window on a run: pictures, dose, volumes, course and events, with PAUSE and STOP.

    It may be opened before, during or after the run, and closed or lost at any time: the run does not notice.
    """
    if plot is not None:
        check_plot(plot)
    try:
        from cryoctl.viewer.window import opening
    except ImportError as missing:
        raise BadInput(_missing(missing)) from missing
    from cryoctl.viewer.model.watched import Watched

    watched = Watched(where)
    watched.look()
    if watched.failure is not None:
        raise watched.failure
    if plot is not None:
        try:
            known = opening.draw_window(watched, theme.value, plot)
        finally:
            watched.close()
        if not quiet and not json:
            say(f"drawn: {plot}")
        _answer(known, [], json, plot)
        return
    opening.check_display()
    if not quiet:
        say("the window may be closed at any time, the run goes on without it")
    known, told = opening.open_window(watched, theme.value)
    _answer(known, told, json, None)


def check_plot(plot: Path) -> None:
    """Raises BadInput for a picture that can't be made, before anything is opened."""
    if plot.suffix.lower() not in (".png", ".jpg"):
        raise BadInput(f"--plot {plot}: found {plot.suffix or 'no ending'}, allowed are .png and .jpg")
    if not plot.absolute().parent.is_dir():
        raise FileProblem(f"--plot {plot}: its folder does not exist; make it or choose another")


def _answer(known: Known, told: list[Answer], json: bool, plot: Path | None) -> None:
    """What the window last showed; without a run nothing."""
    if not json:
        if known.run_file is not None:
            put(str(known.run_file))
        return
    answer: dict[str, Any] = {
        "exit_code": 0,
        "run_file": known.run_file,
        "status": known.status or str(known.phase),
        "frames": known.frames,
        "dose": {"peak": known.dose.peak, "limit": known.dose.limit, "by_kind": dict(known.dose.by_kind)},
        "commands": [{"command": one.command, "taken": one.ok, "message": one.message} for one in told],
    }
    put_json(answer | ({"plot": plot} if plot is not None else {}))


def _missing(missing: ImportError) -> str:
    """Of a module that is not installed, how to get it; of one that can't be loaded (a library of the system), why."""
    if isinstance(missing, ModuleNotFoundError):
        return EXTRA
    return f"view: Qt can't be loaded ({str(missing)[:120]}); install what it names with the system's packages"
