"""`measure area`: particles of a run or of any stack, followed from picture to picture or drawn by hand."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cryoctl.analysis.particle_agreement import Agreement, agreement, plain_otsu
from cryoctl.analysis.particle_follow import Followed
from cryoctl.analysis.particle_growth import Growth, growth
from cryoctl.analysis.particle_polygons import Polygon, check_polygons
from cryoctl.analysis.particle_segments import Labels, Segmenting
from cryoctl.analysis.particle_series import Course, courses, followed, is_sequence
from cryoctl.errors import BadInput, FileProblem
from cryoctl.launch.measure import is_run
from cryoctl.launch.particle_pictures import Series, read_masks, read_polygons, series_of_run, series_of_stack

Tell = Callable[[str], None]
Stack = npt.NDArray[np.int32]

ENOUGH_TO_TELL = 3
"""Pictures after the first by which a stack that is no sequence is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AreaRequest:
    """`points` (x, y) in pixels choose particles of the first picture, none all; `separate` keeps pictures that are no
    sequence apart; `onset_s` counts as the times do."""

    pixel_size_m: float | None = None
    frame_interval_s: float | None = None
    onset_s: float | None = None
    polygons: Path | None = None
    masks: Path | None = None
    points: tuple[tuple[float, float], ...] = ()
    polarity: str = "auto"
    separate: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MeasuredAreas:
    """`report` is what the command prints; `labels` [frame, y, x] numbers the particles as their names do (none with
    polygons)."""

    report: dict[str, Any]
    series: Series
    labels: Stack | None

    @property
    def found(self) -> bool:
        return bool(self.report["area"])


def measure_area(path: Path, request: AreaRequest, tell: Tell = lambda text: None) -> MeasuredAreas:
    """Areas of particles with uncertainty, their expansion, rate and broken coating.

    Raises:
        BadInput: no pictures, no pixel size, a point without a particle, polygons or masks that don't belong to these
            pictures.
        FileProblem: a file that can't be read.
    """
    if is_run(path):
        series = series_of_run(path, request.pixel_size_m)
    else:
        series = series_of_stack(path, request.pixel_size_m, request.frame_interval_s)
    times, onset_s, unit = _times(series, request)
    shape = (int(series.data.shape[1]), int(series.data.shape[2]))
    masks = read_masks(request.masks, series.data.shape) if request.masks is not None else None
    report: dict[str, Any] = {
        "frames": len(series.frame),
        "pixel_size_m": series.pixel_size_m,
        "onset_s": onset_s if unit == "s" else None,
        "sequence": True,
        "shortfalls": {},
    }
    if request.polygons is not None:
        polygons = read_polygons(request.polygons, shape)
        check_polygons(polygons, len(series.frame), shape)
        report["area"] = _drawn(polygons, series, times, onset_s, unit)
        return MeasuredAreas(report=report, series=series, labels=None)
    settings = Segmenting(polarity=request.polarity)
    states, labels = ([], None) if request.separate else _follow(series, settings, tell)
    if labels is None and not request.separate:
        tell(f"{series.name}: the pictures don't show the same particles; each is measured by itself (--separate)")
    if labels is None:
        report |= {"sequence": False, "onset_s": None}
        report["area"], labels = _separately(series, settings, request.points, tell)
    else:
        found = _chosen(courses(states, times.tolist(), onset_s, settings), states, request.points)
        report["area"] = {f"p{one.number}": _of_course(one, series, times, onset_s, unit) for one in found}
        report["drift_px"] = [(one.drift_y_px, one.drift_x_px) for one in states]
    if not report["area"]:
        report["shortfalls"]["particles"] = f"{series.name}: no particle stands out that lies whole in a picture"
    if masks is not None:
        report["agreement"] = {
            "cryoctl": _agreement(agreement(list(labels), list(masks))),
            **{
                f"gaussian {sigma:g} px + otsu": _agreement(
                    agreement([plain_otsu(one, sigma) for one in series.data], list(masks))
                )
                for sigma in (1.0, 2.0, 3.0, 5.0)
            },
        }
    return MeasuredAreas(report=report, series=series, labels=labels)


