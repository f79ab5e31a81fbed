"""How much longer a wire is along the beam than across: the missing wedge's mark on a reconstruction.

Of a filled section (a core) the widths are those at half maximum. A shell has no such width: through its middle a
profile along the beam finds its ends, one across finds its sides, and a profile along a side would measure how faintly
the missing wedge lets that side fade. Its widths run from outer wall to outer wall, each wall at half of its own
height, so that ends that the missing wedge has dimmed still count.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter, gaussian_filter1d, label, map_coordinates

from cryoctl.errors import BadInput

Float = npt.NDArray[np.float64]
Widths = tuple[float, float, float, float]


@dataclass(frozen=True)
class Elongation:
    """Width along the beam (z) over width across (y), averaged along the wire (x); widths in metres.

    `of`: core (widths are FWHM) or shell (widths are between its outer walls)."""

    of: str
    ratio: float
    ratio_sigma: float
    along_beam_m: float
    along_beam_m_sigma: float
    across_m: float
    across_m_sigma: float
    centre_y_m: float
    centre_y_m_sigma: float
    centre_z_m: float
    centre_z_m_sigma: float
    segments: int


def elongation(volume: npt.ArrayLike, voxel_size_m: float, segments: int = 12, band: float = 0.5) -> Elongation:
    """Measure the elongation of the wire that runs along x in `volume` [z, y, x].

    A core is found by itself: the centre of mass of the brightest connected bulk in each segment along x. Profiles
    along z and y run through it, averaged over `band` of the estimated width to either side in the other direction
    and over the segment. Where most segments are empty in the middle it is a shell, measured through the middle. Sigma
    is the standard error over the segments, outliers left out. Raises `BadInput` where no segment has a peak with both
    half-maxima inside the volume, or most have sides but no ends.
    """
    values = np.nan_to_num(np.asarray(volume, dtype=np.float64))
    if values.ndim != 3 or min(values.shape[:2]) < 6 or values.shape[2] < 1:
        raise BadInput(f"elongation: volume has shape {values.shape}; [z, y, x] with at least 6 x 6 voxels is needed.")
    pieces = np.array_split(values, min(segments, values.shape[2]), axis=2)
    sections = [piece.mean(axis=2) for piece in pieces]
    shells = [_shell_widths(section) for section in sections]
    hollow = [shell for shell in shells if shell is not None]
    if 2 * len(hollow) > len(sections):
        of, rows = "shell", [widths for widths in hollow if widths]
        if 2 * len(rows) <= len(hollow):
            raise BadInput("elongation: a shell whose ends along the beam the missing wedge hides; measure its core.")
    else:
        of, rows = "core", [found for section in sections if (found := _widths(section, band)) is not None]
    if 4 * len(rows) < len(sections) or not rows:
        raise BadInput(
            f"elongation: no core found with both half-maxima inside the volume in {len(sections) - len(rows)} of "
            f"{len(sections)} segments; choose another element."
        )
    table = np.array(rows)
    along, across = (_robust(table[:, k]) for k in (0, 1))
    ratio = _robust(table[:, 0] / table[:, 1])
    half = (np.array(values.shape[:2]) - 1) / 2
    return Elongation(
        of=of,
        ratio=ratio[0],
        ratio_sigma=ratio[1],
        along_beam_m=along[0] * voxel_size_m,
        along_beam_m_sigma=along[1] * voxel_size_m,
        across_m=across[0] * voxel_size_m,
        across_m_sigma=across[1] * voxel_size_m,
        centre_y_m=float(np.median(table[:, 3]) - half[1]) * voxel_size_m,
        centre_y_m_sigma=_robust(table[:, 3])[1] * voxel_size_m,
        centre_z_m=float(np.median(table[:, 2]) - half[0]) * voxel_size_m,
        centre_z_m_sigma=_robust(table[:, 2])[1] * voxel_size_m,
        segments=len(rows),
    )


def _robust(values: Float) -> tuple[float, float]:
    middle = float(np.median(values))
    if len(values) < 2:
        return middle, float("nan")
    spread = 1.4826 * float(np.median(np.abs(values - middle)))
    kept = values[np.abs(values - middle) <= 4 * max(spread, 1e-9)]
    return float(kept.mean()), float(kept.std(ddof=1) / np.sqrt(len(kept))) if len(kept) > 1 else float("nan")


def core_centre(section: Float) -> tuple[float, float]:
    """(z, y) in pixels of the core of a section [z, y]: centre of mass of what exceeds half of the smoothed maximum."""
    smooth = gaussian_filter(section, 1.5)
    low, top = float(np.median(smooth)), float(smooth.max())
    z, y = np.unravel_index(int(np.argmax(smooth)), smooth.shape)
    weights = np.clip(smooth - (low + top) / 2, 0, None)
    parts: npt.NDArray[np.int64] = np.asarray(label(weights > 0)[0], dtype=np.int64)  # pyright: ignore
    weights = np.where(parts == parts[z, y], weights, 0.0)
    if weights.sum() <= 0:
        return float(z), float(y)
    zs, ys = np.indices(section.shape)
    return float((weights * zs).sum() / weights.sum()), float((weights * ys).sum() / weights.sum())


def _shell_widths(section: Float) -> Widths | tuple[()] | None:
    """Outer widths as `_widths` has them; () for sides without ends, None where the middle is not empty."""
    smooth = gaussian_filter(section, 1.5)
    low, top = float(np.median(smooth)), float(smooth.max())
    weights = np.clip(smooth - low - 0.25 * (top - low), 0, None)
    if weights.sum() <= 0:
        return None
    zs, ys = np.indices(section.shape)
    z, y = float((weights * zs).sum() / weights.sum()), float((weights * ys).sum() / weights.sum())
    along = across = 0.0
    for _ in range(3):
        sides = _outer_walls(_profile(section, z, y, 1.0, along_z=False), y)
        if sides is None:
            return None
        across, y = sides[1] - sides[0], (sides[0] + sides[1]) / 2
        ends = _outer_walls(_profile(section, z, y, 1.0, along_z=True), z)
        if ends is None:
            return ()
        along, z = ends[1] - ends[0], (ends[0] + ends[1]) / 2
    return along, across, z, y


def _outer_walls(profile: Float, middle: float) -> tuple[float, float] | None:
    """Where the walls on both sides of an empty `middle` fall to half of their own height, going outwards."""
    smooth = gaussian_filter1d(profile, 1.0)
    n = len(profile)
    base = _base(smooth)
    centre = int(np.clip(round(middle), 1, n - 2))
    heart = float(smooth[centre - 1 : centre + 2].mean()) - base
    walls = (int(np.argmax(smooth[:centre])), centre + 1 + int(np.argmax(smooth[centre + 1 :])))
    edges: list[float] = []
    for step, wall in zip((-1, 1), walls, strict=True):
        top = float(smooth[wall]) - base
        if not top > 0 or heart > top / 2:
            return None
        level, soft = (profile - base) / top, (smooth - base) / top
        i = wall
        while 0 <= i + step < n and soft[i] >= 0.5:
            i += step
        if soft[i] >= 0.5:
            return None
        edges.append(_crossing(level, soft, i, step))
    return edges[0], edges[1]


def _base(smooth: Float) -> float:
    """Median of the outer tenth on both sides."""
    edge = max(2, len(smooth) // 10)
    return float(np.median(np.concatenate([smooth[:edge], smooth[-edge:]])))


def _widths(section: Float, band: float) -> Widths | None:
    """(FWHM along z, along y, centre z, centre y) in pixels, or None."""
    z, y = core_centre(section)
    along, across = 3.0, 3.0
    for _ in range(4):
        profile_z = _profile(section, z, y, across * band / 2, along_z=True)
        profile_y = _profile(section, z, y, along * band / 2, along_z=False)
        found_z, found_y = fwhm(profile_z, z), fwhm(profile_y, y)
        if found_z is None or found_y is None:
            return None
        along, across = found_z, found_y
    return along, across, z, y


def _profile(section: Float, z: float, y: float, half_band: float, along_z: bool) -> Float:
    """Mean profile through (z, y), over a band of sub-voxel offsets in the other direction."""
    n = section.shape[0 if along_z else 1]
    offsets = np.linspace(-half_band, half_band, 2 * int(np.ceil(half_band)) + 1)
    run = np.arange(n, dtype=np.float64)
    total = np.zeros(n)
    for offset in offsets:
        where = [run, np.full(n, y + offset)] if along_z else [np.full(n, z + offset), run]
        total += map_coordinates(section, where, order=1, mode="nearest")
    return total / len(offsets)


def fwhm(profile: Float, near: float) -> float | None:
    """Full width at half maximum in samples of the peak about index `near`, or None if a side has no half-maximum.

    The base is the median of the outer tenth on both sides, the top the mean of the samples above 85 % of the lightly
    smoothed maximum. Each crossing is where a straight line, fitted to the samples between 20 and 80 % of the flank,
    meets one half.
    """
    smooth = gaussian_filter1d(profile, 1.0)
    n = len(profile)
    base = _base(smooth)
    lo, hi = max(int(near) - 1, 0), min(int(near) + 2, n)
    reach = max(3, n // 4)
    inner = smooth[max(lo - reach, 0) : min(hi + reach, n)]
    high = float(inner.max())
    if high <= base:
        return None
    plateau = inner[inner > base + 0.85 * (high - base)]
    top = float(plateau.mean()) if len(plateau) else high
    level = (profile - base) / (top - base)
    soft = (smooth - base) / (top - base)
    middle = int(np.clip(round(near), 0, n - 1))
    if soft[middle] < 0.5:
        middle = max(0, lo - reach) + int(np.argmax(inner))
    crossings: list[float] = []
    for step in (-1, 1):
        i = middle
        while 0 <= i + step < n and soft[i] >= 0.5:
            i += step
        if soft[i] >= 0.5:
            return None
        crossings.append(_crossing(level, soft, i, step))
    return crossings[1] - crossings[0]


def _crossing(level: Float, soft: Float, outside: int, step: int) -> float:
    inside = outside - step
    rough = inside + step * float((soft[inside] - 0.5) / (soft[inside] - soft[outside] + 1e-12))
    rows: list[int] = []
    for direction in (-1, 1):
        i = inside if direction == -step else outside
        while 0 <= i < len(soft) and 0.2 < soft[i] < 0.8 and abs(i - rough) < 6:
            rows.append(i)
            i += direction
    if len(rows) < 3:
        a, b = float(level[inside]), float(level[outside])
        return inside + step * float(np.clip((a - 0.5) / (a - b), 0, 1)) if a > 0.5 > b else rough
    x = np.array(sorted(rows), dtype=np.float64)
    slope, intercept = np.polyfit(x - rough, level[x.astype(int)], 1)
    if slope * step >= 0:
        return rough
    return rough + float(np.clip((0.5 - intercept) / slope, -1.5, 1.5))
