"""`campaign`: seeded fault campaigns on the simulators."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cryoctl.cli import options, wording
from cryoctl.cli.output import is_terminal, put, put_json, say
from cryoctl.errors import BadInput

if TYPE_CHECKING:
    from cryoctl.testing.campaign.campaign import Campaign, Told

app = typer.Typer(rich_markup_mode=None)

MOST_RUNS = 1_000_000
_WHOLE = re.compile(r"[0-9]{1,9}", re.ASCII)
_EVERY = 25
"""Cases between two lines of progress where there is no terminal."""


def runs_of(text: str | int) -> int:
    """A number of runs as typed. Raises `BadInput` for anything but a whole number from 1 to a million."""
    words = str(text).strip()
    count = int(words) if _WHOLE.fullmatch(words) else 0
    if not 1 <= count <= MOST_RUNS:
        raise BadInput(f"--runs: found {words[:40]!a}, allowed are whole numbers from 1 to {MOST_RUNS:,}")
    return count


@app.command("campaign")
def campaign(
    protocol: Annotated[
        str, typer.Option("--protocol", metavar="P", help="Only this one; default: each in turn.")
    ] = "",
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs",
            metavar="N",
            help="Default: 150; with --matrix so many crossings drawn by the seed, default all.",
            show_default=False,
            parser=runs_of,
        ),
    ] = None,
    seed: options.Seed = None,
    kill: Annotated[
        bool, typer.Option("--kill", help="Kill real processes at random moments; recover, check and resume them.")
    ] = False,
    matrix: Annotated[
        Path | None,
        typer.Option("--matrix", metavar="FILE", help="Instead: every state against every fault, as a Markdown page."),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option("--keep", metavar="DIR", help="Keep the files of each case in DIR/NNNN.")
    ] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Play small random recipes with random faults and hold what comes of them against the simulated world's truth.

    The last lines are the commands that repeat what failed, a line each. Exit code 1 where anything was violated. One
    seed is one case: the same everywhere.
    """
    from cryoctl.testing.campaign.campaign import Wanted, run_campaign

    if matrix is not None:
        if kill or keep is not None:
            raise BadInput("--matrix: plays each state once with each fault; leave --kill and --keep out")
        _matrix(matrix, protocol, seed or 0, runs, json, quiet)
    count = runs if runs is not None else 150
    wanted = Wanted(protocol=protocol, runs=count, seed=seed or 0, kill=kill, keep=keep)
    with progress(count, quiet) as told:
        done = run_campaign(wanted, told)
    code = 1 if done.violations else 0
    if json:
        put_json({**done.to_json(), "exit_code": code})
        raise typer.Exit(code)
    tell_end(done, quiet)
    raise typer.Exit(code)


@contextmanager
def progress(count: int, quiet: bool) -> Generator[Callable[[Told], None]]:
    """What is told of each case as it ends: a bar on a terminal, a line now and then elsewhere, each violation."""
    if quiet:
        yield lambda one: None
        return
    violated = played = 0

    def counted(one: Told) -> str:
        nonlocal violated, played
        played += 1
        violated += bool(one.verdict.violations)
        return wording.many(violated, "violation")

    if not is_terminal(sys.stderr):

        def line(one: Told) -> None:
            found = counted(one)
            for sentence in one.verdict.violations:
                say(f"seed {one.case.seed}, {one.case.protocol}: {sentence}")
            if played % _EVERY == 0 or played == count:
                say(f"{played:,} of {count:,} cases, {found}")

        yield line
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[found]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=count, found="")

        def draw(one: Told) -> None:
            bar.update(task, advance=1, found=counted(one))
            for sentence in one.verdict.violations:
                text = f"seed {one.case.seed}, {one.case.protocol}: {sentence}"
                console.print(text, style="bold red", markup=False)

        yield draw


def tell_end(done: Campaign, quiet: bool) -> None:
    """Endings by fault and by protocol, then what was violated, then the commands that repeat it."""
    if not quiet:
        for line in tables(done.cases):
            put(line)
    put(f"{wording.many(len(done.cases), 'case')}, {wording.many(len(done.violations), 'violation')}")
    for one in done.violations:
        for sentence in one.verdict.violations:
            put(f"seed {one.case.seed}, {one.case.protocol}: {sentence}")
    for one in done.violations:
        put(one.repeat)


def tables(cases: Sequence[Told]) -> list[str]:
    """How cases ended: a row for each fault class and each protocol, and how many were violated."""
    ends: dict[str, Counter[str]] = {}
    wrong: Counter[str] = Counter()
    for one in cases:
        names = [f"{fault['device']} {fault['fault']}" for fault in one.case.faults] or ["no fault"]
        for name in dict.fromkeys([*names, one.case.protocol]):
            ends.setdefault(name, Counter())[one.verdict.end_reason or "never began"] += 1
            wrong[name] += bool(one.verdict.violations)
    protocols = {one.case.protocol for one in cases}
    lines: list[str] = []
    for name in [*sorted(set(ends) - protocols), *sorted(protocols)]:
        how = ", ".join(f"{reason} {count}" for reason, count in ends[name].most_common())
        mark = f" | VIOLATED {wrong[name]}" if wrong[name] else ""
        lines.append(f"{name:<36} {sum(ends[name].values()):>5}  {how}{mark}")
    return lines


def _matrix(file: Path, protocol: str, seed: int, runs: int | None, json: bool, quiet: bool) -> None:
    from cryoctl.testing.campaign.matrix import play_matrix, write_page

    found = play_matrix(file, protocol, seed, partial(progress, quiet=quiet), runs)
    write_page(file, found)
    code = 1 if found.campaign.violations else 0
    if json:
        put_json({**found.campaign.to_json(), "matrix": file, "exit_code": code})
    else:
        tell_end(found.campaign, quiet=True)
    raise typer.Exit(code)
