"""Area of a particle to parts of a pixel: its outline, and a model of its edge fitted to the mean profile across it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import binary_dilation, gaussian_filter1d, map_coordinates
from scipy.optimize import least_squares
from scipy.special import ndtr

from cryoctl.analysis.particle_segments import Segments

Float = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

MODELS = ("disc", "sphere", "coated-disc", "coated-sphere")
RAYS = 128
HARMONICS = 8
"""Of the outline: enough for facets; more would follow the noise, and a profile across it would then meet its own
threshold there."""
BENDING = 0.3
"""Usual amplitude of the outline's first harmonic over the radius; that of the k-th is less by its square."""
OUTSIDE_PX = 10.0
OWN_BEYOND_PX = 1.5
WIDEST_BLUR_PX = 8.0
OFFSETS_PX = (-2.0, -1.0, -0.4, 0.0, 0.5, 1.5)
BLURS_PX = (0.5, 1.2, 2.5)
COATINGS_PX = (1.3, 2.5, 4.5, 8.0, 14.0)
"""Where a fit may begin."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Outline:
    """Distance of the outline from (y, x) at RAYS angles that begin at +x and turn towards +y, in pixels; `free` tells
    the rays that end in the background, not at a neighbour; `seen` is the distance before harmonics were drawn through
    it, NaN where a neighbour is. Behind a neighbour the outline is carried on from what is
    free; `contact_sigma_px2` is half of what this adds to the area or takes from it."""

    y: float
    x: float
    radius: Float
    free: Bool
    seen: Float
    contact_sigma_px2: float = 0.0

    @property
    def mean_radius(self) -> float:
        return float(np.sqrt(np.square(self.radius).mean()))

    def slant(self) -> Float:
        """Cosine between the ray and the outline's normal."""
        spectrum = np.fft.rfft(self.radius)
        slope = np.fft.irfft(1j * np.arange(spectrum.size) * spectrum, n=self.radius.size)
        return self.radius / np.hypot(self.radius, slope)

    def area(self, offset_px: float = 0.0) -> float:
        """Inside the outline moved outwards along its normal by `offset_px`."""
        moved = np.maximum(self.radius + offset_px / self.slant(), 0.0)
        return float(np.pi * np.square(moved).mean())

    def length(self) -> tuple[float, float]:
        """Of the free part and of the rest, in pixels."""
        each = 2 * np.pi * self.radius / self.slant() / self.radius.size
        return float(each[self.free].sum()), float(each[~self.free].sum())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Profile:
    """Mean relief against the distance inwards from the outline (`depth`, pixels, negative outside)."""

    depth: Float
    value: Float
    sigma: Float


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeFit:
    """A model at its best: `offset_px` by which the edge lies outside the outline, `blur_px`, `coating_px` (NaN for
    none), heights over the surroundings, and `badness`, chi-square with a penalty for each parameter (BIC)."""

    model: str
    offset_px: float
    offset_sigma_px: float
    blur_px: float
    coating_px: float
    coating_sigma_px: float
    outer_height: float
    core_height: float
    badness: float


def outline_of(segments: Segments, number: int, guard_px: float, without: Bool | None = None) -> Outline | None:
    """Outline of a labelled particle, carried on over the rays `without`; None where it is not star-shaped about its
    centroid or too small for rays."""
    inside = segments.labels == number
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if rows.size < 4 or columns.size < 4:
        return None
    y0, x0 = max(0, int(rows[0]) - 2), max(0, int(columns[0]) - 2)
    cut = inside[y0 : int(rows[-1]) + 3, x0 : int(columns[-1]) + 3]
    ys, xs = np.nonzero(cut)
    cy, cx = float(ys.mean()), float(xs.mean())
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    reach = np.arange(0.0, float(np.hypot(*cut.shape)), 0.25)
    along_y, along_x = cy + np.outer(np.sin(angle), reach), cx + np.outer(np.cos(angle), reach)
    hit = map_coordinates(cut.astype(np.float64), [along_y, along_x], order=1, mode="constant") >= 0.5
    if not hit[:, 0].all():
        return None
    last = reach.size - 1 - np.argmax(hit[:, ::-1], axis=1)
    gaps = (np.logical_not(hit) & (np.arange(reach.size) < last[:, None])).sum()
    if gaps > 0.02 * hit.sum():
        return None
    radius = reach[last] + 0.125
    free, metal = _ending_in_nothing(segments, number, (y0 + cy, x0 + cx), radius, guard_px)
    smooth = _smooth(radius, np.ones(RAYS, dtype=bool))
    contact = ~free
    seen = np.where(free, radius, np.nan)
    if without is not None:
        free &= ~without
    whole = smooth if free.all() or free.sum() < RAYS / 4 else _smooth(radius, free)
    # What is the particle's own beyond the line carried on, a swelling at a neighbour, is not hidden.
    own = contact & ~metal & (radius > whole + OWN_BEYOND_PX)
    whole = np.where(own, radius, whole)
    hidden = abs(float(np.square(whole[contact]).sum() - np.square(smooth[contact]).sum())) / RAYS * np.pi / 2
    return Outline(y=y0 + cy, x=x0 + cx, radius=whole, free=free, seen=seen, contact_sigma_px2=hidden)


