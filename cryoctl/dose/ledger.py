"""The ledger: beam-normal fluence in the specimen's frame, one map a kind, and the gate that reads it.

Two maps are kept. The stored one charges each exposure where it is believed to lie, at the upper current. The gate's
one charges it over its rectangle grown by three of its position sigmas: the sum of grown rectangles is nowhere below
the stored sum dilated by the same, nor below the truth as long as every belief is within its bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cryoctl.dose.rasterise import deposit
from cryoctl.errors import RecipeError
from cryoctl.interfaces.truth import MapGrid

DoseMap = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deposit:
    """A rectangle on the specimen plane z = 0 (height already stretched by 1/cos) and its beam-normal fluence."""

    x_m: float
    y_m: float
    width_m: float
    height_m: float
    dose_e_per_a2: float
    rotation_deg: float = 0.0

    def covers(self, x_m: float, y_m: float) -> bool:
        angle = math.radians(self.rotation_deg)
        dx, dy = x_m - self.x_m, y_m - self.y_m
        along, across = dx * math.cos(angle) + dy * math.sin(angle), dy * math.cos(angle) - dx * math.sin(angle)
        return abs(along) <= self.width_m / 2 and abs(across) <= self.height_m / 2

    def grown(self, margin_m: float) -> Deposit:
        return Deposit(
            x_m=self.x_m,
            y_m=self.y_m,
            width_m=self.width_m + 2 * margin_m,
            height_m=self.height_m + 2 * margin_m,
            dose_e_per_a2=self.dose_e_per_a2,
            rotation_deg=self.rotation_deg,
        )


MOST_PIXELS = 20_000_000
"""Of a ledger; each kind of exposure keeps a map of 8 bytes a pixel."""


def grid_over(box_m: tuple[float, float, float, float], pixel_size_m: float = 20e-9) -> MapGrid:
    """A grid that covers (x_min, x_max, y_min, y_max), pixel centres at whole multiples of the pixel size.

    Raises:
        RecipeError: more than `MOST_PIXELS` would be needed.
    """
    x_min, x_max, y_min, y_max = box_m
    width_m, height_m = x_max - x_min, y_max - y_min
    if width_m * height_m > MOST_PIXELS * pixel_size_m**2:
        raise RecipeError(
            f"targets, areas: exposures and earlier runs would cover {width_m * 1e6:.4g} x {height_m * 1e6:.4g} um, "
            f"the dose is kept of up to {MOST_PIXELS * pixel_size_m**2 * 1e12:.4g} um2: make areas or shower smaller, "
            "or take targets that lie nearer to each other"
        )
    first_x, last_x = math.floor(x_min / pixel_size_m), math.ceil(x_max / pixel_size_m)
    first_y, last_y = math.floor(y_min / pixel_size_m), math.ceil(y_max / pixel_size_m)
    return MapGrid(
        shape=(last_y - first_y + 1, last_x - first_x + 1),
        pixel_size_m=pixel_size_m,
        origin_x_m=first_x * pixel_size_m,
        origin_y_m=first_y * pixel_size_m,
    )


def dilate(dose_map: DoseMap, pixel_size_m: float, radius_m: float) -> DoseMap:
    """Largest value within `radius_m` (a square neighbourhood, rounded up to whole pixels, one more for the edge)."""
    from scipy.ndimage import maximum_filter

    reach = math.ceil(radius_m / pixel_size_m) + 1
    return np.asarray(maximum_filter(dose_map, size=2 * reach + 1, mode="nearest"), dtype=np.float64)


class DoseLedger:
    """Dose of one specimen: what earlier runs left (`prior`) and what this run adds, by kind.

    Args:
        grid: where the maps lie.
        limit_e_per_a2: nothing may pass this in any pixel; infinite where there is none.
        prior: [y, x] on the same grid, undilated, and its position sigma (m).
    """

    def __init__(
        self, grid: MapGrid, limit_e_per_a2: float, prior: DoseMap | None = None, prior_sigma_m: float = 0.0
    ) -> None:
        self.grid = grid
        self.limit_e_per_a2 = limit_e_per_a2
        self.position_sigma_m = 0.0
        self.prior = np.zeros(grid.shape) if prior is None else np.asarray(prior, dtype=np.float64)
        self.by_kind: dict[str, DoseMap] = {}
        self._total = self.prior.copy()
        self._gate = (
            dilate(self.prior, grid.pixel_size_m, 3 * prior_sigma_m) if prior is not None else self.prior.copy()
        )

    @property
    def total(self) -> DoseMap:
        """Stored map [y, x] in e-/A^2: prior and this run, undilated."""
        return self._total

    @property
    def peak_e_per_a2(self) -> float:
        return float(self._total.max(initial=0.0))

    def holds(self, rectangle: Deposit) -> bool:
        """Whether the grid covers a rectangle: what lies beyond its edge could not be counted."""
        angle = math.radians(rectangle.rotation_deg)
        cos, sin = abs(math.cos(angle)), abs(math.sin(angle))
        reach_x_m = (rectangle.width_m * cos + rectangle.height_m * sin) / 2
        reach_y_m = (rectangle.width_m * sin + rectangle.height_m * cos) / 2
        pixel_m = self.grid.pixel_size_m
        rows, columns = self.grid.shape
        left_m, top_m = self.grid.origin_x_m - pixel_m / 2, self.grid.origin_y_m - pixel_m / 2
        slack_m = 1e-6 * pixel_m
        return (
            left_m - slack_m <= rectangle.x_m - reach_x_m
            and rectangle.x_m + reach_x_m <= left_m + columns * pixel_m + slack_m
            and top_m - slack_m <= rectangle.y_m - reach_y_m
            and rectangle.y_m + reach_y_m <= top_m + rows * pixel_m + slack_m
        )

    def settled(self, deposits: Iterable[Deposit]) -> tuple[Deposit, ...]:
        """Those narrower than two pixels laid on both pixels nearest to their middle, on each as much as one pixel can
        get of them: split between two they would show less in each than one receives that they truly cover, and several
        side by side, each on a pixel of its own, less than one that truly holds them all.

        What adjoins a narrow one goes on to the middle of those two pixels, one of which it then fills: a pixel may
        truly hold all of an overscan strip and most of the field beside it.
        """
        pixel_m = self.grid.pixel_size_m

        def onto_pixels(place_m: float, origin_m: float, extent_m: float) -> tuple[float, float, float]:
            """Middle, extent, and the share of the dose."""
            if extent_m >= 2 * pixel_m:
                return place_m, extent_m, 1.0
            before = math.floor((place_m - origin_m) / pixel_m)
            return origin_m + (before + 0.5) * pixel_m, 2 * pixel_m, min(1.0, extent_m / pixel_m)

        found: list[Deposit] = []
        narrow_m: list[float] = []
        for one in deposits:
            if not one.rotation_deg:
                x_m, width_m, across = onto_pixels(one.x_m, self.grid.origin_x_m, one.width_m)
                y_m, height_m, along = onto_pixels(one.y_m, self.grid.origin_y_m, one.height_m)
                dose = one.dose_e_per_a2 * across * along
                if across < 1.0 <= along:
                    narrow_m.append(x_m)
                one = replace(one, x_m=x_m, y_m=y_m, width_m=width_m, height_m=height_m, dose_e_per_a2=dose)
            found.append(one)
        return tuple(_reaching(one, narrow_m, pixel_m) for one in found)

    def charge(self, kind: str, deposits: Iterable[Deposit], position_sigma_m: float) -> None:
        """Add an exposure; `position_sigma_m` bounds at three sigma how far off its place is.

        Raises:
            ValueError: a dose that is negative or no number, which would spoil the map for all that follows.
        """
        rectangles = tuple(deposits)
        for rectangle in rectangles:
            if not 0 <= rectangle.dose_e_per_a2 < math.inf:
                raise ValueError(f"ledger: {rectangle.dose_e_per_a2} e-/A^2 can't be charged")
        kind_map = self.by_kind.setdefault(kind, np.zeros(self.grid.shape))
        for rectangle in rectangles:
            for target in (kind_map, self._total):
                _lay(target, self.grid, rectangle)
            _lay(self._gate, self.grid, rectangle.grown(3 * position_sigma_m + self.grid.pixel_size_m))
        self.position_sigma_m = max(self.position_sigma_m, position_sigma_m)

    def peak_after(self, deposits: Iterable[Deposit], position_sigma_m: float) -> float:
        """Dose of the worst pixel that these deposits would touch, positions at their worst (e-/A^2)."""
        added = np.zeros(self.grid.shape)
        for rectangle in deposits:
            _lay(added, self.grid, rectangle.grown(3 * position_sigma_m + self.grid.pixel_size_m))
        touched = added != 0  # a dose that is no number must show, not vanish
        if not touched.any():
            return 0.0
        return float((self._gate[touched] + added[touched]).max())

    def at(self, x_m: float, y_m: float) -> float:
        """Stored dose of the pixel at a point of the specimen's frame; 0 outside the grid."""
        column = round((x_m - self.grid.origin_x_m) / self.grid.pixel_size_m)
        row = round((y_m - self.grid.origin_y_m) / self.grid.pixel_size_m)
        rows, columns = self.grid.shape
        return float(self._total[row, column]) if 0 <= row < rows and 0 <= column < columns else 0.0


