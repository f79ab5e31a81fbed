"""`reconstruct`: volumes of the elements of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cryoctl.cli import options, wording
from cryoctl.cli.output import put, put_json, say

app = typer.Typer(rich_markup_mode=None)


@app.command("reconstruct")
def reconstruct(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Run file.")],
    element: Annotated[
        list[str] | None,
        typer.Option("--element", metavar="EL", help="Si, O, ... or HAADF; repeatable; default: all of the run."),
    ] = None,
    algorithm: Annotated[str, typer.Option("--algorithm", metavar="NAME", help="mlem, osem, sirt or wbp.")] = "mlem",
    iterations: Annotated[
        int | None,
        typer.Option(
            "--iterations",
            metavar="N",
            help="Default: half of the data decide for each element.",
            parser=options.iterations_of,
        ),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="dask scheduler over which slices are spread.")
    ] = None,
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Group in the file; default: as the algorithm.")
    ] = "",
    target: Annotated[str, typer.Option("--target", metavar="NAME", help="Default: the first of the run.")] = "",
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write here and leave the run file as it is.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="Where in its pixel an event is put.", parser=options.seed_of)
    ] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Align by the images, count by the spectra, reconstruct each element; adds /reconstruction/NAME to the run file.

    Told for each element: elongation (width along the beam over across: a core's FWHM, a shell's outer walls),
    resolution by half data, and for a simulated run the error against the truth.
    """
    from cryoctl.launch.reconstruct import Wanted
    from cryoctl.launch.volume_files import reconstruct_run

    wanted = Wanted(
        elements=tuple(element or ()), algorithm=algorithm, iterations=iterations, scheduler=scheduler, seed=seed
    )
    written = reconstruct_run(run, wanted, name=name, target=target, out=out, tell=_silent if quiet else say)
    report = written.volumes.report()
    if json:
        put_json({**report, "exit_code": 0, "name": written.name, "out": written.path})
        return
    if not quiet:
        for line in table(report):
            put(line)
    put(str(written.path))


def _silent(text: str) -> None: ...


def table(report: Mapping[str, Any]) -> list[str]:
    """One aligned line an element."""
    rows = [("element", "algorithm", "stop", "elongation", "resolution", "error", "time")]
    notes: list[str] = []
    for element, one in report.items():
        if element == "alignment":
            continue
        stop = f"cut-off {one['cutoff']:.2g}" if one["cutoff"] is not None else f"{one['iterations']} iterations"
        rows.append(
            (
                element,
                str(one["algorithm"]),
                stop,
                _with_error(one["elongation"], one["elongation_sigma"])
                + (" (shell)" if one["elongation_of"] == "shell" else ""),
                "-" if one["fsc_m"] is None else f"{one['fsc_m'] * 1e9:.3g} nm",
                "-" if one["error_truth"] is None else f"{one['error_truth']:.3f}",
                wording.duration(one["seconds"]),
            )
        )
        notes += [f"{element}: {sentence}" for sentence in one["shortfalls"]]
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    alignment = report["alignment"]
    residual = alignment["residual_px"]
    left = f"residual {residual:.2g} px" if residual == residual else "residual unknown (too few tilts)"
    lines.append(f"alignment: tilt axis {alignment['tilt_axis_deg']:.2f} deg, {left}")
    return lines + notes


def _with_error(value: float | None, sigma: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" + (f" +- {sigma:.3f}" if sigma is not None and sigma == sigma else "")