def _ending_in_nothing(
    segments: Segments, number: int, centre: tuple[float, float], radius: Float, guard_px: float
) -> tuple[Bool, Bool]:
    """Rays on which neither a neighbour nor the frame's edge comes within `guard_px` of the outline; what the frame
    cuts, a needle or a grid, not within twice of it: it may wear a coat of its own.
    And the rays that end at the latter."""
    labels = segments.labels
    ny, nx = labels.shape
    cut = np.zeros(int(labels.max()) + 1, dtype=bool)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        cut[edge] = True
    cut[0] = False
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    free, metal = np.ones(RAYS, dtype=bool), np.zeros(RAYS, dtype=bool)
    for share in np.linspace(0.25, 2.0, 8):
        far = radius + share * guard_px
        py = np.rint(centre[0] + far * np.sin(angle)).astype(np.intp)
        px = np.rint(centre[1] + far * np.cos(angle)).astype(np.intp)
        within = (py >= 0) & (py < ny) & (px >= 0) & (px < nx)
        there = labels[np.clip(py, 0, ny - 1), np.clip(px, 0, nx - 1)]
        other = (there != 0) & (there != number)
        free &= ~(within & (other if share <= 1 else other & cut[there]))
        free &= within | (share > 1)
        metal |= within & other & cut[there]
    return free, metal


def _smooth(radius: Float, free: Bool) -> Float:
    """Harmonics through the free rays; where there are none, those that bend the least carry on what is free."""
    angle = 2 * np.pi * np.arange(RAYS) / RAYS
    order = np.arange(1, HARMONICS + 1)
    design = np.concatenate(
        [np.ones((RAYS, 1)), np.cos(np.outer(angle, order)), np.sin(np.outer(angle, order))], axis=1
    )
    usual = BENDING * float(np.median(radius[free])) / order**2
    stiffness = np.concatenate([[0.0], 1 / usual**2, 1 / usual**2])
    normal = design[free].T @ design[free] + np.diag(stiffness)
    return np.asarray(design @ np.linalg.solve(normal, design[free].T @ radius[free]), dtype=np.float64)


def polar(segments: Segments, outline: Outline, number: int) -> tuple[Float, Float, Float]:
    """(depth, angle index, relief) of the pixels around a particle that are not a neighbour's."""
    reach = float(outline.radius.max()) + OUTSIDE_PX + 1
    ny, nx = segments.labels.shape
    y0, y1 = max(0, int(outline.y - reach)), min(ny, int(outline.y + reach) + 2)
    x0, x1 = max(0, int(outline.x - reach)), min(nx, int(outline.x + reach) + 2)
    dy = np.arange(y0, y1)[:, None] - outline.y
    dx = np.arange(x0, x1)[None, :] - outline.x
    distance = np.hypot(dy, dx)
    turn = (np.arctan2(dy, dx) / (2 * np.pi) * RAYS) % RAYS
    index = np.arange(RAYS + 1, dtype=np.float64)
    radius = np.interp(turn, index, np.append(outline.radius, outline.radius[0]))
    slant = np.interp(turn, index, np.append(outline.slant(), outline.slant()[0]))
    depth = (radius - distance) * slant
    owner = segments.labels[y0:y1, x0:x1]
    others = np.asarray((owner != 0) & (owner != number))
    if others.any():
        others = np.asarray(binary_dilation(others, iterations=round(2 * segments.smoothing_px) + 2), dtype=bool)
    near = np.rint(turn).astype(np.intp) % RAYS
    kept = (depth > -OUTSIDE_PX) & outline.free[near] & ~others
    return depth[kept], turn[kept], segments.relief[y0:y1, x0:x1][kept]


def profile_of(depth: Float, relief: Float, noise: float, correlation: float, deepest: float) -> Profile | None:
    """Means over bins a pixel wide, down to `deepest`; None where too little of the edge is free."""
    edges = np.arange(-np.floor(OUTSIDE_PX), np.floor(deepest) + 1)
    which = np.digitize(depth, edges) - 1
    inside = (which >= 0) & (which < edges.size - 1)
    which, values, depths = which[inside], relief[inside], depth[inside]
    n = np.bincount(which, minlength=edges.size - 1).astype(np.float64)
    if (n >= 4).sum() < 8:
        return None
    good = n >= 4
    safe = np.maximum(n, 1.0)
    mean = np.bincount(which, values, minlength=n.size) / safe
    square = np.bincount(which, values**2, minlength=n.size) / safe
    variance = np.maximum(square - mean**2, noise**2) * correlation / safe
    place = np.bincount(which, depths, minlength=n.size) / safe
    floor = 1e-6 * max(float(np.ptp(mean[good])), 1e-12)
    return Profile(depth=place[good], value=mean[good], sigma=np.sqrt(variance[good]) + floor)


