"""The dose property: no specimen pixel ever truly receives more than the limit, and the ledger is no lower than truth.

The truth is the simulated world's own account (`/simulation`), which shares no code with the ledger. CI plays a few
random recipes, the campaign 200: `pytest -m campaign -s tests/runs/test_dose_is_never_passed.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from scipy.ndimage import binary_erosion, maximum_filter

from cryoctl import open_run
from cryoctl.interfaces.truth import MapGrid
from cryoctl.runfile.check import check_run
from tests.runs.edge_recipes import CASES, edge_recipe
from tests.runs.random_recipes import RandomRecipe, random_recipe
from tests.runs.small_runs import play, run_file

Map = npt.NDArray[np.float64]
TAILS_M = 60e-9
"""What the probe's tails blur at the edge of an area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one run shows; doses in units of the limit where no unit is said."""

    exit_code: int
    end_reason: str
    peak: float
    ledger_minus_truth: float
    sum_ratio: dict[str, float]
    interior_off: float
    """Worst pixel of the record areas' interior, ledger against truth, relative; NaN where there is no interior."""
    stray: float
    """Share of the focus and track dose that fell on a record area."""


def examine(recipe: RandomRecipe, out: Path) -> Found:
    result = play(out, *recipe.overrides, seed=recipe.seed, base=())
    with open_run(run_file(result)) as run:
        limit, pixel_m = float(run.dose.limit_e_per_a2), run.dose.grid.pixel_size_m
        radius_m = 3 * float(run.dose.position_sigma_m)
        ledger, truth = run.dose.map, np.asarray(run.truth.dose_map_e_per_a2)
        ledger_kinds = {kind: np.asarray(run.dose.by_kind[kind]) for kind in run.dose.by_kind}
        kinds = {kind: np.asarray(run.truth.dose_by_kind[kind]) for kind in run.truth.dose_by_kind}
        record = [rectangle(run.dose.grid, run.areas[name]) for name in run.areas if name.startswith("record")]
        stretch = largest_stretch(run)
    dilated = maximum_filter(ledger, footprint=disc(radius_m / pixel_m), mode="nearest")
    nowhere = np.zeros(truth.shape, dtype=bool)
    fields = np.logical_or.reduce([inside(grid_box, truth.shape, stretch) for grid_box in record] or [nowhere])
    return Found(
        exit_code=result.exit_code,
        end_reason=str(result.summary["end_reason"]),
        peak=float(truth.max()) / limit,
        ledger_minus_truth=float((dilated - truth).min()) / limit,
        sum_ratio={kind: float(ledger_kinds[kind].sum() / kinds[kind].sum()) for kind in kinds},
        interior_off=interior_off(ledger_kinds.get("record"), kinds.get("record"), (radius_m + TAILS_M) / pixel_m),
        stray=stray(kinds, fields),
    )


def disc(radius_px: float) -> npt.NDArray[np.bool_]:
    reach = math.ceil(radius_px)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.hypot(y, x) <= radius_px + 0.71  # half a pixel's diagonal: what lies within the distance from any part


def rectangle(grid: MapGrid, area: Any) -> tuple[float, float, float, float]:
    """Rows and columns (low, high) of a record area at 0 degrees."""
    y, x = (area.y_m - grid.origin_y_m) / grid.pixel_size_m, (area.x_m - grid.origin_x_m) / grid.pixel_size_m
    half_y, half_x = area.height_m / 2 / grid.pixel_size_m, area.width_m / 2 / grid.pixel_size_m
    return (float(y - half_y), float(y + half_y), float(x - half_x), float(x + half_x))


def inside(box: tuple[float, float, float, float], shape: tuple[int, ...], stretch: float) -> npt.NDArray[np.bool_]:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    middle, half = (box[0] + box[1]) / 2, (box[1] - box[0]) / 2 * stretch
    return (np.abs(rows - middle) <= half) & (columns >= box[2]) & (columns <= box[3])


