"""A run on one page: pictures, volumes, dose, course, spectrum. Reads the run file by `open_run`, nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.errors import BadInput
from cryoctl.runfile.reader import Run, open_run
from cryoctl.runfile.reconstructions import names_newest_first
from cryoctl.viewer import chip_page, course_panels, particle_page, picture_panels
from cryoctl.viewer.palette import FAINT, INK, PAPER

MOST_COLUMNS = 6
_FONT: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
}


def draw_run(run_file: Path, out: Path, reconstruction: str = "", dpi: int = 130) -> None:
    """Draw a finished, running or killed run into a .png, .pdf or .svg.

    Args:
        reconstruction: name of the volumes to cut; default: the last made, else the live ones.

    Raises:
        BadInput: the run has no such reconstruction.
        FileProblem: see `open_run`.
    """
    import matplotlib

    with open_run(run_file) as run, matplotlib.rc_context(_FONT):
        figure = page_of(run, reconstruction)
        figure.savefig(out, dpi=dpi, facecolor=PAPER)


def page_of(run: Run, reconstruction: str = "") -> Any:
    """The matplotlib figure of a run."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    for has, draw, size_in in (
        (particle_page.has_particles, particle_page.draw_particles, particle_page.SIZE_IN),
        (chip_page.has_cell, chip_page.draw_cell, chip_page.SIZE_IN),
    ):
        if has(run):
            figure = Figure(figsize=size_in)
            FigureCanvasAgg(figure)
            _header(figure, run)
            draw(figure, run)
            return figure
    maps, at_tilt = element_maps(run)
    volumes, name, voxel_m = volumes_of(run, reconstruction)
    columns = [*dict.fromkeys(["HAADF", *maps, *volumes])][:MOST_COLUMNS]
    figure = Figure(figsize=(17.0, 12.2))
    FigureCanvasAgg(figure)
    _header(figure, run)
    ratios = _heights(maps, volumes)
    upper = figure.add_gridspec(
        4, len(columns), left=0.03, right=0.655, top=0.885, bottom=0.33, hspace=0.2, wspace=0.06, height_ratios=ratios
    )
    _pictures(figure, upper, columns, run, maps, at_tilt, volumes, name, voxel_m)
    _right(figure, run)
    _below(figure, run)
    return figure


def element_maps(run: Run) -> tuple[dict[str, npt.NDArray[Any]], float]:
    """HAADF and net maps [y, x] of the first target's frame nearest to 0 degrees, and its tilt."""
    if "image" not in run or len(run.image) == 0:
        return {}, float("nan")
    image = run.image
    targets = list(image.target)
    tilts = np.asarray(image.tilt_deg, dtype=np.float64)
    first = [k for k, target in enumerate(targets) if target == targets[0]]
    frame = min(first, key=lambda k: (abs(tilts[k]), k))
    rows, columns = (int(size) for size in image.shape[frame])
    found: dict[str, npt.NDArray[Any]] = {"HAADF": np.asarray(image.data[frame, :rows, :columns])}
    if "edx" in run and "maps" in run.edx:
        maps = run.edx.maps
        named = (element for element in run.edx.elements if element in maps)
        found |= {element: np.asarray(maps[element][frame, :rows, :columns]) for element in named}
    return found, float(tilts[frame])


def volumes_of(run: Run, name: str) -> tuple[dict[str, npt.NDArray[Any]], str, float]:
    """Volumes [z, y, x] by element, the reconstruction's name and its voxel size."""
    if "reconstruction" not in run:
        found = list[str]()
    else:
        groups = run.reconstruction
        found = [
            key
            for key in names_newest_first(groups)
            if any("volume" in groups[key][one] for one in _groups(groups[key]))
        ]
    if name and name not in found:
        raise BadInput(
            f"--name: no reconstruction {name[:40]!r} in {run.path.name}; it has {', '.join(found) or 'none'}"
        )
    if not found:
        return {}, "", float("nan")
    chosen = name or found[0]
    group = run.reconstruction[chosen]
    elements = [one for one in _groups(group) if "volume" in group[one]]
    volumes = {element: np.asarray(group[element].volume[()]) for element in elements}
    return volumes, chosen, float(group[elements[0]].voxel_size_m)


def _groups(node: Any) -> list[str]:
    return [key for key in node if hasattr(node[key], "keys")]


def _header(figure: Any, run: Run) -> None:
    entry = run.entry
    title = str(entry.title) if "title" in entry else run.path.stem
    figure.text(0.03, 0.967, title, fontsize=16, fontweight="bold", va="center")
    parts = [run.path.stem, run.status]
    if "message" in entry and str(entry.message):
        parts.append(str(entry.message))
    frames = len(run.image) if "image" in run else 0
    parts.append(f"{frames} frames")
    if "duration_s" in entry:
        parts.append(f"{float(entry.duration_s) / 60:.0f} min")
    if "specimen" in entry and str(entry.specimen):
        parts.append(f"specimen {entry.specimen}")
    if "simulated" in entry and bool(entry.simulated):
        parts.append("simulated")
    figure.text(0.03, 0.938, "   \u00b7   ".join(parts), fontsize=9.5, color=FAINT, va="center")


