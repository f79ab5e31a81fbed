"""`check`: integrity of a run file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from cryoctl.cli import options, wording
from cryoctl.cli.output import put, put_json

app = typer.Typer(rich_markup_mode=None)


@app.command("check")
def check(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file.")],
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Checksums, journal chain, ledger sums, rows of frames, limits; on a simulated run the ledger against truth.

    Exit code 1 if anything is wrong.
    """
    from cryoctl.runfile.check import check_run

    report: dict[str, Any] = check_run(run).to_json()
    code = 0 if report["ok"] else 1
    if json:
        put_json({**report, "exit_code": code})
        raise typer.Exit(code)
    for one in report["checks"]:
        if not quiet or not one["ok"]:
            put(f"{'ok  ' if one['ok'] else 'FAIL'}  {one['name']}: {one['detail']}")
    difference = report.get("ledger_minus_truth")
    if difference and not quiet:
        put(f"ledger minus truth: {difference['min']:.4g} to {difference['max']:.4g} e-/A^2")
    failed = sum(not one["ok"] for one in report["checks"])
    put(f"{run}: {'sound' if not failed else wording.many(failed, 'check') + ' failed'}")
    raise typer.Exit(code)
