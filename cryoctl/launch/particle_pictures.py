"""Pictures for `measure area`: of a run with their times, doses and bias, or of any stack; masks and polygons."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.particle_polygons import Polygon
from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.volume_files import NamedVolume, read_stack
from cryoctl.runfile.reader import Run, open_run

Pictures = npt.NDArray[np.float32]
Float = npt.NDArray[np.float64]

BIASED_ABOVE_V = 0.05
"""`probe_v` at most: below this nothing reacts that is to be measured."""
MOST_POLYGONS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """Pictures [frame, y, x] with what is known of each: times (s) and doses (e-/A^2), NaN where it isn't; `onset_s`,
    when the bias came on (NaN: not known)."""

    name: str
    data: Pictures
    pixel_size_m: float
    frame: tuple[int, ...]
    time_s: Float
    dose_e_per_a2: Float
    onset_s: float


def series_of_run(path: Path, pixel_size_m: float | None) -> Series:
    """Record frames of a run's first target.

    Raises:
        BadInput: there is none, or they differ in shape.
    """
    with open_run(path) as run:
        if "image" not in run or len(run.image) == 0:
            raise BadInput(f"{path.name}: it holds no record frame, so there is no particle to measure")
        image = run.image
        targets = [str(one) for one in image.target]
        frames = [k for k, one in enumerate(targets) if one == targets[0]]
        shapes = {tuple(int(size) for size in image.shape[k]) for k in frames}
        if len(shapes) > 1:
            raise BadInput(f"{path.name}: the frames of {targets[0]} differ in shape; pictures of one shape are needed")
        rows, columns = shapes.pop()
        data = np.stack([np.asarray(image.data[k, :rows, :columns], dtype=np.float32) for k in frames])
        exposure = np.asarray(image.exposure, dtype=np.intp)[frames]
        doses = np.asarray(run.exposures.cumulative_dose_e_per_a2, dtype=np.float64)
        return Series(
            name=path.name,
            data=data,
            pixel_size_m=pixel_size_m if pixel_size_m is not None else float(image.pixel_size_m),
            frame=tuple(frames),
            time_s=np.asarray(image.time_s, dtype=np.float64)[frames],
            dose_e_per_a2=doses[exposure],
            onset_s=_onset(run),
        )


def _onset(run: Run) -> float:
    """When the source's output was first switched on, as the run tells; else when a voltage rose above BIASED_ABOVE_V,
    which a cell's own may as well: by the source's samples, or by the exposures' own values."""
    told = [
        float(time_s)
        for time_s, message in zip(run.entry.events.time_s, run.entry.events.message, strict=True)
        if str(message) == "output on"
    ]
    if told:
        return told[0]
    base = "entry/monitors/bias_voltage"
    if base in run.root:
        times = np.asarray(run.root.value(f"{base}/time_s"), dtype=np.float64)
        volts = np.asarray(run.root.value(f"{base}/value"), dtype=np.float64)
    else:
        times = np.asarray(run.exposures.time_s, dtype=np.float64)
        volts = np.asarray(run.exposures.bias_v, dtype=np.float64)
    on = np.flatnonzero(np.abs(np.nan_to_num(volts)) > BIASED_ABOVE_V)
    return float(times[on[0]]) if on.size else float("nan")


def series_of_stack(path: Path, pixel_size_m: float | None, frame_interval_s: float | None) -> Series:
    """A stack that is not ours [frame, y, x], or one picture [y, x].

    Raises:
        BadInput: of another shape, or without a pixel size.
    """
    stack = _pictures(path, pixel_size_m, "frames")
    frames = stack.data.shape[0]
    step = math.nan if frame_interval_s is None else frame_interval_s
    return Series(
        name=path.name,
        data=stack.data,
        pixel_size_m=stack.voxel_size_m,
        frame=tuple(range(frames)),
        time_s=np.arange(frames, dtype=np.float64) * step if frames > 1 or math.isfinite(step) else np.zeros(1),
        dose_e_per_a2=np.full(frames, np.nan),
        onset_s=math.nan,
    )