def _template(kind: str, depth: Float, radius: float, blur_px: float) -> Float:
    """A disc's or a sphere's projection against the depth below its edge, blurred; 1 in the middle."""
    if kind == "disc":
        return np.asarray(ndtr(depth / blur_px), dtype=np.float64)
    step = 0.2
    reach = 4 * blur_px + step
    grid = np.arange(float(depth.min()) - reach, float(depth.max()) + reach, step)
    # The mean over a step, by the integral of the chord, so that its steep foot does not depend on where the grid lies.
    ends = np.clip(np.append(grid - step / 2, grid[-1] + step / 2), 0.0, 2 * radius) / radius - 1
    area = 0.5 * (ends * np.sqrt(np.maximum(1 - ends**2, 0.0)) + np.arcsin(ends)) * radius
    return np.interp(depth, grid, gaussian_filter1d(np.diff(area) / step, blur_px / step, mode="nearest"))


def _design(model: str, profile: Profile, radius: float, place: Float) -> Float:
    """Columns: surroundings, outer body, and the core's difference where the model has a coating."""
    coated, kind = model.startswith("coated-"), model.removeprefix("coated-")
    offset, blur = float(place[0]), float(np.exp(place[1]))
    columns = [np.ones(profile.depth.size), _template(kind, profile.depth + offset, radius + offset, blur)]
    if coated:
        coating = float(np.exp(place[2]))
        inner = max(radius + offset - coating, 1.0)
        columns.append(_template(kind, profile.depth + offset - coating, inner, blur))
    return np.stack(columns, axis=1)


def fit_edge(profile: Profile, radius: float, model: str, blur: tuple[float, float] | None = None) -> EdgeFit | None:
    """Least squares of one of MODELS to a profile; None where it does not settle or finds no edge."""
    coated = model.startswith("coated-")

    def solved(place: Float) -> tuple[Float, Float]:
        design = _design(model, profile, radius, place) / profile.sigma[:, None]
        heights = np.linalg.lstsq(design, profile.value / profile.sigma, rcond=None)[0]
        rest = design @ heights - profile.value / profile.sigma
        if blur is not None:
            rest = np.append(rest, (place[1] - np.log(blur[0])) / blur[1])
        return np.asarray(heights, dtype=np.float64), np.asarray(rest, dtype=np.float64)

    def apart(place: Float) -> Float:
        return solved(place)[1]

    low, high = [-0.5 * radius, np.log(0.3)], [OUTSIDE_PX / 2, np.log(WIDEST_BLUR_PX)]
    if coated:
        low, high = [*low, np.log(1.0)], [*high, np.log(max(0.6 * radius, 2.0))]
    # Where a coating's inner edge lies has several local answers: the best of a coarse grid is where to begin.
    widths = [(np.log(width),) for width in COATINGS_PX if width < 0.5 * radius] if coated else [()]
    starts = [
        np.array([offset, np.log(width), *coating])
        for offset in OFFSETS_PX
        for width in (BLURS_PX if blur is None else (blur[0],))
        for coating in widths
    ]
    begin = min(starts, key=lambda place: float(np.square(apart(place)).sum()))
    best = least_squares(
        apart,
        np.clip(begin, np.add(low, 1e-6), np.subtract(high, 1e-6)),
        bounds=(low, high),
        x_scale=[1.0, 0.5, 0.5][: len(low)],
        diff_step=1e-3,
        ftol=1e-5,
        xtol=1e-4,
        gtol=1e-6,
    )
    heights, rest = solved(best.x)
    spare = profile.depth.size - best.x.size - heights.size
    if spare < 1 or heights[1] <= 0:
        return None
    badness = float(rest @ rest)
    normal = best.jac.T @ best.jac
    try:
        covariance = np.linalg.inv(normal) * max(1.0, badness / spare)
    except np.linalg.LinAlgError:
        return None
    # A Gaussian over a curved edge moves it inwards by half its variance times the curvature.
    width = float(np.exp(best.x[1]))
    coating = float(np.exp(best.x[2])) if coated else float("nan")
    return EdgeFit(
        model=model,
        offset_px=float(best.x[0]) + width**2 / (2 * radius),
        offset_sigma_px=float(np.sqrt(covariance[0, 0])),
        blur_px=width,
        coating_px=coating,
        coating_sigma_px=coating * float(np.sqrt(covariance[2, 2])) if coated else float("nan"),
        outer_height=float(heights[1]),
        core_height=float(heights[1] + heights[2]) if coated else float(heights[1]),
        badness=badness + (best.x.size + heights.size) * float(np.log(profile.depth.size)),
    )
