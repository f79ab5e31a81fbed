"""The options and tables of `measure jv`, `measure diffraction` and `measure contact`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cryoctl.cli.output import put, put_json
from cryoctl.cli.quantities import quantity_of
from cryoctl.errors import BadInput, FileProblem

KINDS = ("jv", "diffraction", "contact")


def facet_of(text: str) -> dict[str, Any]:
    """`100=0.628nm`, or `100=0.628nm@20` with the direction of its fringes in degrees from +x towards +y."""
    name, equals, rest = text.partition("=")
    spacing, at, angle = rest.partition("@")
    if not name.strip() or not equals or not spacing.strip():
        raise BadInput(f"--facet: found {text[:40]!r}, needed are a name and a spacing, like 100=0.628nm")
    spacing_m = quantity_of(spacing.strip(), "spacing_m", "--facet")
    if not 1e-11 < spacing_m < 1e-6:
        raise BadInput(f"--facet: found {text[:40]!r}, {spacing_m:g} m; a spacing lies between 0.01 nm and 1 um")
    try:
        angle_deg = float(angle) if at else None
    except ValueError:
        raise BadInput(
            f"--facet: found {text[:40]!r}, its direction is a number of degrees, like 100=0.628nm@20"
        ) from None
    return {"name": name.strip(), "spacing_m": spacing_m, "angle_deg": angle_deg}


def area_of(text: str) -> float | None:
    """`1.5 um^2` or `1.5e-12` (m^2); None for nothing."""
    if not text:
        return None
    found = quantity_of(text, "area_m2", "--device-area")
    if not (math.isfinite(found) and found > 0):
        raise BadInput(f"--device-area: found {text[:40]!r}, it must be above 0; like 2.4um^2")
    return found


def measured_cell(
    what: str, data: Path, *, facets: list[dict[str, Any]], size_m: float | None, area_m2: float | None
) -> dict[str, Any]:
    """The report; raises BadInput where there is nothing to measure."""
    if what == "contact":
        from cryoctl.launch.measure_contact import measure_contact

        return measure_contact(data)
    from cryoctl.launch.measure_cell import measure_diffraction, measure_jv

    if what == "jv":
        return measure_jv(data, area_m2=area_m2)
    return measure_diffraction(data, facets=facets, pixel_size_m=size_m)


def draw(what: str, plot: Path, name: str, report: Mapping[str, Any]) -> None:
    """Raises FileProblem where it can't be written, BadInput where there is nothing to draw."""
    if what == "contact":
        raise BadInput("--plot: a contact is told in words; leave it out")
    from cryoctl.viewer.cell_page import draw_curves, draw_facets

    try:
        (draw_curves if what == "jv" else draw_facets)(plot, name, report)
    except OSError as problem:
        raise FileProblem(f"--plot {plot}: can't be written ({problem.strerror or problem})") from problem


def put_cell(what: str, report: Mapping[str, Any], json: bool) -> int:
    """The answer to stdout; the exit code, 1 where the answer is no."""
    code = 0 if what != "contact" or report["contact"]["found"] else 1
    if json:
        put_json({"exit_code": code, **report})
        return code
    lines = {"jv": _of_curves, "diffraction": _of_facets, "contact": _of_contact}[what](report)
    for line in [*lines, *report["shortfalls"].values()]:
        put(line)
    return code


def _of_curves(report: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    columns: Mapping[str, list[Any]] = report["jv"]
    for row, direction in enumerate(columns.get("direction", ())):
        one = {name: column[row] for name, column in columns.items()}
        density = f" ({one['jsc_a_per_m2']:.4g} A/m^2)" if "jsc_a_per_m2" in one else ""
        lines.append(
            f"{one['began_s']:8.1f} s  {direction:<7}  {one['light_w_per_m2']:.0f} W/m^2  "
            f"Voc {one['voc_v']:.4f} +- {one['voc_v_sigma']:.1g} V  "
            f"Jsc {one['jsc_a']:.4g} +- {one['jsc_a_sigma']:.1g} A{density}  "
            f"fill {one['fill_factor']:.4f} +- {one['fill_factor_sigma']:.1g}  "
            f"maximum {one['mpp_w']:.4g} W at {one['mpp_v']:.3f} V  hysteresis {one['hysteresis']:+.4f} +- "
            f"{one['hysteresis_sigma']:.1g}"
        )
    if report["dark"]:
        lines.append(f"dark      offset {report['dark']['offset_a']:.3g} +- {report['dark']['offset_a_sigma']:.1g} A")
    return lines


def _of_facets(report: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for region, series in report["diffraction"].items():
        for row, name in enumerate(series["name"]):
            known = [value for value in series["intensity"][row] if math.isfinite(value)]
            lines.append(
                f"{region:<8} {name:<6} spacing {series['spacing_m'][row] * 1e9:.4f} nm  direction "
                f"{series['angle_deg'][row]:.1f} deg  intensity {known[0]:.4f} to {known[-1]:.4f} "
                f"in {len(known)} pictures"
            )
    order: Mapping[str, Any] = report.get("order") or {}
    if order.get("found"):
        for name, rank, rate, sigma in zip(
            order["name"], order["rank"], order["rate_per_s"], order["rate_per_s_sigma"], strict=True
        ):
            lines.append(f"fades as {rank}.  {name:<6} {rate:.3g} +- {sigma:.1g} /s under bias")
        lines.append(f"by dose           {order['dose_rate_a2']:.3g} +- {order['dose_rate_a2_sigma']:.1g} A^2/e-")
    cause: Mapping[str, Any] = report.get("cause") or {}
    if cause.get("found"):
        shares = ", ".join(f"{name} {one:.3f}" for name, one in zip(cause["names"], cause["probability"], strict=True))
        lines.append(f"cause             {cause['name']} ({shares})")
    return lines


def _of_contact(report: Mapping[str, Any]) -> list[str]:
    one: Mapping[str, Any] = report["contact"]
    if not one["found"]:
        return [f"no contact in {one['pictures']} pictures"]
    return [
        f"contact in picture {one['picture']} of {one['pictures']} (exposure {one['exposure']}, "
        f"{one['time_s']:.1f} s): "
        f"contrast {100 * one['contrast_change']:+.1f} +- {100 * one['contrast_change_sigma']:.1f} %, pushed "
        f"{one['pushed_m'] * 1e9:.1f} +- {one['pushed_m_sigma'] * 1e9:.1f} nm"
    ]
