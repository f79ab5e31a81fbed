"""The options and the table of `measure area`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cryoctl.cli.output import put, put_json, say
from cryoctl.cli.quantities import quantity_of
from cryoctl.errors import BadInput, FileProblem

if TYPE_CHECKING:
    from cryoctl.launch.measure_area import AreaRequest, MeasuredAreas

POLARITIES = ("auto", "bright", "dark")


def check_plot(plot: Path) -> None:
    """Raises BadInput for a file that can't be drawn, before anything is measured."""
    if plot.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise BadInput(f"--plot {plot}: found {plot.suffix or 'no ending'}, allowed are .png, .pdf and .svg")
    if not plot.absolute().parent.is_dir():
        raise FileProblem(f"--plot {plot}: its folder does not exist; make it or choose another")


def check_labels(labels: Path) -> None:
    """Raises BadInput for a file that can't be made, before anything is measured."""
    if labels.suffix.lower() != ".npy":
        raise BadInput(f"--labels {labels}: found {labels.suffix or 'no ending'}, allowed is .npy")
    if labels.exists():
        raise FileProblem(f"--labels {labels}: is there already; choose another name")
    if not labels.absolute().parent.is_dir():
        raise FileProblem(f"--labels {labels}: its folder does not exist; make it or choose another")


def seconds_of(text: str, option: str, least: float) -> float | None:
    """`2s`, `500 ms` or `2`; None for nothing. Raises BadInput for anything else, and below `least`."""
    if not text:
        return None
    found = quantity_of(text, "time_s", option)
    if not (math.isfinite(found) and found >= least):
        raise BadInput(f"{option}: found {text[:40]!r}, it must be {'above' if least > 0 else 'at least'} 0; like 2s")
    return found


def point_of(text: str) -> tuple[float, float]:
    """`120,85`, x and y in pixels."""
    parts = text.split(",")
    try:
        x, y = (float(part) for part in parts)
    except ValueError:
        raise BadInput(f"--particle: found {text[:40]!r}, needed are x and y in pixels, like 120,85") from None
    if not (math.isfinite(x) and math.isfinite(y)):
        raise BadInput(f"--particle: found {text[:40]!r}, needed are x and y in pixels, like 120,85")
    return x, y


def measured_areas(
    data: Path, request: AreaRequest, plot: Path | None, labels: Path | None, quiet: bool
) -> MeasuredAreas:
    """Measure, and write picture and labels where they are wanted."""
    from cryoctl.launch.measure_area import measure_area, write_labels

    done = measure_area(data, request, (lambda text: None) if quiet else say)
    if labels is not None and done.labels is not None:
        write_labels(labels, done.labels)
    if plot is not None and done.found:
        from cryoctl.viewer.area_page import draw_areas

        try:
            draw_areas(plot, done.series.name, done.report, done.series.data, done.labels)
        except OSError as problem:
            raise FileProblem(f"--plot {plot}: can't be written ({problem.strerror or problem})") from problem
    return done


def put_areas(done: MeasuredAreas, json: bool) -> int:
    """The answer to stdout; the exit code, 1 where nothing could be measured."""
    code = 0 if done.found else 1
    if json:
        put_json({"exit_code": code, **done.report})
        return code
    for line in lines_of(done.report):
        put(line)
    return code


def lines_of(report: Mapping[str, Any]) -> list[str]:
    """A line a particle, then how masks agree, then what could not be measured."""
    lines: list[str] = []
    areas: Mapping[str, Mapping[str, Any]] = report["area"]
    width = max((len(name) for name in areas), default=0)
    for name, one in areas.items():
        lines.append(f"{name:<{width}}  {_of_series(one) if isinstance(one['frame'], list) else _alone(one)}")
    for how, one in (report.get("agreement") or {}).items():
        lines.append(
            f"{how:<24} mean IoU {one['mean_iou']:.4f}, median area error {100 * one['median_area_error']:.2f} %, "
            f"{one['particles']} particles, {one['missed']} missed, {one['extra']} extra"
        )
    return lines + list(report["shortfalls"].values())


def _alone(one: Mapping[str, Any]) -> str:
    text = (
        f"{_area(one['area_m2'], one['area_m2_sigma'])} at {one['x_px']:.1f},{one['y_px']:.1f} px  edge {one['edge']}"
    )
    if one["coating"] == "resolved":
        text += f", core {_area(one['core_area_m2'], one['core_area_m2_sigma'])}"
    return text + (", touching" if one["touching"] else "")


def _of_series(one: Mapping[str, Any]) -> str:
    known = [k for k, area in enumerate(one["area_m2"]) if math.isfinite(area)]
    first, last = known[0], known[-1]
    text = f"{_area(one['area_m2'][first], one['area_m2_sigma'][first])}"
    if math.isfinite(one["expansion"]):
        text += f"  A/A0 {one['expansion']:.3f} [{one['expansion_low']:.3f}, {one['expansion_high']:.3f}]"
        rate, per = ("rate_per_s", "s") if "rate_per_s" in one else ("rate_per_frame", "frame")
        if math.isfinite(one[rate]):
            text += f"  rate {one[rate]:.3g} [{one[f'{rate}_low']:.3g}, {one[f'{rate}_high']:.3g}] /{per}"
    text += (
        f"  frames {one['frame'][first]} to {one['frame'][last]}" if last > first else f"  frame {one['frame'][first]}"
    )
    return text + _coating(one)


def _coating(one: Mapping[str, Any]) -> str:
    if one["edge"] == "drawn":
        return ""
    if one["coating"] != "resolved" or one["broken"] is None:
        return f"  edge {one['edge']}, coating {one['coating']}"
    if not one["broken"]:
        return f"  edge {one['edge']}, coating intact"
    if math.isfinite(one["broken_s"]):
        return f"  edge {one['edge']}, coating broken at {one['broken_s_low']:g} to {one['broken_s_high']:g} s"
    return f"  edge {one['edge']}, coating broken in frame {one['broken_frame']}"


def _area(area_m2: float, sigma_m2: float) -> str:
    return f"{area_m2 * 1e18:.6g} +- {sigma_m2 * 1e18:.2g} nm^2"
