"""`run` and `rehearse`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cryoctl.cli import options
from cryoctl.cli.output import put, put_json, say

if TYPE_CHECKING:
    from cryoctl.launch.request import RunRequest, RunResult

Launch = Callable[..., Any]
"""Takes a request, followers and `on_control`, gives a RunResult: `launch.run.run`, or a replay of some data."""

LATE = "{} came when the run was over and safe; the file was written to its end"

app = typer.Typer(rich_markup_mode=None)


class OnEnd(StrEnum):
    NEXT = "next"
    STOP = "stop"
    SAFE = "safe"


_ON_END = (
    "With several recipes, go on to the next - next: after exit 0 or 4; stop: after exit 0; safe: after exit 0 with no "
    "interlock met. Never after an abort or a device fault."
)
Recipes = Annotated[list[str], typer.Argument(metavar="RECIPE...", help="YAML file, bundled name or Python file.")]
Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="YAML file, bundled name or Python file.")]


@app.command("run")
def run(
    recipe: Recipes,
    instrument: options.Instrument = None,
    out: options.Out = Path(),
    seed: options.Seed = None,
    set_: options.Set = None,
    until: options.Until = "",
    speed: options.Speed = None,
    specimen: options.Specimen = "",
    world: options.World = None,
    events: options.Events = None,
    faults: options.Faults = None,
    on_end: Annotated[OnEnd, typer.Option("--on-end", help=_ON_END)] = OnEnd.NEXT,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Run one or several recipes; the last line printed is the run file's path.

    Ctrl-C pauses at the next boundary, twice within 10 s blanks at once, a third time aborts; `cryoctl tell` speaks to
    the run from another shell.
    """
    requests = [
        request_of(one, instrument, out, seed, set_, until, speed, specimen, world, events, faults) for one in recipe
    ]
    if len(requests) > 1:
        from cryoctl.launch.run import check

        for request in requests:
            check(request)
    results: list[RunResult] = []
    left: list[str] = []
    for position, request in enumerate(requests):
        results.append(carry_out(request, quiet))
        if position + 1 < len(requests) and not goes_on(on_end, results[-1]):
            left = recipe[position + 1 :]
            why = "the operator's wish" if results[-1].stop else f"exit {results[-1].exit_code}"
            say(f"not started after {why}: {', '.join(left)}")
            break
        if not json and position + 1 < len(requests):
            tell_end(results[-1], quiet)
    finish(results, left, json, quiet)


@app.command("rehearse")
def rehearse(
    recipe: Recipe,
    instrument: options.Instrument = None,
    out: Annotated[
        Path,
        typer.Option("--out", metavar="DIR", help="Where the run will go, for its disk and --specimen NAME."),
    ] = Path(),
    seed: options.Seed = None,
    set_: options.Set = None,
    until: options.Until = "",
    specimen: options.Specimen = "",
    faults: options.Faults = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Play a recipe on simulators in virtual time and predict duration, dose, counts, bytes; writes nothing."""
    from cryoctl.launch.rehearse import rehearse as play

    request = request_of(recipe, instrument, out, seed, set_, until, None, specimen, None, None, faults)
    result = play(request)
    if json:
        put_json(result.summary)
    elif not quiet:
        from cryoctl.cli import summary_text

        summary_text.show(result.summary)
    raise typer.Exit(result.exit_code)


def request_of(
    recipe: str,
    instrument: str | None,
    out: Path,
    seed: int | None,
    overrides: Sequence[str] | None,
    until: str,
    speed: float | None,
    specimen: str,
    world: Path | None,
    events: Path | None,
    faults: Path | None,
) -> RunRequest:
    """The options as `launch` takes them."""
    from cryoctl.launch.person import user
    from cryoctl.launch.request import RunRequest

    return RunRequest(
        recipe=recipe,
        instrument=instrument,
        out=out,
        seed=seed,
        overrides=tuple(overrides or ()),
        until=until,
        speed=speed,
        specimen=specimen,
        world=world,
        events=events,
        faults=faults,
        operator=user(),
    )


def carry_out(request: RunRequest, quiet: bool, launch: Launch | None = None) -> RunResult:
    """One run with its display, its control socket and its signals."""
    from cryoctl.cli.failure import crash_folder
    from cryoctl.cli.progress import TerminalProgress, chosen
    from cryoctl.cli.signals import SignalDesk, handlers_restored
    from cryoctl.launch.control_server import ControlServer
    from cryoctl.launch.person import person

    if launch is None:
        from cryoctl.launch.run import run as launch

    where: list[Path] = []

    def found(parts: Path) -> None:
        where.append(parts)
        crash_folder.append(parts)

    def how() -> str:
        return f"`cryoctl tell {where[-1].with_suffix('.nxs') if where else 'RUN'} go`"

    control = ControlServer(request.out, on_parts=found)
    signals = SignalDesk(say, how, who=person())
    displays = chosen(quiet)

    def on_control(ask: Any) -> None:
        control.listen(ask)
        signals.listen(ask)

    try:
        with handlers_restored():
            signals.install()
            result = launch(request, (control, signals, *displays), on_control)
            if signals.late:
                result.summary.setdefault("warnings", []).append(LATE.format(", ".join(signals.late)))
                result = replace(result, stop=True)
            return result
    finally:
        control.close()
        for display in displays:
            if isinstance(display, TerminalProgress):
                display.close()


def goes_on(policy: OnEnd, last: RunResult) -> bool:
    """Whether the next recipe is begun after this end."""
    if last.stop:
        return False
    if policy is OnEnd.NEXT:
        return last.exit_code in (0, 4)
    if policy is OnEnd.STOP:
        return last.exit_code == 0
    return last.exit_code == 0 and not last.summary.get("interlocks")


def tell_end(result: RunResult, quiet: bool) -> None:
    """Summary, then the path as the last line."""
    if not quiet:
        from cryoctl.cli import summary_text

        summary_text.show(result.summary)
    if result.exit_code not in (0, 4):
        say(f"cryoctl: {result.summary.get('message') or 'the run did not complete'}")
    if result.run_file is not None:
        put(str(result.run_file))


def finish(results: Sequence[RunResult], left: Sequence[str], json: bool, quiet: bool) -> None:
    """Print the end of the last run (or one JSON object) and leave with the worst exit code."""
    code = max(result.exit_code for result in results)
    if left and results[-1].stop:
        code = code or 3
    if not json:
        tell_end(results[-1], quiet)
    elif len(results) == 1 and not left:
        put_json(results[0].summary)
    else:
        worst = next((result for result in results if result.exit_code == code), results[-1])
        put_json(
            {
                "run_file": results[-1].run_file,
                "status": worst.summary.get("status"),
                "exit_code": code,
                "message": worst.summary.get("message"),
                "runs": [result.summary for result in results],
                "not_started": list(left),
            }
        )
    raise typer.Exit(code)