_ADJOINS_PX = 1.5 + 1e-6


def _reaching(one: Deposit, middles_m: Iterable[float], pixel_m: float) -> Deposit:
    """With a left or right edge that lies within a pixel and a half of one of these middles moved out to it.

    What adjoins a narrow one begins within a pixel of its middle, and half a pixel more where it was itself laid on two
    pixels.
    """
    if one.rotation_deg:
        return one
    left_m, right_m = one.x_m - one.width_m / 2, one.x_m + one.width_m / 2
    for middle_m in middles_m:
        if 0.0 < left_m - middle_m <= _ADJOINS_PX * pixel_m:
            left_m = middle_m
        if 0.0 < middle_m - right_m <= _ADJOINS_PX * pixel_m:
            right_m = middle_m
    return replace(one, x_m=(left_m + right_m) / 2, width_m=right_m - left_m)


def _lay(dose_map: DoseMap, grid: MapGrid, rectangle: Deposit) -> None:
    deposit(
        dose_map,
        grid,
        x_m=rectangle.x_m,
        y_m=rectangle.y_m,
        width_m=rectangle.width_m,
        height_m=rectangle.height_m,
        rotation_deg=rectangle.rotation_deg,
        dose_e_per_a2=rectangle.dose_e_per_a2,
    )