def largest_stretch(run: Any) -> float:
    tilts = np.asarray(run.exposures.tilt_deg)
    return 1.0 / math.cos(math.radians(float(np.abs(tilts).max()))) if tilts.size else 1.0


def interior_off(ledger: Map | None, truth: Map | None, margin_px: float) -> float:
    """Where all record exposures overlap fully: the plateau of the ledger, eroded by what positions are off."""
    if ledger is None or truth is None:
        return math.nan
    plateau = ledger > 0.999 * ledger.max()
    core = binary_erosion(plateau, disc(margin_px))
    return float(np.abs(ledger[core] / truth[core] - 1).max()) if core.any() else math.nan


def stray(kinds: dict[str, Map], fields: npt.NDArray[np.bool_]) -> float:
    beside = sum((kinds[kind] for kind in ("focus", "track") if kind in kinds), np.zeros(fields.shape))
    return float(beside[fields].sum() / beside.sum()) if beside.sum() > 0 else 0.0


def violations(found: Found) -> list[str]:
    """Sentences; empty where the property holds."""
    said: list[str] = []
    if found.exit_code not in (0, 4):
        said.append(f"ended with {found.exit_code} ({found.end_reason})")
    if found.peak > 1.0 + 1e-9:
        said.append(f"true dose reached {found.peak:.5f} of the limit")
    if found.ledger_minus_truth < -1e-9:
        said.append(f"dilated ledger {-found.ledger_minus_truth:.3g} of the limit below the truth")
    said += [f"sum of {kind} off: {ratio:.4f}" for kind, ratio in found.sum_ratio.items() if abs(ratio - 1) > 0.02]
    if found.interior_off > 0.02:
        said.append(f"interior of the record area off by {found.interior_off:.4f}")
    if found.stray > 1e-3:
        said.append(f"record area received {found.stray:.2e} of the focus and track dose")
    return said


@pytest.mark.parametrize("case", range(8))
def test_true_dose_stays_below_the_limit_and_the_ledger_above_the_truth(case: int, tmp_path: Path) -> None:
    recipe = random_recipe(case)
    found = examine(recipe, tmp_path)
    assert not violations(found), recipe.command
    assert check_run(next(tmp_path.glob("*.nxs"))).ok


@pytest.mark.campaign
@pytest.mark.parametrize("name", CASES)
def test_errors_at_their_bounds_keep_the_property(name: str, tmp_path: Path) -> None:
    """How exact the sums are is another matter: a wide bound is charged in full."""
    recipe = edge_recipe(name)
    found = examine(recipe, tmp_path)
    assert not [said for said in violations(found) if "limit" in said or "ended" in said], recipe.command
    assert check_run(next(tmp_path.glob("*.nxs"))).ok


@pytest.mark.campaign
def test_two_hundred_random_recipes(tmp_path: Path) -> None:
    wrong: list[str] = []
    ends: Counter[str] = Counter()
    worst = {"peak": 0.0, "below truth": 0.0, "sum": 0.0, "interior": 0.0, "stray": 0.0}
    for case in range(200):
        recipe = random_recipe(case)
        folder = tmp_path / f"{case:03d}"
        found = examine(recipe, folder)
        ends[found.end_reason] += 1
        worst["peak"] = max(worst["peak"], found.peak)
        worst["below truth"] = max(worst["below truth"], -found.ledger_minus_truth)
        worst["sum"] = max(worst["sum"], *(abs(ratio - 1) for ratio in found.sum_ratio.values()))
        worst["interior"] = float(np.nanmax([worst["interior"], found.interior_off]))
        worst["stray"] = max(worst["stray"], found.stray)
        wrong += [f"case {case}: {said}: {recipe.command}" for said in violations(found)]
    print(f"\nends {dict(ends)}; worst {worst}")
    assert not wrong, "\n".join(wrong)
