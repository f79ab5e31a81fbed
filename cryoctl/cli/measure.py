"""`measure`: of volumes, pictures and what a source sampled."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from cryoctl.cli import areas, cells, options
from cryoctl.cli.output import put, put_json, say
from cryoctl.cli.quantities import quantity_of
from cryoctl.errors import BadInput, FileProblem

app = typer.Typer(rich_markup_mode=None)

KINDS = ("elongation", "fsc", "area", *cells.KINDS)
ENDINGS = (".json", ".csv")
LARGEST_PIXEL_M = 1e-3


@app.command("measure")
def measure(
    what: Annotated[str, typer.Argument(metavar="WHAT", help="elongation, fsc, area, jv, diffraction or contact.")],
    data: Annotated[Path, typer.Argument(metavar="RUN|STACK", help="Run file, or a stack: .npy .tif .mrc HDF5.")],
    name: Annotated[
        str, typer.Option("--name", metavar="NAME", help="Reconstruction of the run; default: the last made.")
    ] = "",
    pixel_size: Annotated[
        str, typer.Option("--pixel-size", metavar="Q", help="Pixel or voxel size with its unit, like 10nm.")
    ] = "",
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Also write .json or .csv.")] = None,
    polygons: Annotated[
        Path | None, typer.Option("--polygons", metavar="FILE", help="area: measure hand-drawn polygons (JSON).")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option("--masks", metavar="FILE", help="area: say how masks agree with what is found.")
    ] = None,
    particle: Annotated[
        list[str] | None,
        typer.Option("--particle", metavar="X,Y", help="area: the particle there in the first picture; repeatable."),
    ] = None,
    frame_interval: Annotated[
        str, typer.Option("--frame-interval", metavar="Q", help="area: time between the pictures of a stack, like 2s.")
    ] = "",
    onset: Annotated[
        str, typer.Option("--onset", metavar="Q", help="area: when growth may begin; default: when the bias came on.")
    ] = "",
    polarity: Annotated[
        str, typer.Option("--polarity", metavar="P", help="area: particles are auto, bright or dark.")
    ] = "auto",
    separate: Annotated[
        bool, typer.Option("--separate", help="area: the pictures are no sequence; measure each by itself.")
    ] = False,
    labels: Annotated[
        Path | None, typer.Option("--labels", metavar="NPY", help="area: write the particles' labels [frame, y, x].")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="PNG", help="area, jv, diffraction: draw what is found.")
    ] = None,
    facet: Annotated[
        list[str] | None,
        typer.Option("--facet", metavar="NAME=SPACING", help="diffraction: a facet, like 100=0.628nm; repeatable."),
    ] = None,
    device_area: Annotated[
        str, typer.Option("--device-area", metavar="Q", help="jv: area of the cell, for a current density.")
    ] = "",
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure volumes and pictures offline, also such as are not ours.

    elongation: width along the beam (z) over across (y) of a wire along x, a core's FWHM or a shell's outer walls. fsc:
    Fourier shell correlation of half data; of a stack, its shape is [2, z, y, x].

    area: particles of pictures [frame, y, x], followed from one to the next: area, expansion, rate, broken coating.
    Exit code 1 if no particle can be measured.

    jv: each sweep that a run's source sampled, the beam blanked: open-circuit voltage, short-circuit current, fill
    factor, hysteresis. diffraction: intensity of lattice fringes facet by facet, their order and the cause. contact:
    whether an approach's pictures show contact, and which; exit code 1 if none does.
    """
    if what not in KINDS:
        raise BadInput(f"measure: {what[:40]!r} can't be measured; choose one of {', '.join(KINDS)}")
    if out is not None:
        check_out(out)
    size = pixel_size_of(pixel_size)
    of_cells = {"--facet": ("diffraction", facet), "--device-area": ("jv", device_area)}
    for option, (own, value) in of_cells.items():
        if value and what != own:
            raise BadInput(f"{option}: belongs to measure {own}; leave it out for {what}")
    if what == "area":
        if name:
            raise BadInput("--name: it chooses a reconstruction, of which no areas are measured; leave it out")
        if polarity not in areas.POLARITIES:
            raise BadInput(f"--polarity: found {polarity[:40]!r}; choose one of {', '.join(areas.POLARITIES)}")
        if plot is not None:
            areas.check_plot(plot)
        if labels is not None:
            areas.check_labels(labels)
        from cryoctl.launch.measure import write_measured
        from cryoctl.launch.measure_area import AreaRequest

        request = AreaRequest(
            pixel_size_m=size,
            frame_interval_s=areas.seconds_of(frame_interval, "--frame-interval", 1e-9),
            onset_s=areas.seconds_of(onset, "--onset", 0.0),
            polygons=polygons,
            masks=masks,
            points=tuple(areas.point_of(one) for one in particle or ()),
            polarity=polarity,
            separate=separate,
        )
        done = areas.measured_areas(data, request, plot, labels, quiet)
        if out is not None and done.found:
            write_measured(out, done.report)
        raise typer.Exit(areas.put_areas(done, json))
    if plot is not None and what in ("jv", "diffraction"):
        areas.check_plot(plot)
    drawn = plot if what in ("jv", "diffraction") else None
    given = {
        "--polygons": polygons,
        "--masks": masks,
        "--particle": particle,
        "--frame-interval": frame_interval,
        "--onset": onset,
        "--separate": separate,
        "--labels": labels,
        "--plot": None if drawn else plot,
    }
    for option, value in given.items():
        if value:
            raise BadInput(f"{option}: belongs to measure area; leave it out for {what}")
    if what in cells.KINDS:
        from cryoctl.launch.measure import write_measured

        facets, area_m2 = [cells.facet_of(one) for one in facet or ()], cells.area_of(device_area)
        report = cells.measured_cell(what, data, facets=facets, size_m=size, area_m2=area_m2)
        if drawn is not None:
            cells.draw(what, drawn, data.name, report)
        if out is not None:
            write_measured(out, report)
        raise typer.Exit(cells.put_cell(what, report, json))
    from cryoctl.launch.measure import measure_elongation, measure_fsc, write_measured

    if what == "elongation":
        measured = measure_elongation(data, name=name, pixel_size_m=size)
    else:
        measured = measure_fsc(data, name=name, pixel_size_m=size, tell=(lambda text: None) if quiet else say)
    if out is not None:
        write_measured(out, measured)
    if json:
        put_json({"exit_code": 0, **measured})
        return
    for line in lines_of(measured):
        put(line)