def _pictures(
    figure: Any,
    grid: Any,
    columns: list[str],
    run: Run,
    maps: Mapping[str, npt.NDArray[Any]],
    at_tilt: float,
    volumes: Mapping[str, npt.NDArray[Any]],
    name: str,
    voxel_m: float,
) -> None:
    pixel_m = float(run.image.pixel_size_m) if "image" in run else float("nan")
    box = picture_panels.body_box(volumes) if volumes else None
    errors = _errors(run, name) if volumes else {}
    shown = [element for element in columns if element in volumes]
    labelled, last = (shown[0], shown[-1]) if shown else ("", "")
    for k, element in enumerate(columns):
        axes = [figure.add_subplot(grid[row, k]) for row in range(4)]
        if element in maps:
            note = f"{np.nansum(maps[element]):,.0f} net" if element != "HAADF" else f"{at_tilt:.0f}\u00b0"
            picture_panels.picture(axes[0], maps[element], element, element, pixel_m, note=note)
        else:
            course_panels.nothing(axes[0], f"no map of {element}")
        if element in volumes and box is not None:
            note = f"{name} volume" if element == last else errors.get(element, "")
            places = (axes[1], axes[2], axes[3])
            picture_panels.slices(places, volumes[element], element, box, voxel_m, first=element == labelled, note=note)
        else:
            for place in axes[1:]:
                course_panels.nothing(place, "no volume")


def _heights(maps: Mapping[str, npt.NDArray[Any]], volumes: Mapping[str, npt.NDArray[Any]]) -> list[float]:
    """Of the four rows of pictures, so that each fills the width of its column (the last one two thirds of it)."""
    image = next(iter(maps.values()), None)
    whole = image.shape[0] / image.shape[1] if image is not None else 0.75
    if not volumes:
        return [whole, 0.4, 0.4, 0.5]
    in_z, in_y, _ = picture_panels.body_box(volumes)
    depth, width = in_z.stop - in_z.start, in_y.stop - in_y.start
    length = next(iter(volumes.values())).shape[2]
    return [whole, max(width / length, 0.2), max(depth / length, 0.2), min(0.7 * depth / width, whole)]


def _errors(run: Run, name: str) -> dict[str, str]:
    """By element, the error against the truth of a simulation, where it was measured."""
    group = run.reconstruction[name]
    found = {element: group[element] for element in _groups(group) if "error_truth" in group[element]}
    return {element: f"error {float(one.error_truth):.2f}" for element, one in found.items()}


def _right(figure: Any, run: Run) -> None:
    grid = figure.add_gridspec(
        2, 1, left=0.705, right=0.975, top=0.885, bottom=0.375, hspace=0.32, height_ratios=(1.25, 1)
    )
    axes = figure.add_subplot(grid[0])
    if "entry/dose/map_e_per_a2" in run and not ("known" in run.dose and not run.dose.known):
        areas = run.entry.areas if "areas" in run.entry else {}
        told = {name: areas[name].to_dict() for name in areas}
        course_panels.dose_map(axes, figure, run.dose, told)
    else:
        course_panels.nothing(axes, "dose unknown: no beam current or dwell time was recorded")
    axes = figure.add_subplot(grid[1])
    profiles = _profiles(run)
    if profiles:
        course_panels.radial(axes, profiles)
    else:
        course_panels.nothing(axes, "no radial profiles: too few tilts, or no wire")


def _profiles(run: Run) -> dict[str, tuple[Any, Any, Any]]:
    if "results" not in run or "radial_profile" not in run.results:
        return {}
    group = run.results.radial_profile
    return {
        element: tuple(
            np.asarray(group[element][key], dtype=np.float64) for key in ("radius_m", "value", "value_sigma")
        )
        for element in group
    }  # type: ignore[return-value]


def _below(figure: Any, run: Run) -> None:
    grid = figure.add_gridspec(3, 1, left=0.055, right=0.40, top=0.265, bottom=0.045, hspace=0.18)
    axes = [figure.add_subplot(grid[row]) for row in range(3)]
    for place in axes[1:]:
        place.sharex(axes[0])
    if "exposures" in run.entry and len(run.entry.exposures.kind):
        monitors = run.entry.monitors if "monitors" in run.entry else {}
        traces = {name: (np.asarray(monitors[name].time_s), np.asarray(monitors[name].value)) for name in monitors}
        course_panels.course(axes, run.entry.exposures, float(run.dose.limit_e_per_a2), traces)
    else:
        for place in axes:
            course_panels.nothing(place, "nothing was exposed")
    place = figure.add_axes((0.455, 0.055, 0.52, 0.215))
    if "edx" in run:
        counts = np.asarray(run.edx.spectra, dtype=np.float64).sum(axis=0)
        lines = {element: float(run.edx.lines_ev[element]) for element in run.edx.lines_ev}
        course_panels.spectrum(place, run.edx.energy_ev, counts, lines)
    else:
        course_panels.nothing(place, "no EDX was recorded")