def _times(series: Series, request: AreaRequest) -> tuple[npt.NDArray[np.float64], float, str]:
    """Times to fit against, the onset among them, and their unit: seconds, or frames where no time is known."""
    known = bool(np.isfinite(series.time_s).all())
    if request.onset_s is not None and not known:
        raise BadInput("--onset: the stack does not tell its times; give --frame-interval too, like 2s")
    times = series.time_s if known else np.arange(len(series.frame), dtype=np.float64)
    onset_s = request.onset_s if request.onset_s is not None else series.onset_s
    return times, onset_s if math.isfinite(onset_s) else float(times[0]), "s" if known else "frame"


def _follow(series: Series, settings: Segmenting, tell: Tell) -> tuple[list[Followed], Stack | None]:
    """No labels where the first pictures, or most of all, are no sequence."""
    states: list[Followed] = []
    labels: list[Labels] = []
    for k, (state, one) in enumerate(followed(list(series.data), settings)):
        states.append(state)
        labels.append(one)
        if k == ENOUGH_TO_TELL and not is_sequence(states):
            break
        if (k + 1) % 20 == 0:
            tell(f"{k + 1} of {len(series.frame)} pictures")
    return states, np.stack(labels) if is_sequence(states) else None


def _separately(
    series: Series, settings: Segmenting, points: Sequence[tuple[float, float]], tell: Tell
) -> tuple[dict[str, Any], Stack]:
    areas: dict[str, Any] = {}
    labels: list[Labels] = []
    for k, picture in enumerate(series.data):
        states = list(followed([picture], settings))
        labels.append(states[0][1])
        found = courses([states[0][0]], [0.0], 0.0, settings)
        chosen = _chosen(found, [states[0][0]], points) if points else found
        for one in chosen:
            areas[f"f{series.frame[k]}p{one.number}"] = _of_one(one, series, k)
        if (k + 1) % 20 == 0:
            tell(f"{k + 1} of {len(series.frame)} pictures")
    return areas, np.stack(labels)


def _chosen(found: Sequence[Course], states: Sequence[Followed], points: Sequence[tuple[float, float]]) -> list[Course]:
    if not points:
        return list(found)
    numbers: list[int] = []
    for x, y in points:
        near = [
            one for one in states[0].particles if math.hypot(one.y_px - y, one.x_px - x) <= one.radius_px and one.whole
        ]
        if not near:
            raise BadInput(f"--particle: no whole particle lies at {x:g},{y:g} in the first picture; choose another")
        numbers.append(min(near, key=lambda one: math.hypot(one.y_px - y, one.x_px - x)).number)
    return [one for one in found if one.number in numbers]


def _of_one(one: Course, series: Series, k: int) -> dict[str, Any]:
    """Of a particle in a picture that stands alone."""
    pixel = series.pixel_size_m**2
    return {
        "frame": series.frame[k],
        "y_px": float(one.y_px[0]),
        "x_px": float(one.x_px[0]),
        "area_m2": float(one.area_px2[0]) * pixel,
        "area_m2_sigma": float(one.total_sigma_px2()[0]) * pixel,
        "core_area_m2": float(one.core_px2[0]) * pixel,
        "core_area_m2_sigma": float(one.core_sigma_px2[0]) * pixel,
        "edge": one.model,
        "coating": "resolved" if one.resolved else "not resolved",
        "touching": bool(one.touching[0]),
    }