def check_out(out: Path) -> None:
    """Raises BadInput for a file that can't be made, before anything is measured."""
    if out.suffix.lower() not in ENDINGS:
        raise BadInput(f"--out {out}: found {out.suffix or 'no ending'}, allowed are {' and '.join(ENDINGS)}")
    if out.exists():
        raise FileProblem(f"--out {out}: is there already; choose another name")
    if not out.absolute().parent.is_dir():
        raise FileProblem(f"--out {out}: its folder does not exist; make it or choose another")


def pixel_size_of(text: str) -> float | None:
    """`10nm`, `10 nm` or `1e-8` (m); None for nothing. Raises BadInput for anything else, and for 0 or less."""
    if not text:
        return None
    size = quantity_of(text, "pixel_size_m", "--pixel-size")
    if not size > 0:
        raise BadInput(f"--pixel-size: found {text[:40]!r}, it must be above 0; like 10nm")
    if size > LARGEST_PIXEL_M:
        raise BadInput(f"--pixel-size: found {text[:40]!r}, {size:g} m; a number without a unit is in m, write 10nm")
    return size


def lines_of(measured: Mapping[str, Any]) -> list[str]:
    """A line an element, then what could not be measured."""
    lines: list[str] = []
    for element, one in (measured.get("elongation") or {}).items():
        lines.append(
            f"{element:<8} elongation {one['ratio']:.3f} +- {one['ratio_sigma']:.3f}  "
            f"along beam {one['along_beam_m'] * 1e9:.1f} nm, across {one['across_m'] * 1e9:.1f} nm"
            + (" (shell, between its outer walls)" if one["of"] == "shell" else "")
        )
    for element, one in (measured.get("fsc") or {}).items():
        shell = one["shell"]
        axes = ", ".join(f"{axis} {one[axis]['resolution_m'] * 1e9:.1f}" for axis in ("x", "y", "z"))
        limit = " (limited by the voxel)" if shell["limited_by_voxel"] else ""
        thinned = " (halves of thinned counts)" if one.get("halves") == "thinned counts" else ""
        lines.append(f"{element:<8} resolution {shell['resolution_m'] * 1e9:.1f} nm{limit}; {axes} nm{thinned}")
    lines += [f"{element:<8} {sentence}" for element, sentence in (measured.get("shortfalls") or {}).items()]
    return lines