def _pictures(path: Path, pixel_size_m: float | None, dataset: str) -> NamedVolume:
    stack = read_stack(path, pixel_size_m, dataset)
    data = stack.data[None] if stack.data.ndim == 2 else stack.data
    if data.ndim != 3 or min(data.shape[1:]) < 16 or data.shape[0] < 1:
        raise BadInput(
            f"{path.name}: shape {stack.data.shape}; pictures [frame, y, x] of 16 pixels and more are needed"
        )
    return NamedVolume(name=stack.name, data=data, voxel_size_m=stack.voxel_size_m)


def read_masks(path: Path, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Masks [frame, y, x], above 0 in a particle; of an HDF5 file its dataset `masks`, else the largest.

    Raises:
        BadInput: of another shape than the pictures.
    """
    data = _pictures(path, 1.0, "masks").data
    if data.shape != shape:
        raise BadInput(
            f"--masks: {path.name} has shape {_shape(data.shape)}, the pictures have {_shape(shape)}; give one mask a "
            "frame of the same size"
        )
    return data > 0


def _shape(sizes: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in sizes)


def read_polygons(path: Path, shape: tuple[int, int]) -> list[Polygon]:
    """`{"polygons": [{"name", "frame", "points": [[x, y], ...]}]}`, or what labelme saves of one picture.

    Raises:
        FileProblem: absent or no JSON.
        BadInput: of another layout, or drawn on a picture of another size.
    """
    try:
        if path.stat().st_size > 50_000_000:
            raise FileProblem(f"--polygons {path}: larger than 50 MB; give a file of polygons")
        found: Any = json.loads(path.read_text(encoding="utf-8"))
    except OSError as problem:
        raise FileProblem(f"--polygons {path}: can't be read ({problem.strerror}); give a JSON file") from None
    except (ValueError, RecursionError):
        raise FileProblem(f"--polygons {path}: is no JSON; see docs/how-to/measure-particle-areas") from None
    if not isinstance(found, dict):
        raise BadInput(_layout(path))
    top = cast("dict[str, Any]", found)
    drawn_on = (top.get("imageHeight"), top.get("imageWidth"))
    if "shapes" in top and all(isinstance(size, int) for size in drawn_on) and drawn_on != shape:
        raise BadInput(
            f"--polygons: {path.name} was drawn on {drawn_on[1]} x {drawn_on[0]} pixels, the pictures have "
            f"{shape[1]} x {shape[0]}; draw on these"
        )
    entries = top.get("polygons", top.get("shapes"))
    if not isinstance(entries, list):
        raise BadInput(_layout(path))
    listed = cast("list[Any]", entries)
    if len(listed) > MOST_POLYGONS:
        raise BadInput(f"--polygons: {path.name} holds {len(listed)} polygons, allowed are {MOST_POLYGONS}; split it")
    return [_polygon(path, k, one) for k, one in enumerate(listed)]


def _polygon(path: Path, k: int, entry: Any) -> Polygon:
    if not isinstance(entry, dict):
        raise BadInput(_layout(path))
    one = cast("dict[str, Any]", entry)
    name, frame = str(one.get("name", one.get("label", f"polygon {k + 1}"))), one.get("frame", 0)
    if one.get("shape_type", "polygon") != "polygon":
        raise BadInput(f"--polygons: {name[:40]!r} is a {str(one['shape_type'])[:20]!r}; polygons alone are measured")
    if not isinstance(frame, int) or isinstance(frame, bool):
        raise BadInput(f"--polygons: {name[:40]!r} has the frame {str(frame)[:20]!r}; a whole number from 0 is needed")
    try:
        points = [(float(x), float(y)) for x, y in one["points"]]
    except (KeyError, TypeError, ValueError):
        raise BadInput(f"--polygons: {name[:40]!r} has no points [[x, y], ...]; give its corners in pixels") from None
    corners = [point for point, before in zip(points, points[-1:] + points[:-1], strict=True) if point != before]
    return Polygon(name=name, frame=frame, points=tuple(corners))


def _layout(path: Path) -> str:
    return (
        f'--polygons: {path.name} has another layout; needed is {{"polygons": [{{"name": "p1", "frame": 0, "points": '
        f"[[x, y], ...]}}]}}, or a file of labelme"
    )