def _of_course(
    one: Course, series: Series, times: npt.NDArray[np.float64], onset_s: float, unit: str
) -> dict[str, Any]:
    pixel = series.pixel_size_m**2
    seconds = times if unit == "s" else np.full(times.size, np.nan)
    values: dict[str, Any] = {
        "frame": list(series.frame),
        "time_s": seconds.tolist(),
        "dose_e_per_a2": series.dose_e_per_a2.tolist(),
        "y_px": one.y_px.tolist(),
        "x_px": one.x_px.tolist(),
        "area_m2": (one.area_px2 * pixel).tolist(),
        "area_m2_sigma": (one.total_sigma_px2() * pixel).tolist(),
        "core_area_m2": (one.core_px2 * pixel).tolist(),
        "core_area_m2_sigma": (one.core_sigma_px2 * pixel).tolist(),
        "edge": one.model,
        "coating": "resolved" if one.resolved else "not resolved",
        "touching": one.touching.tolist(),
    }
    values |= growth_of(one.growth, unit)
    broken = one.break_
    return values | {
        "broken": None if broken is None else bool(math.isfinite(broken.time_s)),
        "broken_s": _seconds(broken.time_s if broken is not None else math.nan, unit),
        "broken_s_low": _seconds(broken.low_s if broken is not None else math.nan, unit),
        "broken_s_high": _seconds(broken.high_s if broken is not None else math.nan, unit),
        "broken_frame": _frame_of(broken.high_s + onset_s if broken is not None else math.nan, times, series),
        "gap_deg": broken.angle_deg if broken is not None else math.nan,
    }


def _seconds(value: float, unit: str) -> float:
    return value if unit == "s" else math.nan


def _frame_of(time: float, times: npt.NDArray[np.float64], series: Series) -> int | None:
    return series.frame[int(np.abs(times - time).argmin())] if math.isfinite(time) else None


def growth_of(found: Growth | None, unit: str) -> dict[str, Any]:
    """Expansion and rate under the names of the run file; without times the rate is one a frame."""
    nothing = math.nan
    rate = "rate_per_s" if unit == "s" else "rate_per_frame"
    return {
        "expansion": found.expansion if found else nothing,
        "expansion_low": found.expansion_low if found else nothing,
        "expansion_high": found.expansion_high if found else nothing,
        rate: found.rate_per_s if found else nothing,
        f"{rate}_low": found.rate_low if found else nothing,
        f"{rate}_high": found.rate_high if found else nothing,
    }


def _drawn(
    polygons: Sequence[Polygon], series: Series, times: npt.NDArray[np.float64], onset_s: float, unit: str
) -> dict[str, Any]:
    """Polygons of one name are one particle in several frames."""
    by_name: dict[str, list[Polygon]] = {}
    for one in sorted(polygons, key=lambda one: one.frame):
        by_name.setdefault(one.name, []).append(one)
    pixel = series.pixel_size_m**2
    found: dict[str, Any] = {}
    for name, own in by_name.items():
        at = [one.frame for one in own]
        areas = np.array([one.area() for one in own])
        centres = [one.centre() for one in own]
        values: dict[str, Any] = {
            "frame": [series.frame[k] for k in at],
            "time_s": (times[at] if unit == "s" else np.full(len(at), np.nan)).tolist(),
            "dose_e_per_a2": series.dose_e_per_a2[at].tolist(),
            "y_px": [y for y, _ in centres],
            "x_px": [x for _, x in centres],
            "area_m2": (areas[:, 0] * pixel).tolist(),
            "area_m2_sigma": (areas[:, 1] * pixel).tolist(),
            "edge": "drawn",
            "coating": "not resolved",
        }
        found[name] = values | growth_of(growth(times[at], areas[:, 0], areas[:, 1], onset_s), unit)
    return found


def _agreement(one: Agreement) -> Mapping[str, Any]:
    return {
        "particles": one.particles,
        "mean_iou": one.mean_iou,
        "median_iou": one.median_iou,
        "median_area_error": one.median_area_error,
        "missed": one.missed,
        "extra": one.extra,
    }


def write_labels(path: Path, labels: Stack) -> None:
    """As .npy, int32 [frame, y, x].

    Raises:
        FileProblem: it is there already, or can't be written.
    """
    try:
        with path.open("xb") as file:
            np.save(file, labels, allow_pickle=False)
    except FileExistsError:
        raise FileProblem(f"--labels {path}: is there already; choose another name") from None
    except OSError as problem:
        raise FileProblem(f"--labels {path}: can't be written ({problem.strerror}); choose another place") from problem
